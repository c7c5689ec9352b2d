/**
 * What the console's routes ask of the store, all by the reader's token. Guarantees: every list is bounded, kernel time is text,
 * and a process is named by its key, never by our row.
 */
import { asc } from "drizzle-orm";
import { drizzle } from "drizzle-orm/libsql/http";
import type { GapScope } from "#core/model/event.ts";
import { endpointText } from "#core/stitch/address.ts";
import type { Completeness, EventDetails, EventRow, Hit, ProcessAnswer } from "../api/answers.ts";
import { type Client, column, type Row } from "./client.ts";
import * as schema from "./schema.ts";

/** Levels of ancestry shown: deeper trees are loops or noise. */
const ANCESTRY_MAX = 32;

export type NodeRow = typeof schema.nodes.$inferSelect;

export async function nodesOf(client: Client): Promise<NodeRow[]> {
	return drizzle(client).select().from(schema.nodes).orderBy(asc(schema.nodes.nodeId));
}

/** Whether an agent of this name has ever been heard. */
export async function isAgentStored(client: Client, nodeId: string): Promise<boolean> {
	const sql = "SELECT 1 FROM nodes WHERE node_id = ? AND role = 'agent'";
	return (await client.execute({ sql, args: [nodeId] })).rows.length > 0;
}

export async function storedBatchCounts(client: Client): Promise<Map<number, number>> {
	const { rows } = await client.execute("SELECT agent_row, count(*) AS n FROM batches GROUP BY agent_row");
	return new Map(rows.map((row) => [column.number(row, "agent_row"), column.number(row, "n")]));
}

/** How many batches were ever stored, by the newest row: cheap enough for a health answer. */
export async function newestBatchRow(client: Client): Promise<number> {
	const { rows } = await client.execute("SELECT coalesce(max(id), 0) AS n FROM batches");
	return column.number(rows[0] as Row, "n");
}

export async function standingAlarmCount(client: Client): Promise<number> {
	const { rows } = await client.execute("SELECT count(*) AS n FROM alarms WHERE cleared_ms IS NULL");
	return column.number(rows[0] as Row, "n");
}

type Ancestor = ProcessAnswer["ancestry"][number];

const ANCESTRY = `
	WITH RECURSIVE up AS (
		SELECT p.id AS start, coalesce(p.creator_row, p.parent_row) AS at, 1 AS level FROM processes p
		WHERE p.id IN (SELECT value FROM json_each(?1))
		UNION ALL
		SELECT u.start, coalesce(p.creator_row, p.parent_row), u.level + 1 FROM up u JOIN processes p ON p.id = u.at
		WHERE u.level < ${ANCESTRY_MAX}
	)
	SELECT u.start, lower(hex(p.key)) AS process, coalesce(p.pid, 0) AS pid, coalesce(p.name, '') AS name,
		coalesce(p.exe, '') AS exe
	FROM up u JOIN processes p ON p.id = u.at ORDER BY u.start, u.level`;

/** For each process row its ancestors, the nearest first. */
export async function ancestryOf(client: Client, rows: readonly number[]): Promise<Map<number, Ancestor[]>> {
	const out = new Map<number, Ancestor[]>();
	const { rows: found } = await client.execute({ sql: ANCESTRY, args: [JSON.stringify(rows)] });
	for (const row of found) {
		const start = column.number(row, "start");
		const list = out.get(start) ?? [];
		out.set(start, list);
		list.push({
			process: column.text(row, "process"),
			pid: column.number(row, "pid"),
			name: column.text(row, "name"),
			exe: column.text(row, "exe"),
		});
	}
	return out;
}

const HITS = `
	SELECT h.id, h.rule_id, h.summary, h.event_time_ms, h.latency_ms, h.trace_id, n.node_id,
		coalesce(e.process_row, 0) AS process_row, coalesce(lower(hex(p.key)), '') AS process, coalesce(e.pid, p.pid, 0) AS pid
	FROM hits h JOIN events e ON e.id = h.event_row JOIN nodes n ON n.id = e.agent_row
	LEFT JOIN processes p ON p.id = e.process_row
	WHERE h.id <= ?1 ORDER BY h.id DESC LIMIT ?2`;

