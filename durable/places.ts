/**
 * A bounded number of places that many objects of one isolate share, first come first served. Guarantees that a place whose holder died
 * (an object that was reset never says so) is free again after a while, and that who waits is not overtaken by who comes. Nothing of it
 * is on disk. A callback runs in the turn of whoever left: it may only wake its own object, which then takes the place itself.
 */
import { forgetOldest } from "./forget-oldest.ts";

export interface PlaceLimits {
	readonly atOnce: number;
	/** Whoever holds a place for so long is gone. */
	readonly holdMsMax: number;
	/** Of more that wait the oldest are forgotten; they look for themselves. */
	readonly waitingMax: number;
}

export class Places {
	readonly #limits: PlaceLimits;
	/** Places in use, with the time they were taken. */
	readonly #held = new Map<symbol, number>();
	readonly #waiting = new Set<() => void>();

	constructor(limits: PlaceLimits) {
		this.#limits = limits;
	}

	/** A place, or null when others have them all; who has not waited yet gets none before those who wait. */
	take(nowMs: number, hasWaited: boolean): symbol | null {
		const { atOnce, holdMsMax } = this.#limits;
		// A clock that was set back, too, must not keep a place for ever.
		for (const [place, takenMs] of this.#held)
			if (nowMs - takenMs > holdMsMax || nowMs < takenMs) this.#held.delete(place);
		if (this.#held.size >= atOnce || (!hasWaited && this.#waiting.size > 0)) return null;
		const place = Symbol("place");
		this.#held.set(place, nowMs);
		return place;
	}

	/** Calls back once when a place may be free. A callback that is given again keeps its own place in the queue. */
	await(onFree: () => void): void {
		this.#waiting.add(onFree);
		forgetOldest(this.#waiting, this.#limits.waitingMax);
	}

	/** It waits no longer. */
	forget(onFree: () => void): void {
		this.#waiting.delete(onFree);
	}

	leave(place: symbol): void {
		this.#held.delete(place);
		const [first] = this.#waiting;
		if (first === undefined) return;
		this.#waiting.delete(first);
		first();
	}
}
