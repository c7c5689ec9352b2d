/**
 * What watching costs whoever starts programs: /bin/true started as fast as it goes by one and by two serial spawners pinned to
 * CPUs, with our whole endpoint, with auditd, with bpftrace, and without any of them. Every storm with a watcher lies between two
 * without, and its ratio is to their mean. Guarantees that a storm of which the endpoint lost a single program does not count.
 */
import { randomBytes } from "node:crypto";
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "../bench.ts";
import type { Goal } from "../figure.ts";
import { openAuditd } from "./auditd.ts";
import { openBpftrace } from "./bpftrace.ts";
import { type Bystanders, bystandersOf, cpuSecondsBy, inStillness, setAside } from "./bystanders.ts";
import {
	countStored,
	type EndpointBox,
	type EndpointPids,
	lossSince,
	markStore,
	type StoreMark,
	waitForQuiet,
} from "./endpoint.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { awaitEnd, buildProgram } from "./programs.ts";
import { pause, until } from "./waiting.ts";
import type { Watcher } from "./watcher.ts";

export const SPAWNERS = [1, 2] as const;
export type Spawners = (typeof SPAWNERS)[number];

const GOALS: Record<Spawners, Goal> = { 1: ">= 0.95", 2: ">= 0.85" };

/** What was started, by number of spawners. */
interface Storm {
	readonly name: string;
	readonly programs: number;
	readonly perSecond: number;
}
interface Storms extends Record<Spawners, Storm> {
	readonly warmUp: Storm;
}

export interface Watched {
	readonly storms: Storms;
	/** Programs that the watcher did not record, of all it should have. */
	readonly missing: number;
}

interface Stage {
	readonly box: EndpointBox;
	readonly spawner: string;
	readonly context: BenchContext;
	readonly bystanders: Bystanders;
}

async function runStorm(stage: Stage, spawners: number, durationMs: number): Promise<Result<Storm, string>> {
	const name = `storm-${randomBytes(6).toString("hex")}`;
	const { status, stdout } = await inStillness(stage.bystanders, () => {
		const child = stage.box.lineage.spawn([stage.spawner, String(spawners), String(durationMs)]);
		child.stdin.write(`${name}\n`);
		return awaitEnd(child);
	});
	const programs = Number(stdout.trim() || Number.NaN);
	if (status !== 0 || !(programs > 0)) return fail("storm_failed", `the spawner ended with status ${status}`);
	return ok({ name, programs, perSecond: (programs * 1000) / durationMs });
}

/** One storm of each width after a warm-up; the enclave's boxes make room meanwhile. A watcher gets a pause before each. */
async function runStorms(stage: Stage, pauseMs = 0): Promise<Result<Storms, string>> {
	const { context, bystanders } = stage;
	const rested = await setAside(bystanders, true);
	if (!rested.ok) return rested;
	try {
		const warmed = await runStorm(stage, SPAWNERS.length, CAPTURE_LIMITS.warmUpMs);
		if (!warmed.ok) return warmed;
		const storms: Partial<Record<Spawners, Storm>> = {};
		for (const spawners of SPAWNERS) {
			await pause(pauseMs, context.signal);
			if (context.signal.aborted) return fail("interrupted", "interrupted between storms");
			const storm = await runStorm(stage, spawners, CAPTURE_LIMITS.stormMs);
			if (!storm.ok) return storm;
			storms[spawners] = storm.value;
		}
		return ok({ ...(storms as Record<Spawners, Storm>), warmUp: warmed.value });
	} finally {
		await setAside(bystanders, false);
	}
}

async function runWatched(stage: Stage, watcher: Watcher): Promise<Result<Watched, string>> {
	const { signal } = stage.context;
	const started = await watcher.start(signal);
	if (!started.ok) return started;
	const storms = await runStorms(stage, CAPTURE_LIMITS.betweenStormsMs);
	if (!storms.ok) return storms;
	const expected = new Map(Object.values(storms.value).map(({ name, programs }) => [name, programs]));
	const recorded = await watcher.finish(expected, signal);
	if (signal.aborted) return fail("interrupted", "interrupted while a storm was recorded");
	const missing = [...expected].reduce((sum, [name, count]) => sum + Math.max(0, count - (recorded.get(name) ?? 0)), 0);
	return ok({ storms: storms.value, missing });
}

/** CPU that one program cost whom, µs. */
type CostPerProgram = Map<string, number>;

