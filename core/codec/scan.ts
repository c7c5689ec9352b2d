/**
 * The strict pre-scan of deterministic CBOR (RFC 8949 §4.2): it walks the bytes once and refuses everything outside our subset
 * before a decoder sees them (no tags, floats, indefinite lengths; shortest heads; map keys are unsigned integers in strictly
 * rising order, so none is doubled). Guarantees linear time and constant memory in the input. It must never allocate by a
 * length that the input claims.
 */
import { textOf } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { CborLimits } from "./limits.ts";

export type CborCode =
	| "cbor_too_large"
	| "cbor_too_deep"
	| "cbor_too_many_items"
	| "cbor_truncated"
	| "cbor_trailing_bytes"
	| "cbor_not_shortest"
	| "cbor_indefinite"
	| "cbor_tag_refused"
	| "cbor_value_refused"
	| "cbor_key_refused"
	| "cbor_key_order"
	| "cbor_text_not_utf8";

/** Thrown and caught inside this file only; a walk by recursion is simpler with an early exit. */
class Refused extends Error {
	readonly code: CborCode;
	constructor(code: CborCode, at: number) {
		super(`${code.replaceAll("_", " ")} at byte ${at}`);
		this.code = code;
	}
}

/** Two halves of 32 bits: what begins an item may be larger than a number is exact. */
const HALF = 2 ** 32;

class Scanner {
	readonly #bytes: Uint8Array;
	readonly #limits: CborLimits;
	#at = 0;
	#items = 0;
	/** Argument of the head read last, in halves: one object less for every item of every batch. */
	#high = 0;
	#low = 0;

	constructor(bytes: Uint8Array, limits: CborLimits) {
		this.#bytes = bytes;
		this.#limits = limits;
	}

	scan(): void {
		this.#value(0);
		if (this.#at !== this.#bytes.length) throw new Refused("cbor_trailing_bytes", this.#at);
	}

	#byte(): number {
		const byte = this.#bytes[this.#at];
		if (byte === undefined) throw new Refused("cbor_truncated", this.#at);
		this.#at++;
		return byte;
	}

	/** Reads a head; answers its major type and leaves its argument. */
	#head(): number {
		const start = this.#at;
		const initial = this.#byte();
		const major = initial >> 5;
		const info = initial & 31;
		this.#high = 0;
		if (info < 24) {
			this.#low = info;
			return major;
		}
		if (info === 31) throw new Refused("cbor_indefinite", start);
		if (info > 27) throw new Refused("cbor_value_refused", start);
		const width = 1 << (info - 24);
		if (width === 8) this.#high = this.#word(4);
		this.#low = this.#word(Math.min(width, 4));
		if (major !== 7 && !this.#isShortest(width)) throw new Refused("cbor_not_shortest", start);
		return major;
	}

	#word(width: number): number {
		let word = 0;
		for (let i = 0; i < width; i++) word = word * 256 + this.#byte();
		return word;
	}

	/** Whether the argument just read needs so many bytes. */
	#isShortest(width: number): boolean {
		if (width === 8) return this.#high > 0;
		return this.#low >= (width === 1 ? 24 : 2 ** (4 * width));
	}

	#skip(): Uint8Array {
		const length = this.#high * HALF + this.#low;
		if (length > this.#bytes.length - this.#at) throw new Refused("cbor_truncated", this.#at);
		const start = this.#at;
		this.#at += length;
		return this.#bytes.subarray(start, this.#at);
	}

	#value(depth: number): void {
		if (depth > this.#limits.depthMax) throw new Refused("cbor_too_deep", this.#at);
		if (++this.#items > this.#limits.itemsMax) throw new Refused("cbor_too_many_items", this.#at);
		const start = this.#at;
		switch (this.#head()) {
			case 0:
			case 1:
				return;
			case 2:
				this.#skip();
				return;
			case 3:
				if (textOf(this.#skip()) === null) throw new Refused("cbor_text_not_utf8", start);
				return;
			case 4: {
				const count = this.#high * HALF + this.#low;
				for (let i = 0; i < count; i++) this.#value(depth + 1);
				return;
			}
			case 5:
				this.#map(this.#high * HALF + this.#low, depth);
				return;
			case 6:
				throw new Refused("cbor_tag_refused", start);
			default: {
				const isKnown = this.#high === 0 && this.#low >= 20 && this.#low <= 22;
				if (!isKnown || this.#bytes[start] !== (7 << 5) + this.#low) throw new Refused("cbor_value_refused", start);
			}
		}
	}

	#map(count: number, depth: number): void {
		let [previousHigh, previousLow] = [-1, 0];
		for (let i = 0; i < count; i++) {
			const start = this.#at;
			if (this.#head() !== 0) throw new Refused("cbor_key_refused", start);
			const [high, low] = [this.#high, this.#low];
			const isRising = high > previousHigh || (high === previousHigh && low > previousLow);
			if (!isRising) throw new Refused("cbor_key_order", start);
			previousHigh = high;
			previousLow = low;
			this.#value(depth + 1);
		}
	}
}

/** Accepts the bytes as one object of our subset, or names the first thing that is not. */
export function scanCbor(bytes: Uint8Array, limits: CborLimits): Result<true, CborCode> {
	if (bytes.length > limits.bytesMax)
		return fail("cbor_too_large", `${bytes.length} bytes, at most ${limits.bytesMax} are read`);
	try {
		new Scanner(bytes, limits).scan();
		return ok(true);
	} catch (error) {
		if (error instanceof Refused) return fail(error.code, error.message);
		throw error;
	}
}
