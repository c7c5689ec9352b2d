/**
 * Hours of work in minutes of memory: programs and connections at a steady rate, and what collector and agent hold meanwhile.
 * Guarantees that a load which was not kept up is an error. Whether memory is flat is judged on anonymous memory: pages of files
 * come and go with the machine's own needs.
 */
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "../bench.ts";
import { median } from "../figure.ts";
import { collectorOf, readCost } from "../process-cost.ts";
import type { WatchedBox } from "../watched-box.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { awaitEnd, buildPrograms } from "./programs.ts";
import { pause } from "./waiting.ts";

export const ROLES = ["agent", "procmond"] as const;
export type Role = (typeof ROLES)[number];

/** MiB at equal intervals. */
export interface Samples {
	readonly resident: number[];
	readonly anonymous: number[];
}

export interface Churn {
	readonly samples: Record<Role, Samples>;
	readonly programs: number;
	readonly minutes: number;
}

export interface ChurnOptions {
	readonly durationMs: number;
	readonly warmUpMs: number;
	readonly perSecond: number;
}

/**
 * How much more the second half holds than the first, by their medians: one garbage collection more or less does not matter, what
 * stays does. Throws with fewer than two samples.
 */
export function growthOf(samples: readonly number[]): number {
	const half = Math.floor(samples.length / 2);
	return median(samples.slice(samples.length - half)) - median(samples.slice(0, half));
}

interface Load {
	readonly hasEnded: () => boolean;
	readonly ended: Promise<Result<number, string>>;
	stop(): void;
}

function startLoad(
	box: WatchedBox,
	files: Readonly<Record<"event-pacer" | "exec-pacer", string>>,
	{ perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
): Load {
	const starter = box.lineage.spawn([files["exec-pacer"], String(perSecond), String(seconds)]);
	const pacing = [files["event-pacer"], "connect", String(perSecond), String(seconds * 1000), "1"];
	const connector = box.lineage.spawn(pacing);
	connector.stdin.write("go\n");
	let hasEnded = false;
	const ended = Promise.all([awaitEnd(starter), awaitEnd(connector)]).then(([programs, connections]) => {
		hasEnded = true;
		const started = Number(programs.stdout.trim() || Number.NaN);
		return programs.status === 0 && connections.status === 0 && started >= perSecond * seconds * 0.95
			? ok(started)
			: fail("load_too_slow", `${started} programs were started, not ${perSecond * seconds}`);
	});
	return {
		hasEnded: () => hasEnded,
		ended,
		stop() {
			starter.kill("SIGKILL");
			connector.kill("SIGKILL");
		},
	};
}

export async function runChurn(
	box: WatchedBox,
	context: BenchContext,
	options: ChurnOptions,
): Promise<Result<Churn, string>> {
	const { signal } = context;
	const collector = collectorOf(box.agentPid);
	if (!collector.ok) return collector;
	const files = buildPrograms(["event-pacer", "exec-pacer"], box.directory);
	if (!files.ok) return files;
	const pids = { agent: box.agentPid, procmond: collector.value };
	const { perSecond, durationMs, warmUpMs } = options;
	const samples: Record<Role, Samples> = {
		agent: { resident: [], anonymous: [] },
		procmond: { resident: [], anonymous: [] },
	};
	const seconds = Math.ceil((warmUpMs + durationMs) / 1000);
	const load = startLoad(box, files.value, { perSecond, seconds });
	await pause(warmUpMs, signal);
	const intervalMs = Math.min(60_000 / CAPTURE_LIMITS.churnSamplesPerMinute, durationMs / 20);
	for (let taken = 0; !load.hasEnded() && !signal.aborted; taken++) {
		for (const role of ROLES) {
			const { residentMib, privateMib } = readCost(pids[role]);
			samples[role].resident.push(residentMib);
			samples[role].anonymous.push(privateMib);
		}
		if (taken % 60 === 0) context.onStep(`${(taken * intervalMs) / 60_000} min: ${textOf(samples)}`);
		await pause(intervalMs, signal);
	}
	if (signal.aborted) load.stop();
	const programs = await load.ended;
	if (signal.aborted) return fail("interrupted", "interrupted while programs ran");
	return programs.ok ? ok({ samples, programs: programs.value, minutes: durationMs / 60_000 }) : programs;
}

function textOf(samples: Record<Role, Samples>): string {
	return ROLES.map((role) => `${role} ${samples[role].resident.at(-1)?.toFixed(1)} MiB`).join(", ");
}

export async function measureChurn(box: WatchedBox, context: BenchContext): Promise<Result<void, string>> {
	const minutes = context.minutes ?? CAPTURE_LIMITS.churnMinutes;
	const durationMs = minutes * 60_000;
	const warmUpMs = Math.min(CAPTURE_LIMITS.churnWarmUpMs, durationMs / 4);
	context.onStep(`${CAPTURE_LIMITS.churnPerSecond} programs and as many connections a second for ${minutes} min`);
	const churned = await runChurn(box, context, { durationMs, warmUpMs, perSecond: CAPTURE_LIMITS.churnPerSecond });
	if (!churned.ok) return churned;
	const { samples } = churned.value;
	for (const role of ROLES) {
		const goals = { agent: "<= 90", procmond: "<= 16" } as const;
		const { resident, anonymous } = samples[role];
		const highest = [Math.max(...resident)];
		context.report({ metric: `${role}_rss_highest_in_churn`, unit: "MiB", goal: goals[role], runs: highest });
		// Two medians of a heap differ by what one collection frees; what grows for an hour is more.
		const goal = role === "agent" ? "<= 4" : "<= 0.5";
		context.report({ metric: `${role}_rss_anonymous_growth_in_churn`, unit: "MiB", goal, runs: [growthOf(anonymous)] });
	}
	context.report({ metric: "churn_duration", unit: "min", goal: null, runs: [minutes] });
	return ok(undefined);
}
