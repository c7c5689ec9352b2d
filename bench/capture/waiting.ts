/** Waiting in a bench: for a time, or for something to become true, and never past a Ctrl-C. */
import { setTimeout as sleep } from "node:timers/promises";
import { CAPTURE_LIMITS } from "./limits.ts";

/** Pauses; an interrupted bench goes on at once, and looks at the signal itself. */
export async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
	await sleep(durationMs, null, { signal }).catch(() => null);
}

/** Looks until it holds; false when the time was over first, or on Ctrl-C. */
export async function until(
	holds: () => boolean | Promise<boolean>,
	{ maxMs, signal }: { readonly maxMs: number; readonly signal: AbortSignal },
): Promise<boolean> {
	const endMs = performance.now() + maxMs;
	while (!signal.aborted) {
		if (await holds()) return true;
		if (performance.now() > endMs) return false;
		await pause(CAPTURE_LIMITS.pollMs, signal);
	}
	return false;
}
