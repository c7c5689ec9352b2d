import assert from "node:assert/strict";
import { test } from "node:test";
import { Encoder } from "cbor-x/index-no-eval";
import fc from "fast-check";
import { bytesOfHex } from "#core/bytes/bytes.ts";
import { type CborValue, decodeCbor, encodeCbor } from "./cbor.ts";
import { decodeAs, encodeAs, field, list, optional, record, text, uint, uint64 } from "./schema.ts";

const library = new Encoder({ useRecords: false, mapsAsObjects: false, tagUint8Array: false, variableMapSize: true });

/** The library writes an integer above 2^32 as a float, and small bigints with a long head. */
function forLibrary(value: CborValue): unknown {
	if (typeof value === "number") return value > 0xffff_ffff || value < -0x1_0000_0000 ? BigInt(value) : value;
	if (typeof value === "bigint") return value >= -0x1_0000_0000n && value <= 0xffff_ffffn ? Number(value) : value;
	if (Array.isArray(value)) return value.map(forLibrary);
	if (value instanceof Map)
		return new Map([...value].sort(([a], [b]) => a - b).map(([key, each]) => [key, forLibrary(each)]));
	return value;
}

const HEAD_EDGES = [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
const integer = fc.oneof(
	fc.maxSafeInteger(),
	fc.constantFrom(...HEAD_EDGES, ...HEAD_EDGES.map((each) => (each === Number.MAX_SAFE_INTEGER ? -each : -1 - each))),
	fc.integer({ min: -300, max: 70_000 }),
);
const value: fc.Arbitrary<CborValue> = fc.letrec<{ value: CborValue }>((tie) => ({
	value: fc.oneof(
		{ depthSize: "medium" },
		integer,
		// The least of all, -2^64, is one of the vectors below: the library writes it as a tagged number.
		fc.bigInt({ min: 1n - 2n ** 64n, max: 2n ** 64n - 1n }),
		fc.string({ unit: "binary" }).map((each) => each.toWellFormed()),
		fc.string({ unit: "grapheme-ascii", minLength: 20, maxLength: 300 }),
		fc.boolean(),
		fc.constant(null),
		fc.uint8Array({ maxLength: 300 }),
		fc.array(tie("value"), { maxLength: 30 }),
		fc.array(fc.tuple(fc.nat(100_000), tie("value")), { maxLength: 30 }).map((pairs) => new Map(pairs)),
	),
})).value;

test("what is written is, byte for byte, what the library writes", () => {
	fc.assert(
		fc.property(value, (input) => {
			assert.deepEqual(encodeCbor(input), new Uint8Array(library.encode(forLibrary(input))));
		}),
		{ numRuns: 500 },
	);
});

/** RFC 8949 appendix A, as far as our subset goes. */
const vectors: [CborValue, string][] = [
	[0, "00"],
	[23, "17"],
	[24, "1818"],
	[100, "1864"],
	[1000, "1903e8"],
	[1_000_000, "1a000f4240"],
	[1_000_000_000_000, "1b000000e8d4a51000"],
	[18_446_744_073_709_551_615n, "1bffffffffffffffff"],
	[-1, "20"],
	[-100, "3863"],
	[-1000, "3903e7"],
	[-18_446_744_073_709_551_616n, "3bffffffffffffffff"],
	[false, "f4"],
	[true, "f5"],
	[null, "f6"],
	["", "60"],
	["IETF", "6449455446"],
	["\u00fc", "62c3bc"],
	["\u6c34", "63e6b0b4"],
	["\ud800\udd51", "64f0908591"],
	[Uint8Array.of(1, 2, 3, 4), "4401020304"],
	[[1, [2, 3], [4, 5]], "8301820203820405"],
	[
		new Map([
			[3, 4],
			[1, 2],
		]),
		"a201020304",
	],
];
test("the examples of RFC 8949 are written as it writes them", () => {
	for (const [input, hex] of vectors) assert.deepEqual(encodeCbor(input), bytesOfHex(hex), hex);
});

/** More fields than one byte's head counts. */
const wide = record(
	Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`f${index}`, optional(index, uint())])),
);

test("a record has the shortest head for the fields that are there, however many it could have", () => {
	for (const count of [0, 1, 23, 24, 255, 256, 300]) {
		const input = Object.fromEntries(Array.from({ length: count }, (_, index) => [`f${index}`, index]));
		const encoded = encodeAs(wide, input);
		const map = new Map(Array.from({ length: count }, (_, index) => [index, index]));
		assert.deepEqual(encoded, new Uint8Array(library.encode(map)), `${count} fields`);
		assert.deepEqual(decodeAs(wide, encoded), { ok: true, value: input });
	}
});

test("a value larger than the writer's own buffer is written whole, wherever the buffer ends in it", () => {
	const shape = record({
		texts: field(1, list(text(70_000), 100)),
		time: field(2, uint64()),
		inner: field(3, record({ a: optional(1, text(10)), b: optional(2, text(10)) })),
	});
	for (let length = 32_700; length < 32_790; length++) {
		const input = { texts: ["x".repeat(length), "\u00fc".repeat(3)], time: 2n ** 63n, inner: { b: "end" } };
		assert.deepEqual(decodeAs(shape, encodeAs(shape, input)), { ok: true, value: input });
	}
});

test("half of a surrogate pair becomes a character that UTF-8 has, short or long", () => {
	for (const rest of ["", "a".repeat(100)]) {
		const decoded = decodeCbor(encodeCbor(`${rest}\ud83d`));
		assert.deepEqual(decoded, { ok: true, value: `${rest}\ufffd` });
	}
});

test("what is no integer of 64 bits is refused", () => {
	for (const input of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 2n ** 64n, -(2n ** 64n) - 1n])
		assert.throws(() => encodeCbor(input), /are encoded/);
	assert.deepEqual(encodeCbor("after"), bytesOfHex("656166746572"));
});
