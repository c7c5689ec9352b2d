/**
 * One copy of a text that many processes share: program paths, names, terminals. Guarantees a bound; a full pool is emptied,
 * which costs later duplicates and nothing else.
 */
import { AGENT_LIMITS } from "../limits.ts";

export class TextPool {
	readonly #textsMax: number;
	readonly #texts = new Map<string, string>();

	constructor(textsMax: number = AGENT_LIMITS.pooledTextsMax) {
		this.#textsMax = textsMax;
	}

	get size(): number {
		return this.#texts.size;
	}

	/** The copy to keep. */
	of(text: string): string {
		const known = this.#texts.get(text);
		if (known !== undefined) return known;
		if (this.#texts.size >= this.#textsMax) this.#texts.clear();
		this.#texts.set(text, text);
		return text;
	}
}
