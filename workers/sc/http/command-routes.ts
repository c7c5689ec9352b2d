/** Commands: signed by the operator's own key, approved by others, sent by the desk. Contract: api/answers.ts. */
import { Hono } from "hono";
import { bytesOfBase64, bytesOfHex } from "#core/bytes/bytes.ts";
import { OBJECT_NAMES } from "../../../durable/sc-objects.ts";
import type { CommandAnswer, CommandsAnswer } from "../api/answers.ts";
import { storeOf } from "../store/open.ts";
import { markHit } from "../store/queries.ts";
import { jsonBody, type ScHono, withRole } from "./guard.ts";
import { problem } from "./problems.ts";
import { commandView } from "./traces.ts";

const MALFORMED = { code: "request_malformed", detail: "The fields are missing or are not what they should be." };

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
		const taken = await desk.submit(operator.id, envelope, hitId as number | null);
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
