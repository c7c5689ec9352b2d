/** One act after the other: each decides on what the one before wrote, also while that one waited for another object. */
export class Turns {
	#last: Promise<unknown> = Promise.resolve();

	/** Runs `act` when every earlier one has ended, however it ended. */
	take<T>(act: () => Promise<T>): Promise<T> {
		const turn = this.#last.then(act, act);
		this.#last = turn.catch(() => undefined);
		return turn;
	}
}
