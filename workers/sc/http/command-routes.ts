/** Commands: signed by the operator's own key, approved by others, sent by the desk. Contract: api/answers.ts. */
import { Hono } from "hono";
import { bytesOfBase64, bytesOfHex } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { signedEnvelopeShape, traceCommandShape } from "#core/model/command.ts";
import { OBJECT_NAMES } from "../../../durable/sc-objects.ts";
import type { CommandAnswer, CommandsAnswer } from "../api/answers.ts";
import type { ScEnv } from "../env.ts";
import { storeOf } from "../store/open.ts";
import { isAgentStored, markHit } from "../store/queries.ts";
import { jsonBody, type ScHono, withRole } from "./guard.ts";
import { problem } from "./problems.ts";
import { commandView } from "./traces.ts";

const MALFORMED = { code: "request_malformed", detail: "The fields are missing or are not what they should be." };

/** Whether the store has heard of the agent that an envelope is for. One that does not read is the desk's to refuse by name. */
async function isTargetKnown(env: ScEnv, envelopeBytes: Uint8Array): Promise<boolean> {
	const envelope = decodeAs(signedEnvelopeShape, envelopeBytes);
	const command = envelope.ok ? decodeAs(traceCommandShape, envelope.value.payload) : envelope;
	return command.ok && (await isAgentStored((await storeOf(env)).reader, command.value.targetAgent));
}

export const commandRoutes = new Hono<ScHono>()
	.get("/", async (context) => {
		const wanted = context.req.query("state");
		const all = await context.env.TRACE_DESK.getByName(OBJECT_NAMES.desk).commands();
		const commands = all
			.filter(({ state }) => wanted === undefined || state === wanted)
			.map((facts) => ({ ...commandView(facts), traceId: facts.traceId, reason: facts.command.reason }));
		return context.json({ commands } satisfies CommandsAnswer);
	})
	.post("/", withRole("analyst"), async (context) => {
		const body = await jsonBody(context);
		if (!body.ok) return problem(body);
		const envelope = typeof body.value.envelope === "string" ? bytesOfBase64(body.value.envelope) : null;
		const hitId = body.value.hitId ?? null;
		if (envelope === null || (hitId !== null && !Number.isSafeInteger(hitId))) return problem(MALFORMED);
		const { operator } = context.get("session");
		const desk = context.env.TRACE_DESK.getByName(OBJECT_NAMES.desk);
		const isAgentKnown = await isTargetKnown(context.env, envelope);
		const taken = await desk.submit(operator.id, envelope, { hitId: hitId as number | null, isAgentKnown });
		if (!taken.ok) return problem(taken);
		if (hitId !== null) await markHit((await storeOf(context.env)).writer, hitId as number, taken.value.traceId);
		const answer: CommandAnswer = { command: commandView(taken.value), traceId: taken.value.traceId };
		return context.json(answer, 202);
	})
	.post("/:commandId/approvals", withRole("approver"), async (context) => {
		const body = await jsonBody(context);
		if (!body.ok) return problem(body);
		const signature = typeof body.value.signature === "string" ? bytesOfHex(body.value.signature) : null;
		if (signature?.length !== 64) return problem(MALFORMED);
		const { operator } = context.get("session");
		const desk = context.env.TRACE_DESK.getByName(OBJECT_NAMES.desk);
		const approved = await desk.approve(operator.id, context.req.param("commandId"), signature);
		if (!approved.ok) return problem(approved);
		const answer: CommandAnswer = { command: commandView(approved.value), traceId: approved.value.traceId };
		return context.json(answer, 202);
	});
