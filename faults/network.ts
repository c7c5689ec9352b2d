/** Links that fail: one direction dead, flapping, half-open, cut for long. A fault proxy stands before the proxy, or behind it. */
import { setTimeout as sleep } from "node:timers/promises";
import { LANES } from "#core/model/batch.ts";
import { AGENT_LIMITS } from "../agent/limits.ts";
import { type FaultBox, judgeBox } from "./box.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import { inBox } from "./kill.ts";
import type { StoredBatch } from "./ledger-of-truth.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";

const AGENT = "agent-1";
const SOME = { rounds: 10, everyMs: 20, events: 4, lanes: LANES };

/** Row 26: 10 minutes in the plan; short enough here that the connection outlives it. */
export function loseAcks(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT], hasAgentSideFaults: true }, async (box) => {
		const agent = box.agent(AGENT);
		await agent.start();
		await agent.feed(SOME);
		await sleep(500);
		box.agentSide.stop("down");
		const before = box.agentSide.passed.up;
		await agent.feed({ rounds: 20, everyMs: 100, events: 2000, lanes: ["bulk"] });
		await agent.feed(SOME);
		await sleep(FAULT_LIMITS.deadReturnMs);
		const sentBytes = box.agentSide.passed.up - before;
		context.step(`${(sentBytes / 1e6).toFixed(1)} MB went up while no receipt came down`);
		box.agentSide.start("down");
		const outcome = await judgeBox(box, context, { agents: [agent] });
		const bytesMax = AGENT_LIMITS.windowBytesMax + FAULT_LIMITS.windowSlackBytes;
		if (sentBytes <= bytesMax) return outcome;
		return {
			...outcome,
			violations: [`${sentBytes} bytes were sent without a receipt, ${bytesMax} at most`, ...outcome.violations],
		};
	});
}

/** Waits until the store holds more than it did; answers when. */
async function storedMore(box: FaultBox, stored: number): Promise<number> {
	const untilMs = performance.now() + FAULT_LIMITS.healMsMax;
	while (performance.now() < untilMs && (box.store.view(AGENT)?.batches.length ?? 0) <= stored)
		await sleep(FAULT_LIMITS.settlePollMs);
	return performance.now();
}

/** Strict priority: when the last trace batch of a backlog came, most of the bulk that waited beside it still waited. */
function bulkBeforeTrace(batches: readonly StoredBatch[]): number {
	const lastTrace = batches.findLastIndex(({ lane }) => lane === "trace");
	const isBulk = ({ lane }: StoredBatch) => lane === "bulk";
	return batches.slice(0, lastTrace).filter(isBulk).length / Math.max(1, batches.filter(isBulk).length);
}

/** One side of the path is cut under the load of a busy host, and the agent ends meanwhile; then it drains. */
async function cutAndDrain(
	context: RowContext,
	box: FaultBox,
	{ name, wire }: { name: string; wire: FaultProxy },
): Promise<string[]> {
	const agent = box.agent(AGENT);
	const violations: string[] = [];
	const before = box.store.view(AGENT)?.batches.length ?? 0;
	wire.cut();
	const cutAtMs = performance.now();
	const { partitionEveryMs: everyMs, partitionEvents: events } = FAULT_LIMITS;
	await agent.feed({ rounds: FAULT_LIMITS.partitionMs / everyMs, everyMs, events, lanes: LANES });
	const cutMs = performance.now() - cutAtMs;
	// Long outages outlive processes: what waits must not depend on one.
	await agent.kill();
	await agent.start();
	wire.heal();
	const healedAtMs = performance.now();
	const drainingAtMs = await storedMore(box, before);
	if (drainingAtMs - healedAtMs >= FAULT_LIMITS.healMsMax) violations.push(`${name}: nothing came after the heal`);
	violations.push(...(await judgeBox(box, context, { agents: [agent] })).violations);
	const drainMs = performance.now() - drainingAtMs;
	const drained = box.store.view(AGENT)?.batches.slice(before) ?? [];
	context.step(
		`${name}: ${drained.length} batches of ${(cutMs / 1000).toFixed(1)} s drained in ${(drainMs / 1000).toFixed(1)} s, from ` +
			`${((drainingAtMs - healedAtMs) / 1000).toFixed(1)} s after the heal`,
	);
	const ratio = cutMs / drainMs;
	if (ratio < FAULT_LIMITS.drainRatioMin)
		violations.push(`${name}: drained at ${ratio.toFixed(1)} times the live rate`);
	const early = bulkBeforeTrace(drained);
	if (early > 0.5)
		violations.push(`${name}: ${Math.round(100 * early)} % of the bulk came before the last trace batch`);
	return violations;
}

/** Row 27: hours in the plan. The backlog of a partition must drain at three times the live rate or more, in the order of lanes. */
export function partition(context: RowContext): Promise<RowOutcome> {
	const wires = { hasAgentSideFaults: true, hasUpstreamFaults: true };
	return inBox(context, { agents: [AGENT], ...wires }, async (box) => {
		const agent = box.agent(AGENT);
		await agent.start();
		await agent.feed(SOME);
		await judgeBox(box, context, { agents: [agent] });
		const violations = [
			...(await cutAndDrain(context, box, { name: "agent to proxy", wire: box.agentSide })),
			...(await cutAndDrain(context, box, { name: "proxy to Security Center", wire: box.upstreamSide })),
		];
		const outcome = await judgeBox(box, context, { agents: [agent] });
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}

/** Row 28: 10 minutes of flapping in the plan; then both links of the path are half-open. */
export function flapAndHalfOpen(context: RowContext): Promise<RowOutcome> {
	const wires = { hasAgentSideFaults: true, hasUpstreamFaults: true };
	return inBox(context, { agents: [AGENT], ...wires }, async (box) => {
		const agent = box.agent(AGENT);
		await agent.start();
		await agent.feed(SOME);
		for (let cycle = 0; cycle < FAULT_LIMITS.flaps && !context.signal.aborted; cycle++) {
			for (const wire of [box.agentSide, box.upstreamSide]) wire.cut();
			await agent.feed(SOME);
			await sleep(800);
			for (const wire of [box.agentSide, box.upstreamSide]) wire.heal();
			await agent.feed(SOME);
			await sleep(800);
		}
		const healedAtMs = performance.now();
		const violations: string[] = [];
		const flapped = await judgeBox(box, context, { agents: [agent] });
		const stallMs = performance.now() - healedAtMs;
		context.step(`flapped ${FAULT_LIMITS.flaps} times, all stored ${Math.round(stallMs)} ms after the last`);
		if (stallMs > FAULT_LIMITS.healMsMax) violations.push(`a stall of ${Math.round(stallMs)} ms after the heal`);
		for (const wire of [box.agentSide, box.upstreamSide]) wire.halfOpen();
		await agent.feed(SOME);
		const limits = { settleMsMax: FAULT_LIMITS.halfOpenMsMax, stuckMsMax: FAULT_LIMITS.halfOpenMsMax };
		const outcome = await judgeBox(box, context, { agents: [agent], ...limits });
		context.step("half-open links were given up");
		return { ...outcome, violations: [...violations, ...flapped.violations, ...outcome.violations] };
	});
}
