import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { PIPE_LIMITS } from "./limits.ts";
import { PipeDepth } from "./pipe-depth.ts";

const MIB = 1024 * 1024;
const BOUNDS = { bytesMax: 6 * MIB, bytesMin: MIB };

/** An upstream that works off so many bytes a second behind a line of so many milliseconds; the depth after so many seconds. */
function after(
	seconds: number,
	{ bytesPerSecond, lineMs }: { bytesPerSecond: number; lineMs: number },
	depth: PipeDepth,
): number {
	for (let nowMs = 0; nowMs < seconds * 1000; nowMs += 20) {
		// What is in the pipe waits for its turn; a line holds some of it by itself.
		const queuedMs = Math.max(0, (depth.bytes / bytesPerSecond) * 1000 - lineMs);
		depth.heard(lineMs + queuedMs, nowMs);
	}
	return depth.bytes;
}

test("a fast upstream gets the whole window", () => {
	equal(after(10, { bytesPerSecond: 100 * MIB, lineMs: 1 }, new PipeDepth(BOUNDS)), 6 * MIB);
});

test("a long line gets the whole window", () => {
	equal(after(30, { bytesPerSecond: 10 * MIB, lineMs: 600 }, new PipeDepth(BOUNDS)), 6 * MIB);
});

test("a slow upstream is not buried: little more waits than the bound says", () => {
	const depth = new PipeDepth(BOUNDS);
	depth.heard(2, 0);
	const bytes = after(10, { bytesPerSecond: 10 * MIB, lineMs: 2 }, depth);
	ok((bytes / (10 * MIB)) * 1000 < 2 * PIPE_LIMITS.queuedMs, `${bytes} bytes`);
});

test("however slow, the least may go", () => {
	const depth = new PipeDepth(BOUNDS);
	depth.heard(1, 0);
	equal(after(25, { bytesPerSecond: 2 * MIB, lineMs: 1 }, depth), BOUNDS.bytesMin);
});

test("times by a clock that was set change nothing", () => {
	const depth = new PipeDepth(BOUNDS);
	depth.heard(1, 0);
	depth.heard(500, 500);
	const { bytes } = depth;
	depth.heard(-5, 1000);
	depth.heard(PIPE_LIMITS.waitMsMax + 1, 1000);
	equal(depth.bytes, bytes);
	depth.heard(1, 5_000_000);
	for (const nowMs of [1000, 1010, 1020]) depth.heard(1, nowMs);
	ok(depth.bytes > bytes);
});

test("a line that became longer is learnt within two intervals", () => {
	const depth = new PipeDepth(BOUNDS);
	after(5, { bytesPerSecond: 100 * MIB, lineMs: 1 }, depth);
	for (let nowMs = 5000; nowMs < 5000 + 3 * PIPE_LIMITS.intervalMs; nowMs += 100) depth.heard(600, nowMs);
	equal(depth.bytes, 6 * MIB);
});

test("a queue that always stands never counts as the line", () => {
	const bytesPerSecond = 2 * MIB;
	const depth = new PipeDepth({ ...BOUNDS, bytesMin: 64 * 1024 });
	depth.heard(2, 0);
	const sent: { atMs: number; backMs: number }[] = [];
	let freeAtMs = 0;
	let inFlight = 0;
	let largest = 0;
	for (let nowMs = 0; nowMs < 40 * PIPE_LIMITS.intervalMs; nowMs += 5) {
		for (let first = sent[0]; first !== undefined && first.backMs <= nowMs; first = sent[0]) {
			sent.shift();
			inFlight -= 32 * 1024;
			depth.heard(nowMs - first.atMs, nowMs);
		}
		for (; inFlight < depth.bytes; inFlight += 32 * 1024) {
			freeAtMs = Math.max(freeAtMs, nowMs) + (32 * 1024 * 1000) / bytesPerSecond;
			sent.push({ atMs: nowMs, backMs: freeAtMs + 2 });
		}
		if (nowMs > 10_000) largest = Math.max(largest, freeAtMs - nowMs);
	}
	ok(largest < 5 * PIPE_LIMITS.queuedMs, `${largest} ms of queue`);
});
