import { equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { cpuPercent, cpuSecondsOf, readCost, residentMibOf } from "./process-cost.ts";

test("CPU time is user plus system, also of a process whose name holds parentheses and spaces", () => {
	const stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 1 0 900 1000 10";
	equal(cpuSecondsOf(stat), 1.75);
});

test("a status without a resident set is an error, not a zero", () => {
	equal(residentMibOf("Name:\tx\nVmRSS:\t    2048 kB\n"), 2);
	equal(residentMibOf("VmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\n", "RssAnon"), 1);
	throws(() => residentMibOf("Name:\tx\n"), RangeError);
});

test("this process costs something and a process that is gone is an error", () => {
	ok(readCost(process.pid).residentMib > 1);
	throws(() => readCost(2 ** 22 + 1));
});

test("the share of a core is CPU time over wall time", () => {
	const first = { atMs: 0, cpuSeconds: 1, residentMib: 1, privateMib: 1 };
	equal(cpuPercent(first, { atMs: 10_000, cpuSeconds: 2, residentMib: 1, privateMib: 1 }), 10);
});
