/**
 * Batches into the store, exactly once. Guarantees: all that a delivery holds is in one transaction; a batch is known by (agent,
 * stream, seq) and its events go in only with it; the bytes are kept verbatim; the same key with other bytes is a fork and both
 * are kept. Must never look at a time to decide whether a batch is new.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { Event } from "#core/model/event.ts";
import { type Client, column, type InStatement, type Row } from "./client.ts";
import { eventJson, fidelityOf, gapRows, processRows } from "./event-rows.ts";
import { PROVED_AGENT } from "./nodes.ts";

/** A verified batch with its events; no events when they were not believed, and `refusal` says why. */
export interface IncomingBatch {
	readonly stream: Uint8Array;
	readonly seq: number;
	readonly lane: string;
	readonly hash: Uint8Array;
	readonly header: Uint8Array;
	readonly bytes: Uint8Array;
	/** 16 random bytes for the ledger leaf. */
	readonly salt: Uint8Array;
	readonly events: readonly Event[];
	readonly refusal: string;
}

/** How a batch stands in the store after the transaction. */
export interface StoredBatch {
	readonly row: number;
	readonly stream: Uint8Array;
	readonly seq: number;
	/** Hash of the stored batch: another than delivered means a fork. */
	readonly hash: Uint8Array;
	readonly header: Uint8Array;
	readonly salt: Uint8Array;
	readonly receivedMs: number;
	readonly ledgerIndex: number | null;
}

const INSERT_BATCH = `
	INSERT INTO batches (agent_row, stream, seq, lane, hash, header, bytes, received_ms, salt, refusal)
	SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM nodes WHERE node_id = ?1
	ON CONFLICT (agent_row, stream, seq) DO NOTHING`;

/** The batch that the following statements are about, as long as its events are not in. */
const NEW_BATCH = `
	SELECT b.id, b.agent_row FROM batches b JOIN nodes n ON n.id = b.agent_row
	WHERE n.node_id = ?1 AND b.stream = ?2 AND b.seq = ?3 AND b.hash = ?4 AND b.has_events = 0`;

const INSERT_PROCESS_KEYS = `
	INSERT INTO processes (agent_row, key)
	SELECT b.agent_row, unhex(j.value ->> 'key') FROM (${NEW_BATCH}) b, json_each(?5) j
	WHERE true ON CONFLICT (agent_row, key) DO NOTHING`;

const UPDATE_PROCESSES = `
	INSERT INTO processes (agent_row, key, pid, name, exe, named_at_ns, parent_row, creator_row, exited_ms)
	SELECT b.agent_row, unhex(j.value ->> 'key'), j.value ->> 'pid', j.value ->> 'name',
		coalesce(j.value ->> 'exe', CASE WHEN j.value ->> 'name' IS NOT NULL THEN c.exe END),
		CAST(j.value ->> 'ns' AS INTEGER), p.id, c.id, j.value ->> 'exitedMs'
	FROM (${NEW_BATCH}) b, json_each(?5) j
	LEFT JOIN processes p ON p.agent_row = b.agent_row AND p.key = unhex(j.value ->> 'parent')
	LEFT JOIN processes c ON c.agent_row = b.agent_row AND c.key = unhex(j.value ->> 'creator')
	WHERE true
	ON CONFLICT (agent_row, key) DO UPDATE SET
		pid = coalesce(excluded.pid, pid),
		name = CASE WHEN excluded.named_at_ns >= named_at_ns THEN coalesce(excluded.name, name) ELSE coalesce(name, excluded.name) END,
		exe = CASE WHEN excluded.named_at_ns >= named_at_ns THEN coalesce(excluded.exe, exe) ELSE coalesce(exe, excluded.exe) END,
		named_at_ns = max(named_at_ns, excluded.named_at_ns),
		parent_row = coalesce(excluded.parent_row, parent_row),
		creator_row = coalesce(creator_row, excluded.creator_row),
		exited_ms = coalesce(excluded.exited_ms, exited_ms)`;

