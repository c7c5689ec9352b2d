/**
 * The reconnect storm: a thousand agents are linked, their proxy is killed, and each has a batch that waits. How long until the proxy
 * has acknowledged all of them, the supervisor's restart and the agents' own waits included, and how unequally they waited.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "../bench.ts";
import { within } from "../box.ts";
import { quantile } from "../figure.ts";
import { Child } from "./child.ts";
import { type Forest, openForest } from "./forest.ts";
import { makeAgents, type SimulatedAgent } from "./identities.ts";
import { TREE_LIMITS } from "./limits.ts";
import { type Cost, costsSince, readCosts } from "./meters.ts";
import type { StormOrder, StormReport } from "./plan.ts";

/** What agents that say nothing but their heartbeats cost. */
interface Idle {
	readonly proxy: Cost;
	/** Cores of proxy and Security Center together. */
	readonly proxyCores: number;
	readonly centerCores: number;
	readonly proxyBytesOnDisk: number;
}

interface Storm {
	readonly idle: Idle;
	readonly allMs: number;
	readonly medianMs: number;
	readonly firstLinksPerSecond: number;
	readonly failedTries: number;
}

function bytesBelow(directory: string): number {
	return readdirSync(directory, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

async function measureIdle(forest: Forest): Promise<Idle> {
	const pids = forest.enclave.supervisor.pids();
	const name = forest.proxyNames[0] as string;
	const before = readCosts(pids);
	await sleep(TREE_LIMITS.idleMs);
	const costs = costsSince(before, pids);
	const proxy = costs.get(name) as Cost;
	const coresOf = (each: string) => (costs.get(each)?.cpuSeconds ?? 0) / (TREE_LIMITS.idleMs / 1000);
	const proxyBytesOnDisk = bytesBelow(forest.enclave.proxy.wal_path);
	return { proxy, proxyCores: coresOf(name), centerCores: coresOf("sc") + coresOf("sqld"), proxyBytesOnDisk };
}

async function runStorm(
	forest: Forest,
	agents: readonly SimulatedAgent[],
	context: BenchContext,
): Promise<Result<Storm, string>> {
	const { destination, ca } = forest;
	const plan = { destination, ca, agents, windowBytes: TREE_LIMITS.windowBytes };
	const storm = new Child<StormOrder, StormReport>("storm-agents.ts", plan);
	try {
		storm.order({ act: "prepare" });
		const prepared = await storm.expect("prepared", TREE_LIMITS.readyMsMax);
		if (!prepared.ok) return prepared;
		const { allMs } = prepared.value.links;
		const idle = await measureIdle(forest);
		context.onStep(`${agents.length} agents linked in ${Math.round(allMs)} ms; the proxy is killed`);
		const pid = forest.enclave.supervisor.pids().get(forest.proxyNames[0] as string);
		if (pid === undefined) return fail("proxy_missing", "the proxy does not run");
		storm.order({ act: "watch" });
		process.kill(pid, "SIGKILL");
		const calm = await storm.expect("calm", TREE_LIMITS.runMsMax);
		if (!calm.ok) return calm;
		const { ackedMs, failedTries } = calm.value;
		const medianMs = quantile(ackedMs, 0.5);
		return ok({
			idle,
			allMs: Math.max(...ackedMs),
			medianMs,
			firstLinksPerSecond: agents.length / (allMs / 1000),
			failedTries,
		});
	} finally {
		await storm.stop();
	}
}

export async function measureStorm(context: BenchContext): Promise<Result<void, string>> {
	const forest = await openForest(context, 1);
	if (!forest.ok) return forest;
	return within(context, forest.value, async (box) => {
		const agents = await makeAgents(box.dataDir, box.enclave.pki.enclave, TREE_LIMITS.stormAgents);
		const storms: Storm[] = [];
		for (let run = 0; run < TREE_LIMITS.runs; run++) {
			const storm = await runStorm(box, agents, context);
			if (!storm.ok) return storm;
			const { allMs, medianMs, failedTries } = storm.value;
			context.onStep(
				`storm ${run + 1}: all acknowledged in ${Math.round(allMs)} ms, median ${Math.round(medianMs)} ms, ${failedTries} tries failed`,
			);
			storms.push(storm.value);
		}
		const report = (metric: string, unit: string, value: (storm: Storm) => number) =>
			context.report({
				metric: `storm_${TREE_LIMITS.stormAgents}_agents_${metric}`,
				unit,
				goal: null,
				runs: storms.map(value),
			});
		report("all_acked", "ms", ({ allMs }) => allMs);
		report("median_acked", "ms", ({ medianMs }) => medianMs);
		report("longest_of_median", "ratio", ({ allMs, medianMs }) => allMs / medianMs);
		report("failed_tries", "tries", ({ failedTries }) => failedTries);
		report("links_before", "links/s", ({ firstLinksPerSecond }) => firstLinksPerSecond);
		report("idle_proxy_cpu", "cores", ({ idle }) => idle.proxyCores);
		report("idle_center_and_store_cpu", "cores", ({ idle }) => idle.centerCores);
		report("idle_proxy_rss", "MiB", ({ idle }) => idle.proxy.residentMib);
		report("idle_proxy_descriptors", "fds", ({ idle }) => idle.proxy.descriptors);
		report("proxy_disk_per_agent", "KB", ({ idle }) => idle.proxyBytesOnDisk / 1000 / agents.length);
		return ok(undefined);
	});
}
