/**
 * Bytes on the wire per event, on both hops: what the kernel counted on the links' sockets, divided by the events that were stored
 * meanwhile. All that a link carries is in it: signatures, proofs, framing, TLS and heartbeats. Bulk is measured with programs and
 * connections, the trace lane with a shell that works under a trace.
 */
import type { DatabaseSync } from "node:sqlite";
import { zstdCompressSync } from "node:zlib";
import { splitHostPort } from "#core/config/strict-tree.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "../bench.ts";
import { openStoreReader } from "../store-reader.ts";
import type { WatchedBox } from "../watched-box.ts";
import { waitForQuiet } from "./endpoint.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { bytesBetween, type LinkCount, readLinks } from "./links.ts";
import { awaitEnd, buildPrograms } from "./programs.ts";
import { openTracedShell, type TracedShell } from "./traced-shell.ts";
import { pause } from "./waiting.ts";

const HOPS = ["agent_to_proxy", "proxy_to_center"] as const;
type Hop = (typeof HOPS)[number];

/** Bytes per event of one run. */
interface Wire extends Record<Hop, number> {
	readonly events: number;
	/** The signed batches themselves, and the same each compressed alone. */
	readonly sealed: number;
	readonly sealedAndCompressed: number;
	/** Share of events that came by the trace lane. */
	readonly traceShare: number;
}

interface Stage {
	readonly box: WatchedBox;
	readonly store: DatabaseSync;
	readonly context: BenchContext;
}

async function readHops({ box }: Stage): Promise<Result<Record<Hop, LinkCount[]>, string>> {
	const { proxy, center } = box.enclave;
	const toProxy = await readLinks(splitHostPort(proxy.listen).port);
	if (!toProxy.ok) return toProxy;
	const toCenter = await readLinks(splitHostPort(center.listen).port);
	if (!toCenter.ok) return toCenter;
	return ok({ agent_to_proxy: toProxy.value, proxy_to_center: toCenter.value });
}

const newestBatch = (store: DatabaseSync) =>
	Number(store.prepare("SELECT coalesce(max(id), 0) AS id FROM batches").get()?.id);

interface Batches {
	readonly bytes: number;
	readonly compressedBytes: number;
	readonly events: number;
	readonly traceEvents: number;
}

function batchesSince(store: DatabaseSync, batch: number): Batches {
	const rows = store
		.prepare(
			`SELECT b.bytes AS bytes, b.lane AS lane, count(e.id) AS events
			FROM batches b JOIN events e ON e.batch_row = b.id WHERE b.id > ? GROUP BY b.id`,
		)
		.all(batch) as { bytes: Uint8Array; lane: string; events: number }[];
	const total = (of: (row: (typeof rows)[number]) => number) => rows.reduce((sum, row) => sum + of(row), 0);
	return {
		bytes: total(({ bytes }) => bytes.length),
		compressedBytes: total(({ bytes }) => zstdCompressSync(bytes).length),
		events: total(({ events }) => events),
		traceEvents: total(({ lane, events }) => (lane === "trace" ? events : 0)),
	};
}

/** One run of some work, from quiet to quiet. */
async function measureRun(stage: Stage, work: () => Promise<Result<void, string>>): Promise<Result<Wire, string>> {
	const { store, context } = stage;
	await waitForQuiet(store, context.signal);
	const batch = newestBatch(store);
	const first = await readHops(stage);
	if (!first.ok) return first;
	const worked = await work();
	if (!worked.ok) return worked;
	await waitForQuiet(store, context.signal);
	if (context.signal.aborted) return fail("interrupted", "interrupted while bytes were counted");
	const last = await readHops(stage);
	if (!last.ok) return last;
	const { bytes, compressedBytes, events, traceEvents } = batchesSince(store, batch);
	if (events === 0) return fail("events_missing", "nothing was stored meanwhile");
	const perHop: Partial<Record<Hop, number>> = {};
	for (const hop of HOPS) {
		const sent = bytesBetween(first.value[hop], last.value[hop]);
		if (!sent.ok) return sent;
		perHop[hop] = sent.value / events;
	}
	return ok({
		...(perHop as Record<Hop, number>),
		events,
		sealed: bytes / events,
		sealedAndCompressed: compressedBytes / events,
		traceShare: traceEvents / events,
	});
}

