import { equal, match } from "node:assert/strict";
import { test } from "node:test";
import { afterFill, afterTold, HOLE_MARKS, holeAlarm } from "./hole-marks.ts";

const { told, due, filled } = HOLE_MARKS;
const AT = { stream: new Uint8Array(8).fill(7), lane: "bulk", received: 4 } as const;

test("a hole that fills before its alarm was told ends in silence, and after it with the alarm's end", () => {
	equal(afterFill(null), null);
	equal(afterFill(123_456), null);
	equal(afterFill(due), null);
	equal(afterFill(told), filled);
	equal(afterFill(filled), filled);
});

test("what happens to the hole while its alarm is on the way is not lost", () => {
	equal(afterTold(due, due), told);
	equal(afterTold(due, null), filled, "it was filled meanwhile: the end is to be told");
	equal(afterTold(filled, filled), null);
	equal(afterTold(filled, 5000), 5000, "a new hole");
});

test("an alarm names the stream and the batch that is missing, and its end is of the same alarm", () => {
	const alarm = holeAlarm(due, AT);
	match(alarm?.detail ?? "", /^bulk stream 0707070707070707: batch 5 has not come/);
	const end = holeAlarm(filled, AT);
	equal(end?.isCleared, true);
	equal(end?.sameAs, alarm?.sameAs);
	for (const mark of [null, 1000, told]) equal(holeAlarm(mark, AT), null);
});
