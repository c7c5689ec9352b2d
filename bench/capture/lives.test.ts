import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "./framedump.ts";
import { judge, parseLives } from "./lives.ts";

const LIVES = parseLives("10 0.1\n11 0.2\n");
const frame = (kind: string, tgid: number, more: Partial<Frame> = {}): Frame => ({
	kind,
	tgid,
	tier: 1,
	ktime: 0,
	...more,
});
const whole = (pid: number, argument: string) => [
	frame("exec", pid, { ARGV: `sleep\u00000.001\u0000${argument}`, PARENT_TGID: 9 }),
	frame("exit", pid),
];

test("lives are lines of pid and argument", () => {
	deepEqual(LIVES, [
		{ pid: 10, argument: "0.1" },
		{ pid: 11, argument: "0.2" },
	]);
});

test("a life is whole with its parent, its argument and its exit", () => {
	deepEqual(judge(LIVES, [...whole(10, "0.1"), ...whole(11, "0.2")], 9), {
		seen: 1,
		parent: 1,
		argv: 1,
		exit: 1,
		whole: 1,
	});
});

test("the argument of another process, another parent or a missing exit is not whole", () => {
	equal(judge(LIVES, [...whole(10, "0.2"), ...whole(11, "0.1")], 9).argv, 0);
	equal(judge(LIVES, [...whole(10, "0.1"), ...whole(11, "0.2")], 8).whole, 0);
	const caught = judge(LIVES, [...whole(10, "0.1"), ...whole(11, "0.2").slice(0, 1)], 9);
	equal(caught.exit, 0.5);
	equal(caught.whole, 0.5);
	equal(caught.seen, 1);
});
