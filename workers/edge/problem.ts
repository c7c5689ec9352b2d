/**
 * Refusals over HTTP as problem details (RFC 9457): one shape for people and programs. `code` is the closed-union code of the
 * module that refused; it is never translated and never reused. Must never quote key material or an internal stack.
 */
import { EDGE_LIMITS } from "./limits.ts";

export interface Problem {
	readonly status: number;
	readonly code: string;
	readonly detail: string;
}

export function problemResponse(
	{ status, code, detail }: Problem,
	headers: Readonly<Record<string, string>> = {},
): Response {
	const body = {
		type: `urn:daemoneye:problem:${code}`,
		title: code.replaceAll("_", " "),
		status,
		code,
		detail: detail.slice(0, EDGE_LIMITS.detailLengthMax),
	};
	return new Response(JSON.stringify(body), {
		status,
		headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...headers },
	});
}
