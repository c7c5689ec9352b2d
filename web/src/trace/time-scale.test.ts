import assert from "node:assert/strict";
import { test } from "node:test";
import { clampWindow, msAt, panned, ticks, WINDOW_MS_MIN, xOf, zoomed } from "./time-scale.ts";

const bounds = { startMs: 0, endMs: 60_000 };

test("a moment keeps its place through pixels and back", () => {
	assert.equal(xOf(15_000, bounds, 400), 100);
	assert.equal(msAt(100, bounds, 400), 15_000);
});

test("ticks stand at round times and never closer than asked", () => {
	const labels = ticks(
		{ startMs: Date.UTC(2026, 10, 22, 13, 0, 1), endMs: Date.UTC(2026, 10, 22, 13, 0, 41) },
		400,
		90,
	);
	assert.deepEqual(
		labels.map(({ label }) => label),
		["13:00:10", "13:00:20", "13:00:30", "13:00:40"],
	);
	assert.match(ticks({ startMs: 0, endMs: 20 }, 400, 90)[0]?.label ?? "", /^00:00:00\.000$/);
	assert.ok(ticks({ startMs: 0, endMs: 86_400_000 * 4000 }, 400, 90).length < 6);
});

test("a window that a host's clock stretched beyond the calendar has ticks without a label", () => {
	const found = ticks({ startMs: 8.64e15 - 1000, endMs: Number.MAX_SAFE_INTEGER }, 400, 90);
	assert.ok(found.length > 0 && found.length < 6);
	assert.equal(found.at(-1)?.label, "");
});

test("zooming keeps the moment under the pointer where it is", () => {
	const window = zoomed({ startMs: 10_000, endMs: 30_000 }, 0.5, 15_000, bounds);
	assert.equal(xOf(15_000, window, 100), 25);
	assert.equal(window.endMs - window.startMs, 10_000);
});

test("neither zoom nor pan leaves the bounds or gets too narrow to see", () => {
	assert.deepEqual(zoomed({ startMs: 0, endMs: 40_000 }, 3, 20_000, bounds), bounds);
	assert.deepEqual(panned({ startMs: 0, endMs: 10_000 }, -0.5, bounds), { startMs: 0, endMs: 10_000 });
	assert.deepEqual(panned({ startMs: 45_000, endMs: 55_000 }, 5, bounds), { startMs: 50_000, endMs: 60_000 });
	const narrow = clampWindow({ startMs: 59_999, endMs: 59_999 }, bounds);
	assert.deepEqual(narrow, { startMs: 60_000 - WINDOW_MS_MIN, endMs: 60_000 });
});
