/** Sign-in: redeeming an invitation, proving a key, and who the cookie is. Contract: api/answers.ts. */
import { Hono } from "hono";
import { bytesOfHex } from "#core/bytes/bytes.ts";
import { OBJECT_NAMES } from "../../../durable/sc-objects.ts";
import type { DeskState } from "../../../durable/trace-desk.ts";
import type { ChallengeAnswer, RedeemAnswer, SessionAnswer } from "../api/answers.ts";
import { clearSessionCookie, jsonBody, type ScHono, sessionSecret, setSessionCookie } from "./guard.ts";
import { problem } from "./problems.ts";

const MALFORMED = { code: "request_malformed", detail: "The fields are missing or are not what they should be." };

function bytesIn(value: unknown, length: number): Uint8Array | null {
	const bytes = typeof value === "string" ? bytesOfHex(value) : null;
	return bytes?.length === length ? bytes : null;
}

function answerOf({ trust, isAwaitingOperators }: DeskState, operator: SessionAnswer["operator"]): SessionAnswer {
	return {
		enclave: trust.enclave,
		mode: trust.mode,
		trustVersion: trust.version,
		isAwaitingOperators,
		operator,
		ceilings: {
			depthMax: trust.traceDepthMax,
			durationSecsMax: trust.traceDurationSecsMax,
			approvals: trust.traceApprovals,
		},
		serverTimeMs: Date.now(),
	};
}

export const sessionRoutes = new Hono<ScHono>()
	.get("/session", async (context) => {
		const desk = context.env.TRACE_DESK.getByName(OBJECT_NAMES.desk);
		const secret = sessionSecret(context);
		const session = secret === null ? null : await desk.session(secret);
		const operator = session?.ok ? session.value.operator : null;
		const who = operator === null ? null : { id: operator.id, name: operator.name, roles: [...operator.roles] };
		return context.json(answerOf(await desk.state(), who));
	})
	.post("/session/challenge", async (context) => {
		const body = await jsonBody(context);
		if (!body.ok) return problem(body);
		const publicKey = bytesIn(body.value.publicKey, 32);
		if (publicKey === null) return problem(MALFORMED);
		const made = await context.env.TRACE_DESK.getByName(OBJECT_NAMES.desk).challenge(publicKey);
		return context.json(made satisfies ChallengeAnswer);
	})
	.post("/session", async (context) => {
		const body = await jsonBody(context);
		if (!body.ok) return problem(body);
		const publicKey = bytesIn(body.value.publicKey, 32);
		const challenge = bytesIn(body.value.challenge, 32);
		const signature = bytesIn(body.value.signature, 64);
		if (publicKey === null || challenge === null || signature === null) return problem(MALFORMED);
		const desk = context.env.TRACE_DESK.getByName(OBJECT_NAMES.desk);
		const secret = await desk.signIn(publicKey, challenge, signature);
		if (!secret.ok) return problem(secret);
		const session = await desk.session(secret.value);
		if (!session.ok) return problem(session);
		setSessionCookie(context, secret.value);
		const { id, name, roles } = session.value.operator;
		return context.json(answerOf(await desk.state(), { id, name, roles: [...roles] }));
	})
	.delete("/session", async (context) => {
		const secret = sessionSecret(context);
		if (secret !== null) await context.env.TRACE_DESK.getByName(OBJECT_NAMES.desk).signOut(secret);
		clearSessionCookie(context);
		return context.body(null, 204);
	})
	.post("/invitations/redeem", async (context) => {
		const body = await jsonBody(context);
		if (!body.ok) return problem(body);
		const token = body.value.token;
		const publicKey = bytesIn(body.value.publicKey, 32);
		const signature = bytesIn(body.value.signature, 64);
		if (typeof token !== "string" || token.length > 200 || publicKey === null || signature === null)
			return problem(MALFORMED);
		const redeemed = await context.env.TRACE_DESK.getByName(OBJECT_NAMES.desk).redeem(token, publicKey, signature);
		return redeemed.ok ? context.json(redeemed.value satisfies RedeemAnswer) : problem(redeemed);
	});
