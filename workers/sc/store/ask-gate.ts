/**
 * How many questions the store gets at once from one isolate. sqld refuses with 429 what is beyond its limit and makes a connection for
 * each: a thousand agents that come back at once would be told that the store is down, while it answers. Guarantees that whoever waits
 * is asked for in order, and that a question whose asker died does not keep its place. Must never hold back an answer.
 */
import { type PlaceLimits, Places, untilWoken } from "../../../durable/places.ts";

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
		let onFree = (): void => undefined;
		await untilWoken((wake) => {
			onFree = wake;
			this.#places.await(wake);
		});
		this.#places.forget(onFree);
	}
}