/** Newest first. `describe` says what a rule id means to a person. */
export async function hitsOf(
	client: Client,
	limit: number,
	describe: (ruleId: string) => Pick<Hit, "ruleTitle" | "severity">,
): Promise<Hit[]> {
	const { rows } = await client.execute({ sql: HITS, args: [Number.MAX_SAFE_INTEGER, limit] });
	const ancestry = await ancestryOf(client, [...new Set(rows.map((row) => column.number(row, "process_row")))]);
	return rows.map((row) => ({
		id: column.number(row, "id"),
		ruleId: column.text(row, "rule_id"),
		...describe(column.text(row, "rule_id")),
		agent: column.text(row, "node_id"),
		process: column.text(row, "process"),
		pid: column.number(row, "pid"),
		summary: column.text(row, "summary"),
		eventTimeMs: column.number(row, "event_time_ms"),
		latencyMs: column.number(row, "latency_ms"),
		traceId: column.textOrNull(row, "trace_id"),
		ancestry: ancestry.get(column.number(row, "process_row")) ?? [],
	}));
}

/** An operator put a trace on this hit. */
export async function markHit(writer: Client, hitId: number, traceId: string): Promise<void> {
	await writer.execute({
		sql: "UPDATE hits SET trace_id = ?2 WHERE id = ?1 AND trace_id IS NULL",
		args: [hitId, traceId],
	});
}

const EVENTS = `
	SELECT e.id, n.node_id, n.clock_offset_ms, e.kind, coalesce(lower(hex(p.key)), '') AS process, t.trace_id,
		CAST(e.kernel_time_ns AS TEXT) AS ns, e.wall_time_ms, e.seq, lower(hex(b.stream)) AS stream, b.seq AS batch_seq,
		e.tier, e.verdict, e.pid, e.ppid, lower(hex(pp.key)) AS parent, lower(hex(pc.key)) AS creator, e.name, e.exe,
		e.filename, e.cmdline, e.is_masked, e.uid, e.euid, e.exit_code, e.exit_signal, e.local_address, e.local_port,
		e.remote_address, e.remote_port, e.result, e.path, e.path_to, e.cause, e.depth, e.details
	FROM events e JOIN traces t ON t.id = e.trace_row JOIN nodes n ON n.id = e.agent_row JOIN batches b ON b.id = e.batch_row
	LEFT JOIN processes p ON p.id = e.process_row LEFT JOIN processes pp ON pp.id = e.parent_row
	LEFT JOIN processes pc ON pc.id = e.creator_row
	WHERE e.trace_row = (SELECT id FROM traces WHERE trace_id = ?1) AND e.id > ?2 ORDER BY e.id LIMIT ?3`;

function endpointOf(row: Row, side: "local" | "remote"): string | null {
	const address = column.textOrNull(row, `${side}_address`);
	return address === null ? null : endpointText(address, column.numberOrNull(row, `${side}_port`) ?? 0);
}

/** `hex(NULL)` is empty text. */
const keyOrNull = (row: Row, name: string): string | null => column.textOrNull(row, name) || null;

function eventRowOf(row: Row): EventRow {
	const timeMs = column.number(row, "wall_time_ms");
	const cmdline = column.textOrNull(row, "cmdline");
	const details = column.textOrNull(row, "details");
	return {
		row: column.number(row, "id"),
		agent: column.text(row, "node_id"),
		kind: column.text(row, "kind") as EventRow["kind"],
		process: column.text(row, "process"),
		traceId: column.textOrNull(row, "trace_id"),
		kernelTimeNs: column.text(row, "ns"),
		timeMs,
		alignedTimeMs: timeMs - column.number(row, "clock_offset_ms"),
		seq: column.number(row, "seq"),
		stream: column.text(row, "stream"),
		batchSeq: column.number(row, "batch_seq"),
		tier: column.text(row, "tier") as EventRow["tier"],
		verdict: column.text(row, "verdict") as EventRow["verdict"],
		pid: column.numberOrNull(row, "pid"),
		ppid: column.numberOrNull(row, "ppid"),
		parent: keyOrNull(row, "parent"),
		creatorParent: keyOrNull(row, "creator"),
		name: column.textOrNull(row, "name"),
		exe: column.textOrNull(row, "exe"),
		filename: column.textOrNull(row, "filename"),
		cmdline: cmdline === null ? null : (JSON.parse(cmdline) as string[]),
		isMasked: column.number(row, "is_masked") === 1,
		uid: column.numberOrNull(row, "uid"),
		euid: column.numberOrNull(row, "euid"),
		exitCode: column.numberOrNull(row, "exit_code"),
		exitSignal: column.numberOrNull(row, "exit_signal"),
		local: endpointOf(row, "local"),
		remote: endpointOf(row, "remote"),
		result: column.numberOrNull(row, "result"),
		path: column.textOrNull(row, "path"),
		pathTo: column.textOrNull(row, "path_to"),
		cause: column.textOrNull(row, "cause"),
		depth: column.numberOrNull(row, "depth"),
		details: details === null ? null : (JSON.parse(details) as EventDetails),
	};
}

