/**
 * What agent and collector cost the watched host: resident memory and CPU, idle and under 500 program starts a second, read from
 * /proc from outside. Idle and load alternate. Guarantees that a load that was not kept up is an error: a cheap agent that saw
 * half of the work would look good.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "./bench.ts";
import type { Goal } from "./figure.ts";
import { BENCH_LIMITS } from "./limits.ts";
import { collectorOf, cpuPercent, type Reading, readCost } from "./process-cost.ts";
import { openStoreReader } from "./store-reader.ts";
import type { WatchedBox } from "./watched-box.ts";

const ROLES = ["agent", "procmond"] as const;
const CONDITIONS = ["idle", "at_500_execs_per_s"] as const;
type Role = (typeof ROLES)[number];
type Condition = (typeof CONDITIONS)[number];

/** Costs of both, and under load how many of the programs that were started are stored. */
interface Run {
	readonly costs: Record<Role, Cost>;
	readonly storedShare: number | null;
}

/** Upstream's own targets are 100 MiB and 5 % for the whole; idle is what a host pays all day. */
const GOALS: Record<Condition, Record<Role, { readonly rss: Goal; readonly cpu: Goal }>> = {
	idle: { agent: { rss: "<= 80", cpu: "<= 1" }, procmond: { rss: "<= 16", cpu: "<= 0.5" } },
	at_500_execs_per_s: { agent: { rss: "<= 80", cpu: "<= 25" }, procmond: { rss: "<= 16", cpu: "<= 5" } },
};

interface Cost {
	/** Highest seen. */
	readonly residentMib: number;
	readonly privateMib: number;
	readonly cpuPercent: number;
}

function costOf(readings: readonly Reading[]): Cost {
	const [first, last] = [readings[0], readings.at(-1)];
	if (first === undefined || last === undefined || first === last) throw new RangeError("a cost needs two readings");
	return {
		residentMib: Math.max(...readings.map(({ residentMib }) => residentMib)),
		privateMib: Math.max(...readings.map(({ privateMib }) => privateMib)),
		cpuPercent: cpuPercent(first, last),
	};
}

/** Reads both processes until `ended` settles. */
async function watch(pids: Record<Role, number>, ended: Promise<unknown>): Promise<Record<Role, Cost>> {
	const readings: Record<Role, Reading[]> = { agent: [], procmond: [] };
	let hasEnded = false;
	const end = ended.then(() => {
		hasEnded = true;
	});
	while (!hasEnded) {
		for (const role of ROLES) readings[role].push(readCost(pids[role]));
		await Promise.race([sleep(BENCH_LIMITS.footprintSampleMs), end]);
	}
	for (const role of ROLES) readings[role].push(readCost(pids[role]));
	return { agent: costOf(readings.agent), procmond: costOf(readings.procmond) };
}

/** Runs the pacer in the watched cgroup; how many programs it started. */
function load(box: WatchedBox, pacer: string, signal: AbortSignal): Promise<number> {
	const seconds = String(BENCH_LIMITS.footprintRunMs / 1000);
	const child = box.lineage.spawn([pacer, String(BENCH_LIMITS.execsPerSecond), seconds]);
	const { promise, resolve } = Promise.withResolvers<number>();
	let output = "";
	child.stdout.on("data", (part) => {
		output += part;
	});
	const stop = () => child.kill("SIGKILL");
	signal.addEventListener("abort", stop, { once: true });
	child.on("close", () => {
		signal.removeEventListener("abort", stop);
		resolve(Number(output.trim() || Number.NaN));
	});
	return promise;
}

interface Parts {
	readonly box: WatchedBox;
	readonly pids: Record<Role, number>;
	readonly pacer: string;
	readonly context: BenchContext;
	/** Programs of the load that are stored as exec events so far. */
	readonly storedExecs: () => number;
}

/** Pauses; what went before has left the outbox by then. Says at once when it is interrupted. */
async function settle(durationMs: number, signal: AbortSignal): Promise<void> {
	await sleep(durationMs, null, { signal }).catch(() => null);
}

