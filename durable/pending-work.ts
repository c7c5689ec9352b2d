/**
 * Work of one link that is still being done, by agent: what comes for an agent waits behind what came before it, but for batches of
 * another lane; agents do not wait for each other. Guarantees the order, and a bound over all of it: a sender that goes on beyond its window is noticed before it costs
 * memory. Pure but for the promises.
 */
export interface PendingLimits {
	readonly pendingBytesMax: number;
	/** What an item costs at least, however short its message: a promise and what it holds. */
	readonly pendingItemBytesMin: number;
}

/** What an agent waits for: all of it, or, beside each other, what is of one lane. */
interface Tail {
	all: Promise<void>;
	/** Of it, what is not done. */
	count: number;
	readonly lanes: Map<string, Promise<void>>;
}

export class PendingWork {
	readonly #limits: PendingLimits;
	readonly #onFailed: (key: string, error: Error) => void;
	readonly #tails = new Map<string, Tail>();
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

	#tail(key: string): Tail {
		const known = this.#tails.get(key);
		if (known !== undefined) return known;
		const tail = { all: Promise.resolve(), count: 0, lanes: new Map<string, Promise<void>>() };
		this.#tails.set(key, tail);
		return tail;
	}

	/** Runs after whatever is still being done for `key`; a failure is told and the next goes on. Ask `hasRoom` before. */
	add(key: string, bytes: number, work: () => Promise<void>): void {
		const tail = this.#tail(key);
		const before = Promise.all([tail.all, ...tail.lanes.values()]);
		tail.all = this.#run(key, before, { bytes, work });
		tail.lanes.clear();
	}

	/** The same, but beside what is done for `key` in other lanes; what `add` gets waits for all of them, and they for it. */
	addInLane(key: string, lane: string, item: { readonly bytes: number; readonly work: () => Promise<void> }): void {
		const tail = this.#tail(key);
		tail.lanes.set(lane, this.#run(key, tail.lanes.get(lane) ?? tail.all, item));
	}

	async #run(
		key: string,
		before: Promise<unknown>,
		{ bytes, work }: { readonly bytes: number; readonly work: () => Promise<void> },
	): Promise<void> {
		const cost = Math.max(bytes, this.#limits.pendingItemBytesMin);
		this.#bytes += cost;
		const tail = this.#tail(key);
		tail.count++;
		await before;
		try {
			await work();
		} catch (error) {
			this.#onFailed(key, error as Error);
		}
		this.#bytes -= cost;
		if (--tail.count === 0) this.#tails.delete(key);
	}
}