/** Events of a trace after a row, ascending; one more than `limit` is asked to know whether there is more. */
export async function eventsOf(
	client: Client,
	traceId: string,
	page: { after: number; limit: number },
): Promise<{ events: EventRow[]; hasMore: boolean }> {
	const { rows } = await client.execute({ sql: EVENTS, args: [traceId, page.after, page.limit + 1] });
	return { events: rows.slice(0, page.limit).map(eventRowOf), hasMore: rows.length > page.limit };
}

export interface TraceFacts {
	readonly traceId: string;
	readonly eventCount: number;
	readonly agents: readonly string[];
	readonly firstMs: number;
	readonly lastMs: number;
}

/** Per trace: how many events, of which hosts, from when to when. */
export async function traceFacts(client: Client, traceIds: readonly string[]): Promise<Map<string, TraceFacts>> {
	const { rows } = await client.execute({
		sql: `SELECT t.trace_id, count(*) AS n, json_group_array(DISTINCT n.node_id) AS agents, min(e.wall_time_ms) AS first,
				max(e.wall_time_ms) AS last
			FROM traces t JOIN events e ON e.trace_row = t.id JOIN nodes n ON n.id = e.agent_row
			WHERE t.trace_id IN (SELECT value FROM json_each(?1)) GROUP BY t.trace_id`,
		args: [JSON.stringify(traceIds)],
	});
	return new Map(
		rows.map((row) => [
			column.text(row, "trace_id"),
			{
				traceId: column.text(row, "trace_id"),
				eventCount: column.number(row, "n"),
				agents: JSON.parse(column.text(row, "agents")) as string[],
				firstMs: column.number(row, "first"),
				lastMs: column.number(row, "last"),
			},
		]),
	);
}

/** A gap may be declared a little after what it covers. */
const GAP_MARGIN_MS = 60_000;

/** Holes that may touch a trace: declared by its hosts from its first event to a minute after its last. */
export async function completenessOf(client: Client, facts: TraceFacts | undefined): Promise<Completeness> {
	if (facts === undefined) return { isComplete: true, gaps: [] };
	const { rows } = await client.execute({
		sql: `SELECT n.node_id, g.scope, g.first, g.last, g.cause, g.at_ms, g.since_ms FROM gaps g JOIN nodes n ON n.id = g.agent_row
			WHERE n.node_id IN (SELECT value FROM json_each(?1)) AND g.at_ms BETWEEN ?2 AND ?3 ORDER BY g.id LIMIT 1000`,
		args: [JSON.stringify(facts.agents), facts.firstMs, facts.lastMs + GAP_MARGIN_MS],
	});
	const gaps = rows.map((row) => ({
		agent: column.text(row, "node_id"),
		scope: column.text(row, "scope") as GapScope,
		from: column.text(row, "first"),
		to: column.text(row, "last"),
		cause: column.text(row, "cause"),
		atMs: column.number(row, "at_ms"),
		sinceMs: column.numberOrNull(row, "since_ms"),
	}));
	return { isComplete: gaps.length === 0, gaps };
}

/** A process by its host and key, or null. */
export async function processOf(client: Client, agent: string, key: Uint8Array): Promise<ProcessAnswer | null> {
	const { rows } = await client.execute({
		sql: `SELECT p.id, lower(hex(p.key)) AS process, coalesce(p.pid, 0) AS pid, coalesce(p.name, '') AS name,
				coalesce(p.exe, '') AS exe, p.exited_ms FROM processes p JOIN nodes n ON n.id = p.agent_row
			WHERE n.node_id = ?1 AND p.key = ?2`,
		args: [agent, key],
	});
	const row = rows[0];
	if (row === undefined) return null;
	const id = column.number(row, "id");
	const ancestry = await ancestryOf(client, [id]);
	return {
		agent,
		process: column.text(row, "process"),
		pid: column.number(row, "pid"),
		name: column.text(row, "name"),
		exe: column.text(row, "exe"),
		isAlive: row.exited_ms === null,
		ancestry: ancestry.get(id) ?? [],
	};
}
