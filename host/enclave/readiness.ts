/** Waiting until evidence really flows: the Security Center is asked how many batches it holds, nothing else counts as ready. */
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";

export type ReadinessCode = "no_events" | "interrupted";

/** A cold start on two busy cores took 8 s until the first row; past this something is wrong. */
const FIRST_EVENTS_MS_MAX = 60_000;
const POLL_MS = 200;

interface CenterHealth {
	readonly storedBatches: number;
}

/** Null while it does not answer: a Security Center that is being restarted is "not yet", like a slow one. */
export async function centerHealth(consoleUrl: string): Promise<CenterHealth | null> {
	try {
		const answer = await fetch(`${consoleUrl}/healthz`, { signal: AbortSignal.timeout(2000) });
		return answer.ok ? ((await answer.json()) as CenterHealth) : null;
	} catch {
		// Connection refused, reset or timed out: the caller asks again.
		return null;
	}
}

export async function waitForEvents(consoleUrl: string, signal: AbortSignal): Promise<Result<void, ReadinessCode>> {
	const untilMs = performance.now() + FIRST_EVENTS_MS_MAX;
	while (performance.now() < untilMs) {
		if (signal.aborted) return fail("interrupted", "Stopped while waiting for the first events.");
		if (((await centerHealth(consoleUrl))?.storedBatches ?? 0) > 0) return ok(undefined);
		await sleep(POLL_MS);
	}
	return fail(
		"no_events",
		"No event has reached the Security Center within a minute: see logs/agent-*.log and logs/px-1.log in the data folder.",
	);
}
