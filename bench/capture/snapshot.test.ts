import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "./framedump.ts";
import { lookOf } from "./snapshot.ts";

const frame = (kind: string, ktime: number, more: Partial<Frame> = {}): Frame => ({
	kind,
	tgid: 0,
	tier: 1,
	ktime,
	...more,
});
const END = frame("snapshot_end", 1_350_000_000, { COUNT: 10_001 });

test("the first look lasts from ready to its end, and the whole from the start", () => {
	const ready = frame("ready", 1_100_000_000, { PROGRAMS: "sched_process_exec,task_iter", MISSING: "" });
	deepEqual(lookOf([ready, END], 1000), { snapshotMs: 250, wholeMs: 350, processes: 10_001, isByIterator: true });
});

test("a collector that lacks the iterator, or has none, has looked at /proc", () => {
	const lacking = frame("ready", 0, { PROGRAMS: "sched_process_exec", MISSING: "task_iter" });
	equal(lookOf([lacking, END], 0)?.isByIterator, false);
	equal(lookOf([frame("ready", 0, { PROGRAMS: "", MISSING: "", tier: 3 }), END], 0)?.isByIterator, false);
});

test("a look without its end is none", () => {
	equal(lookOf([frame("ready", 0)], 0), null);
	equal(lookOf([END], 0), null);
});
