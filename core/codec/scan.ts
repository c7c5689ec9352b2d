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

interface Head {
	readonly major: number;
	/** Argument; exact up to 2^53, above that only its order matters and `big` holds it. */
	readonly argument: bigint;
}

class Scanner {
	readonly #bytes: Uint8Array;
	readonly #limits: CborLimits;
	#at = 0;
	#items = 0;

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

	#head(): Head {
		const start = this.#at;
		const initial = this.#byte();
		const major = initial >> 5;
		const info = initial & 31;
		if (info < 24) return { major, argument: BigInt(info) };
		if (info === 31) throw new Refused("cbor_indefinite", start);
		if (info > 27) throw new Refused("cbor_value_refused", start);
		const width = 1 << (info - 24);
		let argument = 0n;
		for (let i = 0; i < width; i++) argument = (argument << 8n) | BigInt(this.#byte());
		const smallest = info === 24 ? 24n : 1n << BigInt(8 * (width >> 1));
		if (major !== 7 && argument < smallest) throw new Refused("cbor_not_shortest", start);
		return { major, argument };
	}

	#skip(length: bigint): Uint8Array {
		if (length > BigInt(this.#bytes.length - this.#at)) throw new Refused("cbor_truncated", this.#at);
		const start = this.#at;
		this.#at += Number(length);
		return this.#bytes.subarray(start, this.#at);
	}

	#value(depth: number): void {
		if (depth > this.#limits.depthMax) throw new Refused("cbor_too_deep", this.#at);
		if (++this.#items > this.#limits.itemsMax) throw new Refused("cbor_too_many_items", this.#at);
		const start = this.#at;
		const { major, argument } = this.#head();
		switch (major) {
			case 0:
			case 1:
				return;
			case 2:
				this.#skip(argument);
				return;
			case 3:
				if (textOf(this.#skip(argument)) === null) throw new Refused("cbor_text_not_utf8", start);
				return;
			case 4:
				for (let i = 0n; i < argument; i++) this.#value(depth + 1);
				return;
			case 5:
				this.#map(argument, depth);
				return;
			case 6:
				throw new Refused("cbor_tag_refused", start);
			default:
				if (argument !== 20n && argument !== 21n && argument !== 22n) throw new Refused("cbor_value_refused", start);
				if (this.#bytes[start] !== (7 << 5) + Number(argument)) throw new Refused("cbor_value_refused", start);
		}
	}

	#map(count: bigint, depth: number): void {
		let previous = -1n;
		for (let i = 0n; i < count; i++) {
			const start = this.#at;
			const key = this.#head();
			if (key.major !== 0) throw new Refused("cbor_key_refused", start);
			if (key.argument <= previous) throw new Refused("cbor_key_order", start);
			previous = key.argument;
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
