/**
 * How much bulk may be on its way upstream: enough to keep upstream busy, and no more, because what is in the pipe is ahead of the
 * next trace. Judged by how long receipts take beyond the shortest that this link has shown lately (the delay of the queue and not of the
 * wire, as in RFC 6817), so a long line keeps its whole window and a slow upstream is not buried. Pure.
 */
import { PIPE_LIMITS } from "./limits.ts";

export class PipeDepth {
	readonly #bytesMax: number;
	#bytes: number;
	/** Shortest waits of this interval and of the one before. */
	#leastMs = Number.POSITIVE_INFINITY;
	#leastBeforeMs = Number.POSITIVE_INFINITY;
	#intervalSinceMs = Number.NEGATIVE_INFINITY;
	#shrunkAtMs = Number.NEGATIVE_INFINITY;

	constructor(bytesMax: number) {
		this.#bytesMax = bytesMax;
		this.#bytes = bytesMax;
	}

	get bytes(): number {
		return this.#bytes;
	}

	/** A receipt came for bulk that was sent so long ago. */
	heard(waitedMs: number, nowMs: number): void {
		// A clock that was set says nothing.
		if (waitedMs < 0 || waitedMs > PIPE_LIMITS.waitMsMax) return;
		this.#note(waitedMs, nowMs);
		const queuedMs = waitedMs - Math.min(this.#leastMs, this.#leastBeforeMs);
		if (queuedMs <= PIPE_LIMITS.queuedMs) {
			this.#bytes = Math.min(this.#bytesMax, this.#bytes + PIPE_LIMITS.growBytes);
			return;
		}
		// What was sent before the last cut still waits as long: one cut per round.
		const sinceMs = nowMs - this.#shrunkAtMs;
		if (sinceMs >= 0 && sinceMs < waitedMs) return;
		this.#shrunkAtMs = nowMs;
		this.#bytes = Math.max(PIPE_LIMITS.leastBytes, this.#bytes * PIPE_LIMITS.shrinkTo);
	}

	#note(waitedMs: number, nowMs: number): void {
		const age = nowMs - this.#intervalSinceMs;
		if (age < 0 || age > PIPE_LIMITS.intervalMs) {
			this.#leastBeforeMs = this.#leastMs;
			this.#leastMs = Number.POSITIVE_INFINITY;
			this.#intervalSinceMs = nowMs;
		}
		this.#leastMs = Math.min(this.#leastMs, waitedMs);
	}
}
