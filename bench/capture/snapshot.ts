/**
 * A host with 10,000 processes: how long the first look at them takes, by the kernel's task iterator and by /proc, and what
 * collector and agent cost with all of them in their tables, idle. The processes are real and sleep. Guarantees that a snapshot
 * which does not hold all of them is an error.
 */
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "../bench.ts";
import type { Goal } from "../figure.ts";
import type { Lineage } from "../lineage.ts";
import { cpuPercent, readCost } from "../process-cost.ts";
import type { EndpointBox, EndpointPids } from "./endpoint.ts";
import { type Frame, openDump, type Tier } from "./framedump.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { awaitEnd } from "./programs.ts";
import { pause, until } from "./waiting.ts";

/** Processes that sleep until `end`. */
export interface Sleepers {
	end(): Promise<void>;
}

export async function openSleepers(
	lineage: Lineage,
	program: string,
	{ count, signal }: { readonly count: number; readonly signal: AbortSignal },
): Promise<Result<Sleepers, string>> {
	const child = lineage.spawn([program, String(count)]);
	let isReady = false;
	let hasEnded = false;
	const ended = awaitEnd(child, (line) => {
		isReady ||= line === "ready";
	});
	void ended.then(() => {
		hasEnded = true;
	});
	const end = async () => {
		child.stdin.end();
		await ended;
	};
	await until(() => isReady || hasEnded, { maxMs: CAPTURE_LIMITS.sleepersMsMax, signal });
	if (isReady) return ok({ end });
	child.kill("SIGKILL");
	return fail("sleepers_failed", `${count} processes could not be started: is there a limit on processes?`);
}

/** How one first look went. */
export interface Look {
	/** From `ready` to `snapshot_end`, ms by the collector's own clock. */
	readonly snapshotMs: number;
	/** From the start of the collector, which is configured at once, to `snapshot_end`, ms: loading and attaching are in it. */
	readonly wholeMs: number;
	readonly processes: number;
	readonly isByIterator: boolean;
}

/** `ready` names what is missing: without the iterator the kernel tier reads /proc. */
export function lookOf(frames: readonly Frame[], startedAtMs: number): Look | null {
	const ready = frames.find(({ kind }) => kind === "ready");
	const end = frames.find(({ kind }) => kind === "snapshot_end");
	if (ready === undefined || end === undefined) return null;
	const missing = (ready.MISSING ?? "").split(",");
	return {
		snapshotMs: (end.ktime - ready.ktime) / 1e6,
		wholeMs: end.ktime / 1e6 - startedAtMs,
		processes: end.COUNT ?? 0,
		isByIterator:
			ready.tier === 1 && ready.PROGRAMS?.split(",").includes(ITERATOR) === true && !missing.includes(ITERATOR),
	};
}

/** As `ready` names the task iterator. */
const ITERATOR = "task_iter";

async function look(lineage: Lineage, source: Tier, signal: AbortSignal): Promise<Result<Look, string>> {
	const frames: Frame[] = [];
	const onFrame = (frame: Frame) => frames.push(frame);
	const dump = await openDump({ source, scope: lineage.cgroupPath, kinds: ["snapshot_end"], onFrame, signal });
	if (!dump.ok) return dump;
	const hasEnded = () => frames.some(({ kind }) => kind === "snapshot_end");
	await until(hasEnded, { maxMs: CAPTURE_LIMITS.startMsMax, signal });
	await dump.value.stop();
	const looked = lookOf(frames, dump.value.startedAtMs);
	if (looked === null) return fail("snapshot_missing", `${source}: the first look did not end`);
	if (looked.processes < CAPTURE_LIMITS.sleepers)
		return fail("snapshot_short", `${source}: ${looked.processes} of ${CAPTURE_LIMITS.sleepers} processes are in it`);
	return ok(looked);
}

const GOALS: Record<"iterator" | "proc", Goal> = { iterator: "<= 250", proc: "<= 1000" };

