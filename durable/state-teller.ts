/**
 * News of one node on its way up: one word at a time, and behind it only the newest. Guarantees that a store that does not answer
 * costs one waiting word per node, however long and however often the node says how it is. What a later word leaves out (a proof
 * comes with an arrival only) is kept from the one before.
 */
import type { AgentState } from "./drain.ts";

export class StateTeller<State extends object = AgentState> {
	readonly #tell: (state: State) => Promise<void> | undefined;
	readonly #onError: (error: Error) => void;
	#running: Promise<void> | null = null;
	#next: State | null = null;

	constructor(tell: (state: State) => Promise<void> | undefined, onError: (error: Error) => void) {
		this.#tell = tell;
		this.#onError = onError;
	}

	tell(state: State): void {
		this.#next = { ...this.#next, ...state };
		this.#running ??= this.#run();
	}

	/** Nothing is on its way. */
	get isIdle(): boolean {
		return this.#running === null;
	}

	/** Resolves when nothing is on its way any more. */
	async told(): Promise<void> {
		await this.#running;
	}

	async #run(): Promise<void> {
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
		this.#running = null;
	}
}

export interface TellersParts<State> {
	/** Nodes whose news may be on the way at once. */
	readonly nodesMax: number;
	readonly tell: (state: State) => Promise<void> | undefined;
	readonly onError: (error: Error, node: string) => void;
}

/** A teller for each node that has news on the way, and for no other. */
export class StateTellers<State extends object> {
	readonly #parts: TellersParts<State>;
	readonly #tellers = new Map<string, StateTeller<State>>();

	constructor(parts: TellersParts<State>) {
		this.#parts = parts;
	}

	/** False: the news of too many others is on its way, and nothing of this one's. */
	tell(node: string, state: State): boolean {
		let teller = this.#tellers.get(node);
		if (teller === undefined) {
			for (const [key, { isIdle }] of this.#tellers) if (isIdle) this.#tellers.delete(key);
			if (this.#tellers.size >= this.#parts.nodesMax) return false;
			teller = new StateTeller(this.#parts.tell, (error) => this.#parts.onError(error, node));
			this.#tellers.set(node, teller);
		}
		teller.tell(state);
		return true;
	}

	/** Resolves when nothing of the node is on its way any more. */
	async told(node: string): Promise<void> {
		await this.#tellers.get(node)?.told();
	}
}
