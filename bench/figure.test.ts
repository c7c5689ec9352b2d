import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { figureOf, isMet, median, quantile } from "./figure.ts";

const where = { machine: { cpu: "c", cores: 2, memoryMib: 1, kernel: "k", node: "v24" }, commit: "abc" };

test("a median of an even count lies between the middle two, and order does not matter", () => {
	equal(median([4, 1, 3, 2]), 2.5);
	equal(median([9, 1, 5]), 5);
});

test("the 99th percentile of a hundred values is near the top, and of none is an error", () => {
	const values = Array.from({ length: 101 }, (_, index) => index);
	equal(quantile(values, 0.99), 99);
	equal(quantile(values, 1), 100);
	throws(() => quantile([], 0.5), RangeError);
});

test("a goal is met at its bound and missed just beyond it", () => {
	equal(isMet(">= 0.95", 0.95), true);
	equal(isMet(">= 0.95", 0.9499), false);
	equal(isMet("<= 60", 60), true);
	equal(isMet("<= 60", 60.001), false);
});

test("a figure carries median, spread and yardstick, and judges the unrounded value", () => {
	const yardstick = { what: "direct", unit: "events/s", runs: [100, 300, 200] };
	const figure = figureOf(
		"path",
		{ metric: "m", unit: "u", goal: "<= 1000", runs: [1, 1000.04, 2000], yardstick },
		where,
	);
	equal(figure.value, 1000);
	equal(figure.met, false);
	deepEqual(figure.spread, [1, 2000]);
	deepEqual(figure.yardstick, { what: "direct", value: 200, unit: "events/s" });
	equal(figure.runs, 3);
	equal(figure.commit, "abc");
});

test("without a goal nothing is met or missed", () => {
	equal(figureOf("path", { metric: "m", unit: "u", goal: null, runs: [1] }, where).met, null);
});
