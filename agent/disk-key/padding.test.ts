import assert from "node:assert/strict";
import { test } from "node:test";
import { paddedLength } from "./padding.ts";

test("a class holds its content, is its own class, and costs what is said", () => {
	let last = 0;
	let largest = 0;
	let sum = 0;
	let count = 0;
	for (let bytes = 0; bytes <= 2_000_000; bytes += bytes < 40_000 ? 1 : 97) {
		const padded = paddedLength(bytes);
		assert.ok(padded >= bytes && padded >= last, `${bytes}`);
		assert.equal(paddedLength(padded), padded, `${bytes}`);
		last = padded;
		if (bytes <= 16 * 1024) continue;
		largest = Math.max(largest, padded / bytes - 1);
		sum += padded / bytes - 1;
		count++;
	}
	assert.ok(largest <= 0.032, `at most ${largest}`);
	assert.ok(sum / count < 0.012, `in the mean ${sum / count}`);
});

test("everything up to 1 KiB is one class and up to 16 KiB there are four more", () => {
	const classes = new Set(Array.from({ length: 16 * 1024 + 1 }, (_, bytes) => paddedLength(bytes)));
	assert.deepEqual([...classes], [1024, 2048, 4096, 8192, 16_384]);
});