const INSERT_TRACES = `
	INSERT INTO traces (trace_id) SELECT value FROM json_each(?1) WHERE true ON CONFLICT (trace_id) DO NOTHING`;

const INSERT_EVENTS = `
	INSERT INTO events (agent_row, process_row, batch_row, batch_index, kind, kernel_time_ns, wall_time_ms, seq, tier, verdict,
		trace_row, pid, ppid, parent_row, creator_row, name, exe, filename, cmdline, is_masked, uid, euid, exit_code, exit_signal,
		local_address, local_port, remote_address, remote_port, result, path, path_to, cause, depth,
		details)
	SELECT b.agent_row, s.id, b.id, j.value ->> 'i', j.value ->> 'kind', CAST(j.value ->> 'ns' AS INTEGER), j.value ->> 'ms',
		j.value ->> 'seq', j.value ->> 'tier', j.value ->> 'verdict', t.id, j.value ->> 'pid', j.value ->> 'ppid', p.id, c.id,
		j.value ->> 'name', j.value ->> 'exe', j.value ->> 'filename', j.value ->> 'cmdline', j.value ->> 'masked',
		j.value ->> 'uid', j.value ->> 'euid', j.value ->> 'code', j.value ->> 'signal', j.value ->> 'la', j.value ->> 'lp',
		j.value ->> 'ra', j.value ->> 'rp', j.value ->> 'result', j.value ->> 'path', j.value ->> 'to', j.value ->> 'cause',
		j.value ->> 'depth', j.value ->> 'details'
	FROM (${NEW_BATCH}) b, json_each(?5) j
	LEFT JOIN processes s ON s.agent_row = b.agent_row AND s.key = unhex(j.value ->> 'process')
	LEFT JOIN processes p ON p.agent_row = b.agent_row AND p.key = unhex(j.value ->> 'parent')
	LEFT JOIN processes c ON c.agent_row = b.agent_row AND c.key = unhex(j.value ->> 'creator')
	LEFT JOIN traces t ON t.trace_id = j.value ->> 'trace'
	ORDER BY j.key`;

const INSERT_GAPS = `
	INSERT INTO gaps (event_row, agent_row, scope, stream, first, last, cause, at_ms, since_ms)
	SELECT e.id, e.agent_row, j.value ->> 'scope', unhex(j.value ->> 'stream'), j.value ->> 'first', j.value ->> 'last',
		j.value ->> 'cause', j.value ->> 'ms', j.value ->> 'since'
	FROM (${NEW_BATCH}) b, json_each(?5) j JOIN events e ON e.batch_row = b.id AND e.batch_index = j.value ->> 'i'
	WHERE true ON CONFLICT (event_row) DO NOTHING`;

const UPDATE_FIDELITY = `
	UPDATE nodes SET fidelity_level = ?5, fidelity_cause = ?6, fidelity_ms = ?7
	WHERE fidelity_ms <= ?7 AND id IN (SELECT agent_row FROM (${NEW_BATCH}))`;

const MARK_BATCH = `UPDATE batches SET has_events = 1 WHERE id IN (SELECT id FROM (${NEW_BATCH}))`;

const SELECT_BATCH = `
	SELECT b.id, b.hash, b.header, b.salt, b.received_ms, b.ledger_index FROM batches b JOIN nodes n ON n.id = b.agent_row
	WHERE n.node_id = ?1 AND b.stream = ?2 AND b.seq = ?3`;

