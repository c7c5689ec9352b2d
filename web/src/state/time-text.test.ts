import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesText, clockText, dayClockText, isoText, parseMoment, spanText, utcText } from "./time-text.ts";

const moment = Date.UTC(2026, 10, 22, 3, 4, 5, 6);

test("times are UTC whatever the machine's zone", () => {
	assert.equal(utcText(moment), "2026-11-22 03:04:05.006 UTC");
	assert.equal(clockText(moment), "03:04:05.006");
	assert.equal(dayClockText(moment), "2026-11-22 03:04:05");
	assert.equal(utcText(Number.NaN), "no time");
});

test("a time that no calendar has is said so and never thrown", () => {
	assert.equal(isoText(moment), "2026-11-22T03:04:05.006Z");
	for (const ms of [
		8.64e15 + 1,
		Number.MAX_SAFE_INTEGER,
		-Number.MAX_SAFE_INTEGER,
		Number.POSITIVE_INFINITY,
		Number.NaN,
	]) {
		assert.equal(isoText(ms), undefined);
		for (const text of [utcText, clockText, dayClockText]) assert.equal(text(ms), "no time");
		assert.equal(typeof spanText(ms), "string");
		assert.equal(parseMoment("03:04", ms), null);
	}
	assert.equal(utcText(8.64e15), "+275760-09-13 00:00:00.000 UTC");
});

test("spans name the two largest units", () => {
	const cases: [number, string][] = [
		[0, "0 ms"],
		[999, "999 ms"],
		[12_440, "12.4 s"],
		[185_000, "3 min 5 s"],
		[7_200_000, "2 h"],
		[86_400_000 * 3 + 3_600_000 * 4, "3 d 4 h"],
		[-1500, "−1.5 s"],
	];
	for (const [ms, text] of cases) assert.equal(spanText(ms), text);
});

test("bytes are in binary units", () => {
	assert.equal(bytesText(1023), "1023 B");
	assert.equal(bytesText(1536), "1.5 KiB");
});

test("a typed time is read on the day in view, and anything else is refused", () => {
	assert.equal(parseMoment("03:04:05.006", moment), moment);
	assert.equal(parseMoment("2026-11-22 03:04:05.006 UTC", 0), moment);
	assert.equal(parseMoment(" 03:04 ", moment), Date.UTC(2026, 10, 22, 3, 4));
	for (const text of ["", "3:04", "25:00:00", "noon", "03:04:05.0061"])
		assert.equal(parseMoment(text, moment), null, text);
});
