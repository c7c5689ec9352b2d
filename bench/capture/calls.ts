/**
 * What a single system call costs more when it is watched: timed by the caller itself, without the collector, with it, and as part
 * of a traced lineage, alternating. The collector runs without an agent: it is the kernel programs that the caller waits for.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import { processStartTicks } from "../../demo/processes.ts";
import type { BenchContext } from "../bench.ts";
import type { Lineage } from "../lineage.ts";
import { type Dump, type Frame, openDump } from "./framedump.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { awaitEnd } from "./programs.ts";
import { until } from "./waiting.ts";

/** Median ns of each call, by name. */
export type Timing = ReadonlyMap<string, number>;

/** Reads the lines of call-timer: name, median, 90th and 99th percentile. */
export function parseTiming(text: string): Timing {
	return new Map(
		text
			.trim()
			.split("\n")
			.map((line) => {
				const [call = "", median] = line.split(" ");
				return [call, Number(median)];
			}),
	);
}

export const CALLS = ["getppid", "openat_close", "connect_refused"] as const;
const CONDITIONS = ["without", "untraced", "traced"] as const;
type Condition = (typeof CONDITIONS)[number];

/** Files and connections, descendants of any depth. */
const COLLECT = { depth: 255, bits: 3, slot: 1 };

interface Stage {
	readonly lineage: Lineage;
	readonly timer: string;
	readonly context: BenchContext;
}

/** Times in a process of the watched cgroup; `before` is told its pid while it still waits. */
async function time(stage: Stage, before: (pid: number) => Promise<boolean>): Promise<Result<Timing, string>> {
	const { lineage, timer } = stage;
	// The last CPU, away from the collector, which wakes on the first as often as on any.
	const cpu = "$(( $(nproc) - 1 ))";
	const script = `read line; exec taskset -c ${cpu} "$0" ${CAPTURE_LIMITS.callsPerTiming}`;
	const child = lineage.spawn(["/bin/sh", "-c", script, timer]);
	const ended = awaitEnd(child);
	const isReady = child.pid !== undefined && (await before(child.pid));
	if (isReady) child.stdin.write("go\n");
	else child.kill("SIGKILL");
	const { status, stdout } = await ended;
	const timing = parseTiming(stdout);
	const isWhole = CALLS.every((call) => (timing.get(call) ?? 0) > 0);
	return status === 0 && isWhole ? ok(timing) : fail("timer_failed", `the call timer ended with status ${status}`);
}

/** Puts the process into a trace, and says whether the collector has answered. */
async function addToTrace(dump: Dump, pid: number, answers: { readonly seen: () => number; signal: AbortSignal }) {
	// The shell has become itself in its cgroup once it reads.
	await sleep(CAPTURE_LIMITS.pollMs);
	const ticks = processStartTicks(pid);
	if (ticks === undefined) return false;
	const before = answers.seen();
	dump.command(`add ${COLLECT.slot} ${pid} ${ticks} ${COLLECT.depth} ${COLLECT.bits}`);
	return until(() => answers.seen() > before, { maxMs: CAPTURE_LIMITS.startMsMax, signal: answers.signal });
}

async function timeWatched(stage: Stage): Promise<Result<Record<"untraced" | "traced", Timing>, string>> {
	const { signal } = stage.context;
	const states: Frame[] = [];
	const dump = await openDump({
		source: "ebpf",
		scope: stage.lineage.cgroupPath,
		kinds: ["trace_state"],
		onFrame: (frame) => {
			if (frame.kind === "trace_state") states.push(frame);
		},
		signal,
	});
	if (!dump.ok) return dump;
	const { ready } = dump.value;
	try {
		if (ready.tier !== 1) return fail("ebpf_refused", `the kernel programs are not attached: ${ready.CAUSE}`);
		const untraced = await time(stage, async () => true);
		if (!untraced.ok) return untraced;
		const traced = await time(stage, (pid) => addToTrace(dump.value, pid, { seen: () => states.length, signal }));
		if (!traced.ok) return traced;
		const refused = states.find(({ CAUSE }) => CAUSE !== undefined && CAUSE !== "");
		if (refused !== undefined) return fail("trace_refused", `the collector refused the trace: ${refused.CAUSE}`);
		return ok({ untraced: untraced.value, traced: traced.value });
	} finally {
		await dump.value.stop();
	}
}

function report(context: BenchContext, timings: Record<Condition, Timing[]>): void {
	const of = (condition: Condition, call: string) => timings[condition].map((timing) => timing.get(call) ?? Number.NaN);
	for (const call of CALLS) {
		const without = of("without", call);
		for (const condition of ["untraced", "traced"] as const) {
			const runs = of(condition, call).map((ns, pair) => ns - (without[pair] ?? Number.NaN));
			const yardstick = { what: "the call without a collector", unit: "ns", runs: without };
			context.report({ metric: `added_to_${condition}_${call}`, unit: "ns", goal: null, runs, yardstick });
		}
	}
}

export async function measureCalls(
	lineage: Lineage,
	timer: string,
	context: BenchContext,
): Promise<Result<void, string>> {
	const stage = { lineage, timer, context };
	const timings: Record<Condition, Timing[]> = { without: [], untraced: [], traced: [] };
	for (let pair = 1; pair <= CAPTURE_LIMITS.pairs; pair++) {
		const without = await time(stage, async () => true);
		if (!without.ok) return without;
		const watched = await timeWatched(stage);
		if (!watched.ok) return watched;
		if (context.signal.aborted) return fail("interrupted", "interrupted while calls were timed");
		timings.without.push(without.value);
		timings.untraced.push(watched.value.untraced);
		timings.traced.push(watched.value.traced);
		const text = CALLS.map((call) => {
			const all = [without.value, watched.value.untraced, watched.value.traced].map((timing) => timing.get(call));
			return `${call} ${all.join(" → ")} ns`;
		});
		context.onStep(`pair ${pair} of ${CAPTURE_LIMITS.pairs}: ${text.join(", ")}`);
	}
	report(context, timings);
	return ok(undefined);
}