function statementsOf(agent: string, batch: IncomingBatch, nowMs: number): InStatement[] {
	const { stream, seq, hash, events } = batch;
	const key = [agent, stream, seq, hash];
	const insert = {
		sql: INSERT_BATCH,
		args: [agent, stream, seq, batch.lane, hash, batch.header, batch.bytes, nowMs, batch.salt, batch.refusal],
	};
	if (events.length === 0) return [insert, { sql: MARK_BATCH, args: key }];
	const isSigned = batch.lane === "trace";
	const processes = JSON.stringify(processRows(events));
	const traces = [...new Set(events.flatMap(({ traceId }) => (traceId === undefined ? [] : [traceId])))];
	const gaps = gapRows(events);
	const fidelity = fidelityOf(events);
	return [
		insert,
		{ sql: INSERT_PROCESS_KEYS, args: [...key, processes] },
		{ sql: UPDATE_PROCESSES, args: [...key, processes] },
		...(traces.length === 0 ? [] : [{ sql: INSERT_TRACES, args: [JSON.stringify(traces)] }]),
		{ sql: INSERT_EVENTS, args: [...key, JSON.stringify(events.map((event, i) => eventJson(event, i, isSigned)))] },
		...(gaps.length === 0 ? [] : [{ sql: INSERT_GAPS, args: [...key, JSON.stringify(gaps)] }]),
		// No word is from the future: a clock that was ahead for a moment must not outrank every later word.
		...(fidelity === null
			? []
			: [{ sql: UPDATE_FIDELITY, args: [...key, fidelity.level, fidelity.cause, Math.min(fidelity.atMs, nowMs)] }]),
		{ sql: MARK_BATCH, args: key },
	];
}

/** What one channel brings at once. */
export interface Delivery {
	readonly agent: string;
	readonly batches: readonly IncomingBatch[];
}

export interface StoredDelivery {
	readonly stored: StoredBatch[];
	readonly lastEventRow: number;
}

function storedBatch(agent: string, { stream, seq }: IncomingBatch, row: Row | undefined): StoredBatch {
	if (row === undefined) throw new Error(`batch ${agent}/${hexOf(stream)}/${seq} is not there after its own insert`);
	return {
		row: column.number(row, "id"),
		stream,
		seq,
		hash: column.bytes(row, "hash"),
		header: column.bytes(row, "header"),
		salt: column.bytes(row, "salt"),
		receivedMs: column.number(row, "received_ms"),
		ledgerIndex: column.numberOrNull(row, "ledger_index"),
	};
}

/** Stores the deliveries of several agents in one transaction and says how each batch stands. Throws when the store is not reachable. */
export async function storeDeliveries(
	client: Client,
	deliveries: readonly Delivery[],
	nowMs: number,
): Promise<StoredDelivery[]> {
	const writes: InStatement[] = [];
	for (const { agent, batches } of deliveries) {
		writes.push({ sql: PROVED_AGENT, args: [agent] });
		for (const batch of batches) writes.push(...statementsOf(agent, batch, nowMs));
	}
	const selects = deliveries.flatMap(({ agent, batches }) =>
		batches.map(({ stream, seq }) => ({ sql: SELECT_BATCH, args: [agent, stream, seq] })),
	);
	const last = "SELECT coalesce(max(id), 0) AS row FROM events";
	const results = await client.batch([...writes, ...selects, last], "write");
	const lastRow = results.at(-1)?.rows[0];
	const lastEventRow = lastRow === undefined ? 0 : column.number(lastRow, "row");
	let at = writes.length;
	return deliveries.map(({ agent, batches }) => ({
		stored: batches.map((batch) => storedBatch(agent, batch, results[at++]?.rows[0])),
		lastEventRow,
	}));
}

/** Where a stored batch stands in the ledger. */
export interface LedgerPlace {
	readonly row: number;
	readonly index: number;
}

/** Notes at which ledger index each batch stands. */
export async function markLedgerIndexes(client: Client, indexes: readonly LedgerPlace[]): Promise<void> {
	if (indexes.length === 0) return;
	await client.execute({
		sql: `UPDATE batches SET ledger_index = j.value ->> 'index' FROM json_each(?1) j WHERE batches.id = j.value ->> 'row'`,
		args: [JSON.stringify(indexes)],
	});
}