async function startPrograms(stage: Stage, files: Readonly<Record<"event-pacer" | "exec-pacer", string>>) {
	const { lineage } = stage.box;
	const { wireExecsPerSecond, wireConnectsPerSecond, wireMs } = CAPTURE_LIMITS;
	const programs = awaitEnd(lineage.spawn([files["exec-pacer"], String(wireExecsPerSecond), String(wireMs / 1000)]));
	const pacer = lineage.spawn([files["event-pacer"], "connect", String(wireConnectsPerSecond), String(wireMs), "1"]);
	pacer.stdin.write("go\n");
	const ends = await Promise.all([programs, awaitEnd(pacer)]);
	const isFine = ends.every(({ status }) => status === 0);
	return isFine ? ok(undefined) : fail("load_failed", "the programs that make the load have failed");
}

/** About what a person does in a shell, without the pauses. */
const WORK =
	"for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; cat /etc/hostname /etc/passwd > /dev/null; ls / > /dev/null; done";

async function workTraced(shell: TracedShell, signal: AbortSignal): Promise<Result<void, string>> {
	const endMs = performance.now() + CAPTURE_LIMITS.wireMs;
	while (performance.now() < endMs && !signal.aborted) {
		await shell.run(WORK);
		await pause(CAPTURE_LIMITS.pollMs, signal);
	}
	return ok(undefined);
}

function report(context: BenchContext, name: string, wires: readonly Wire[]): void {
	const sealed = { what: "the sealed batches, uncompressed", unit: "B", runs: wires.map((wire) => wire.sealed) };
	for (const hop of HOPS) {
		const runs = wires.map((wire) => wire[hop]);
		const metric = `${name}_bytes_per_event_${hop}`;
		context.report({ metric, unit: "B", goal: "<= 300", runs, yardstick: sealed });
	}
	const compressed = wires.map((wire) => wire.sealedAndCompressed);
	const metric = `${name}_bytes_per_event_of_batches_compressed_alone`;
	context.report({ metric, unit: "B", goal: null, runs: compressed, yardstick: sealed });
	const shares = wires.map((wire) => wire.traceShare);
	context.report({ metric: `${name}_share_of_the_trace_lane`, unit: "ratio", goal: null, runs: shares });
}

export async function measureWire(box: WatchedBox, context: BenchContext): Promise<Result<void, string>> {
	const files = buildPrograms(["event-pacer", "exec-pacer"], box.directory);
	if (!files.ok) return files;
	const opened = await openStoreReader(box.dataDir, context.signal);
	if (!opened.ok) return opened;
	const stage = { box, context, store: opened.value };
	try {
		const bulk = await measureRuns(stage, "bulk", () => startPrograms(stage, files.value));
		if (!bulk.ok) return bulk;
		const shell = await openTracedShell(box, context.signal);
		if (!shell.ok) return shell;
		const traced = await measureRuns(stage, "traced", () => workTraced(shell.value, context.signal));
		const stopped = await shell.value.stop();
		return traced.ok && !stopped.ok ? stopped : traced;
	} finally {
		opened.value.close();
	}
}

async function measureRuns(
	stage: Stage,
	name: string,
	work: () => Promise<Result<void, string>>,
): Promise<Result<void, string>> {
	const wires: Wire[] = [];
	for (let run = 1; run <= CAPTURE_LIMITS.wireRuns; run++) {
		const wire = await measureRun(stage, work);
		if (!wire.ok) return wire;
		wires.push(wire.value);
		const hops = HOPS.map((hop) => `${hop} ${wire.value[hop].toFixed(0)} B`);
		stage.context.onStep(
			`${name}, run ${run} of ${CAPTURE_LIMITS.wireRuns}: ${wire.value.events} events, ${hops.join(", ")} per event`,
		);
	}
	report(stage.context, name, wires);
	return ok(undefined);
}
