/**
 * Processes that live for a moment: how many each tier catches, with parent, arguments and exit. All tiers watch the same lives at
 * the same time, each by a collector of its own. Guarantees that a process counts only by its own pid and its own argument.
 */
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "../bench.ts";
import type { Lineage } from "../lineage.ts";
import { type Dump, type Frame, openDump, type Tier } from "./framedump.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { awaitEnd } from "./programs.ts";
import { pause } from "./waiting.ts";

/** Each tier and its number on the wire. */
export const TIERS: readonly { readonly tier: Tier; readonly number: number }[] = [
	{ tier: "ebpf", number: 1 },
	{ tier: "netlink", number: 2 },
	{ tier: "proc", number: 3 },
];

/** One process that was started: its argument tells it from all others. */
export interface Life {
	readonly pid: number;
	readonly argument: string;
}

/** Shares of the lives, 0 to 1. */
export interface Caught {
	readonly seen: number;
	readonly parent: number;
	readonly argv: number;
	readonly exit: number;
	/** Parent, arguments and exit of the same process. */
	readonly whole: number;
}

export interface LivesOptions {
	readonly count: number;
	readonly lifeMsMax: number;
}

export type CaughtByTier = ReadonlyMap<Tier, Caught>;

/** Reads "PID ARGUMENT" lines. */
export function parseLives(text: string): Life[] {
	return text.split("\n").flatMap((line) => {
		const [pid, argument] = line.split(" ");
		return argument === undefined ? [] : [{ pid: Number(pid), argument }];
	});
}

/** What frames say about the lives. `parent` is who started them. */
export function judge(lives: readonly Life[], frames: readonly Frame[], parent: number): Caught {
	const by = (test: (frame: Frame) => boolean) => new Set(frames.filter(test).map(({ tgid }) => tgid));
	const isStart = ({ kind }: Frame) => kind === "exec" || kind === "fork" || kind === "snapshot";
	const seen = by(() => true);
	const withParent = by((frame) => isStart(frame) && frame.PARENT_TGID === parent);
	const exited = by(({ kind }) => kind === "exit");
	const argued = new Set(
		frames.flatMap(({ tgid, ARGV }) => (ARGV === undefined ? [] : ARGV.split("\0").map((word) => `${tgid} ${word}`))),
	);
	const hasArgv = ({ pid, argument }: Life) => argued.has(`${pid} ${argument}`);
	const share = (holds: (life: Life) => boolean) => lives.filter(holds).length / lives.length;
	return {
		seen: share(({ pid }) => seen.has(pid)),
		parent: share(({ pid }) => withParent.has(pid)),
		argv: share(hasArgv),
		exit: share(({ pid }) => exited.has(pid)),
		whole: share((life) => withParent.has(life.pid) && hasArgv(life) && exited.has(life.pid)),
	};
}

interface Watching {
	readonly tier: Tier;
	readonly dump: Dump;
	readonly frames: Frame[];
}

/** A tier that this kernel or build does not give is left out, and said. */
async function watch(lineage: Lineage, context: BenchContext, tiers: readonly Tier[]): Promise<Watching[]> {
	const watching: Watching[] = [];
	for (const { tier, number } of TIERS) {
		if (!tiers.includes(tier)) continue;
		const frames: Frame[] = [];
		const dump = await openDump({
			source: tier,
			scope: lineage.cgroupPath,
			kinds: ["fork", "exec", "exit", "snapshot"],
			onFrame: (frame) => frames.push(frame),
			signal: context.signal,
		});
		if (dump.ok && dump.value.ready.tier === number) {
			watching.push({ tier, dump: dump.value, frames });
			continue;
		}
		context.onStep(`${tier}: not here: ${dump.ok ? dump.value.ready.CAUSE : dump.detail}`);
		if (dump.ok) await dump.value.stop();
	}
	return watching;
}

/** Starts the lives in the watched cgroup and says what each tier caught. */
export async function catchLives(
	lineage: Lineage,
	program: string,
	{
		context,
		count,
		lifeMsMax,
		tiers,
	}: LivesOptions & { readonly context: BenchContext; readonly tiers: readonly Tier[] },
): Promise<Result<CaughtByTier, string>> {
	const watching = await watch(lineage, context, tiers);
	try {
		if (watching.length === 0) return fail("no_tier", "no tier can be measured on this machine");
		context.onStep(
			`${count} lives of up to ${lifeMsMax} ms, watched by ${watching.map(({ tier }) => tier).join(", ")}`,
		);
		const child = lineage.spawn([program, String(count), String(lifeMsMax)]);
		const ended = awaitEnd(child);
		const { stdout, status } = await ended;
		const lives = parseLives(stdout);
		await pause(CAPTURE_LIMITS.livesDrainMs, context.signal);
		if (context.signal.aborted) return fail("interrupted", "interrupted while processes lived");
		if (status !== 0 || lives.length !== count) return fail("lives_missing", `only ${lives.length} lives were started`);
		return ok(new Map(watching.map(({ tier, frames }) => [tier, judge(lives, frames, child.pid ?? 0)])));
	} finally {
		for (const { dump } of watching) await dump.stop();
	}
}

export async function measureLives(
	lineage: Lineage,
	program: string,
	context: BenchContext,
): Promise<Result<void, string>> {
	const { lives: count, lifeMsMax } = CAPTURE_LIMITS;
	const caught = await catchLives(lineage, program, {
		context,
		count,
		lifeMsMax,
		tiers: TIERS.map(({ tier }) => tier),
	});
	if (!caught.ok) return caught;
	for (const [tier, shares] of caught.value) {
		const goal = tier === "ebpf" ? ">= 1" : null;
		context.report({ metric: `lives_caught_whole_by_${tier}`, unit: "ratio", goal, runs: [shares.whole] });
		for (const part of ["seen", "parent", "argv", "exit"] as const)
			context.report({ metric: `lives_${part}_by_${tier}`, unit: "ratio", goal: null, runs: [shares[part]] });
	}
	return ok(undefined);
}
