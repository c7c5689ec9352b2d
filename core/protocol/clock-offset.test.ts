import assert from "node:assert/strict";
import { test } from "node:test";
import { addClockSample, CLOCK_SAMPLES_MAX, clockOffsetOf } from "./clock-offset.ts";

/** Heartbeats of a clock that is `offsetMs` ahead, each delayed by one of the delays. */
const heard = (samples: number[], offsetMs: number, delaysMs: readonly number[]): number[] =>
	delaysMs.reduce((list, delayMs) => addClockSample(list, delayMs - offsetMs), samples);

test("the offset is off by the fastest delivery at most, whatever the slow ones took", () => {
	for (const offsetMs of [-90_000, -3, 0, 7, 250, 86_400_000]) {
		const answered = clockOffsetOf(heard([], offsetMs, [900, 40, 3, 2500, 12]));
		assert.ok(answered <= offsetMs && answered >= offsetMs - 3, `${answered} for ${offsetMs}`);
	}
	assert.equal(clockOffsetOf([]), 0);
});

test("a clock that is set is believed within two heartbeats, in both directions", () => {
	const settled = heard([], 0, [2, 3, 2]);
	assert.equal(clockOffsetOf(heard(settled, 86_400_000, [4])), 86_399_996);
	const back = heard(settled, -86_400_000, [4]);
	assert.equal(clockOffsetOf(back), -2, "one late delivery is not believed");
	assert.equal(clockOffsetOf(heard(back, -86_400_000, [4])), -86_400_004);
});

test("one delivery that took long changes nothing, and old samples go", () => {
	assert.equal(clockOffsetOf(heard([], 10, [2, 60_000, 2])), 8);
	const many = heard([], 0, [1, ...Array.from({ length: CLOCK_SAMPLES_MAX }, () => 5)]);
	assert.equal(many.length, CLOCK_SAMPLES_MAX);
	assert.equal(clockOffsetOf(many), -5, "the fastest is forgotten after as many slower ones");
});
