import { equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { growthOf } from "./churn.ts";

test("memory that rises and falls with collections does not grow", () => {
	const sawtooth = Array.from({ length: 40 }, (_, index) => 40 + (index % 5));
	equal(growthOf(sawtooth), 0);
});

test("one high sample is no growth, and what stays is", () => {
	equal(growthOf([40, 40, 40, 40, 40, 90, 40, 40]), 0);
	equal(growthOf([40, 40, 40, 46, 46, 46]), 6);
	ok(growthOf(Array.from({ length: 41 }, (_, index) => 40 + index / 4)) > 4);
});

test("one sample says nothing", () => {
	throws(() => growthOf([40]), RangeError);
});
