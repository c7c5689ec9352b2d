/**
 * What goes into a forensic package, gathered from store, desk and ledger. Guarantees: trace and alert streams are taken as whole
 * stretches from the first batch that matters to the last; everything is proved under one checkpoint, which the export's own leaf
 * precedes; too much is refused and never cut.
 */
import { bytesOfBase64, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { exportActBody } from "#core/package/export-act.ts";
import type { LedgerPlace, PackageInput } from "#core/package/layout.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { stitchHops } from "#core/stitch/hop.ts";
import type { ProvenLeaves } from "../../../durable/ledger.ts";
import { OBJECT_NAMES } from "../../../durable/sc-objects.ts";
import type { ScEnv } from "../env.ts";
import { type Client, column } from "../store/client.ts";
import { stitchInputOf } from "../store/hop-rows.ts";
import { storeOf } from "../store/open.ts";

export const EXPORT_LIMITS = {
	/** Three files each: fits the archive's 20,000 entries beside acts and certificates. */
	batchesMax: 6000,
	/** Held in memory until it is signed and downloaded. */
	bytesMax: 128 * 1024 * 1024,
	/** Leaves asked of the ledger at once. */
	leavesPerCall: 500,
	/** An answer or a seal reaches the store this long after the host wrote it, at the most that is waited for. */
	marginMs: 60_000,
} as const;

export type GatherCode =
	| "trace_unknown"
	| "export_too_large"
	| "export_not_settled"
	| "ledger_halted"
	| "signer_unavailable";

/**
 * Rows of batches that hold events of the trace, of the far sides of its hops (?2), or that are alerts of its hosts within its
 * time (?3 to ?4): answers, seals and gaps ride in the alert lane.
 */
const WANTED = `
	SELECT DISTINCT e.batch_row AS row FROM events e WHERE e.trace_row = (SELECT id FROM traces WHERE trace_id = ?1)
	UNION SELECT e.batch_row FROM events e WHERE e.id IN (SELECT value FROM json_each(?2))
	UNION SELECT b.id FROM batches b JOIN nodes n ON n.id = b.agent_row
		WHERE b.lane = 'alert' AND b.received_ms BETWEEN ?3 AND ?4 AND n.node_id IN (SELECT value FROM json_each(?5))`;

/** The wanted batches, and in trace and alert streams also those between the first and the last of them. */
const FILLED = `
	WITH wanted AS (${WANTED}),
	stretch AS (
		SELECT b.agent_row, b.stream, b.lane, min(b.seq) AS first, max(b.seq) AS last
		FROM wanted w JOIN batches b ON b.id = w.row WHERE b.lane <> 'bulk' GROUP BY b.agent_row, b.stream
	)
	SELECT row FROM wanted
	UNION SELECT b.id FROM stretch s JOIN batches b
		ON b.agent_row = s.agent_row AND b.stream = s.stream AND b.seq BETWEEN s.first AND s.last`;

interface GatheredBatch {
	readonly agent: string;
	readonly bytes: Uint8Array;
	readonly salt: Uint8Array;
	readonly index: number;
}

async function gatherBatches(
	client: Client,
	filter: { traceId: string; eventRows: readonly number[]; fromMs: number; toMs: number; agents: readonly string[] },
): Promise<Result<GatheredBatch[], GatherCode>> {
	const args = [
		filter.traceId,
		JSON.stringify(filter.eventRows),
		filter.fromMs,
		filter.toMs,
		JSON.stringify(filter.agents),
	];
	const size = await client.execute({
		sql: `SELECT count(*) AS n, coalesce(sum(length(b.bytes)), 0) AS bytes, coalesce(sum(b.ledger_index IS NULL), 0) AS open
			FROM (${FILLED}) f JOIN batches b ON b.id = f.row`,
		args,
	});
	const row = size.rows[0];
	if (row === undefined) return ok([]);
	const [count, bytes] = [column.number(row, "n"), column.number(row, "bytes")];
	if (count > EXPORT_LIMITS.batchesMax || bytes > EXPORT_LIMITS.bytesMax)
		return fail("export_too_large", `${count} batches with ${bytes} bytes are more than one package holds.`);
	if (column.number(row, "open") > 0)
		return fail("export_not_settled", "Some batches are not yet under a signed checkpoint; try again in a moment.");
	const ids = await client.execute({ sql: `SELECT row FROM (${FILLED}) ORDER BY row`, args });
	const batches: GatheredBatch[] = [];
	// A page of large batches stays well below what one answer of the server may hold.
	for (let at = 0; at < ids.rows.length; at += 4) {
		const page = ids.rows.slice(at, at + 4).map((each) => column.number(each, "row"));
		const { rows } = await client.execute({
			sql: `SELECT n.node_id, b.bytes, b.salt, b.ledger_index FROM batches b JOIN nodes n ON n.id = b.agent_row
				WHERE b.id IN (SELECT value FROM json_each(?1)) ORDER BY b.id`,
			args: [JSON.stringify(page)],
		});
		for (const each of rows)
			batches.push({
				agent: column.text(each, "node_id"),
				bytes: column.bytes(each, "bytes"),
				salt: column.bytes(each, "salt"),
				index: column.number(each, "ledger_index"),
			});
	}
	return ok(batches);
}

async function gatherHosts(client: Client, agents: readonly string[]): Promise<PackageInput["hosts"]> {
	const { rows } = await client.execute({
		sql: `SELECT n.node_id, n.host_name, n.clock_offset_ms, n.clock_samples, p.proof FROM nodes n
			JOIN proofs p ON p.node_row = n.id WHERE n.node_id IN (SELECT value FROM json_each(?1)) ORDER BY n.node_id, p.id`,
		args: [JSON.stringify(agents)],
	});
	const hosts = new Map<string, { host: Omit<PackageInput["hosts"][number], "proofs">; proofs: Uint8Array[] }>();
	for (const row of rows) {
		const agent = column.text(row, "node_id");
		const isKnown = column.text(row, "clock_samples") !== "[]";
		const known = hosts.get(agent) ?? {
			host: {
				agent,
				hostName: column.text(row, "host_name"),
				clockOffsetMs: isKnown ? column.number(row, "clock_offset_ms") : null,
				clockSource: isKnown ? "least of the newest heartbeats" : "none",
			},
			proofs: [],
		};
		hosts.set(agent, known);
		known.proofs.push(column.bytes(row, "proof"));
	}
	return [...hosts.values()].map(({ host, proofs }) => ({ ...host, proofs }));
}

interface Hidden {
	readonly index: number;
	readonly salt: Uint8Array;
}

/** Leaves and paths, in the order asked, all in the tree of one size. */
async function placesOf(env: ScEnv, hidden: readonly Hidden[], size: number): Promise<LedgerPlace[]> {
	const ledger = env.LEDGER.getByName(OBJECT_NAMES.ledger);
	const places: LedgerPlace[] = [];
	for (let at = 0; at < hidden.length; at += EXPORT_LIMITS.leavesPerCall) {
		const page = hidden.slice(at, at + EXPORT_LIMITS.leavesPerCall);
		const proven: ProvenLeaves = await ledger.prove(
			page.map(({ index }) => index),
			size,
		);
		for (const [i, { index, leaf, path }] of proven.leaves.entries())
			places.push({ index, leaf, path, salt: (page[i] as Hidden).salt });
	}
	return places;
}

/** Gathers a trace for an operator with the role to export it. The export is in the ledger when this answers. */
export async function gatherPackage(
	env: ScEnv,
	request: { traceId: string; operator: string; reason: string },
): Promise<Result<PackageInput, GatherCode>> {
	const { traceId, operator, reason } = request;
	const desk = env.TRACE_DESK.getByName(OBJECT_NAMES.desk);
	const { commands } = await desk.trace(traceId);
	if (commands.length === 0) return fail("trace_unknown", "There is no such trace.");
	const { reader } = await storeOf(env);
	const hops = stitchHops(await stitchInputOf(reader, traceId));
	const nowMs = Date.now();
	const gathered = await gatherBatches(reader, {
		traceId,
		eventRows: hops.flatMap(({ acceptId }) => (acceptId === null ? [] : [Number(acceptId)])),
		fromMs: Math.min(...commands.map(({ createdMs }) => createdMs)),
		toMs: nowMs + EXPORT_LIMITS.marginMs,
		agents: [...new Set(commands.map(({ agent }) => agent))],
	});
	if (!gathered.ok) return gathered;
	const sent = commands.filter(({ sentMs }) => sentMs !== null);
	const body = exportActBody({
		traceId,
		exporter: operator,
		reason,
		batches: gathered.value.map(({ bytes }) => bytes),
		commands: sent.map(({ envelope }) => envelope),
	});
	const written = await desk.act({ kind: "export", actor: operator, subject: traceId, traceId, body });
	if (!written.ok) return written;
	const latest = await env.LEDGER.getByName(OBJECT_NAMES.ledger).latest();
	const acts = (await desk.actsOfTrace(traceId)).flatMap(({ ledgerIndex, ...act }) =>
		ledgerIndex === null || latest === null || ledgerIndex >= latest.size ? [] : { ...act, index: ledgerIndex },
	);
	if (latest === null) return fail("signer_unavailable", "No checkpoint is signed.");
	const batchPlaces = await placesOf(env, gathered.value, latest.size);
	const actPlaces = await placesOf(env, acts, latest.size);
	return ok({
		traceId,
		exporter: { operator, reason },
		preparedAtMs: nowMs,
		toolVersion: env.SOFTWARE_VERSION ?? "",
		root: bytesOfBase64(env.ROOT_CERT) ?? new Uint8Array(),
		genesisSignature: bytesOfBase64(env.GENESIS_SIGNATURE) ?? new Uint8Array(),
		trust: await desk.trustDocuments(),
		hosts: await gatherHosts(reader, [...new Set(gathered.value.map(({ agent }) => agent))].sort()),
		batches: gathered.value.map(({ bytes }, i) => ({ bytes, place: batchPlaces[i] as LedgerPlace })),
		acts: acts.map((act, i) => ({ body: act.body, place: actPlaces[i] as LedgerPlace })),
		commands: sent.map(({ command, envelope }) => ({ commandId: hexOf(command.commandId), envelope })),
		checkpoint: utf8(latest.note),
	});
}
