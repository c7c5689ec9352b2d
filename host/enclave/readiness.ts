/** Waiting until evidence really flows: the Security Center is asked how many batches it holds, nothing else counts as ready. */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import type { CenterConfig, ProxyConfig } from "../config/box-config.ts";
import { consoleHealthUrl } from "./center-process.ts";

export type ReadinessCode = "no_events" | "interrupted";

/** A cold start on two busy cores took 8 s until the first row; past this something is wrong. */
const FIRST_EVENTS_MS_MAX = 60_000;
const POLL_MS = 200;
const ANSWER_MS_MAX = 2000;

interface CenterHealth {
	readonly storedBatches: number;
}

function ask(url: string): Promise<string> {
	const { promise, resolve, reject } = Promise.withResolvers<string>();
	const isTls = url.startsWith("https:");
	// Asked on this machine and shown to a person only: the certificate is for the name that browsers use.
	const options = { agent: false, timeout: ANSWER_MS_MAX, rejectUnauthorized: false } as const;
	const question = (isTls ? requestHttps : requestHttp)(url, options, (answer) => {
		if (answer.statusCode === 200) resolve(text(answer));
		else reject(new Error(`status ${answer.statusCode}`));
	});
	question.on("timeout", () => question.destroy(new Error("no answer in time")));
	question.on("error", reject);
	question.end();
	return promise;
}

/** Null while it does not answer: a Security Center that is being restarted is "not yet", like a slow one. */
export async function centerHealth(center: CenterConfig): Promise<CenterHealth | null> {
	try {
		return JSON.parse(await ask(consoleHealthUrl(center))) as CenterHealth;
	} catch {
		// Connection refused, reset or timed out: the caller asks again.
		return null;
	}
}

/** What `daemoneye status` says of a proxy: members of its public health answer, which stays on loopback. */
export interface ProxyHealth {
	readonly isUp: boolean;
	readonly upstream: string;
	readonly sinceMs: number;
	readonly timeMs: number;
	readonly lastError: string | null;
	readonly walBytes: number;
	readonly lagMs: number;
	readonly agentsUp: number;
}

/** Null while it does not answer. */
export async function proxyHealth(proxy: ProxyConfig): Promise<ProxyHealth | null> {
	try {
		return (JSON.parse(await ask(`http://${proxy.health}/healthz`)) as { uplink: ProxyHealth }).uplink;
	} catch {
		// Connection refused, reset or timed out: the caller says so.
		return null;
	}
}

/** Waits for more batches than there were before the proxy and the agents started. */
export async function waitForEvents(
	enclave: { readonly center: CenterConfig; readonly storedBefore: number },
	signal: AbortSignal,
): Promise<Result<void, ReadinessCode>> {
	const untilMs = performance.now() + FIRST_EVENTS_MS_MAX;
	while (performance.now() < untilMs) {
		if (signal.aborted) return fail("interrupted", "Stopped while waiting for the first events.");
		if (((await centerHealth(enclave.center))?.storedBatches ?? 0) > enclave.storedBefore) return ok(undefined);
		await sleep(POLL_MS);
	}
	return fail(
		"no_events",
		"No event has reached the Security Center within a minute: see logs/agent-*.log and logs/px-1.log in the data folder.",
	);
}
