import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { parseFrameLine } from "./framedump.ts";

const HEAD =
	'"tier":1,"flags":0,"cpu":1,"tgid":42,"seq":7,"ktime":1000,"ticks":5,"tid":42,"uid":0,"gid":0,"euid":0,"cgroup":1';

test("a frame's arguments keep the NUL between them", () => {
	const frame = parseFrameLine(`{"kind":"exec",${HEAD},"ARGV":"sleep\\u00000.001","PARENT_TGID":41}`);
	deepEqual(frame?.ARGV?.split("\0"), ["sleep", "0.001"]);
	equal(frame?.PARENT_TGID, 41);
	equal(frame?.tgid, 42);
});

test("heads and drops are lists, one number per CPU", () => {
	const frame = parseFrameLine(`{"kind":"stats",${HEAD},"CPU_HEADS":[10,12],"CPU_DROPS":[0,3],"MISSES":0}`);
	deepEqual(frame?.CPU_DROPS, [0, 3]);
});

test("a line that is cut or no frame is nothing", () => {
	equal(parseFrameLine(`{"kind":"stats",${HEAD},"CPU_HEADS":[10`), null);
	equal(parseFrameLine("framedump: procmond has ended."), null);
	equal(parseFrameLine(""), null);
});
