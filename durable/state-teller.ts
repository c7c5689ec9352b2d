/**
 * News of one agent on its way up: one word at a time, and behind it only the newest. Guarantees that a store that does not answer
 * costs one waiting word per agent, however long and however often the agent says how it is. What a later word leaves out (a proof
 * comes with an arrival only) is kept from the one before.
 */
import type { AgentState } from "./drain.ts";

export class StateTeller {
	readonly #tell: (state: AgentState) => Promise<void> | undefined;
	readonly #onError: (error: Error) => void;
	#isRunning = false;
	#next: AgentState | null = null;

	constructor(tell: (state: AgentState) => Promise<void> | undefined, onError: (error: Error) => void) {
		this.#tell = tell;
		this.#onError = onError;
	}

	tell(state: AgentState): void {
		this.#next = { ...this.#next, ...state };
		if (!this.#isRunning) void this.#run();
	}

	async #run(): Promise<void> {
		this.#isRunning = true;
		while (this.#next !== null) {
			const state = this.#next;
			this.#next = null;
			try {
				await this.#tell(state);
			} catch (error) {
				// The next word carries the same facts.
				this.#onError(error as Error);
			}
		}
		this.#isRunning = false;
	}
}
