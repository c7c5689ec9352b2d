/** Power that goes: everything that was not fsynced is gone, and what was promised must be in what is left. */
import { setTimeout as sleep } from "node:timers/promises";
import { LANES } from "#core/model/batch.ts";
import { judgeBox } from "./box.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";

const AGENT = "agent-1";
/** Nobody listens here: what the agent holds then, it holds alone. */
const DEAD_PORT = 9;

/** Row 6: the agent is killed on its way into an fsync, so that there is something to lose, every other time without a hop. */
export function loseAgentPower(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		let lostBytes = 0;
		let losses = 0;
		for (const when of FAULT_LIMITS.powerLossAt) {
			if (context.signal.aborted) break;
			await agent.start({
				...{ hasImage: true, feed: { rounds: 20, everyMs: 5, events: 4, lanes: LANES } },
				injection: { call: "fdatasync", what: "signal=KILL", when: String(when) },
				...(when % 2 === 0 ? { port: DEAD_PORT } : {}),
			});
			await Promise.race([agent.ended, sleep(8000, null, { ref: false })]);
			const lost = await agent.losePower();
			lostBytes += Math.max(0, lost);
			if (lost > 0) losses++;
		}
		context.step(`${losses} of ${FAULT_LIMITS.powerLossAt.length} losses cost ${lostBytes} bytes`);
		await agent.start({ until: "freed", feed: { rounds: 2, everyMs: 5, events: 4, lanes: LANES } });
		const outcome = await judgeBox(box, context, { agents: [agent] });
		const idle = losses === 0 ? ["nothing was ever lost: the row tries nothing"] : [];
		return { ...outcome, violations: [...idle, ...outcome.violations] };
	});
}
