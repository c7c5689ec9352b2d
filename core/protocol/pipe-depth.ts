/**
 * How much bulk may be on its way upstream: enough to keep upstream busy, and no more, because what is in the pipe is ahead of the
 * next trace, or fills the next hop's memory. Judged by how long receipts take beyond the shortest that this link has shown lately (the
 * delay of the queue and not of the wire, as in RFC 6817), so a long line keeps its whole window and a slow upstream is not buried. Pure.
 */
import { PIPE_LIMITS } from "./limits.ts";

/** What a link may have on its way without a receipt: at most, and however slow the other side is. */
export interface PipeBounds {
	readonly bytesMax: number;
	readonly bytesMin: number;
}

export class PipeDepth {
	readonly #bounds: PipeBounds;
	#bytes: number;
	/** Shortest waits of this interval and of the one before. */
	#leastMs = Number.POSITIVE_INFINITY;
	#leastBeforeMs = Number.POSITIVE_INFINITY;
	#intervalSinceMs = Number.NEGATIVE_INFINITY;
	/** While the pipe is drained to see the line's own time: since when, and what it held before. */
	#drained: { readonly sinceMs: number; readonly bytes: number } | null = null;
	#shrunkAtMs = Number.NEGATIVE_INFINITY;

	constructor(bounds: PipeBounds) {
		this.#bounds = bounds;
		this.#bytes = bounds.bytesMax;
	}

	get bytes(): number {
		return this.#bytes;
	}

	/** A receipt came for bulk that was sent so long ago. */
	heard(waitedMs: number, nowMs: number): void {
		// A clock that was set says nothing.
		if (waitedMs < 0 || waitedMs > PIPE_LIMITS.waitMsMax) return;
		this.#note(waitedMs, nowMs);
		if (this.#drained !== null) {
			const { sinceMs, bytes } = this.#drained;
			if (nowMs >= sinceMs && nowMs - waitedMs < sinceMs) return;
			this.#drained = null;
			this.#bytes = bytes;
		}
		const queuedMs = waitedMs - Math.min(this.#leastMs, this.#leastBeforeMs);
		if (queuedMs <= PIPE_LIMITS.queuedMs) {
			this.#bytes = Math.min(this.#bounds.bytesMax, this.#bytes + PIPE_LIMITS.growBytes);
			return;
		}
		// What was sent before the last cut still waits as long: one cut per round.
		const sinceMs = nowMs - this.#shrunkAtMs;
		if (sinceMs >= 0 && sinceMs < waitedMs) return;
		this.#shrunkAtMs = nowMs;
		this.#bytes = Math.max(this.#bounds.bytesMin, this.#bytes * PIPE_LIMITS.shrinkTo);
	}

	#note(waitedMs: number, nowMs: number): void {
		const age = nowMs - this.#intervalSinceMs;
		if (age < 0 || age > PIPE_LIMITS.intervalMs) {
			this.#leastBeforeMs = this.#leastMs;
			this.#leastMs = Number.POSITIVE_INFINITY;
			this.#intervalSinceMs = nowMs;
			// A queue that always stands would come to count as the line: once an interval it is let run out.
			if (this.#leastBeforeMs !== Number.POSITIVE_INFINITY) this.#drain(nowMs);
		}
		this.#leastMs = Math.min(this.#leastMs, waitedMs);
	}

	#drain(nowMs: number): void {
		this.#drained = { sinceMs: nowMs, bytes: this.#drained?.bytes ?? this.#bytes };
		this.#bytes = this.#bounds.bytesMin;
	}
}
