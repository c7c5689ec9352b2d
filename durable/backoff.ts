/** Waits between tries: doubling from the first to the longest, spread over the upper half so that a try never comes at once. */
export interface Backoff {
	readonly firstMs: number;
	readonly longestMs: number;
}

/** `failures` ≥ 1 counts tries that failed in a row; `random` is in [0, 1). */
export function backoffMs(backoff: Backoff, failures: number, random: number): number {
	const whole = Math.min(backoff.longestMs, backoff.firstMs * 2 ** Math.min(failures - 1, 30));
	return Math.round(whole / 2 + (whole / 2) * random);
}
