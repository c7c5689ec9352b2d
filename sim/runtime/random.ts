/**
 * The only chance in a simulation: sfc32 streams, each named, all drawn from one seed. Guarantees that the same seed and name give
 * the same numbers in every process, and that drawing more from one stream moves no other.
 */
import { sha256 } from "#crypto";

export class Random {
	readonly #seed: number;
	readonly #name: string;
	#a: number;
	#b: number;
	#c: number;
	#counter = 1;

	constructor(seed: number, name: string) {
		this.#seed = seed;
		this.#name = name;
		const digest = sha256(new TextEncoder().encode(`${seed}/${name}`));
		const view = new DataView(digest.buffer, digest.byteOffset);
		this.#a = view.getUint32(0) | 0;
		this.#b = view.getUint32(4) | 0;
		this.#c = view.getUint32(8) | 0;
	}

	/** A stream of its own: what is drawn there moves nothing here. */
	stream(name: string): Random {
		return new Random(this.#seed, `${this.#name}/${name}`);
	}

	#next(): number {
		const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
		this.#counter = (this.#counter + 1) | 0;
		this.#a = this.#b ^ (this.#b >>> 9);
		this.#b = (this.#c + (this.#c << 3)) | 0;
		this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0;
		return t >>> 0;
	}

	/** In [0, 1). */
	fraction(): number {
		return this.#next() / 2 ** 32;
	}

	/** In [from, to). */
	between(from: number, to: number): number {
		return from + (to - from) * this.fraction();
	}

	/** A whole number in [0, below). */
	below(below: number): number {
		return Math.floor(this.fraction() * below);
	}

	chance(probability: number): boolean {
		return this.fraction() < probability;
	}

	pick<T>(from: readonly T[]): T {
		return from[this.below(from.length)] as T;
	}

	bytes(length: number): Uint8Array {
		const out = new Uint8Array(length);
		for (let at = 0; at < length; at++) out[at] = this.#next() & 255;
		return out;
	}
}
