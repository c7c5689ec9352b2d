/**
 * The crowd: how many agents one proxy on this machine holds, each with a real mTLS WebSocket, one event a second and its heartbeats,
 * everything behind it running too. Guarantees that the first limit met is named, that what was reached before it is held for minutes
 * before it is told, and that links lost on the way are said. Must never call a crowd held that stopped being acknowledged.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "../bench.ts";
import { within } from "../box.ts";
import { median } from "../figure.ts";
import { Child } from "./child.ts";
import { type Forest, openForest } from "./forest.ts";
import { makeAgents } from "./identities.ts";
import { CROWD_LIMITS, TREE_LIMITS } from "./limits.ts";
import { type Cost, costsSince, readCosts } from "./meters.ts";
import type { CrowdOrder, CrowdReport, Pulse } from "./plan.ts";

type Crowd = Child<CrowdOrder, CrowdReport>;

interface Watched {
	readonly pulse: Pulse;
	readonly seconds: number;
	readonly costs: ReadonlyMap<string, Cost>;
}

const listed = (said: readonly (readonly [string, number])[]) =>
	said.map(([text, count]) => `${count} × ${text}`).join("; ");

/** Which limit a step has met, in words; null when it holds. */
export function limitOf({ pulse, seconds }: Pick<Watched, "pulse" | "seconds">, agents: number): string | null {
	const { linked, ended, sentEvents, takenEvents, ackMs } = pulse;
	if (linked < agents) return `${agents - linked} links ended: ${listed(ended)}`;
	const offered = agents * seconds * ((CROWD_LIMITS.eventsPerBatch * 1000) / CROWD_LIMITS.gatherMs);
	if (sentEvents < offered * CROWD_LIMITS.takenShareMin)
		return `the load generator sent ${sentEvents} of ${Math.round(offered)} events: the bench is the limit`;
	if (takenEvents < sentEvents * CROWD_LIMITS.takenShareMin)
		return `the proxy acknowledged ${takenEvents} of ${sentEvents} events`;
	if (ackMs.p99 > CROWD_LIMITS.ackP99MsMax) return `an A1 took ${Math.round(ackMs.p99)} ms at the 99th percentile`;
	return null;
}

/** How many agents the open files that one process may have are enough for: Node raises its soft limit to the hard one at start. */
function agentsByDescriptors(): number {
	const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
	const descriptors = Number(line?.[1] ?? 0) - CROWD_LIMITS.descriptorsOfProxy;
	return Math.max(0, Math.floor(descriptors / CROWD_LIMITS.descriptorsPerAgent));
}

async function ask<K extends CrowdReport["kind"]>(crowd: Crowd, order: CrowdOrder, kind: K) {
	crowd.order(order);
	return crowd.expect(kind, CROWD_LIMITS.stepMsMax);
}

async function watch(crowd: Crowd, forest: Forest): Promise<Result<Watched, string>> {
	const first = await ask(crowd, { act: "pulse" }, "pulse");
	if (!first.ok) return first;
	const pids = forest.enclave.supervisor.pids();
	const before = readCosts(pids);
	const beganAtMs = performance.now();
	await sleep(CROWD_LIMITS.watchMs);
	const pulse = await ask(crowd, { act: "pulse" }, "pulse");
	if (!pulse.ok) return pulse;
	return ok({ pulse: pulse.value, seconds: (performance.now() - beganAtMs) / 1000, costs: costsSince(before, pids) });
}

function sentence({ pulse, seconds, costs }: Watched): string {
	const perSecond = (count: number) => Math.round(count / seconds);
	const processes = [...costs].map(
		([name, { cpuSeconds, residentMib, descriptors }]) =>
			`${name} ${Math.round((100 * cpuSeconds) / seconds)} % ${Math.round(residentMib)} MiB ${descriptors} fds`,
	);
	const { linked, sentEvents, takenEvents, ackMs, storedBatches, cpuSeconds } = pulse;
	const load = `load ${Math.round((100 * cpuSeconds) / seconds)} %`;
	return (
		`${linked} agents: ${perSecond(sentEvents)} events/s sent, ${perSecond(takenEvents)} A1, ${perSecond(storedBatches)} A2 receipts/s, ` +
		`A1 p50 ${Math.round(ackMs.p50)} p99 ${Math.round(ackMs.p99)} ms; ${[...processes, load].join(", ")}`
	);
}

interface Reached {
	readonly agents: number;
	readonly linksPerSecond: readonly number[];
	/** Null where all that were wanted came. */
	readonly limit: string | null;
}

