/**
 * Values and bytes: deterministic CBOR out, scanned CBOR in. Our own writer (writer.ts) makes the bytes, cbor-x reads them; the
 * scan stands before it, so no foreign byte reaches it unseen. Must never be used to re-encode an object that is about to be verified.
 */
import { Decoder } from "cbor-x/index-no-eval";
import type { Result } from "#core/result.ts";
import { CBOR_LIMITS, type CborLimits } from "./limits.ts";
import { type CborCode, scanCbor } from "./scan.ts";
import { CborWriter } from "./writer.ts";

/** What our subset holds. Integers beyond 2^53 are bigint; maps have unsigned integer keys. */
export type CborValue =
	| number
	| bigint
	| string
	| boolean
	| null
	| Uint8Array
	| readonly CborValue[]
	| ReadonlyMap<number, CborValue>;

/** Bytes come as views; the shapes that take them make the one copy. */
const decoder = new Decoder({ useRecords: false, mapsAsObjects: false, copyBuffers: false });

/** Writes every value, one after the other: writing never waits for anything. */
const writer = new CborWriter();

function putValue(out: CborWriter, value: CborValue): void {
	if (typeof value === "number") out.integer(value);
	else if (typeof value === "bigint") out.bigint(value);
	else if (typeof value === "string") out.text(value);
	else if (typeof value === "boolean") out.bool(value);
	else if (value === null) out.null();
	else if (value instanceof Uint8Array) out.bytes(value);
	else if (value instanceof Map) {
		out.map(value.size);
		for (const [key, member] of [...value].sort(([a], [b]) => a - b)) {
			out.integer(key);
			putValue(out, member);
		}
	} else {
		const items = value as readonly CborValue[];
		out.array(items.length);
		for (const item of items) putValue(out, item);
	}
}

/** The one deterministic encoding of a value (RFC 8949 §4.2). */
export function encodeCbor(value: CborValue): Uint8Array {
	return encodeBy(putValue, value);
}

/**
 * The encoding of what `put` writes of a value: one object. `bytesExpected` is a little more than its length where that is known
 * and large.
 */
export function encodeBy<T>(put: (out: CborWriter, value: T) => void, value: T, bytesExpected = 0): Uint8Array {
	writer.begin(bytesExpected);
	put(writer, value);
	return writer.taken();
}

/** The same bytes where they were written: good until the next value is encoded. For who copies them at once anyway. */
export function encodeInPlaceBy<T>(put: (out: CborWriter, value: T) => void, value: T): Uint8Array {
	writer.begin(0);
	put(writer, value);
	return writer.written();
}

/** Decodes one object of the subset; the bytes may come from anyone. Byte strings in it are views of them: `readAs` copies. */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits = CBOR_LIMITS): Result<CborValue, CborCode> {
	const scanned = scanCbor(bytes, limits);
	if (!scanned.ok) return scanned;
	// A view of its own, because cbor-x leaves a property on the array it reads.
	return { ok: true, value: decoder.decode(bytes.subarray()) as CborValue };
}
