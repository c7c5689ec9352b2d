/**
 * The rate at which gaps begin: a paced program makes events ever faster until some are lost, first with the collector alone, then
 * with the whole endpoint. Guarantees that the rate told is one that was made, and the last at which nothing was missing.
 */
import { availableParallelism } from "node:os";
import type { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import { processStartTicks } from "../../demo/processes.ts";
import type { BenchContext } from "../bench.ts";
import type { Lineage } from "../lineage.ts";
import { type EndpointBox, lossSince, markStore, type StoreMark, waitForQuiet } from "./endpoint.ts";
import { type Frame, openDump } from "./framedump.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { awaitEnd } from "./programs.ts";
import { pause, until } from "./waiting.ts";

/** What the pacer repeats, and how many events one time is. */
const ACTS = { open: 1, fork: 2 } as const;
type Act = keyof typeof ACTS;

/** One step of the ramp. */
export interface Step {
	/** Events a second that were really made. */
	readonly perSecond: number;
	readonly lost: number;
	/** The program could not make events any faster. */
	readonly isSpent: boolean;
}

export interface Ramp {
	/** The highest rate at which nothing was lost; 0 when the first step lost already. */
	readonly cleanPerSecond: number;
	/** The lowest at which something was; null when no program could make that many. */
	readonly gapsPerSecond: number | null;
}

/** Goes up from `first` events a second until events are lost or the machine makes no more. */
export async function climb(
	first: number,
	run: (perSecond: number) => Promise<Result<Step, string>>,
): Promise<Result<Ramp, string>> {
	const { gapRateFactor, gapRateMax } = CAPTURE_LIMITS;
	let clean = 0;
	for (let rate = first; rate <= gapRateMax; rate *= gapRateFactor) {
		const step = await run(Math.round(rate));
		if (!step.ok) return step;
		if (step.value.lost > 0) return ok({ cleanPerSecond: clean, gapsPerSecond: step.value.perSecond });
		clean = Math.max(clean, step.value.perSecond);
		if (step.value.isSpent) break;
	}
	return ok({ cleanPerSecond: clean, gapsPerSecond: null });
}

interface Pace {
	readonly events: number;
	readonly perSecond: number;
	readonly isSpent: boolean;
}

interface Pacing {
	readonly pacer: string;
	readonly act: Act;
	readonly stepMs: number;
	/** Told the pid while the pacer still waits. */
	readonly before?: (pid: number) => Promise<boolean>;
}

/** Makes events at a rate for one step; the rate that was reached. */
async function pace(lineage: Lineage, wanted: number, pacing: Pacing): Promise<Result<Pace, string>> {
	const { pacer, act, stepMs, before } = pacing;
	// One on every CPU: then whoever reads the events competes with whoever makes them.
	const workers = availableParallelism();
	const times = wanted / ACTS[act];
	const child = lineage.spawn([pacer, act, String(times), String(stepMs), String(workers)]);
	const ended = awaitEnd(child);
	await sleep(CAPTURE_LIMITS.pollMs);
	const isReady = child.pid !== undefined && ((await before?.(child.pid)) ?? true);
	if (isReady) child.stdin.write("go\n");
	else child.kill("SIGKILL");
	const { status, stdout } = await ended;
	const [done = Number.NaN, tookMs = Number.NaN] = stdout.trim().split(" ").map(Number);
	if (status !== 0 || !(tookMs > 0)) return fail("pacer_failed", `the pacer ended with status ${status}`);
	const perSecond = (done * ACTS[act] * 1000) / tookMs;
	return ok({ events: done * ACTS[act], perSecond, isSpent: perSecond < wanted * 0.9 });
}

function report(context: BenchContext, name: string, ramps: readonly Ramp[]): void {
	const clean = ramps.map(({ cleanPerSecond }) => cleanPerSecond);
	context.report({ metric: `${name}_without_gaps`, unit: "events/s", goal: null, runs: clean });
	const gaps = ramps.flatMap(({ gapsPerSecond }) => (gapsPerSecond === null ? [] : [gapsPerSecond]));
	if (gaps.length === ramps.length)
		context.report({ metric: `${name}_with_first_gap`, unit: "events/s", goal: null, runs: gaps });
	else context.onStep(`${name}: no program here makes events fast enough for a gap`);
}

const sum = (numbers: readonly number[] = []) => numbers.reduce((total, each) => total + each, 0);

/** The collector alone: a traced process opens files; what its ring does not take shows in `stats`. */
export async function measureCollectorGaps(
	lineage: Lineage,
	pacer: string,
	context: BenchContext,
): Promise<Result<void, string>> {
	const { signal } = context;
	const ramps: Ramp[] = [];
	for (let run = 1; run <= CAPTURE_LIMITS.gapRuns; run++) {
		let [heads, drops, shed] = [0, 0, 0];
		let answers = 0;
		const onFrame = (frame: Frame) => {
			if (frame.kind === "stats") [heads, drops] = [sum(frame.CPU_HEADS), sum(frame.CPU_DROPS)];
			if (frame.kind === "fidelity") shed += sum(frame.SHED);
			if (frame.kind === "trace_state") answers++;
		};
		const scope = lineage.cgroupPath;
		const dump = await openDump({
			source: "ebpf",
			scope,
			kinds: ["stats", "trace_state", "fidelity"],
			onFrame,
			signal,
		});
		if (!dump.ok) return dump;
		const before = async (pid: number) => {
			const asked = answers;
			dump.value.command(`add 1 ${pid} ${processStartTicks(pid)} 255 1`);
			return until(() => answers > asked, { maxMs: CAPTURE_LIMITS.startMsMax, signal });
		};
		const ramp = await climb(CAPTURE_LIMITS.gapRateFirst.collector, async (perSecond) => {
			const [numberedBefore, lostBefore, shedBefore] = [heads, drops, shed];
			const paced = await pace(lineage, perSecond, {
				pacer,
				act: "open",
				stepMs: CAPTURE_LIMITS.gapStepMs.collector,
				before,
			});
			if (!paced.ok) return paced;
			await pause(CAPTURE_LIMITS.shedWaitMs, signal);
			if (signal.aborted) return fail("interrupted", "interrupted while events were made");
			// A number is an event that arrived or a drop; what was given up for want of room took none, and is counted apart.
			const accounted = heads - numberedBefore + shed - shedBefore;
			if (accounted < paced.value.events)
				return fail(
					"events_missing",
					`${accounted} events have a number or were counted, ${paced.value.events} were made`,
				);
			return ok({ ...paced.value, lost: drops - lostBefore + shed - shedBefore });
		});
		await dump.value.stop();
		if (!ramp.ok) return ramp;
		ramps.push(ramp.value);
		context.onStep(`collector alone, run ${run} of ${CAPTURE_LIMITS.gapRuns}: ${textOf(ramp.value)}`);
	}
	report(context, "opens_of_a_trace_to_collector", ramps);
	return ok(undefined);
}

function countForksAndExits(store: DatabaseSync, since: StoreMark): number {
	const counted = store.prepare("SELECT count(*) AS count FROM events WHERE id > ? AND kind IN ('fork', 'exit')");
	return Number(counted.get(since.event)?.count);
}

/** The whole endpoint: children that end at once; what is missing shows as gap records in the store. */
export async function measureEndpointGaps(
	box: EndpointBox,
	pacer: string,
	context: BenchContext,
): Promise<Result<void, string>> {
	const { signal } = context;
	const ramps: Ramp[] = [];
	const causes = new Set<string>();
	for (let run = 1; run <= CAPTURE_LIMITS.gapRuns; run++) {
		const on = await box.switchOn();
		if (!on.ok) return on;
		const ramp = await climb(CAPTURE_LIMITS.gapRateFirst.endpoint, async (perSecond) => {
			const mark = markStore(box.store);
			const paced = await pace(box.lineage, perSecond, {
				pacer,
				act: "fork",
				stepMs: CAPTURE_LIMITS.gapStepMs.endpoint,
			});
			if (!paced.ok) return paced;
			const isThere = () =>
				countForksAndExits(box.store, mark) + lossSince(box.store, mark).count >= paced.value.events;
			await until(isThere, { maxMs: CAPTURE_LIMITS.drainMsMax, signal });
			await waitForQuiet(box.store, signal);
			if (signal.aborted) return fail("interrupted", "interrupted while events were made");
			const loss = lossSince(box.store, mark);
			for (const cause of loss.causes) causes.add(cause);
			const stored = countForksAndExits(box.store, mark);
			if (stored + loss.count < paced.value.events)
				return fail(
					"events_missing",
					`${stored} events are stored and ${loss.count} in gap records, ${paced.value.events} were made`,
				);
			return ok({ ...paced.value, lost: loss.count });
		});
		await box.switchOff();
		if (!ramp.ok) return ramp;
		ramps.push(ramp.value);
		context.onStep(
			`whole endpoint, run ${run} of ${CAPTURE_LIMITS.gapRuns}: ${textOf(ramp.value)} (${[...causes].join("; ") || "no cause"})`,
		);
	}
	report(context, "forks_and_exits_to_store", ramps);
	return ok(undefined);
}

function textOf({ cleanPerSecond, gapsPerSecond }: Ramp): string {
	const first = gapsPerSecond === null ? "no gap" : `the first gap at ${Math.round(gapsPerSecond)}`;
	return `${Math.round(cleanPerSecond)} events/s without a gap, ${first}`;
}
