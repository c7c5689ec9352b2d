import { deepEqual, equal, ok } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { deflateFrames, inflateFrames, ZSTD_LIMITS } from "./zstd-frames.ts";

const SIZES = [
	0,
	1,
	100,
	ZSTD_LIMITS.frameBytesMax - 1,
	ZSTD_LIMITS.frameBytesMax,
	ZSTD_LIMITS.frameBytesMax + 1,
	300_000,
];

test("what is deflated inflates to the same bytes, compressible or not", () => {
	for (const size of SIZES)
		for (const raw of [new Uint8Array(size).fill(7), new Uint8Array(randomBytes(size))]) {
			const inflated = inflateFrames(deflateFrames(raw), size);
			ok(inflated.ok, JSON.stringify(inflated));
			deepEqual(inflated.value, raw);
		}
});

test("any zstd reads the frames", () => {
	const raw = new Uint8Array(randomBytes(100_000));
	deepEqual(new Uint8Array(zstdDecompressSync(deflateFrames(raw))), raw);
});

test("more than the caller allows is refused, exactly the allowance is not", () => {
	const deflated = deflateFrames(new Uint8Array(100_000));
	equal(inflateFrames(deflated, 100_000).ok, true);
	const refused = inflateFrames(deflated, 99_999);
	equal(refused.ok ? "" : refused.code, "zstd_too_large");
});

test("one frame that holds a bomb is refused without being inflated whole", () => {
	const bomb = new Uint8Array(zstdCompressSync(new Uint8Array(64 * 1024 * 1024)));
	ok(bomb.length < 10_000);
	const refused = inflateFrames(bomb, 4 * 1024 * 1024);
	equal(refused.ok ? "" : refused.code, "zstd_too_large");
});

test("as many frames as the bytes need are inflated, and one more refuses the whole before any is inflated", () => {
	const raw = new Uint8Array(2 * ZSTD_LIMITS.frameBytesMax).fill(7);
	const full = deflateFrames(raw);
	equal(inflateFrames(full, raw.length).ok, true);
	const oneMore = inflateFrames(new Uint8Array([...full, ...deflateFrames(Uint8Array.of(1))]), raw.length);
	equal(oneMore.ok ? "" : oneMore.code, "zstd_too_large");
	const torn = new Uint8Array([...deflateFrames(Uint8Array.of(1)), ...full, 0xff]);
	const counted = inflateFrames(torn, ZSTD_LIMITS.frameBytesMax);
	equal(counted.ok ? "" : counted.code, "zstd_too_large", "counted before the torn end was reached");
});

test("four megabytes of frames or blocks that hold nothing are refused at once", () => {
	const bytes = 4 * 1024 * 1024;
	const rowOf = (one: Uint8Array) => {
		const row = new Uint8Array(Math.floor(bytes / one.length) * one.length);
		for (let offset = 0; offset < row.length; offset += one.length) row.set(one, offset);
		return row;
	};
	const empty = new Uint8Array(zstdCompressSync(new Uint8Array(0)));
	// One frame of a million empty raw blocks: header without sizes, then three zeros each, the last one marked.
	const blocks = new Uint8Array(6 + 3 * 1_000_000);
	blocks.set([0x28, 0xb5, 0x2f, 0xfd, 0, 0x50]);
	blocks[blocks.length - 3] = 1;
	for (const [data, bytesMax] of [
		[rowOf(empty), 0],
		[rowOf(empty), bytes],
		[empty, bytes],
		[blocks, bytes],
	] as const) {
		const startMs = performance.now();
		equal(inflateFrames(data, bytesMax).ok, false);
		// The honest way takes a millisecond or a few; what this guards against took seconds.
		ok(performance.now() - startMs < 250, `${data.length} bytes took ${performance.now() - startMs} ms`);
	}
});

test("a cut at any byte but a frame's end is refused", () => {
	const first = deflateFrames(new Uint8Array(ZSTD_LIMITS.frameBytesMax).fill(7));
	const whole = new Uint8Array([...first, ...deflateFrames(new Uint8Array(randomBytes(300)))]);
	for (let length = 1; length < whole.length; length++) {
		const outcome = inflateFrames(whole.slice(0, length), ZSTD_LIMITS.frameBytesMax + 300);
		equal(outcome.ok, length === first.length, `cut at ${length}`);
	}
});

test("a flipped bit gives an error or other bytes, never a throw", () => {
	const deflated = deflateFrames(new Uint8Array(randomBytes(64)));
	for (let bit = 0; bit < deflated.length * 8; bit++) {
		const flipped = deflated.slice();
		flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
		inflateFrames(flipped, 1000);
	}
});
