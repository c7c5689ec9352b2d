/**
 * How long a trace event takes from its agent's outbox through two tiers of proxies to a row, and a TraceCommand from the operator's
 * key to the agent: idle, behind a backlog of bulk, and while bulk comes ten times as fast as the store takes it. All boxes run on
 * the same two cores. The backlog is made as an outage makes it: the Security Center stands still while agents go on sending.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import type { OperatorClient } from "../../cli/operator-client.ts";
import { composeCommand, newTraceId } from "../../demo/story.ts";
import type { BenchContext } from "../bench.ts";
import { within } from "../box.ts";
import { openConsole } from "../console-session.ts";
import { quantile } from "../figure.ts";
import { openStoreReader } from "../store-reader.ts";
import { Child } from "./child.ts";
import { type Forest, openForest, waitForLinks } from "./forest.ts";
import { makeAgents, type SimulatedAgent } from "./identities.ts";
import { TREE_LIMITS } from "./limits.ts";
import { Load } from "./load.ts";
import type { LoadPlan, ProbeOrder, ProbeReport } from "./plan.ts";
import { TraceRows } from "./trace-rows.ts";

interface Stage {
	readonly forest: Forest;
	readonly agents: readonly SimulatedAgent[];
	readonly operator: OperatorClient;
	readonly rows: TraceRows;
	readonly context: BenchContext;
}

type Probe = Child<ProbeOrder, ProbeReport>;

function planOf({ forest, agents }: Stage, from: number, to: number): LoadPlan {
	const { destination, ca } = forest;
	return { destination, ca, agents: agents.slice(from, to), windowBytes: TREE_LIMITS.windowBytes };
}

async function openProbe(stage: Stage): Promise<Result<Probe, string>> {
	const probe: Probe = new Child("prober.ts", planOf(stage, 0, TREE_LIMITS.probeAgents));
	const connected = await probe.expect("connected", TREE_LIMITS.readyMsMax);
	if (connected.ok) return ok(probe);
	await probe.stop();
	return connected;
}

/** Latencies of one interval of traces. */
async function probeTraces({ rows, context }: Stage, probe: Probe): Promise<Result<number[], string>> {
	const { probesPerSecond: perSecond, probeSeconds: seconds } = TREE_LIMITS;
	probe.order({ act: "probe", perSecond, seconds });
	const probed = await probe.expect("probed", TREE_LIMITS.runMsMax);
	return probed.ok ? rows.latenciesOf(probed.value.sent, context.signal) : probed;
}

/** Sends signed commands one after the other; milliseconds from the request to the command's arrival at its agent. */
async function timeCommands(stage: Stage, probe: Probe): Promise<Result<number[], string>> {
	const { operator, agents } = stage;
	const times: number[] = [];
	for (let index = 0; index < TREE_LIMITS.commands; index++) {
		const agent = agents[index % TREE_LIMITS.probeAgents] as SimulatedAgent;
		const target = { agent: agent.id, process: "00".repeat(16), pid: 4711, name: "sh" };
		const traceId = newTraceId(Date.now());
		const composed = await composeCommand(operator, { traceId, target, reason: "timing a command", act: "start" });
		if (!composed.ok) return composed;
		const sentAtMs = performance.timeOrigin + performance.now();
		const sent = await operator.command(composed.value);
		if (!sent.ok) return sent;
		const arrived = await probe.expect("command", TREE_LIMITS.commandMsMax);
		if (!arrived.ok) return arrived;
		times.push(arrived.value.atMs - sentAtMs);
	}
	return ok(times);
}

function report({ context }: Stage, name: string, latencies: readonly number[], goals: { p99: number | null }): void {
	const p50 = quantile(latencies, 0.5);
	const p99 = quantile(latencies, 0.99);
	context.onStep(`${name}: ${latencies.length} timed, p50 ${Math.round(p50)} ms, p99 ${Math.round(p99)} ms`);
	context.report({ metric: `${name}_p50`, unit: "ms", goal: null, runs: [p50] });
	context.report({
		metric: `${name}_p99`,
		unit: "ms",
		goal: goals.p99 === null ? null : `<= ${goals.p99}`,
		runs: [p99],
	});
}

function hold({ forest }: Stage, isHeld: boolean): void {
	const pid = forest.enclave.supervisor.pids().get("sc");
	if (pid !== undefined) process.kill(pid, isHeld ? "SIGSTOP" : "SIGCONT");
}

/** Brings so many megabytes into the proxies while nothing leaves them. */
async function makeBacklog(stage: Stage, megabytes: number): Promise<Result<void, string>> {
	const { backlogAgents, backlogPieceBatches, eventsPerBatch } = TREE_LIMITS;
	const load = new Load(planOf(stage, 0, backlogAgents));
	hold(stage, true);
	try {
		for (let bytes = 0; bytes < megabytes * 1_000_000; ) {
			const order = { lane: "bulk", agentCount: backlogAgents, eventsPerBatch, repeats: 1, until: "a1" } as const;
			const ready = await load.prepare({ ...order, batchesPerAgent: backlogPieceBatches / backlogAgents });
			if (!ready.ok) return ready;
			const taken = await load.send();
			if (!taken.ok) return taken;
			bytes += taken.value.bytes;
			stage.context.onStep(`${Math.round(bytes / 1_000_000)} of ${megabytes} MB wait in the tree`);
			if (stage.context.signal.aborted) return fail("interrupted", "interrupted while the backlog was made");
		}
		return ok(undefined);
	} finally {
		await load.stop();
		hold(stage, false);
	}
}

