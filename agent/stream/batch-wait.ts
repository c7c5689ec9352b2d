/**
 * How long a bulk batch gathers before it goes to the disk and to the hop. On a quiet host the first event goes almost at once; each
 * further batch of a busy time gathers longer, up to the site's `batch_max_ms`, where every batch costs the least for what is in it; while
 * the hop is behind nothing is gained by haste. Guarantees a wait within its two limits, and at most two batches more in a quiet second
 * than without it. Must never be asked for traces and alerts: theirs is fixed.
 */
import { AGENT_LIMITS } from "../limits.ts";

export class BatchWait {
	readonly #maxMs: number;
	#waitMs = 0;
	/** When the newest batch was stored. */
	#storedAtMs = Number.NEGATIVE_INFINITY;

	/** `maxMs`: the site's `batch_max_ms`. */
	constructor(maxMs: number) {
		this.#maxMs = maxMs;
	}

	/** A batch begins: how long it gathers. `isBehind`: what was made before waits for the hop. */
	begin(nowMs: number, isBehind: boolean): number {
		const { bulkFlushMsMin, bulkFlushGrowth, bulkQuietMs } = AGENT_LIMITS;
		const isQuiet = nowMs - this.#storedAtMs >= bulkQuietMs;
		const wanted = isQuiet ? bulkFlushMsMin : this.#waitMs * bulkFlushGrowth;
		this.#waitMs = isBehind ? this.#maxMs : Math.min(wanted, this.#maxMs);
		return this.#waitMs;
	}

	/** The batch is on the disk. */
	stored(nowMs: number): void {
		this.#storedAtMs = nowMs;
	}
}