async function measureIdle(parts: Parts): Promise<Result<Run, string>> {
	const { signal } = parts.context;
	const costs = await watch(parts.pids, settle(BENCH_LIMITS.footprintRunMs, signal));
	return signal.aborted ? fail("interrupted", "interrupted while idle") : ok({ costs, storedShare: null });
}

async function measureLoaded(parts: Parts): Promise<Result<Run, string>> {
	const { context, box, pids, pacer, storedExecs } = parts;
	const { execsPerSecond, loadAttemptsMax } = BENCH_LIMITS;
	let rate = 0;
	for (let attempt = 1; attempt <= loadAttemptsMax; attempt++) {
		const storedBefore = storedExecs();
		const startedAtMs = performance.now();
		const ending = load(box, pacer, context.signal);
		const costs = await watch(pids, ending);
		const started = await ending;
		rate = started / ((performance.now() - startedAtMs) / 1000);
		await settle(BENCH_LIMITS.settleMs, context.signal);
		if (context.signal.aborted) return fail("interrupted", "interrupted under load");
		if (rate >= execsPerSecond * 0.95) return ok({ costs, storedShare: (storedExecs() - storedBefore) / started });
		context.onStep(`only ${Math.round(rate)} programs a second were started: something else takes the machine`);
	}
	return fail("load_too_slow", `${Math.round(rate)} programs a second were started, not ${execsPerSecond}`);
}

function reportCosts(measured: Record<Condition, readonly Run[]>, context: BenchContext): void {
	const stored = measured.at_500_execs_per_s.flatMap(({ storedShare }) => (storedShare === null ? [] : [storedShare]));
	context.report({ metric: "execs_stored_at_500_execs_per_s", unit: "ratio", goal: ">= 1", runs: stored });
	for (const condition of CONDITIONS)
		for (const role of ROLES) {
			const runs = measured[condition].map(({ costs }) => costs[role]);
			const { rss, cpu } = GOALS[condition][role];
			const name = `${role}_${condition}`;
			context.report({ metric: `${name}_rss`, unit: "MiB", goal: rss, runs: runs.map((run) => run.residentMib) });
			const own = runs.map((run) => run.privateMib);
			context.report({ metric: `${name}_rss_anonymous`, unit: "MiB", goal: null, runs: own });
			context.report({
				metric: `${name}_cpu`,
				unit: "% of one core",
				goal: cpu,
				runs: runs.map((run) => run.cpuPercent),
			});
		}
}

export async function measureFootprint(
	box: WatchedBox,
	pacer: string,
	context: BenchContext,
): Promise<Result<void, string>> {
	const collector = collectorOf(box.agentPid);
	if (!collector.ok) return collector;
	const opened = await openStoreReader(box.dataDir, context.signal);
	if (!opened.ok) return opened;
	const counted = opened.value.prepare("SELECT count(*) AS count FROM events WHERE kind = 'exec' AND name = 'true'");
	const storedExecs = () => Number(counted.get()?.count);
	const pids = { agent: box.agentPid, procmond: collector.value };
	try {
		return await alternate({ box, pacer, context, pids, storedExecs });
	} finally {
		opened.value.close();
	}
}

async function alternate(parts: Parts): Promise<Result<void, string>> {
	const { context } = parts;
	const runs: Record<Condition, Run[]> = { idle: [], at_500_execs_per_s: [] };
	for (let run = 1; run <= BENCH_LIMITS.longRuns; run++) {
		for (const condition of CONDITIONS) {
			await settle(BENCH_LIMITS.settleMs, context.signal);
			const measured = await (condition === "idle" ? measureIdle(parts) : measureLoaded(parts));
			if (!measured.ok) return measured;
			runs[condition].push(measured.value);
			context.onStep(`${condition}, run ${run} of ${BENCH_LIMITS.longRuns}: ${textOf(measured.value)}`);
		}
	}
	reportCosts(runs, context);
	return ok(undefined);
}

function textOf({ costs, storedShare }: Run): string {
	const parts = ROLES.map((role) => {
		const { cpuPercent: percent, residentMib } = costs[role];
		return `${role} ${percent.toFixed(1)} % ${residentMib.toFixed(0)} MiB`;
	});
	return [...parts, ...(storedShare === null ? [] : [`${(storedShare * 100).toFixed(2)} % stored`])].join(", ");
}
