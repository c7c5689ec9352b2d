/**
 * Who may read a box's metrics: whoever shows the box's own metrics token, and nobody else (ADR 0014). Guarantees default deny: a box
 * that was given no token answers as if there were nothing. Must never say whether a token was nearly right.
 */
import { equalBytes, utf8 } from "#core/bytes/bytes.ts";
import { sha256 } from "#crypto";
import { type Family, OPEN_METRICS_TYPE, openMetricsText } from "./open-metrics.ts";
import { problemResponse } from "./problem.ts";

export interface MetricsEnv {
	/** 64 hex digits from the box's `metrics-token` file. */
	readonly METRICS_TOKEN?: string;
}

/** Shorter than what the host writes: a token somebody typed. */
const TOKEN_CHARS_MIN = 43;

export async function answerMetrics(
	request: Request,
	env: MetricsEnv,
	families: () => Promise<readonly Family[]>,
): Promise<Response> {
	const { METRICS_TOKEN: token = "" } = env;
	if (request.method !== "GET" || token.length < TOKEN_CHARS_MIN)
		return problemResponse({ status: 404, code: "not_found", detail: "there is nothing here" });
	const shown = request.headers.get("authorization") ?? "";
	// Hashes are compared, so that the time taken tells nothing of the token.
	if (!equalBytes(sha256(utf8(shown)), sha256(utf8(`Bearer ${token}`))))
		return problemResponse(
			{ status: 401, code: "metrics_token_missing", detail: "metrics are read with this box's metrics token" },
			{ "www-authenticate": 'Bearer realm="daemoneye metrics"' },
		);
	const text = openMetricsText(await families());
	return new Response(text, { headers: { "content-type": OPEN_METRICS_TYPE, "cache-control": "no-store" } });
}
