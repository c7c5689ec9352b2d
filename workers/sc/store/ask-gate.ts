/**
 * How many questions the store gets at once from one isolate. sqld refuses with 429 what is beyond its limit and makes a connection for
 * each: a thousand agents that come back at once would be told that the store is down, while it answers. Guarantees that whoever waits
 * is asked for in order, and that a question whose asker died does not keep its place. Must never hold back an answer.
 */
import { type PlaceLimits, Places } from "../../../durable/places.ts";

/** Who waits looks for itself this often: who was to wake it may be gone. */
const LOOK_MS = 1000;

export class AskGate {
	readonly #places: Places;

	constructor(limits: PlaceLimits) {
		this.#places = new Places(limits);
	}

	/** Asks when there is room. */
	async run<T>(ask: () => Promise<T>): Promise<T> {
		let place = this.#places.take(Date.now(), false);
		while (place === null) {
			await this.#wait();
			place = this.#places.take(Date.now(), true);
		}
		try {
			return await ask();
		} finally {
			this.#places.leave(place);
		}
	}

	async #wait(): Promise<void> {
		const { promise, resolve } = Promise.withResolvers<void>();
		const timer = setTimeout(resolve, LOOK_MS);
		this.#places.await(resolve);
		await promise;
		// Here and not in the callback: that runs in another object's turn, whose timers are not ours.
		clearTimeout(timer);
		this.#places.forget(resolve);
	}
}
