/**
 * Values and bytes: deterministic CBOR out, scanned CBOR in. cbor-x does the work on both sides; the scan stands before it, so
 * no foreign byte reaches it unseen. Must never be used to re-encode an object that is about to be verified.
 */
import { Decoder, Encoder } from "cbor-x/index-no-eval";
import { assertInvariant, type Result } from "#core/result.ts";
import { CBOR_LIMITS, type CborLimits } from "./limits.ts";
import { type CborCode, scanCbor } from "./scan.ts";

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

const options = {
	useRecords: false,
	mapsAsObjects: false,
	tagUint8Array: false,
	variableMapSize: true,
	copyBuffers: true,
} as const;
/** `useBuffer` is missing in the library's types. */
const encoder = new Encoder(options) as Encoder & { useBuffer(buffer: Uint8Array): void };
const decoder = new Decoder(options);

/** cbor-x writes an integer above 2^32 as a float; as a bigint it writes the 8-byte head that is then the shortest. */
function prepared(value: CborValue): unknown {
	if (typeof value === "number") {
		assertInvariant(Number.isSafeInteger(value), "only safe integers are encoded");
		return value > 0xffff_ffff || value < -0x1_0000_0000 ? BigInt(value) : value;
	}
	if (typeof value === "bigint") return value >= -0x1_0000_0000n && value <= 0xffff_ffffn ? Number(value) : value;
	if (Array.isArray(value)) return value.map(prepared);
	if (value instanceof Map) {
		const out = new Map<number, unknown>();
		let last = -1;
		let isSorted = true;
		for (const [key, member] of value) {
			isSorted &&= key > last;
			last = key;
			out.set(key, prepared(member));
		}
		return isSorted ? out : new Map([...out].sort(([a], [b]) => a - b));
	}
	return value;
}

/**
 * What the encoder writes into, every time from its beginning: left alone it grows to four times the largest value it ever saw
 * and keeps that. Made by the encoder itself, because on Node it takes nothing but a `Buffer`.
 */
const scratch: Uint8Array = encoder.encode(new Uint8Array(32 * 1024));

/** The one deterministic encoding of a value (RFC 8949 §4.2). */
export function encodeCbor(value: CborValue): Uint8Array {
	return new Uint8Array(encodeCborInPlace(value));
}

/** The same bytes where the encoder wrote them: good until the next value is encoded. For who copies them at once anyway. */
export function encodeCborInPlace(value: CborValue): Uint8Array {
	encoder.useBuffer(scratch);
	return encoder.encode(prepared(value));
}

/** Decodes one object of the subset; the bytes may come from anyone. */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits = CBOR_LIMITS): Result<CborValue, CborCode> {
	const scanned = scanCbor(bytes, limits);
	if (!scanned.ok) return scanned;
	// A view of its own, because cbor-x leaves a property on the array it reads.
	return { ok: true, value: decoder.decode(bytes.subarray()) as CborValue };
}
