/** Clocks that are wrong: numbers order and know batches, never times. */
import { LANES } from "#core/model/batch.ts";
import type { AgentProcess } from "./agent-process.ts";
import { judgeBox } from "./box.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";

const SOME = { rounds: 10, everyMs: 20, events: 4, lanes: LANES };

/**
 * Row 20, agents' clocks. A hop refuses a hello a day off by its name, so that evidence is held until the clock is right again; a clock
 * that swings by minutes is let in.
 */
export function wrongClocks(context: RowContext): Promise<RowOutcome> {
	const agents = ["agent-ahead", "agent-behind", "agent-strobe"];
	return inBox(context, { agents }, async (box) => {
		const violations: string[] = [];
		const [ahead, behind, strobe] = agents.map((id) => box.agent(id)) as [AgentProcess, AgentProcess, AgentProcess];
		await ahead.start({ clockOffsetMs: FAULT_LIMITS.dayMs });
		await behind.start({ clockOffsetMs: -FAULT_LIMITS.dayMs });
		await strobe.start({ clockOffsetMs: FAULT_LIMITS.strobeMs, isClockStrobing: true });
		await strobe.linked();
		await Promise.all([ahead, behind, strobe].map((agent) => agent.feed({ ...SOME, rounds: 100 })));
		for (const agent of [ahead, behind]) {
			// To a clock a day behind the other's certificate is not valid yet: then that is what the link says.
			if (!agent.logged.has("clock_skew") && !agent.logged.has("link_failed"))
				violations.push(`${agent.id} said nothing of its clock`);
			// In the middle of a delivery, so that some of it comes twice.
			await agent.kill();
			await agent.start();
			await agent.feed(SOME);
		}
		await strobe.kill();
		await strobe.start({ clockOffsetMs: FAULT_LIMITS.strobeMs, isClockStrobing: true });
		await strobe.feed(SOME);
		const outcome = await judgeBox(box, context, { agents: [ahead, behind, strobe] });
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}