async function growUntilLimit(
	crowd: Crowd,
	forest: Forest,
	{ wanted, context }: { wanted: number; context: BenchContext },
): Promise<Result<Reached, string>> {
	const linksPerSecond: number[] = [];
	let agents = 0;
	while (agents < wanted && !context.signal.aborted) {
		const to = Math.min(wanted, agents + CROWD_LIMITS.stepAgents);
		const grown = await ask(crowd, { act: "grow", to }, "grown");
		if (!grown.ok) return ok({ agents, linksPerSecond, limit: `${to - agents} more were not linked: ${grown.detail}` });
		const { links, failed } = grown.value;
		if (failed.length > 0) return ok({ agents, linksPerSecond, limit: `not linked: ${listed(failed)}` });
		linksPerSecond.push((to - agents) / (links.allMs / 1000));
		await sleep(CROWD_LIMITS.settleMs);
		const watched = await watch(crowd, forest);
		if (!watched.ok) return watched;
		context.onStep(`${sentence(watched.value)}; linked ${Math.round(linksPerSecond.at(-1) as number)} a second`);
		const limit = limitOf(watched.value, to);
		if (limit !== null) return ok({ agents, linksPerSecond, limit });
		agents = to;
	}
	return ok({ agents, linksPerSecond, limit: null });
}

async function hold(
	crowd: Crowd,
	forest: Forest,
	{ agents, minutes, context }: { agents: number; minutes: number; context: BenchContext },
): Promise<Result<Watched[], string>> {
	const watched: Watched[] = [];
	const untilMs = performance.now() + minutes * 60_000;
	while (performance.now() < untilMs && !context.signal.aborted) {
		const one = await watch(crowd, forest);
		if (!one.ok) return one;
		watched.push(one.value);
		context.onStep(sentence(one.value));
		const limit = limitOf(one.value, agents);
		if (limit !== null) context.onStep(`not held: ${limit}`);
	}
	return ok(watched);
}

function tell(
	context: BenchContext,
	forest: Forest,
	{ agents, linksPerSecond }: Reached,
	held: readonly Watched[],
): void {
	const each = (metric: string, unit: string, value: (watched: Watched) => number) =>
		context.report({ metric, unit, goal: null, runs: held.map(value) });
	const once = (metric: string, unit: string, value: number) =>
		context.report({ metric, unit, goal: null, runs: [value] });
	context.report({ metric: "agents_held", unit: "agents", goal: `>= ${CROWD_LIMITS.agents}`, runs: [agents] });
	once("minutes_held", "min", held.reduce((sum, { seconds }) => sum + seconds, 0) / 60);
	once("periods_not_held", "periods", held.filter((watched) => limitOf(watched, agents) !== null).length);
	once("links", "links/s", median(linksPerSecond));
	each("events_sent", "events/s", ({ pulse, seconds }) => pulse.sentEvents / seconds);
	each("events_a1", "events/s", ({ pulse, seconds }) => pulse.takenEvents / seconds);
	each("a1_p50", "ms", ({ pulse }) => pulse.ackMs.p50);
	each("a1_p99", "ms", ({ pulse }) => pulse.ackMs.p99);
	each("a2_receipts", "receipts/s", ({ pulse, seconds }) => pulse.storedBatches / seconds);
	each("load_cpu", "% of a core", ({ pulse, seconds }) => (100 * pulse.cpuSeconds) / seconds);
	for (const name of ["sc", ...forest.proxyNames, "sqld"]) {
		const cost = (watched: Watched) => watched.costs.get(name) as Cost;
		each(`${name}_cpu`, "% of a core", (watched) => (100 * cost(watched).cpuSeconds) / watched.seconds);
		each(`${name}_resident`, "MiB", (watched) => cost(watched).residentMib);
		each(`${name}_descriptors`, "fds", (watched) => cost(watched).descriptors);
	}
}

export async function measureCrowd(context: BenchContext): Promise<Result<void, string>> {
	const asked = context.agents ?? CROWD_LIMITS.agents;
	const wanted = Math.min(asked, agentsByDescriptors());
	if (wanted < asked)
		context.onStep(
			`a proxy may open files for ${wanted} of ${asked} agents here: raise the hard limit (prlimit --nofile)`,
		);
	const forest = await openForest(context, 1);
	if (!forest.ok) return forest;
	return within(context, forest.value, async (box) => {
		context.onStep(`making ${wanted} identities`);
		const agents = await makeAgents(box.dataDir, box.enclave.pki.enclave, wanted);
		const { destination, ca } = box;
		const plan = { destination, ca, agents, windowBytes: TREE_LIMITS.windowBytes };
		const crowd: Crowd = new Child("crowd-agents.ts", plan);
		try {
			const reached = await growUntilLimit(crowd, box, { wanted, context });
			if (!reached.ok) return reached;
			const { limit } = reached.value;
			if (limit !== null) {
				context.onStep(`the first limit: ${limit}; going back to ${reached.value.agents} agents`);
				const shrunk = await ask(crowd, { act: "shrink", to: reached.value.agents }, "shrunk");
				if (!shrunk.ok) return shrunk;
				await sleep(CROWD_LIMITS.settleMs);
			}
			if (reached.value.agents === 0) return fail("nobody_held", limit ?? "stopped");
			const minutes = context.minutes ?? CROWD_LIMITS.minutes;
			const held = await hold(crowd, box, { agents: reached.value.agents, minutes, context });
			if (!held.ok) return held;
			tell(context, box, reached.value, held.value);
			return ok(undefined);
		} finally {
			await crowd.stop();
		}
	});
}
