/** TraceCommands on their way down: past their time they must never be handed out and their end must be recorded; no backlog delays them. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { LANES } from "#core/model/batch.ts";
import { type OperatorClient, operatorClient } from "../cli/operator-client.ts";
import { newTraceId } from "../demo/story.ts";
import { type FaultBox, judgeBox, OPERATOR_ID } from "./box.ts";
import { HandAgent } from "./hand-agent.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";

const AGENT = "agent-1";

async function signIn(box: FaultBox): Promise<OperatorClient> {
	const operator = operatorClient(box.center.console.origin, OPERATOR_ID, new Uint8Array(randomBytes(32)));
	for (const answer of [await operator.redeem(box.invitation), await operator.signIn()])
		if (!answer.ok) throw new Error(answer.detail);
	return operator;
}

/** Signs and sends a start; answers its command id and trace. */
async function start(operator: OperatorClient, livesMs: number): Promise<{ commandId: string; traceId: string }> {
	const session = await operator.get<{ trustVersion: number }>("/api/session");
	if (!session.ok) throw new Error(session.detail);
	const nowMs = Date.now();
	const commandId = new Uint8Array(randomBytes(16));
	const traceId = newTraceId(nowMs);
	const sent = await operator.command({
		...{ traceId, targetAgent: AGENT, targetPid: 1, depth: 4, collectCmdlines: true, collectNetwork: true },
		...{ collectFileMeta: true, maxDurationSecs: 60, initiatedBy: OPERATOR_ID, timestampMs: nowMs, act: "start" },
		...{ targetProcess: new Uint8Array(randomBytes(16)), commandId, expiresAtMs: nowMs + livesMs },
		...{ reason: "a command for an agent that is away", trustVersion: session.value.trustVersion },
	});
	if (!sent.ok) throw new Error(sent.detail);
	return { commandId: hexOf(commandId), traceId };
}

export function commandPastExpiry(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const violations: string[] = [];
		const operator = await signIn(box);
		const agent = new HandAgent(box, AGENT);
		const first = await agent.open();
		await first.expect("welcome");
		await sleep(2000);
		first.close();
		await sleep(500);
		const brief = await start(operator, FAULT_LIMITS.briefCommandMs);
		const lasting = await start(operator, 10 * 60_000);
		await sleep(FAULT_LIMITS.briefCommandMs + 1000);
		const back = await agent.open();
		await back
			.expect("command", ({ commandId }) => hexOf(commandId) === lasting.commandId)
			.catch(() => violations.push("the command that lives on was not handed out: the row tries nothing"));
		await sleep(1500);
		const isLate = back.frames.some(
			({ type, body }) => type === "command" && hexOf(body.commandId) === brief.commandId,
		);
		if (isLate) violations.push("a command was handed out after its time");
		back.close();
		context.step("the agent was away past the command's time; its end is recorded after the time for answers");
		const untilMs = performance.now() + FAULT_LIMITS.expiryRecordedMsMax;
		let state = "";
		while (state !== "expired" && performance.now() < untilMs && !context.signal.aborted) {
			const trace = await operator.get<{ commands: { commandId: string; state: string }[] }>(
				`/api/traces/${brief.traceId}`,
			);
			state = trace.ok
				? (trace.value.commands.find(({ commandId }) => commandId === brief.commandId)?.state ?? "")
				: "";
			await sleep(500);
		}
		if (state !== "expired") violations.push(`its end was not recorded: ${state}`);
		return { report: null, violations };
	});
}

/** Row 34: 10 GB in the plan. A command meets a backlog of bulk on its way down, its traces on their way up. */
export function commandUnderBacklog(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const violations: string[] = [];
		const operator = await signIn(box);
		const agent = box.agent(AGENT);
		const uplink = async () => {
			const answer = await fetch(`http://${box.proxies[0]?.health}/healthz`, { signal: AbortSignal.timeout(5000) });
			return ((await answer.json()) as { uplink: { walBytes: number; isUp: boolean } }).uplink;
		};
		await agent.start();
		await agent.linked();
		await agent.feed({ rounds: 5, everyMs: 20, events: 4, lanes: LANES });
		await judgeBox(box, context, { agents: [agent] });
		const center = box.process("sc");
		center.pause();
		await agent.feed({ rounds: FAULT_LIMITS.backlogRounds, everyMs: 50, events: 2000, lanes: ["bulk"] });
		await sleep(FAULT_LIMITS.acknowledgedMs);
		center.resume();
		// It stood still for longer than a link lives: the command meets the backlog, not the wait for a new link.
		const untilMs = performance.now() + FAULT_LIMITS.betweenKillsMsMax;
		await sleep(FAULT_LIMITS.settlePollMs);
		let waiting = await uplink();
		while (!waiting.isUp && performance.now() < untilMs) {
			await sleep(20);
			waiting = await uplink();
		}
		const sentAtMs = performance.now();
		// Traces meet what the command meets: it all still waits at the proxy.
		const traced = agent.feed({ rounds: 10, everyMs: 20, events: 4, lanes: ["trace"] });
		await start(operator, 10 * 60_000);
		while (!agent.logged.has("command_came") && performance.now() - sentAtMs < FAULT_LIMITS.betweenKillsMsMax)
			await sleep(5);
		const downMs = performance.now() - sentAtMs;
		const behind = waiting.walBytes;
		await traced;
		const settleMsMax = FAULT_LIMITS.backlogSettleMsMax;
		const outcome = await judgeBox(box, context, { agents: [agent], settleMsMax });
		const upMs = Math.max(...agent.truth.custodyMs("trace").slice(-10));
		context.step(
			`down in ${Math.round(downMs)} ms with ${(behind / 1e6).toFixed(1)} MB waiting then; traces in custody within ${Math.round(upMs)} ms`,
		);
		if (behind < FAULT_LIMITS.commandBacklogBytesMin)
			violations.push(`only ${behind} bytes waited: the row tries nothing`);
		if (downMs > FAULT_LIMITS.commandMsMax)
			violations.push(`the command took ${Math.round(downMs)} ms through two hops`);
		if (upMs > FAULT_LIMITS.backlogTraceMsMax)
			violations.push(`a trace took ${Math.round(upMs)} ms behind the backlog`);
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}
