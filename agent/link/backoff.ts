/** The wait before a new attempt: exponential with a cap and full jitter, so a fleet does not return to a proxy in step. */
import { AGENT_LIMITS } from "../limits.ts";

export class Backoff {
	readonly #random: () => number;
	#attempts = 0;

	/** `random` gives numbers in [0, 1). */
	constructor(random: () => number) {
		this.#random = random;
	}

	/** Milliseconds to wait now. */
	next(): number {
		const cap = Math.min(AGENT_LIMITS.backoffMaxMs, AGENT_LIMITS.backoffFirstMs * 2 ** Math.min(this.#attempts, 16));
		this.#attempts++;
		return Math.ceil(this.#random() * cap);
	}

	/** A link that was well for `livedMs` ended. */
	ended(livedMs: number): void {
		if (livedMs >= AGENT_LIMITS.backoffResetMs) this.#attempts = 0;
	}
}
