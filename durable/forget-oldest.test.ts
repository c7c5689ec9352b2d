import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { forgetOldest } from "./forget-oldest.ts";

test("at the limit nothing is forgotten, above it what came first", () => {
	const names = new Set(["a", "b", "c"]);
	forgetOldest(names, 3);
	deepEqual([...names], ["a", "b", "c"]);
	forgetOldest(names, 2);
	deepEqual([...names], ["b", "c"]);
	const map = new Map([
		["a", 1],
		["b", 2],
	]);
	forgetOldest(map, 0);
	deepEqual([...map], []);
});
