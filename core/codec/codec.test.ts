import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bytesOfHex } from "#core/bytes/bytes.ts";
import { type CborValue, decodeCbor, encodeCbor } from "./cbor.ts";
import { CBOR_LIMITS } from "./limits.ts";
import {
	decodeAs,
	encodeAs,
	encodeInPlaceAs,
	field,
	list,
	oneOf,
	openRecord,
	optional,
	readAs,
	record,
	text,
	uint,
	uint64,
} from "./schema.ts";

const value: fc.Arbitrary<CborValue> = fc.letrec<{ value: CborValue }>((tie) => ({
	value: fc.oneof(
		{ depthSize: "small" },
		fc.maxSafeInteger(),
		fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
		fc.string({ unit: "grapheme" }),
		fc.boolean(),
		fc.constant(null),
		fc.uint8Array(),
		fc.array(tie("value"), { maxLength: 4 }),
		fc
			.dictionary(fc.nat(100_000).map(String), tie("value"), { maxKeys: 4 })
			.map((object) => new Map(Object.entries(object).map(([key, each]) => [Number(key), each]))),
	),
})).value;

/** Maps compare by content, whatever order they were made in. */
function sorted(input: CborValue): unknown {
	if (Array.isArray(input)) return input.map(sorted);
	if (input instanceof Map) return [...input].sort(([a], [b]) => a - b).map(([key, each]) => [key, sorted(each)]);
	return typeof input === "bigint" ? String(input) : typeof input === "number" ? String(input) : input;
}

test("what is encoded decodes to the same value, and only that encoding exists", () => {
	fc.assert(
		fc.property(value, (input) => {
			const encoded = encodeCbor(input);
			const decoded = decodeCbor(encoded);
			assert(decoded.ok);
			assert.deepEqual(sorted(decoded.value), sorted(input));
			assert.deepEqual(encodeCbor(decoded.value), encoded);
		}),
	);
});

test("an object cut anywhere is refused as truncated", () => {
	const encoded = encodeCbor(
		new Map<number, CborValue>([
			[1, [1, "zwei", new Uint8Array(30), 70_000]],
			[500, 2n ** 40n],
		]),
	);
	for (let length = 0; length < encoded.length; length++) {
		const decoded = decodeCbor(encoded.subarray(0, length));
		assert(!decoded.ok && decoded.code === "cbor_truncated", `cut at ${length}`);
	}
});

const refusals: [string, string, string][] = [
	["a bignum tag", "c249010000000000000000", "cbor_tag_refused"],
	["a shared reference", "d81c00", "cbor_tag_refused"],
	["an indefinite array", "9f01ff", "cbor_indefinite"],
	["an indefinite text", "7f6161ff", "cbor_indefinite"],
	["an integer that is not shortest", "1817", "cbor_not_shortest"],
	["a length that is not shortest", "5900016b", "cbor_not_shortest"],
	["an 8-byte head for a small number", "1b0000000000000001", "cbor_not_shortest"],
	["a doubled key", "a201000100", "cbor_key_order"],
	["keys out of order", "a202000100", "cbor_key_order"],
	["a text key", "a1616100", "cbor_key_refused"],
	["a negative key", "a12000", "cbor_key_refused"],
	["a float", "fb3ff0000000000000", "cbor_value_refused"],
	["undefined", "f7", "cbor_value_refused"],
	["a simple value in two bytes", "f814", "cbor_value_refused"],
	["a reserved head", "1c", "cbor_value_refused"],
	["text that is not UTF-8", "61ff", "cbor_text_not_utf8"],
	["bytes after the object", "0000", "cbor_trailing_bytes"],
	["a length of 2^32", "5affffffff", "cbor_truncated"],
	["an array that claims 2^63 items", "9b7fffffffffffffff00", "cbor_truncated"],
];
for (const [name, hex, code] of refusals)
	test(`${name} is refused as ${code}`, () => {
		const decoded = decodeCbor(bytesOfHex(hex) as Uint8Array);
		assert(!decoded.ok);
		assert.equal(decoded.code, code);
	});

test("depth, size and item count are refused above their limit and taken at it", () => {
	const nested = (depth: number): CborValue => (depth === 0 ? 1 : [nested(depth - 1)]);
	assert(decodeCbor(encodeCbor(nested(CBOR_LIMITS.depthMax))).ok);
	const deep = decodeCbor(encodeCbor(nested(CBOR_LIMITS.depthMax + 1)));
	assert(!deep.ok && deep.code === "cbor_too_deep");
	const limits = { bytesMax: 10, depthMax: 4, itemsMax: 5 };
	assert(decodeCbor(encodeCbor([1, 2, 3, 4]), limits).ok);
	const many = decodeCbor(encodeCbor([1, 2, 3, 4, 5]), limits);
	assert(!many.ok && many.code === "cbor_too_many_items");
	assert(decodeCbor(encodeCbor(new Uint8Array(9)), limits).ok);
	const large = decodeCbor(encodeCbor(new Uint8Array(10)), limits);
	assert(!large.ok && large.code === "cbor_too_large");
});

