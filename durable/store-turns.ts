/**
 * Whose bulk goes into the store next, over all channels of one isolate, and how much of it at once. The store writes one delivery
 * after the other: with every channel delivering what it has, a trace waits behind megabytes of other agents' bulk. So bulk takes
 * turns, first come first served, each delivery as large as the store takes in a moment; trace and alert ask for no turn. Guarantees
 * that a turn whose holder died is free again after a while. Nothing of it is on disk. Must never hold back anything but bulk.
 */
import { CHANNEL_LIMITS, TURN_LIMITS } from "./limits.ts";
import { type Place, Places } from "./places.ts";

export class StoreTurns {
	readonly #places = new Places({ ...TURN_LIMITS, atOnce: TURN_LIMITS.firstBytes });
	#bytesMax: number = TURN_LIMITS.firstBytes;

	/** What one delivery of bulk holds at most; a single larger batch goes all the same. */
	get bytesMax(): number {
		return this.#bytesMax;
	}

	/** A turn for as many bytes as its units say, or null when others have them; who has not waited yet gets none before those who wait. */
	take(nowMs: number, hasWaited: boolean): Place | null {
		const most = this.#bytesMax;
		return this.#places.take(nowMs, hasWaited, {
			least: TURN_LIMITS.deliveryBytesMin,
			most,
			atOnce: TURN_LIMITS.bulkAtOnce * most,
		});
	}

	/** What the delivery really holds; the rest of the turn is others'. */
	holds(turn: Place, bytes: number): void {
		this.#places.give(turn, Math.max(bytes, TURN_LIMITS.deliveryBytesMin));
	}

	/** Calls back when a turn may be free. A callback that is given again keeps its place. */
	await(onFree: () => void): void {
		this.#places.await(onFree);
	}

	/** It waits no longer. */
	forget(onFree: () => void): void {
		this.#places.forget(onFree);
	}

	/** The delivery is over; how long a full one took says how large the next may be. A small one waited for others'. */
	done(turn: Place, took: { readonly ms: number; readonly isFull: boolean }): void {
		if (took.isFull && took.ms > TURN_LIMITS.deliveryMs)
			this.#bytesMax = Math.max(TURN_LIMITS.leastBytes, this.#bytesMax / 2);
		else if (took.isFull && took.ms < TURN_LIMITS.deliveryMs / 2)
			this.#bytesMax = Math.min(CHANNEL_LIMITS.deliverBytesMax, this.#bytesMax * 2);
		this.#places.leave(turn);
	}
}

let shared: StoreTurns | null = null;

/** The one of this isolate. */
export function storeTurns(): StoreTurns {
	shared ??= new StoreTurns();
	return shared;
}
