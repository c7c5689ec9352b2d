/** Links that fail: one direction dead, flapping, half-open, cut for long. A fault proxy stands before the proxy, or behind it. */
import { setTimeout as sleep } from "node:timers/promises";
import { LANES } from "#core/model/batch.ts";
import { AGENT_LIMITS } from "../agent/limits.ts";
import { judgeBox } from "./box.ts";
import { inBox } from "./kill.ts";
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

/** Row 27: hours in the plan. The backlog of a partition must drain at three times the live rate or more. */
export function partition(context: RowContext): Promise<RowOutcome> {
	const wires = { hasAgentSideFaults: true, hasUpstreamFaults: true };
	return inBox(context, { agents: [AGENT], ...wires }, async (box) => {
		const agent = box.agent(AGENT);
		const violations: string[] = [];
		await agent.start();
		await agent.feed(SOME);
		for (const [name, wire] of [
			["agent to proxy", box.agentSide],
			["proxy to Security Center", box.upstreamSide],
		] as const) {
			wire.cut();
			const live = { rounds: FAULT_LIMITS.partitionMs / 50, everyMs: 50, events: 100, lanes: LANES };
			const before = agent.truth.attempted;
			await agent.feed(live);
			const batches = agent.truth.attempted - before;
			// Long outages outlive processes: what waits must not depend on one.
			await agent.kill();
			await agent.start();
			wire.heal();
			const healedAtMs = performance.now();
			const view = await judgeBox(box, context, { agents: [agent] });
			// The wait for the next attempt is not draining: it is bounded by the longest backoff.
			const drainMs = Math.max(1, performance.now() - healedAtMs - FAULT_LIMITS.healMsMax);
			const ratio = FAULT_LIMITS.partitionMs / drainMs;
			context.step(
				`${name}: ${batches} batches drained ${Math.round(performance.now() - healedAtMs)} ms after the heal`,
			);
			if (ratio < 3) violations.push(`${name}: drained at ${ratio.toFixed(1)} times the live rate`);
			violations.push(...view.violations);
		}
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
