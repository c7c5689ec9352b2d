import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { backoffMs } from "./backoff.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { readFlowSettings } from "./settings.ts";

test("absent settings take the documented defaults", () => {
	const expected = { fsyncIntervalMs: 100, priorities: ["trace", "alert", "bulk"], compression: "zstd" };
	deepEqual(readFlowSettings(undefined), expected);
	deepEqual(readFlowSettings({ flow: {} }), expected);
});

test("settings that the host must have refused stop the object", () => {
	const intervalMs = CHANNEL_LIMITS.fsyncIntervalMsMax;
	equal(readFlowSettings({ fsync_interval_ms: intervalMs }).fsyncIntervalMs, intervalMs);
	throws(() => readFlowSettings({ fsync_interval_ms: intervalMs + 1 }));
	throws(() => readFlowSettings({ flow: { priorities: ["trace", "bulk", "bulk"] } }));
	throws(() => readFlowSettings({ flow: { compression: "gzip" } }));
});

test("waits double from the first to the longest and spread over their upper half", () => {
	const backoff = { firstMs: 100, longestMs: 1000 };
	const waits = [1, 2, 3, 4, 5, 500].map((failures) => [
		backoffMs(backoff, failures, 0),
		backoffMs(backoff, failures, 1),
	]);
	deepEqual(waits, [
		[50, 100],
		[100, 200],
		[200, 400],
		[400, 800],
		[500, 1000],
		[500, 1000],
	]);
});