/** Our endpoint as a watcher, with what it says about its own loss. */
class EndpointWatcher implements Watcher {
	readonly name = "endpoint";
	readonly #stage: Stage;
	#pids: EndpointPids | null = null;
	#mark: StoreMark = { event: 0, gap: 0 };
	#before = new Map<string, number>();
	/** Per storm round. */
	readonly costs: CostPerProgram[] = [];
	/** Events in gap records, and their causes. */
	lost = 0;
	readonly causes = new Set<string>();

	constructor(stage: Stage) {
		this.#stage = stage;
	}

	#everybody(): Map<string, number> {
		return new Map([...this.#stage.bystanders, ...Object.entries(this.#pids ?? {})]);
	}

	async start(): Promise<Result<void, string>> {
		const { box } = this.#stage;
		const on = await box.switchOn();
		if (!on.ok) return on;
		this.#pids = on.value;
		const warmed = await runStorm(this.#stage, 1, CAPTURE_LIMITS.endpointWarmUpMs);
		if (!warmed.ok) return warmed;
		await waitForQuiet(box.store, this.#stage.context.signal);
		this.#mark = markStore(box.store);
		this.#before = cpuSecondsBy(this.#everybody());
		return ok(undefined);
	}

	async finish(expected: ReadonlyMap<string, number>, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
		const { store } = this.#stage.box;
		const count = (name: string) => countStored(store, this.#mark, name);
		const isComplete = () => [...expected].every(([name, programs]) => count(name) >= programs);
		await until(isComplete, { maxMs: CAPTURE_LIMITS.drainMsMax, signal });
		// A gap record comes up to a second after the gap.
		await pause(CAPTURE_LIMITS.statsWaitMs, signal);
		const programs = [...expected.values()].reduce((sum, each) => sum + each, 0);
		const after = cpuSecondsBy(this.#everybody());
		const cost = (name: string, seconds: number) => ((seconds - (this.#before.get(name) ?? 0)) * 1e6) / programs;
		this.costs.push(new Map([...after].map(([name, seconds]) => [name, cost(name, seconds)])));
		const loss = lossSince(store, this.#mark);
		this.lost += loss.count;
		for (const cause of loss.causes) this.causes.add(cause);
		const recorded = new Map([...expected.keys()].map((name) => [name, count(name)]));
		await this.close();
		return recorded;
	}

	async close(): Promise<void> {
		await this.#stage.box.switchOff();
		this.#pids = null;
	}
}

/** Ratios of one watcher, one per pair that counts. */
export type Ratios = Record<Spawners, number[]>;

export function ratioOf(before: number, watched: number, after: number): number {
	return watched / ((before + after) / 2);
}

interface Tally {
	readonly ratios: Map<string, Ratios>;
	readonly missing: Map<string, number>;
	readonly plain: Ratios;
}

function note(tally: Tally, watcher: string, around: readonly [Storms, Watched, Storms]): void {
	const [before, watched, after] = around;
	tally.missing.set(watcher, (tally.missing.get(watcher) ?? 0) + watched.missing);
	const ratios = tally.ratios.get(watcher) ?? { 1: [], 2: [] };
	tally.ratios.set(watcher, ratios);
	for (const spawners of SPAWNERS)
		ratios[spawners].push(
			ratioOf(before[spawners].perSecond, watched.storms[spawners].perSecond, after[spawners].perSecond),
		);
}

/** All watchers once, in turning order, each between two storms without, the first of which the round before has left. */
async function runRound(
	stage: Stage,
	watchers: readonly Watcher[],
	{ tally, endpoint, plain }: { readonly tally: Tally; readonly endpoint: EndpointWatcher; readonly plain: Storms },
): Promise<Result<{ readonly isLossless: boolean; readonly plain: Storms }, string>> {
	const { context } = stage;
	let before = plain;
	const found: [string, [Storms, Watched, Storms]][] = [];
	const lostBefore = endpoint.lost;
	let missing = 0;
	for (const watcher of watchers) {
		const watched = await runWatched(stage, watcher);
		if (!watched.ok) return watched;
		const after = await runStorms(stage);
		if (!after.ok) return after;
		found.push([watcher.name, [before, watched.value, after.value]]);
		for (const spawners of SPAWNERS) tally.plain[spawners].push(after.value[spawners].perSecond);
		if (watcher === endpoint) missing = watched.value.missing;
		before = after.value;
	}
	const isLossless = missing === 0 && endpoint.lost === lostBefore;
	if (!isLossless) {
		tally.missing.set(endpoint.name, (tally.missing.get(endpoint.name) ?? 0) + missing);
		context.onStep(
			`not counted: ${missing} programs are not stored, ${endpoint.lost - lostBefore} events are in gap records (${[...endpoint.causes].join("; ")})`,
		);
		return ok({ isLossless, plain: before });
	}
	for (const [name, around] of found) note(tally, name, around);
	const text = found.map(([name, [b, w, a]]) => {
		const ratios = SPAWNERS.map((each) =>
			ratioOf(b[each].perSecond, w.storms[each].perSecond, a[each].perSecond).toFixed(3),
		);
		return `${name} ${ratios.join(" and ")}`;
	});
	context.onStep(`ratio with one and two spawners: ${text.join(", ")}`);
	return ok({ isLossless, plain: before });
}

function report(context: BenchContext, tally: Tally, endpoint: EndpointWatcher): void {
	const ours = tally.ratios.get(endpoint.name) ?? { 1: [], 2: [] };
	for (const spawners of SPAWNERS) {
		const name = `storm_${spawners}_spawner${spawners === 1 ? "" : "s"}`;
		context.report({
			metric: `${name}_endpoint`,
			unit: "ratio",
			goal: GOALS[spawners],
			runs: ours[spawners],
			yardstick: { what: "programs per second without a watcher", unit: "1/s", runs: tally.plain[spawners] },
		});
		for (const [watcher, ratios] of tally.ratios) {
			if (watcher === endpoint.name) continue;
			context.report({ metric: `${name}_${watcher}`, unit: "ratio", goal: null, runs: ratios[spawners] });
			const ahead = ours[spawners].map((ratio, pair) => ratio / (ratios[spawners][pair] ?? Number.NaN));
			context.report({ metric: `${name}_endpoint_to_${watcher}`, unit: "ratio", goal: ">= 1", runs: ahead });
		}
	}
	for (const [watcher, missing] of tally.missing)
		context.report({
			metric: `storm_programs_missed_by_${watcher}`,
			unit: "programs",
			goal: watcher === endpoint.name ? "<= 0" : null,
			runs: [missing],
		});
	context.report({ metric: "storm_events_in_gap_records", unit: "events", goal: "<= 0", runs: [endpoint.lost] });
	for (const name of endpoint.costs[0]?.keys() ?? []) {
		const runs = endpoint.costs.map((cost) => cost.get(name) ?? Number.NaN);
		context.report({ metric: `storm_cpu_of_${name}`, unit: "µs per program", goal: null, runs });
	}
}

export async function measureStorm(box: EndpointBox, context: BenchContext): Promise<Result<void, string>> {
	const spawner = buildProgram("spawn-storm", box.directory);
	if (!spawner.ok) return spawner;
	const stage: Stage = { box, context, spawner: spawner.value, bystanders: bystandersOf(box.enclave) };
	const bpftrace = openBpftrace(box.directory);
	if (!bpftrace.ok) return bpftrace;
	const auditd = await openAuditd(box.directory);
	if (!auditd.ok) return auditd;
	const endpoint = new EndpointWatcher(stage);
	try {
		return await runRounds(stage, [endpoint, auditd.value, bpftrace.value], endpoint);
	} finally {
		await endpoint.close();
		await bpftrace.value.close();
		await auditd.value.close();
	}
}

async function runRounds(stage: Stage, watchers: Watcher[], endpoint: EndpointWatcher): Promise<Result<void, string>> {
	const { context } = stage;
	const { pairs, roundsMax } = CAPTURE_LIMITS;
	const tally: Tally = { ratios: new Map(), missing: new Map(), plain: { 1: [], 2: [] } };
	let plain = await runStorms(stage);
	if (!plain.ok) return plain;
	let counted = 0;
	for (let round = 0; round < roundsMax && counted < pairs; round++) {
		context.onStep(`storms, round ${round + 1}: ${counted} of ${pairs} pairs`);
		// Another one comes first in every round.
		const turned = watchers.map((_, index) => watchers[(index + round) % watchers.length] as Watcher);
		const done = await runRound(stage, turned, { tally, endpoint, plain: plain.value });
		if (!done.ok) return done;
		plain = ok(done.value.plain);
		if (done.value.isLossless) counted++;
	}
	if (counted < pairs)
		return fail(
			"events_lost",
			`the endpoint lost events in ${roundsMax - counted} of ${roundsMax} rounds: ${[...endpoint.causes].join("; ") || "without a gap record"}`,
		);
	report(context, tally, endpoint);
	return ok(undefined);
}
