/**
 * How far another node's clock is off, from messages that bear their time of sending. Pure. Each sample "our time on hearing less
 * its time on sending" is the delay less the offset, and a delay is never negative, so the smallest sample is the nearest: the true
 * offset is at least what is answered, and at most the fastest one-way delay more, which the fastest round trip bounds.
 */

/** Samples that vote: at one every two to ten seconds some minutes, long enough for one quick delivery, short enough for drift. */
export const CLOCK_SAMPLES_MAX = 32;

/** A jump beyond this is the clock being set, not a slow delivery: what was heard before it says nothing any more. */
const CLOCK_JUMP_MS = 5000;

/**
 * The samples with one more. A sample far below all others means that the other clock was set forward, two far above that it was set
 * back; the samples then begin anew, so that a corrected clock is believed within two heartbeats and not after all samples have gone.
 */
export function addClockSample(samples: readonly number[], sampleMs: number): number[] {
	const last = samples.at(-1);
	const least = Math.min(...samples);
	const isForward = last !== undefined && sampleMs < least - CLOCK_JUMP_MS;
	const isBack = last !== undefined && Math.min(last, sampleMs) > least + CLOCK_JUMP_MS;
	if (isForward) return [sampleMs];
	if (isBack) return [last, sampleMs];
	return [...samples, sampleMs].slice(-CLOCK_SAMPLES_MAX);
}

/** The other clock less ours, milliseconds; 0 without a sample. */
export function clockOffsetOf(samples: readonly number[]): number {
	return samples.length === 0 ? 0 : -Math.min(...samples);
}
