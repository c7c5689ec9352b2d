/**
 * What capture costs and what it misses: storms of programs beside auditd and bpftrace, short lives by each tier, the first look at
 * a full host, single calls, bytes on the wire, and memory over time. `capture` measures all but the last; each can be measured
 * alone.
 */
import { ok, type Result } from "#core/result.ts";
import type { Bench, BenchContext } from "../bench.ts";
import { within } from "../box.ts";
import { type Lineage, openLineage } from "../lineage.ts";
import { openWatchedBox, type WatchedBox } from "../watched-box.ts";
import { measureCalls } from "./calls.ts";
import { measureChurn } from "./churn.ts";
import { type EndpointBox, withEndpoint } from "./endpoint.ts";
import { measureCollectorGaps, measureEndpointGaps } from "./gaps.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { measureLives } from "./lives.ts";
import { buildProgram, type ProgramName } from "./programs.ts";
import { withScratch } from "./scratch.ts";
import { measureHeldCost, measureLooks, openSleepers } from "./snapshot.ts";
import { measureStorm } from "./storm.ts";
import { measureWire } from "./wire.ts";

type Outcome = Promise<Result<void, string>>;

/** With a cgroup of our own and one of the bench's programs, and no enclave. */
async function inLineage(program: ProgramName, measure: (lineage: Lineage, binary: string) => Outcome): Outcome {
	const lineage = await openLineage();
	if (!lineage.ok) return lineage;
	try {
		return await withScratch(async (directory) => {
			const built = buildProgram(program, directory);
			return built.ok ? measure(lineage.value, built.value) : built;
		});
	} finally {
		await lineage.value.close();
	}
}

async function inWatchedBox(context: BenchContext, measure: (box: WatchedBox) => Outcome): Outcome {
	context.onStep("starting an enclave with an agent on a cgroup");
	const box = await openWatchedBox(context);
	return box.ok ? within(context, box.value, measure) : box;
}

const calls = (context: BenchContext) => inLineage("call-timer", (...on) => measureCalls(...on, context));
const lives = (context: BenchContext) => inLineage("short-lives", (...on) => measureLives(...on, context));
const collectorGaps = (context: BenchContext) =>
	inLineage("event-pacer", (...on) => measureCollectorGaps(...on, context));
const wire = (context: BenchContext) => inWatchedBox(context, (box) => measureWire(box, context));
const churn = (context: BenchContext) => inWatchedBox(context, (box) => measureChurn(box, context));

async function snapshotIn(box: EndpointBox, context: BenchContext): Outcome {
	const program = buildProgram("sleepers", box.directory);
	if (!program.ok) return program;
	const pacer = buildProgram("exec-pacer", box.directory);
	if (!pacer.ok) return pacer;
	const count = CAPTURE_LIMITS.sleepers;
	context.onStep(`starting ${count} processes that sleep`);
	const sleepers = await openSleepers(box.lineage, program.value, { count, signal: context.signal });
	if (!sleepers.ok) return sleepers;
	const looked = await measureLooks(box.lineage, context);
	const held = looked.ok ? await measureHeldCost(box, pacer.value, context) : looked;
	await sleepers.value.end();
	return held;
}

async function stormIn(box: EndpointBox, context: BenchContext): Outcome {
	const stormed = await measureStorm(box, context);
	if (!stormed.ok) return stormed;
	const pacer = buildProgram("event-pacer", box.directory);
	return pacer.ok ? measureEndpointGaps(box, pacer.value, context) : pacer;
}

const snapshot = (context: BenchContext) => withEndpoint(context, (box) => snapshotIn(box, context));

async function storm(context: BenchContext): Outcome {
	const alone = await collectorGaps(context);
	return alone.ok ? withEndpoint(context, (box) => stormIn(box, context)) : alone;
}

export const captureBenches: readonly Bench[] = [
	{
		name: "capture",
		summary: "what capture costs and misses: all of the following but churn (about 12 minutes)",
		async run(context) {
			// Storms come last: once auditd has run, the kernel is not quite the same until the next boot.
			for (const measure of [lives, calls, snapshot, wire, storm]) {
				const measured = await measure(context);
				if (!measured.ok) return measured;
			}
			return ok(undefined);
		},
	},
	{
		name: "capture-storm",
		summary: "programs started as fast as it goes, with our endpoint, auditd, bpftrace and without; where gaps begin",
		run: storm,
	},
	{ name: "capture-lives", summary: "1,000 processes that live under 50 ms: the share each tier catches", run: lives },
	{
		name: "capture-snapshot",
		summary: "10,000 sleeping processes: time of the first look, memory and idle CPU with all of them",
		run: snapshot,
	},
	{ name: "capture-calls", summary: "ns added to getppid, openat and connect, untraced and traced", run: calls },
	{ name: "capture-wire", summary: "bytes per event on both hops, from the sockets' own counters", run: wire },
	{ name: "capture-churn", summary: "memory over an hour of programs and connections (--minutes N)", run: churn },
];
