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

test("a cut at any byte but a frame's end is refused", () => {
	const first = deflateFrames(new Uint8Array(randomBytes(500)));
	const whole = new Uint8Array([...first, ...deflateFrames(new Uint8Array(randomBytes(300)))]);
	for (let length = 1; length < whole.length; length++) {
		const outcome = inflateFrames(whole.slice(0, length), 1000);
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
