import assert from "node:assert/strict";
import { test } from "node:test";
import { equalBytes, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { DiskSeal, sealedLength } from "./disk-seal.ts";

const disk = new DiskSeal(new Uint8Array(32).fill(1));
const seal = disk.of("a file");
const CONTEXT = utf8("a context");

test("what was sealed opens as the same bytes, at every length around a class", () => {
	for (const length of [0, 1, 1019, 1020, 1021, 2044, 2045, 20_000, 300_000]) {
		const content = new Uint8Array(length).fill(7);
		const sealed = seal.seal(content, CONTEXT);
		assert.equal(sealed.length, sealedLength(length));
		const opened = seal.open(sealed, CONTEXT);
		assert.ok(opened !== null && equalBytes(opened, content), `${length}`);
	}
});

test("no cut, no flipped bit, no other context, purpose or key opens it", () => {
	const sealed = seal.seal(utf8("T-20261122-abc123"), CONTEXT);
	for (let cut = 0; cut < sealed.length; cut++) assert.equal(seal.open(sealed.subarray(0, cut), CONTEXT), null);
	for (let bit = 0; bit < sealed.length * 8; bit++) {
		const damaged = sealed.slice();
		damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
		assert.equal(seal.open(damaged, CONTEXT), null, `bit ${bit}`);
	}
	assert.equal(seal.open(sealed, utf8("another context")), null);
	assert.equal(disk.of("another file").open(sealed, CONTEXT), null);
	assert.equal(new DiskSeal(new Uint8Array(32).fill(2)).of("a file").open(sealed, CONTEXT), null);
});

test("sealing twice gives other bytes, and none of the clear ones", () => {
	const content = utf8("marguerite.oyelaran asked for T-20261122-abc123");
	const made = Array.from({ length: 200 }, () => seal.seal(content, CONTEXT));
	assert.equal(new Set(made.map((sealed) => hexOf(sealed.subarray(0, 12)))).size, made.length);
	for (const sealed of made) assert.ok(!Buffer.from(sealed).includes("marguerite"));
});

test("contents of one fixed size are indistinguishable by length, and a larger one is refused", () => {
	const lengths = [0, 10, 5000].map((length) => seal.seal(new Uint8Array(length), CONTEXT, 5000).length);
	assert.equal(new Set(lengths).size, 1);
	assert.throws(() => seal.seal(new Uint8Array(5001), CONTEXT, 5000));
});

test("a key's id tells it from others and is not made of it", () => {
	assert.deepEqual(disk.id, new DiskSeal(new Uint8Array(32).fill(1)).id);
	assert.notDeepEqual(disk.id, new DiskSeal(new Uint8Array(32).fill(2)).id);
	assert.notDeepEqual(disk.id, new Uint8Array(16).fill(1));
});
