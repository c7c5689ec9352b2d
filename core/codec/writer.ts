/**
 * The writer of deterministic CBOR (RFC 8949 §4.2): shortest heads, definite lengths, map keys in rising order as its callers
 * bring them. Everything goes straight into one buffer, because an event that is a tree of objects first costs its encoder thirty
 * times its bytes in garbage. Guarantees the one encoding that the scan accepts. Must never be called while another value is
 * being written.
 */
import { utf8 } from "#core/bytes/bytes.ts";
import { assertInvariant } from "#core/result.ts";

/** What stays between two values; a larger one gets a buffer of its own, which goes with it. */
const KEPT_BYTES = 32 * 1024;
/** A value may keep this much more memory alive than it is long. */
const OWN_SHARE_MIN = 7 / 8;
const SHORT_BYTES = 32;
/** The longest head: a byte and 64 bits. */
const HEAD_BYTES_MAX = 9;
const UINT32_SPAN = 0x1_0000_0000;

const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, simple: 7 } as const;
const SIMPLE = { false: 20, true: 21, null: 22 } as const;

export class CborWriter {
	readonly #kept = new Uint8Array(KEPT_BYTES);
	#bytes = this.#kept;
	#at = 0;

	/** Forgets what was written before. `bytesExpected` spares a large value the steps in which a buffer grows. */
	begin(bytesExpected: number): void {
		this.#bytes = bytesExpected <= KEPT_BYTES ? this.#kept : new Uint8Array(bytesExpected);
		this.#at = 0;
	}

	/** A view of what was written: good until `begin`. */
	written(): Uint8Array {
		return this.#bytes.subarray(0, this.#at);
	}

	/** What was written, for good: a copy, unless a buffer was made for it and is nearly full. */
	taken(): Uint8Array {
		const isOwn = this.#bytes !== this.#kept && this.#at >= this.#bytes.length * OWN_SHARE_MIN;
		return isOwn ? this.written() : this.#bytes.slice(0, this.#at);
	}

	#reserve(length: number): void {
		const end = this.#at + length;
		if (end <= this.#bytes.length) return;
		const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
		grown.set(this.#bytes.subarray(0, this.#at));
		this.#bytes = grown;
	}

	/** The head of a value; what follows it must be reserved by who writes it. */
	#head(major: number, argument: number): void {
		this.#reserve(HEAD_BYTES_MAX);
		const bytes = this.#bytes;
		const first = major << 5;
		if (argument < 24) bytes[this.#at++] = first | argument;
		else if (argument <= 0xff) {
			bytes[this.#at++] = first | 24;
			bytes[this.#at++] = argument;
		} else if (argument <= 0xffff) {
			bytes[this.#at++] = first | 25;
			this.#big(argument, 2);
		} else if (argument < UINT32_SPAN) {
			bytes[this.#at++] = first | 26;
			this.#big(argument, 4);
		} else {
			bytes[this.#at++] = first | 27;
			this.#big(Math.floor(argument / UINT32_SPAN), 4);
			this.#big(argument % UINT32_SPAN, 4);
		}
	}

	/** The last `width` bytes of a 32-bit number, the highest first. */
	#big(number: number, width: number): void {
		for (let shift = 8 * (width - 1); shift >= 0; shift -= 8) this.#bytes[this.#at++] = number >>> shift;
	}

	/** A safe integer. */
	integer(value: number): void {
		assertInvariant(Number.isSafeInteger(value), "only safe integers are encoded");
		if (value >= 0) this.#head(MAJOR.unsigned, value);
		else this.#head(MAJOR.negative, -1 - value);
	}

	/** An integer of at most 64 bits and its sign. */
	bigint(value: bigint): void {
		if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) {
			this.integer(Number(value));
			return;
		}
		const argument = value >= 0n ? value : -1n - value;
		assertInvariant(argument <= 0xffff_ffff_ffff_ffffn, "only integers of 64 bits are encoded");
		this.#reserve(HEAD_BYTES_MAX);
		this.#bytes[this.#at++] = ((value >= 0n ? MAJOR.unsigned : MAJOR.negative) << 5) | 27;
		this.#big(Number(argument >> 32n), 4);
		this.#big(Number(argument & 0xffff_ffffn), 4);
	}

	bool(value: boolean): void {
		this.#head(MAJOR.simple, value ? SIMPLE.true : SIMPLE.false);
	}

	null(): void {
		this.#head(MAJOR.simple, SIMPLE.null);
	}

	bytes(value: Uint8Array): void {
		this.#head(MAJOR.bytes, value.length);
		this.#copy(value);
	}

	#copy(value: Uint8Array): void {
		const { length } = value;
		this.#reserve(length);
		// A call into the platform costs more than a key of 16 bytes does.
		if (length > SHORT_BYTES) this.#bytes.set(value, this.#at);
		else for (let i = 0; i < length; i++) this.#bytes[this.#at + i] = value[i] as number;
		this.#at += length;
	}

	/** Half of a surrogate pair, which no UTF-8 has, becomes U+FFFD. */
	text(value: string): void {
		const start = this.#at;
		const { length } = value;
		this.#head(MAJOR.text, length);
		this.#reserve(length);
		const bytes = this.#bytes;
		let at = this.#at;
		for (let i = 0; i < length; i++) {
			const unit = value.charCodeAt(i);
			if (unit >= 0x80) {
				this.#at = start;
				this.#longText(value);
				return;
			}
			bytes[at++] = unit;
		}
		this.#at = at;
	}

	/** Text with more bytes than units. */
	#longText(value: string): void {
		const encoded = utf8(value);
		this.#head(MAJOR.text, encoded.length);
		this.#copy(encoded);
	}

	/** The head of an array: this many values follow. */
	array(count: number): void {
		this.#head(MAJOR.array, count);
	}

	/** The head of a map: this many pairs of a key and a value follow, keys rising. */
	map(count: number): void {
		this.#head(MAJOR.map, count);
	}
}
