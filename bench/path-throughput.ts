/**
 * Events per second from an agent's outbox to a row that a query finds, through one real proxy and a real Security Center. Each run
 * has an enclave of its own and is followed by the yardstick on the same rows, so both meet the machine in the same mood.
 */

import type { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import { addNode } from "../host/pki/enclave.ts";
import type { BenchContext } from "./bench.ts";
import { type Box, openBox, within } from "./box.ts";
import { BENCH_LIMITS } from "./limits.ts";
import { LOAD_AGENT_ID, type LoadAgent, makeLoadAgent } from "./load-agent.ts";
import { measureStoreCeiling, readStoredRows, type StoredRows } from "./store-ceiling.ts";
import { openStoreReader, storeFile } from "./store-reader.ts";

interface Arrival {
	readonly eventsPerSecond: number;
	readonly bytesPerEvent: number;
	readonly rows: StoredRows;
}

/** Waits until the store's newest event row is the last one sent; the moment it was seen. */
async function waitForRows(
	database: DatabaseSync,
	load: LoadAgent,
	context: BenchContext,
): Promise<Result<number, string>> {
	const newest = database.prepare("SELECT coalesce(max(id), 0) AS row FROM events");
	const untilMs = performance.now() + BENCH_LIMITS.arrivalMsMax;
	for (;;) {
		const row = Number(newest.get()?.row);
		if (row >= load.eventCount) return ok(performance.now());
		const trouble = load.trouble();
		if (trouble !== null) return fail("load_refused", trouble);
		if (context.signal.aborted) return fail("interrupted", "interrupted while rows arrived");
		if (performance.now() > untilMs)
			return fail("rows_missing", `${row} of ${load.eventCount} rows after ${BENCH_LIMITS.arrivalMsMax} ms`);
		await sleep(BENCH_LIMITS.rowPollMs);
	}
}

/** Every sent event is a row exactly once, and of the agent that sent it. */
function checkRows(database: DatabaseSync, load: LoadAgent): Result<void, string> {
	const counted = database
		.prepare(
			`SELECT count(*) AS count, count(DISTINCT e.batch_row || ':' || e.batch_index) AS distinctCount
			FROM events e JOIN nodes n ON n.id = e.agent_row WHERE n.node_id = ?`,
		)
		.get(load.id);
	if (Number(counted?.count) === load.eventCount && Number(counted?.distinctCount) === load.eventCount)
		return ok(undefined);
	return fail("rows_wrong", `${counted?.count} rows of ${load.eventCount} events, ${counted?.distinctCount} distinct`);
}

async function sendThrough(box: Box, context: BenchContext): Promise<Result<Omit<Arrival, "rows">, string>> {
	const node = await addNode(box.dataDir, { role: "agent", id: LOAD_AGENT_ID }, Date.now());
	if (!node.ok) return node;
	const opened = await openStoreReader(box.dataDir, context.signal);
	if (!opened.ok) return opened;
	const database = opened.value;
	const load = makeLoadAgent(box, node.value);
	try {
		const late = sleep(BENCH_LIMITS.linkMsMax, null, { ref: false });
		const startedAtMs = await Promise.race([load.send(), late]);
		if (startedAtMs === null) return fail("link_refused", load.trouble() ?? "the proxy did not answer");
		const arrived = await waitForRows(database, load, context);
		if (!arrived.ok) return arrived;
		const checked = checkRows(database, load);
		if (!checked.ok) return checked;
		return ok({
			eventsPerSecond: load.eventCount / ((arrived.value - startedAtMs) / 1000),
			bytesPerEvent: load.outboxBytes / load.eventCount,
		});
	} finally {
		database.close();
		load.stop();
	}
}

async function measureIn(box: Box, context: BenchContext): Promise<Result<{ path: Arrival; ceiling: number }, string>> {
	const sent = await sendThrough(box, context);
	if (!sent.ok) return sent;
	await box.enclave.supervisor.stop();
	const path = { ...sent.value, rows: readStoredRows(storeFile(box.dataDir)) };
	const ceiling = await measureStoreCeiling(box.directory, path.rows);
	return ceiling.ok ? ok({ path, ceiling: ceiling.value }) : ceiling;
}

export async function measureThroughput(context: BenchContext): Promise<Result<void, string>> {
	const rates: number[] = [];
	const ceilings: number[] = [];
	const sizes: number[] = [];
	for (let run = 1; run <= BENCH_LIMITS.shortRuns; run++) {
		context.onStep(
			`run ${run} of ${BENCH_LIMITS.shortRuns}: a fresh enclave and ${BENCH_LIMITS.batchesPerRun} batches`,
		);
		const box = await openBox(context);
		if (!box.ok) return box;
		const measured = await within(context, box.value, () => measureIn(box.value, context));
		if (!measured.ok) return measured;
		const { path, ceiling } = measured.value;
		rates.push(path.eventsPerSecond);
		ceilings.push(ceiling);
		sizes.push(path.bytesPerEvent);
		context.onStep(
			`run ${run} of ${BENCH_LIMITS.shortRuns}: ${Math.round(path.eventsPerSecond)} events/s through the path, ${Math.round(ceiling)} into the store alone`,
		);
	}
	const yardstick = {
		what: "the same rows into a fresh sqld, one json_each insert per batch",
		unit: "events/s",
		runs: ceilings,
	};
	context.report({ metric: "outbox_to_row", unit: "events/s", goal: ">= 10000", runs: rates, yardstick });
	const shares = rates.map((rate, index) => rate / (ceilings[index] as number));
	context.report({ metric: "outbox_to_row_of_store_ceiling", unit: "ratio", goal: ">= 0.5", runs: shares });
	context.report({ metric: "sealed_bytes_per_event", unit: "B", goal: null, runs: sizes });
	return ok(undefined);
}