test("a hostile object of 256 KiB is refused in linear time", () => {
	const bomb = new Uint8Array(256 * 1024).fill(0x81);
	const startedAtMs = performance.now();
	assert(!decodeCbor(bomb).ok);
	assert(performance.now() - startedAtMs < 256, "under 1 ms per KiB");
});

const shape = record({
	name: field(1, text(4, /^[a-z]+$/)),
	count: field(2, uint(10)),
	time: optional(3, uint64()),
	kinds: optional(9, list(oneOf(["a", "b"]), 2)),
});

test("a record round-trips with and without its optional fields", () => {
	for (const input of [
		{ name: "abc", count: 10 },
		{ name: "abcd", count: 0, time: 2n ** 64n - 1n, kinds: ["b", "a"] as const },
	]) {
		const decoded = decodeAs(shape, encodeAs(shape, input));
		assert.deepEqual(decoded, { ok: true, value: input });
	}
});

test("an open record passes over keys it does not name, and over nothing else", () => {
	const open = openRecord({ name: field(1, text(4)), inner: optional(2, shape) });
	const read = (value: CborValue) => readAs(open, value);
	const members = (...pairs: [number, CborValue][]) => new Map<number, CborValue>(pairs);
	assert.deepEqual(read(members([1, "a"], [7, 1], [8, ["x"]])), { ok: true, value: { name: "a" } });
	assert(!read(members([7, 1])).ok, "what must be there must be there");
	assert(!read(members([1, "abcde"], [7, 1])).ok);
	assert(
		!read(members([1, "a"], [2, members([1, "abc"], [2, 1], [8, 1])])).ok,
		"a record within it is read as strictly as ever",
	);
});

const misfits: [string, CborValue, string][] = [
	["a missing field", new Map<number, CborValue>([[1, "abc"]]), ".count: expected a value"],
	[
		"an unknown key",
		new Map<number, CborValue>([
			[1, "abc"],
			[2, 1],
			[8, 1],
		]),
		"object: expected no unknown keys",
	],
	[
		"a number above its bound",
		new Map<number, CborValue>([
			[1, "abc"],
			[2, 11],
		]),
		".count: expected an unsigned integer up to 10",
	],
	[
		"a text above its length",
		new Map<number, CborValue>([
			[1, "abcde"],
			[2, 1],
		]),
		".name: expected text of at most 4",
	],
	[
		"a text outside its pattern",
		new Map<number, CborValue>([
			[1, "ABC"],
			[2, 1],
		]),
		".name: expected text like ^[a-z]+$",
	],
	[
		"a name outside its list",
		new Map<number, CborValue>([
			[1, "a"],
			[2, 1],
			[9, [2]],
		]),
		".kinds[0]: expected one of a, b",
	],
	[
		"a list above its length",
		new Map<number, CborValue>([
			[1, "a"],
			[2, 1],
			[9, [0, 0, 0]],
		]),
		".kinds: expected a list of at most 2",
	],
	["another type", [1], "object: expected a map"],
];
for (const [name, input, detail] of misfits)
	test(`a record refuses ${name} and says where`, () => {
		const decoded = decodeAs(shape, encodeCbor(input));
		assert.deepEqual(decoded, { ok: false, code: "shape_mismatch", detail });
	});

test("bytes that were encoded stay as they are when more is encoded, also after a large value", () => {
	const first = encodeCbor(new Map<number, CborValue>([[1, "first"]]));
	const kept = new Uint8Array(first);
	const large = new Uint8Array(200_000).fill(7);
	const second = encodeCbor(large);
	const third = encodeCbor(new Map<number, CborValue>([[1, "third"]]));
	assert.deepEqual(first, kept);
	assert.deepEqual(second.subarray(5), large);
	assert.deepEqual(decodeCbor(third), { ok: true, value: new Map([[1, "third"]]) });
	assert.equal(first.buffer.byteLength, first.length, "nothing of the encoder's own memory is kept alive");
});

test("in place, the bytes are the same until the next value is encoded", () => {
	const input = { name: "abc", count: 3, time: 2n ** 60n };
	const inPlace = encodeInPlaceAs(shape, input);
	const copy = new Uint8Array(inPlace);
	assert.deepEqual(encodeAs(shape, input), copy);
	assert.ok(inPlace.buffer.byteLength > inPlace.length);
});
