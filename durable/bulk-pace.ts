/**
 * How fast a hop takes bulk from other hops. What a hop takes from its neighbour it took custody of before, so nothing is safer for
 * haste; and each batch costs the one thread that carries traces, too. So while enough bulk waits here to keep the way up busy, more
 * of it comes at a steady pace on each link: one that sends too much slows nobody else. The neighbour notices it by its receipts and sends no more than that.
 * Must never hold anything longer than its sender waits for a receipt, and nothing but bulk.
 */
import { PACE_LIMITS } from "./limits.ts";

export class BulkPace {
	/** When the next carrier may be taken. */
	#nextAtMs = 0;

	/** How long so many bytes of bulk wait before they are taken; counts them as taken. */
	waitMs(bytes: number, { waitingBytes, nowMs }: { readonly waitingBytes: number; readonly nowMs: number }): number {
		const { enoughBytes, bytesPerSecond, waitMsMax } = PACE_LIMITS;
		if (waitingBytes < enoughBytes) return 0;
		// A clock that was set back must not keep anything waiting.
		const isAhead = this.#nextAtMs > nowMs && this.#nextAtMs <= nowMs + waitMsMax;
		const atMs = isAhead ? this.#nextAtMs : nowMs;
		this.#nextAtMs = Math.min(nowMs + waitMsMax, atMs + (1000 * bytes) / bytesPerSecond);
		return atMs - nowMs;
	}
}