async function waitingMb({ forest }: Stage): Promise<number> {
	const answers = await Promise.all(forest.health.map((ask) => ask()));
	return answers.reduce((sum, { disk }) => sum + disk.waitingBytes.bulk, 0) / 1_000_000;
}

async function measureIdle(stage: Stage): Promise<Result<number, string>> {
	const probe = await openProbe(stage);
	if (!probe.ok) return probe;
	try {
		// The first events of an agent make its channels at every tier.
		const warm = await probeTraces(stage, probe.value);
		if (!warm.ok) return warm;
		const idle = await probeTraces(stage, probe.value);
		if (!idle.ok) return idle;
		report(stage, "trace_to_row_idle", idle.value, { p99: 250 });
		const commands = await timeCommands(stage, probe.value);
		if (!commands.ok) return commands;
		report(stage, "command_down_idle", commands.value, { p99: null });
		return ok(quantile(idle.value, 0.99));
	} finally {
		await probe.value.stop();
	}
}

async function measureBehind(stage: Stage, megabytes: number): Promise<Result<void, string>> {
	const { context } = stage;
	const made = await makeBacklog(stage, megabytes);
	if (!made.ok) return made;
	const linked = await waitForLinks(stage.forest, context.signal);
	if (!linked.ok) return linked;
	const probe = await openProbe(stage);
	if (!probe.ok) return probe;
	try {
		// What an outage did to the links is over when a trace has gone all the way.
		const warm = await probeTraces(stage, probe.value);
		if (!warm.ok) return warm;
		context.onStep(`${Math.round(await waitingMb(stage))} MB wait at the proxies when traces begin`);
		const behind = await probeTraces(stage, probe.value);
		if (!behind.ok) return behind;
		report(stage, "trace_to_row_behind_backlog", behind.value, { p99: 500 });
		const commands = await timeCommands(stage, probe.value);
		if (!commands.ok) return commands;
		report(stage, "command_down_behind_backlog", commands.value, { p99: 500 });
		const leftMb = await waitingMb(stage);
		context.report({ metric: "backlog", unit: "MB", goal: null, runs: [megabytes] });
		context.report({ metric: "backlog_left_at_proxies_afterwards", unit: "MB", goal: null, runs: [leftMb] });
		return ok(undefined);
	} finally {
		await probe.value.stop();
	}
}

async function measureOverload(stage: Stage): Promise<Result<void, string>> {
	const { backlogAgents, probeAgents, overloadPerSecond, probeSeconds, eventsPerBatch } = TREE_LIMITS;
	const load = new Load(planOf(stage, probeAgents, backlogAgents));
	const probe = await openProbe(stage);
	if (!probe.ok) return probe;
	try {
		const agentCount = backlogAgents - probeAgents;
		const batchesPerAgent = Math.ceil((1.5 * overloadPerSecond * probeSeconds) / agentCount);
		const order = { lane: "bulk", agentCount, batchesPerAgent, eventsPerBatch, repeats: 1, until: "a1" } as const;
		const ready = await load.prepare({ ...order, perSecond: overloadPerSecond });
		if (!ready.ok) return ready;
		load.go();
		await sleep(1000);
		const loaded = await probeTraces(stage, probe.value);
		if (!loaded.ok) return loaded;
		report(stage, "trace_to_row_at_10_times_overload", loaded.value, { p99: 500 });
		return ok(undefined);
	} finally {
		await probe.value.stop();
		await load.stop();
	}
}

async function measureAll(stage: Stage): Promise<Result<void, string>> {
	const idle = await measureIdle(stage);
	if (!idle.ok) return idle;
	// Overload first: it needs a tree in which nothing waits.
	const overload = await measureOverload(stage);
	if (!overload.ok) return overload;
	return measureBehind(stage, stage.context.backlogMb ?? TREE_LIMITS.backlogMbDefault);
}

export async function measureTreeLatency(context: BenchContext): Promise<Result<void, string>> {
	const forest = await openForest(context, 2);
	if (!forest.ok) return forest;
	return within(context, forest.value, async (box) => {
		const session = await openConsole(box.enclave);
		if (!session.ok) return session;
		const agents = await makeAgents(box.dataDir, box.enclave.pki.enclave, TREE_LIMITS.backlogAgents);
		const opened = await openStoreReader(box.dataDir, context.signal);
		if (!opened.ok) return opened;
		const rows = new TraceRows(opened.value);
		try {
			return await measureAll({ forest: box, agents, operator: session.value.operator, rows, context });
		} finally {
			await rows.stop();
			opened.value.close();
		}
	});
}
