/**
 * Work of one link that is still being done, by agent: what comes for an agent waits behind what came before it, agents do not wait
 * for each other. Guarantees the order, and a bound over all of it: a sender that goes on beyond its window is noticed before it costs
 * memory. Pure but for the promises.
 */
export interface PendingLimits {
	readonly pendingBytesMax: number;
	/** What an item costs at least, however short its message: a promise and what it holds. */
	readonly pendingItemBytesMin: number;
}

export class PendingWork {
	readonly #limits: PendingLimits;
	readonly #onFailed: (key: string, error: Error) => void;
	readonly #tails = new Map<string, Promise<void>>();
	#bytes = 0;

	constructor(limits: PendingLimits, onFailed: (key: string, error: Error) => void) {
		this.#limits = limits;
		this.#onFailed = onFailed;
	}

	get bytes(): number {
		return this.#bytes;
	}

	/** Whether so many bytes more may wait. */
	hasRoom(bytes: number): boolean {
		return this.#bytes + Math.max(bytes, this.#limits.pendingItemBytesMin) <= this.#limits.pendingBytesMax;
	}

	/** Runs after whatever is still being done for `key`; a failure is told and the next goes on. Ask `hasRoom` before. */
	add(key: string, bytes: number, work: () => Promise<void>): void {
		const cost = Math.max(bytes, this.#limits.pendingItemBytesMin);
		this.#bytes += cost;
		const before = this.#tails.get(key) ?? Promise.resolve();
		const tail = before.then(work).catch((error: Error) => this.#onFailed(key, error));
		this.#tails.set(key, tail);
		void tail.then(() => {
			this.#bytes -= cost;
			if (this.#tails.get(key) === tail) this.#tails.delete(key);
		});
	}
}
