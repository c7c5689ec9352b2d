import assert from "node:assert/strict";
import { test } from "node:test";
import { equalBytes, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { encodeCbor } from "#core/codec/index.ts";
import { sha256 } from "#crypto";
import { bodyHash, decodeLeaf, encodeLeaf, LEAF_KINDS, type Leaf, type LeafKind } from "./leaf.ts";
import { LEDGER_LIMITS } from "./limits.ts";

const salt = new Uint8Array(16).fill(9);
const leaf: Leaf = {
	kind: "trace_start",
	tsMs: 1_795_305_600_000,
	actor: "spiffe://lab/agent/a1",
	subject: "a1",
	traceId: "t-1",
	bodyHash: bodyHash(salt, utf8("body")),
};

function codeOf(result: { ok: true } | { ok: false; code: string }): string {
	return result.ok ? "ok" : result.code;
}

function mapOf(changes: Record<number, number | string | Uint8Array | null>): Uint8Array {
	const map = new Map<number, number | string | Uint8Array>([
		[1, 1],
		[2, 4],
		[3, 5],
		[4, "actor"],
		[5, "subject"],
		[7, leaf.bodyHash],
	]);
	for (const [key, value] of Object.entries(changes)) {
		if (value === null) map.delete(Number(key));
		else map.set(Number(key), value);
	}
	return encodeCbor(map);
}

test("a leaf of every kind, with and without a trace, is read back as written", () => {
	const { traceId: _, ...traceless } = leaf;
	for (const kind of Object.keys(LEAF_KINDS) as LeafKind[]) {
		assert.deepEqual(decodeLeaf(encodeLeaf({ ...leaf, kind })), { ok: true, value: { ...leaf, kind } });
		assert.deepEqual(decodeLeaf(encodeLeaf({ ...traceless, kind })), { ok: true, value: { ...traceless, kind } });
	}
});

test("the bytes of a leaf are these and no others", () => {
	const fixed: Leaf = { kind: "batch", tsMs: 1, actor: "a", subject: "s", bodyHash: new Uint8Array(32) };
	assert.equal(hexOf(encodeLeaf(fixed)), `a6010102010301046161056173075820${"00".repeat(32)}`);
});

test("the numbers of the kinds never change", () => {
	assert.deepEqual(Object.values(LEAF_KINDS), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
	assert.equal(LEAF_KINDS.batch, 1);
	assert.equal(LEAF_KINDS.trace_seal, 5);
	assert.equal(LEAF_KINDS.fork_alarm, 11);
});

test("the body hash is SHA-256 over salt and body, and the salt has one length", () => {
	assert.deepEqual(bodyHash(salt, utf8("body")), sha256(salt, utf8("body")));
	assert.throws(() => bodyHash(salt.slice(1), utf8("body")), { name: "InvariantError" });
});

test("a leaf cut anywhere is refused, and one with a flipped bit is refused or another leaf", () => {
	const encoded = encodeLeaf(leaf);
	for (let length = 0; length < encoded.length; length++) {
		assert.equal(decodeLeaf(encoded.subarray(0, length)).ok, false, `cut at ${length}`);
	}
	for (let bit = 0; bit < 8 * encoded.length; bit++) {
		const flipped = encoded.with(bit >> 3, (encoded[bit >> 3] as number) ^ (1 << (bit & 7)));
		const read = decodeLeaf(flipped);
		if (read.ok) assert.ok(equalBytes(encodeLeaf(read.value), flipped), `bit ${bit} gave a second spelling`);
	}
});

test("leaves of other versions, unknown kinds, unknown or missing keys are refused by name", () => {
	assert.equal(codeOf(decodeLeaf(mapOf({}))), "ok");
	assert.equal(codeOf(decodeLeaf(mapOf({ 1: 2 }))), "leaf_unknown_version");
	assert.equal(codeOf(decodeLeaf(mapOf({ 2: 0 }))), "leaf_unknown_kind");
	assert.equal(codeOf(decodeLeaf(mapOf({ 2: 12 }))), "leaf_unknown_kind");
	for (const key of [1, 2, 3, 4, 5, 7]) assert.equal(codeOf(decodeLeaf(mapOf({ [key]: null }))), "shape_mismatch");
	assert.equal(codeOf(decodeLeaf(mapOf({ 8: 1 }))), "shape_mismatch");
	assert.equal(codeOf(decodeLeaf(mapOf({ 7: new Uint8Array(31) }))), "shape_mismatch");
	assert.equal(codeOf(decodeLeaf(mapOf({ 3: -1 }))), "shape_mismatch");
});

test("texts and leaves at their limits are read, above them refused", () => {
	const { leafTextCharsMax, leafBytesMax } = LEDGER_LIMITS;
	const longest = "ü".repeat(leafTextCharsMax);
	const encoded = encodeLeaf({ ...leaf, actor: longest, subject: longest, traceId: longest });
	assert.equal(codeOf(decodeLeaf(encoded)), "ok");
	assert.ok(encoded.length <= leafBytesMax);
	assert.throws(() => encodeLeaf({ ...leaf, actor: `${longest}x` }), { name: "InvariantError" });
	const overhead = mapOf({ 6: new Uint8Array(60_000) }).length - 60_000;
	const atLimit = mapOf({ 6: new Uint8Array(leafBytesMax - overhead) });
	assert.equal(atLimit.length, leafBytesMax);
	assert.equal(codeOf(decodeLeaf(atLimit)), "shape_mismatch");
	assert.equal(codeOf(decodeLeaf(mapOf({ 6: new Uint8Array(leafBytesMax - overhead + 1) }))), "cbor_too_large");
});
