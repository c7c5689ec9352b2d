import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { BulkPace } from "./bulk-pace.ts";
import { PACE_LIMITS } from "./limits.ts";

const { enoughBytes: waitingBytes, bytesPerSecond, waitMsMax } = PACE_LIMITS;

test("while little waits here bulk is taken at once, however fast it comes", () => {
	const pace = new BulkPace();
	for (let count = 0; count < 100; count++)
		equal(pace.waitMs(bytesPerSecond, { waitingBytes: waitingBytes - 1, nowMs: 0 }), 0);
});

test("from the bound on it comes at a steady pace, and at once again when what waited is gone", () => {
	const pace = new BulkPace();
	const waits = [0, 0, 1500].map((nowMs) => pace.waitMs(bytesPerSecond, { waitingBytes, nowMs }));
	deepEqual(waits, [0, 1000, 500]);
	equal(pace.waitMs(bytesPerSecond, { waitingBytes: 0, nowMs: 1500 }), 0);
});

test("nothing waits longer than its sender does for a receipt, nor for a clock that was set back", () => {
	const pace = new BulkPace();
	let longest = 0;
	for (let count = 0; count < 100; count++)
		longest = Math.max(longest, pace.waitMs(bytesPerSecond, { waitingBytes, nowMs: 1_000_000 }));
	equal(longest, waitMsMax);
	equal(pace.waitMs(1, { waitingBytes, nowMs: 0 }), 0);
});
