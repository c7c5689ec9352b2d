/**
 * Work that is done as often as it is asked for, once at a time, and again after a growing wait when it failed. Guarantees that a kick
 * during the work is not lost, and that one during the wait sets an alarm for its end.
 */
import { backoffMs } from "./backoff.ts";
import { CHANNEL_LIMITS } from "./limits.ts";

const BACKOFF = { firstMs: CHANNEL_LIMITS.deliverBackoffMs, longestMs: CHANNEL_LIMITS.deliverBackoffMsMax };

export interface RetryLoopParts {
	readonly work: () => Promise<void>;
	/** Asks to be kicked again at a time, also after a crash. */
	readonly wakeAt: (atMs: number) => void;
	readonly onFailed: (error: Error, failures: number) => void;
}

export class RetryLoop {
	readonly #parts: RetryLoopParts;
	#running: Promise<void> | null = null;
	#isKicked = false;
	#failures = 0;
	#notBeforeMs = 0;

	constructor(parts: RetryLoopParts) {
		this.#parts = parts;
	}

	/** At once, or when the current wait is over. */
	kick(): Promise<void> {
		this.#isKicked = true;
		const waitMs = this.#notBeforeMs - Date.now();
		// A wait longer than the longest was set by a clock that has been set back since.
		if (waitMs > 0 && waitMs <= CHANNEL_LIMITS.deliverBackoffMsMax) {
			this.#parts.wakeAt(this.#notBeforeMs);
			return Promise.resolve();
		}
		this.#running ??= this.#run();
		return this.#running;
	}

	async #run(): Promise<void> {
		try {
			while (this.#isKicked) {
				this.#isKicked = false;
				await this.#parts.work();
			}
			this.#failures = 0;
		} catch (error) {
			this.#failures++;
			this.#notBeforeMs = Date.now() + backoffMs(BACKOFF, this.#failures, Math.random());
			this.#parts.wakeAt(this.#notBeforeMs);
			this.#parts.onFailed(error as Error, this.#failures);
		} finally {
			this.#running = null;
		}
	}
}
