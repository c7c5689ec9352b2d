/**
 * SHA-256 by a WebAssembly module (`tools/sha256-wasm.ts` makes it), for runtimes whose own synchronous hash is slow: workerd makes
 * several objects of every hash, which cost more than the hashing. Pure: the module is an argument. Guarantees FIPS 180-4 for any
 * length, and that nothing of what was hashed stays in its memory.
 */

/** One page. */
const MEMORY_BYTES = 65_536;
/** The state stands before it. */
const INPUT_AT = 64;
const BLOCK_BYTES = 64;
/** Whole blocks taken in one go. */
const CHUNK_BYTES = MEMORY_BYTES - INPUT_AT - BLOCK_BYTES;
/** §5.3.3. */
const INITIAL = Uint32Array.of(
	...[0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a],
	...[0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19],
);

interface Exports {
	readonly memory: { readonly buffer: ArrayBuffer };
	readonly compress: (at: number, count: number) => void;
}

export class WasmSha256 {
	readonly #compress: Exports["compress"];
	readonly #bytes: Uint8Array;
	readonly #state: Uint32Array;

	/** `exports` of an instance of the module. */
	constructor(exports: unknown) {
		const { memory, compress } = exports as Exports;
		this.#compress = compress;
		this.#bytes = new Uint8Array(memory.buffer);
		this.#state = new Uint32Array(memory.buffer, 0, 8);
	}

	/** SHA-256 over the concatenation of the parts; 32 bytes. */
	digest(parts: readonly Uint8Array[]): Uint8Array {
		const bytes = this.#bytes;
		this.#state.set(INITIAL);
		let held = 0;
		let length = 0;
		let touched = 0;
		for (const part of parts) {
			length += part.length;
			for (let at = 0; at < part.length; ) {
				const taken = Math.min(part.length - at, CHUNK_BYTES - held);
				bytes.set(taken === part.length ? part : part.subarray(at, at + taken), INPUT_AT + held);
				at += taken;
				held += taken;
				touched = Math.max(touched, held);
				if (held === CHUNK_BYTES) held = this.#take(held);
			}
		}
		const end = this.#pad(held, length);
		this.#compress(INPUT_AT, end / BLOCK_BYTES);
		const digest = this.#read();
		bytes.fill(0, INPUT_AT, INPUT_AT + Math.max(touched, end));
		return digest;
	}

	/** A full chunk. */
	#take(held: number): number {
		this.#compress(INPUT_AT, held / BLOCK_BYTES);
		return 0;
	}

	/** §5.1.1: a one, zeros, the length in bits; answers where it ends. */
	#pad(held: number, length: number): number {
		const bytes = this.#bytes;
		const end = Math.ceil((held + 9) / BLOCK_BYTES) * BLOCK_BYTES;
		bytes.fill(0, INPUT_AT + held, INPUT_AT + end);
		bytes[INPUT_AT + held] = 0x80;
		let bits = length * 8;
		for (let at = INPUT_AT + end - 1; bits > 0; at--) {
			bytes[at] = bits % 256;
			bits = Math.floor(bits / 256);
		}
		return end;
	}

	#read(): Uint8Array {
		const out = new Uint8Array(32);
		const state = this.#state;
		for (let word = 0; word < 8; word++) {
			const value = state[word] as number;
			out[4 * word] = value >>> 24;
			out[4 * word + 1] = value >>> 16;
			out[4 * word + 2] = value >>> 8;
			out[4 * word + 3] = value;
		}
		return out;
	}
}
