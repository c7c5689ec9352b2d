/**
 * How many batches a second are durable at the agents' proxy (A1), reach the next proxy, and reach store and ledger (A2); beside
 * them Redis and JetStream with the same payloads, connections and windows, in turn. Guarantees that load, payloads and links are
 * ready before the clock starts.
 *
 * The boxes behind the proxies would be other machines. Store and signer stand still while A1 is measured, and so does the Security
 * Center in the timed parts; the proxies of both tiers run. A2 is measured by itself in a fresh enclave with everything running on
 * the same two cores, and the A1 of that is told too.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "../bench.ts";
import { within } from "../box.ts";
import { type Forest, openForest, waitForForwarded } from "./forest.ts";
import { makeAgents, type SimulatedAgent } from "./identities.ts";
import { TREE_LIMITS } from "./limits.ts";
import { Load } from "./load.ts";
import { type Cost, costsSince, measureFsync, readCosts } from "./meters.ts";
import type { Destination, LoadOrder, LoadResult } from "./plan.ts";
import { ThroughputTable, type TreeRun } from "./throughput-table.ts";
import { startYardstick, type YardstickKind } from "./yardstick.ts";

interface Stage {
	readonly forest: Forest;
	readonly agents: readonly SimulatedAgent[];
	readonly context: BenchContext;
}

function loadTo({ forest, agents }: Stage, destination: Destination, count: number): Load {
	const { windowBytes } = TREE_LIMITS;
	return new Load({ destination, ca: forest.ca, agents: agents.slice(0, count), windowBytes });
}

function orderOf(count: number, batches: number): Omit<LoadOrder, "act" | "until"> {
	const { eventsPerBatch } = TREE_LIMITS;
	const batchesPerAgent = Math.max(1, Math.round(batches / count));
	return { lane: "bulk", agentCount: count, batchesPerAgent, eventsPerBatch, repeats: 1 };
}

const STILL = ["sqld", "signer"];

/** Stops or lets go what would be another machine. */
function hold({ forest }: Stage, isHeld: boolean, names: readonly string[]): void {
	for (const [name, pid] of forest.enclave.supervisor.pids())
		if (names.includes(name)) process.kill(pid, isHeld ? "SIGSTOP" : "SIGCONT");
}

/** Until no proxy holds anything: the Security Center's own log takes it, also while the store stands still. */
async function settle({ forest, context }: Stage): Promise<Result<void, string>> {
	const untilMs = performance.now() + TREE_LIMITS.runMsMax;
	for (;;) {
		const answers = await Promise.all(forest.health.map((ask) => ask()));
		if (answers.every(({ disk }) => Object.values(disk.waitingBytes).every((bytes) => bytes === 0)))
			return ok(undefined);
		if (context.signal.aborted || performance.now() > untilMs)
			return fail("not_settled", "a proxy still holds batches of the run before");
		await sleep(TREE_LIMITS.pollMs);
	}
}

async function commitsOf(forest: Forest): Promise<number> {
	const leaf = await (forest.health[0] as Forest["health"][number])();
	return leaf.disk.commits;
}

function costOf(costs: ReadonlyMap<string, Cost>, name: string): Cost {
	return costs.get(name) ?? { cpuSeconds: 0, residentMib: 0, descriptors: 0 };
}

/** One load into the tree. `until` says how far it is followed. */
async function runTree(stage: Stage, order: Omit<LoadOrder, "act">): Promise<Result<TreeRun, string>> {
	const { forest, context } = stage;
	const load = loadTo(stage, forest.destination, order.agentCount);
	try {
		const links = await load.prepare(order);
		if (!links.ok) return links;
		const settled = order.until === "a1" ? await settle(stage) : ok(undefined);
		if (!settled.ok) return settled;
		const pids = forest.enclave.supervisor.pids();
		if (order.until === "a1") hold(stage, true, ["sc"]);
		const before = readCosts(pids);
		const commitsBefore = await commitsOf(forest);
		const result = await load.send();
		if (!result.ok) return result;
		const costs = costsSince(before, pids);
		const commits = (await commitsOf(forest)) - commitsBefore;
		const isForwarding = order.until === "a1" && forest.tiers === 2;
		const forwarded = isForwarding ? await waitForForwarded(forest, context.signal) : ok(0);
		if (!forwarded.ok) return forwarded;
		return ok({
			...{ result: result.value, links: links.value, commits },
			forwardedMs: isForwarding ? result.value.a1Ms + forwarded.value : null,
			leaf: costOf(costs, forest.proxyNames[0] as string),
			above: forest.tiers === 2 ? costOf(costs, forest.proxyNames[1] as string) : null,
		});
	} finally {
		await load.stop();
		hold(stage, false, ["sc"]);
	}
}

