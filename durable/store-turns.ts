/**
 * Whose bulk goes into the store next, over all channels of one isolate, and how much of it at once. The store writes one delivery
 * after the other: with every channel delivering what it has, a trace waits behind megabytes of other agents' bulk. So bulk takes
 * turns, first come first served, each delivery as large as the store takes in a moment; trace and alert ask for no turn. Guarantees
 * that a turn whose holder died is free again after a while. Nothing of it is on disk. Must never hold back anything but bulk.
 */
import { forgetOldest } from "./forget-oldest.ts";
import { CHANNEL_LIMITS, TURN_LIMITS } from "./limits.ts";

export class StoreTurns {
	/** Turns in use, with the time they were taken. */
	readonly #held = new Map<symbol, number>();
	/** Who waits, in order; each is called once when a turn may be free. */
	readonly #waiting = new Set<() => void>();
	#bytesMax: number = TURN_LIMITS.firstBytes;

	/** What one delivery of bulk holds at most; a single larger batch goes all the same. */
	get bytesMax(): number {
		return this.#bytesMax;
	}

	/** A turn, or null when others have them all. */
	take(nowMs: number): symbol | null {
		// A clock that was set back, too, must not keep a turn for ever.
		for (const [turn, takenMs] of this.#held)
			if (nowMs - takenMs > TURN_LIMITS.holdMsMax || nowMs < takenMs) this.#held.delete(turn);
		if (this.#held.size >= TURN_LIMITS.bulkAtOnce) return null;
		const turn = Symbol("turn");
		this.#held.set(turn, nowMs);
		return turn;
	}

	/** Calls back when a turn may be free. A callback that is given again keeps its place. */
	await(onFree: () => void): void {
		this.#waiting.add(onFree);
		forgetOldest(this.#waiting, TURN_LIMITS.waitingMax);
	}

	/** The delivery is over; how long a full one took says how large the next may be. */
	done(turn: symbol, took: { readonly ms: number; readonly isFull: boolean }): void {
		this.#held.delete(turn);
		if (took.ms > TURN_LIMITS.deliveryMs) this.#bytesMax = Math.max(TURN_LIMITS.leastBytes, this.#bytesMax / 2);
		else if (took.isFull && took.ms < TURN_LIMITS.deliveryMs / 2)
			this.#bytesMax = Math.min(CHANNEL_LIMITS.deliverBytesMax, this.#bytesMax * 2);
		const [first] = this.#waiting;
		if (first === undefined) return;
		this.#waiting.delete(first);
		first();
	}
}

let shared: StoreTurns | null = null;

/** The one of this isolate. */
export function storeTurns(): StoreTurns {
	shared ??= new StoreTurns();
	return shared;
}