/** The first look by both ways, alternating. */
export async function measureLooks(lineage: Lineage, context: BenchContext): Promise<Result<void, string>> {
	const looks: Record<"iterator" | "proc", Look[]> = { iterator: [], proc: [] };
	for (let run = 1; run <= CAPTURE_LIMITS.snapshotRuns; run++)
		for (const source of ["ebpf", "proc"] as const) {
			const looked = await look(lineage, source, context.signal);
			if (context.signal.aborted) return fail("interrupted", "interrupted while processes were looked at");
			if (!looked.ok) return looked;
			const { isByIterator, snapshotMs, wholeMs, processes } = looked.value;
			if (source === "ebpf" && !isByIterator)
				context.onStep("this collector or kernel has no task iterator: the kernel tier reads /proc as well");
			looks[source === "ebpf" && isByIterator ? "iterator" : "proc"].push(looked.value);
			context.onStep(
				`run ${run} of ${CAPTURE_LIMITS.snapshotRuns}, ${source}: ${processes} processes in ${snapshotMs.toFixed(0)} ms, ${wholeMs.toFixed(0)} ms after the start`,
			);
		}
	for (const way of ["iterator", "proc"] as const) {
		if (looks[way].length === 0) continue;
		const runs = looks[way].map(({ snapshotMs }) => snapshotMs);
		context.report({ metric: `snapshot_of_10000_by_${way}`, unit: "ms", goal: GOALS[way], runs });
		const whole = looks[way].map(({ wholeMs }) => wholeMs);
		context.report({ metric: `start_to_snapshot_end_by_${way}`, unit: "ms", goal: null, runs: whole });
	}
	return ok(undefined);
}

const COST_GOALS: Record<keyof EndpointPids, { readonly rss: Goal; readonly cpu: Goal }> = {
	agent: { rss: "<= 90", cpu: "<= 1" },
	procmond: { rss: "<= 16", cpu: "<= 1" },
};

/** Distinct processes that the store knows of the endpoint. */
function processesStored(box: EndpointBox): number {
	return Number(box.store.prepare("SELECT count(*) AS count FROM processes").get()?.count);
}

/** Collector and agent with all processes in their tables: idle for a while, then with a full look-back. */
export async function measureHeldCost(
	box: EndpointBox,
	pacer: string,
	context: BenchContext,
): Promise<Result<void, string>> {
	const { signal } = context;
	const on = await box.switchOn();
	if (!on.ok) return on;
	const pids = on.value;
	const { sleepers, sleepersMsMax } = CAPTURE_LIMITS;
	const isHeld = await until(() => processesStored(box) >= sleepers, { maxMs: sleepersMsMax, signal });
	if (!isHeld) return fail("processes_missing", `${processesStored(box)} of ${sleepers} processes are stored`);
	await pause(CAPTURE_LIMITS.snapshotSettleMs, signal);
	const roles = ["agent", "procmond"] as const;
	const first = { agent: readCost(pids.agent), procmond: readCost(pids.procmond) };
	context.onStep(`idle for ${CAPTURE_LIMITS.idleMs / 1000} s with ${sleepers} processes`);
	await pause(CAPTURE_LIMITS.idleMs, signal);
	if (signal.aborted) return fail("interrupted", "interrupted while idle");
	const idle = { agent: readCost(pids.agent), procmond: readCost(pids.procmond) };
	const rate = CAPTURE_LIMITS.churnPerSecond;
	context.onStep(`${rate} program starts a second fill the look-back`);
	const load = box.lineage.spawn([pacer, String(rate), String(CAPTURE_LIMITS.lookBackMs / 1000)]);
	await awaitEnd(load);
	if (signal.aborted) return fail("interrupted", "interrupted while the look-back was filled");
	const full = { agent: readCost(pids.agent), procmond: readCost(pids.procmond) };
	for (const role of roles) {
		const { rss, cpu } = COST_GOALS[role];
		const runs = [cpuPercent(first[role], idle[role])];
		context.report({ metric: `${role}_idle_cpu_holding_10000`, unit: "% of one core", goal: cpu, runs });
		const held = { unit: "MiB", goal: rss } as const;
		context.report({ metric: `${role}_rss_holding_10000`, ...held, runs: [idle[role].residentMib] });
		const own = { unit: "MiB", goal: null, runs: [idle[role].privateMib] } as const;
		context.report({ metric: `${role}_rss_anonymous_holding_10000`, ...own });
		const filled = [full[role].residentMib];
		context.report({ metric: `${role}_rss_holding_10000_and_look_back`, ...held, runs: filled });
	}
	await box.switchOff();
	return ok(undefined);
}