async function runYardstick(
	stage: Stage,
	kind: YardstickKind,
	count: number,
): Promise<Result<{ result: LoadResult; cost: Cost }, string>> {
	const { forest, agents } = stage;
	const settled = await settle(stage);
	if (!settled.ok) return settled;
	const server = await startYardstick(kind, forest, agents[0] as SimulatedAgent);
	if (!server.ok) return server;
	const load = loadTo(stage, server.value.destination, count);
	try {
		hold(stage, true, ["sc"]);
		const order = { ...orderOf(count, TREE_LIMITS.batchesPerRun), repeats: TREE_LIMITS.yardstickRepeats };
		const links = await load.prepare({ ...order, until: "a1" });
		if (!links.ok) return links;
		const pids = new Map([[kind, server.value.pid]]);
		const before = readCosts(pids);
		const result = await load.send();
		if (!result.ok) return result;
		return ok({ result: result.value, cost: costOf(costsSince(before, pids), kind) });
	} finally {
		await load.stop();
		hold(stage, false, ["sc"]);
		await server.value.stop();
	}
}

function told(name: string, { batches, a1Ms, cpuSeconds }: LoadResult): string {
	const busy = Math.round((100 * cpuSeconds * 1000) / a1Ms);
	return `${name}: ${Math.round(batches / (a1Ms / 1000))} batches/s (generator ${busy} % of a core)`;
}

/** A1 of one number of agents beside both yardsticks, in turn. */
async function measureTaken(stage: Stage, count: number, table: ThroughputTable): Promise<Result<void, string>> {
	const { context, forest } = stage;
	const order = { ...orderOf(count, TREE_LIMITS.batchesPerRun), until: "a1" } as const;
	for (let run = 0; run < TREE_LIMITS.runs; run++) {
		const tree = await runTree(stage, order);
		if (!tree.ok) return tree;
		table.tree(tree.value);
		context.onStep(told(`${forest.tiers} tiers, ${count} agents, run ${run + 1}: A1`, tree.value.result));
		for (const kind of ["redis", "nats"] as const) {
			if (context.signal.aborted) return fail("interrupted", "interrupted between two runs");
			const measured = await runYardstick(stage, kind, count);
			if (!measured.ok) return measured;
			table.yardstick(kind, measured.value);
			context.onStep(told(`  ${kind}`, measured.value.result));
		}
		table.fsync(measureFsync().perSecond);
	}
	table.report(context);
	return ok(undefined);
}

async function measureStored(stage: Stage, count: number): Promise<Result<void, string>> {
	const { context, forest } = stage;
	const order = { ...orderOf(count, TREE_LIMITS.storedBatches), until: "a2" } as const;
	const runs: LoadResult[] = [];
	for (let run = 0; run < TREE_LIMITS.runs; run++) {
		const tree = await runTree(stage, order);
		if (!tree.ok) return tree;
		runs.push(tree.value.result);
		const { batches, a1Ms, a2Ms } = tree.value.result;
		context.onStep(
			`${forest.tiers} tiers, ${count} agents, all boxes running: ${batches} batches, A1 in ${Math.round(a1Ms)} ms, A2 in ${Math.round(a2Ms ?? 0)} ms`,
		);
	}
	const name = `${forest.tiers}_tier_${count}_agents`;
	const perSecond = (count_: (run: LoadResult) => number, ms: (run: LoadResult) => number) =>
		runs.map((run) => count_(run) / (ms(run) / 1000));
	const a2Ms = (run: LoadResult) => run.a2Ms ?? Number.NaN;
	const report = (metric: string, unit: string, values: readonly number[]) =>
		context.report({ metric: `${name}_${metric}`, unit, goal: null, runs: values });
	report(
		"a2_batches",
		"batches/s",
		perSecond(({ batches }) => batches, a2Ms),
	);
	report(
		"a2_events",
		"events/s",
		perSecond(({ events }) => events, a2Ms),
	);
	report(
		"a1_beside_the_store_batches",
		"batches/s",
		perSecond(
			({ batches }) => batches,
			({ a1Ms }) => a1Ms,
		),
	);
	return ok(undefined);
}

async function inForest(
	context: BenchContext,
	tiers: 1 | 2,
	measure: (stage: Stage) => Promise<Result<void, string>>,
): Promise<Result<void, string>> {
	const forest = await openForest(context, tiers);
	if (!forest.ok) return forest;
	return within(context, forest.value, async (box) => {
		context.onStep("making the agents' identities");
		const agents = await makeAgents(box.dataDir, box.enclave.pki.enclave, Math.max(...TREE_LIMITS.agentCounts));
		const stage = { forest: box, agents, context };
		try {
			return await measure(stage);
		} finally {
			hold(stage, false, [...STILL, "sc"]);
		}
	});
}

/** A1 beside the yardsticks. */
export function measureA1(context: BenchContext, tiers: 1 | 2): Promise<Result<void, string>> {
	return inForest(context, tiers, async (stage) => {
		hold(stage, true, STILL);
		for (const count of TREE_LIMITS.agentCounts) {
			const measured = await measureTaken(stage, count, new ThroughputTable(tiers, count));
			if (!measured.ok) return measured;
		}
		return ok(undefined);
	});
}

/** A2 with everything running. */
export function measureA2(context: BenchContext, tiers: 1 | 2): Promise<Result<void, string>> {
	return inForest(context, tiers, async (stage) => {
		for (const count of TREE_LIMITS.agentCounts) {
			const measured = await measureStored(stage, count);
			if (!measured.ok) return measured;
		}
		return ok(undefined);
	});
}
