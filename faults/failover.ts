/** An agent whose proxy dies: the next of its list, and back. */
import { setTimeout as sleep } from "node:timers/promises";
import { LANES } from "#core/model/batch.ts";
import { type FaultBox, judgeBox } from "./box.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";

const AGENT = "agent-1";
const SOME = { rounds: 10, everyMs: 20, events: 4, lanes: LANES };

/** Milliseconds until the agent is linked to a proxy, by the proxy's own word; null when it does not come to that. */
async function linkedTo(box: FaultBox, proxy: number, withinMs: number): Promise<number | null> {
	const fromMs = performance.now();
	const url = `http://${box.proxies[proxy]?.health}/healthz`;
	while (performance.now() - fromMs < withinMs) {
		const answer = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => null);
		const health = answer === null ? null : ((await answer.json()) as { uplink: { agentsUp: number } });
		if ((health?.uplink.agentsUp ?? 0) > 0) return performance.now() - fromMs;
		await sleep(50);
	}
	return null;
}

/** Row 29. The preferred proxy comes back with batches on its disk that the agent has sent by the other one as well. */
export function failOver(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT], proxies: 2 }, async (box) => {
		const agent = box.agent(AGENT);
		const violations: string[] = [];
		const parentTimes = { probeMs: FAULT_LIMITS.probeMs, stableMs: FAULT_LIMITS.stableMs };
		await agent.start({ port: [box.agentPort(0), box.agentPort(1)], parentTimes });
		await agent.linked();
		for (let time = 1; time <= FAULT_LIMITS.failovers && !context.signal.aborted; time++) {
			await agent.feed(SOME);
			const feeding = agent.feed({ ...SOME, rounds: 40 });
			await sleep(200);
			await box.process("px-1").kill();
			const awayMs = await linkedTo(box, 1, FAULT_LIMITS.failoverMsMax);
			if (awayMs === null) violations.push(`not at the other proxy within ${FAULT_LIMITS.failoverMsMax} ms`);
			await feeding;
			await agent.feed(SOME);
			await box.process("px-1").start();
			const backMs = await linkedTo(box, 0, FAULT_LIMITS.returnMsMax);
			if (backMs === null) violations.push("not back at the preferred proxy");
			context.step(
				`at the other proxy after ${Math.round(awayMs ?? -1)} ms, back after ${Math.round(backMs ?? -1)} ms`,
			);
		}
		await agent.feed(SOME);
		const outcome = await judgeBox(box, context, { agents: [agent] });
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}
