/**
 * A bounded number of places that many objects of one isolate share, first come first served. Guarantees that a place whose holder died
 * (an object that was reset never says so) is free again after a while, and that who waits is not overtaken by who comes. Nothing of it
 * is on disk. A callback runs in the turn of whoever left: it may only wake its own object, which then takes the place itself.
 */
import { forgetOldest } from "./forget-oldest.ts";

/** Whoever waits looks for itself this often: who was to wake it may be gone. */
const LOOK_MS = 1000;

/** Waits until what `hand` was given is called, by another object or by this one, or until it is time to look. */
export async function untilWoken(hand: (wake: () => void) => void): Promise<void> {
	const { promise, resolve } = Promise.withResolvers<void>();
	const timer = setTimeout(resolve, LOOK_MS);
	hand(resolve);
	await promise;
	// Here and not in the callback: that runs in another object's turn, whose timers are not ours.
	clearTimeout(timer);
}

export interface PlaceLimits {
	readonly atOnce: number;
	/** Whoever holds a place for so long is gone. */
	readonly holdMsMax: number;
	/** Of more that wait the oldest are forgotten; they look for themselves. */
	readonly waitingMax: number;
}

/** How much of what is shared somebody wants, where not everybody wants the same. */
export interface Wanted {
	/** With less it is no use. */
	readonly least: number;
	readonly most: number;
	/** All there is. */
	readonly atOnce: number;
}

/** Held until it is left. */
export interface Place {
	units: number;
	readonly takenMs: number;
}

export class Places {
	readonly #limits: PlaceLimits;
	readonly #held = new Set<Place>();
	readonly #one: Wanted;
	readonly #waiting = new Set<() => void>();

	constructor(limits: PlaceLimits) {
		this.#limits = limits;
		this.#one = { least: 1, most: 1, atOnce: limits.atOnce };
	}

	/** A place, or null when others have them all; who has not waited yet gets none before those who wait. */
	take(nowMs: number, hasWaited: boolean, { least, most, atOnce }: Wanted = this.#one): Place | null {
		let free = atOnce;
		for (const place of this.#held) {
			// A clock that was set back, too, must not keep a place for ever.
			if (nowMs - place.takenMs > this.#limits.holdMsMax || nowMs < place.takenMs) this.#held.delete(place);
			else free -= place.units;
		}
		if (free < least || (!hasWaited && this.#waiting.size > 0)) return null;
		const place = { units: Math.min(free, most), takenMs: nowMs };
		this.#held.add(place);
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

	/** Keeps so many units of a place and gives the rest to whoever waits. */
	give(place: Place, units: number): void {
		if (units >= place.units) return;
		place.units = units;
		this.#wakeFirst();
	}

	leave(place: Place): void {
		this.#held.delete(place);
		this.#wakeFirst();
	}

	#wakeFirst(): void {
		const [first] = this.#waiting;
		if (first === undefined) return;
		this.#waiting.delete(first);
		first();
	}
}
