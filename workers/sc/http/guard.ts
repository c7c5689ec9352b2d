/**
 * What every request meets first. Guarantees: security headers on every answer; a write only from the console's own page; a
 * bounded body; and default deny: a route under /api without a listed exception needs a session. Must never trust a header that a
 * page of another origin could set.
 */
import type { Context, MiddlewareHandler } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { concatBytes, textOf } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { Role } from "#core/trust/trust-document.ts";
import { DESK_LIMITS, OBJECT_NAMES } from "../../../durable/sc-objects.ts";
import type { SessionFacts } from "../../../durable/sign-in.ts";
import type { ScEnv } from "../env.ts";
import { ROUTE_LIMITS } from "../limits.ts";
import { problem } from "./problems.ts";

export interface ScHono {
	Bindings: ScEnv;
	Variables: { session: SessionFacts };
}

/** Trusted Types are not required: Solid makes its templates, which are constants of the bundle, through innerHTML. */
const CONTENT_SECURITY_POLICY = [
	"default-src 'none'",
	"script-src 'self'",
	"style-src 'self'",
	"img-src 'self' data:",
	"font-src 'self'",
	"connect-src 'self'",
	"base-uri 'none'",
	"form-action 'none'",
	"frame-ancestors 'none'",
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
	"content-security-policy": CONTENT_SECURITY_POLICY,
	"x-content-type-options": "nosniff",
	"referrer-policy": "no-referrer",
	"cross-origin-opener-policy": "same-origin",
	"cross-origin-resource-policy": "same-origin",
	"permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), payment=()",
	"x-frame-options": "DENY",
};

/** A response from a binding has immutable headers; this one is new. */
export function secured(response: Response, isHttps: boolean): Response {
	const out = new Response(response.body, response);
	for (const [name, value] of Object.entries(HEADERS)) out.headers.set(name, value);
	if (isHttps) out.headers.set("strict-transport-security", "max-age=31536000");
	return out;
}

const isHttpsOrigin = (env: ScEnv): boolean => env.CONSOLE_ORIGIN.startsWith("https://");

export const securityHeaders: MiddlewareHandler<ScHono> = async (context, next) => {
	await next();
	context.res = secured(context.res, isHttpsOrigin(context.env));
};

/** A write comes from the console's own page: browsers set both headers and no page can forge them. */
export const ownOrigin: MiddlewareHandler<ScHono> = async (context, next) => {
	const { method } = context.req;
	if (method === "GET" || method === "HEAD") return next();
	const site = context.req.header("sec-fetch-site");
	const isOwn =
		context.req.header("origin") === context.env.CONSOLE_ORIGIN && (site === undefined || site === "same-origin");
	const detail = `Writes are taken from ${context.env.CONSOLE_ORIGIN} only.`;
	return isOwn ? next() : problem({ code: "origin_refused", detail });
};

const BODY_TOO_LARGE = `A request has at most ${ROUTE_LIMITS.bodyBytesMax} bytes.`;

export const boundedBody: MiddlewareHandler<ScHono> = async (context, next) => {
	const length = Number(context.req.header("content-length") ?? "0");
	const isFit = Number.isFinite(length) && length <= ROUTE_LIMITS.bodyBytesMax;
	return isFit ? next() : problem(fail("body_too_large", BODY_TOO_LARGE));
};

export type BodyCode = "body_too_large" | "request_malformed";

/** Members of a JSON object body. A body whose length nobody announced is counted while it is read. */
export async function jsonBody(context: Context<ScHono>): Promise<Result<Readonly<Record<string, unknown>>, BodyCode>> {
	const chunks: Uint8Array[] = [];
	let length = 0;
	for await (const chunk of (context.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
		length += chunk.length;
		if (length <= ROUTE_LIMITS.bodyBytesMax) chunks.push(chunk);
		// Some of what is too much is read and not kept, so that the sender gets the answer and not a reset.
		else if (length > ROUTE_LIMITS.bodyBytesDrained) break;
	}
	if (length > ROUTE_LIMITS.bodyBytesMax) return fail("body_too_large", BODY_TOO_LARGE);
	try {
		const value: unknown = JSON.parse(textOf(concatBytes(...chunks)) ?? "");
		if (typeof value === "object" && value !== null && !Array.isArray(value))
			return ok(value as Record<string, unknown>);
	} catch {
		// Text that is no JSON is answered like JSON that is no object.
	}
	return fail("request_malformed", "The body is not a JSON object.");
}

/** Over plain HTTP on localhost a browser refuses the `__Host-` prefix with no Secure; the name says which one it is. */
function cookieName(env: ScEnv): string {
	return isHttpsOrigin(env) ? "__Host-daemoneye" : "daemoneye";
}

export function sessionSecret(context: Context<ScHono>): string | null {
	return getCookie(context, cookieName(context.env)) ?? null;
}

export function setSessionCookie(context: Context<ScHono>, secret: string): void {
	setCookie(context, cookieName(context.env), secret, {
		path: "/",
		httpOnly: true,
		secure: isHttpsOrigin(context.env),
		sameSite: "Strict",
		maxAge: DESK_LIMITS.sessionAgeMs / 1000,
	});
}

export function clearSessionCookie(context: Context<ScHono>): void {
	deleteCookie(context, cookieName(context.env), { path: "/", secure: isHttpsOrigin(context.env) });
}

/** Routes that must work before there is a session. */
const OPEN_ROUTES = new Set([
	"GET /api/session",
	"POST /api/session",
	"POST /api/session/challenge",
	"DELETE /api/session",
	"POST /api/invitations/redeem",
]);

export const sessionRequired: MiddlewareHandler<ScHono> = async (context, next) => {
	const secret = sessionSecret(context);
	const isOpen = OPEN_ROUTES.has(`${context.req.method} ${context.req.path}`);
	if (isOpen) return next();
	if (secret === null) return problem({ code: "session_missing", detail: "Sign in first." });
	const session = await context.env.TRACE_DESK.getByName(OBJECT_NAMES.desk).session(secret);
	if (!session.ok) return problem(session);
	context.set("session", session.value);
	return next();
};

/** The session's operator has at least one of the roles. */
export function withRole(...roles: readonly Role[]): MiddlewareHandler<ScHono> {
	return async (context, next) => {
		const { operator } = context.get("session");
		if (roles.some((role) => operator.roles.includes(role))) return next();
		return problem({ code: "role_missing", detail: `${operator.id} needs the role ${roles.join(" or ")}.` });
	};
}
