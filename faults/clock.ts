/** Clocks that are wrong: numbers order and know batches, never times. */
import { LANES } from "#core/model/batch.ts";
import type { AgentProcess } from "./agent-process.ts";
import { judgeBox } from "./box.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";

const SOME = { rounds: 10, everyMs: 20, events: 4, lanes: LANES };

/** Row 20, agents' clocks: days off or swinging, evidence flows and the difference is said; with the right clock again all is freed. */
export function wrongClocks(context: RowContext): Promise<RowOutcome> {
	const agents = ["agent-ahead", "agent-behind", "agent-strobe"];
	// Older than the clocks are wrong: to one from before its certificates no other is valid, which is row 21.
	return inBox(context, { agents, pkiAgeMs: 2 * FAULT_LIMITS.dayMs }, async (box) => {
		const violations: string[] = [];
		const [ahead, behind, strobe] = agents.map((id) => box.agent(id)) as [AgentProcess, AgentProcess, AgentProcess];
		await ahead.start({ clockOffsetMs: FAULT_LIMITS.dayMs });
		await behind.start({ clockOffsetMs: -FAULT_LIMITS.dayMs });
		await strobe.start({ clockOffsetMs: FAULT_LIMITS.strobeMs, isClockStrobing: true });
		await Promise.all([ahead, behind, strobe].map((agent) => agent.feed({ ...SOME, rounds: 100 })));
		const wrong = await judgeBox(box, context, { agents: [ahead, behind, strobe] });
		violations.push(...wrong.violations.map((each) => `with wrong clocks: ${each}`));
		context.step(`${wrong.report?.stored} batches stored while the clocks were wrong`);
		for (const agent of [ahead, behind]) {
			if (!agent.logged.has("clock_skew")) violations.push(`${agent.id} said nothing of its clock`);
			// In the middle of a delivery, so that some of it comes twice.
			const feeding = agent.feed(SOME);
			await agent.kill();
			await feeding;
			await agent.start();
			await agent.feed(SOME);
		}
		await strobe.kill();
		await strobe.start({ clockOffsetMs: FAULT_LIMITS.strobeMs, isClockStrobing: true });
		await strobe.feed(SOME);
		const outcome = await judgeBox(box, context, { agents: [ahead, behind, strobe] });
		for (const agent of [ahead, behind])
			if (!(await agent.freed(FAULT_LIMITS.betweenKillsMsMax)))
				violations.push(`${agent.id} was not told of custody with its clock right again`);
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}
