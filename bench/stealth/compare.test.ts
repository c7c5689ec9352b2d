import assert from "node:assert/strict";
import { test } from "node:test";
import { type Filter, nameOf, type Round, traceOfTrace } from "./compare.ts";
import { parseLook } from "./look.ts";

const lookOf = (...lines: string[]) => parseLook(lines.map((line) => line.replace("|", "\t")).join("\n"));
const round = (before: string[], after: string[]): Round => ({ before: lookOf(...before), after: lookOf(...after) });
const everything: Filter = { isForeign: () => false };
const quiet = round(["process|1 0 0 init init"], ["process|1 0 0 init init"]);
const found = (idle: Round[], traced: Round[], filter = everything) =>
	traceOfTrace(idle, traced, filter).map(({ section, sign, item }) => `${section} ${sign} ${item}`);

test("two equal looks tell nothing", () => {
	assert.deepEqual(found([quiet], [quiet, quiet]), []);
});

test("what every trace brings is told, whatever its pid", () => {
	const traced = [round([], ["process|71 1 0 tracer tracer --on"]), round([], ["process|98 1 0 tracer tracer --on"])];
	assert.deepEqual(found([quiet], traced), ["process + 71 1 0 tracer tracer --on"]);
});

test("what happens now and then, or without a trace too, is noise", () => {
	const busy = round([], ["process|5 1 0 cron cron"]);
	assert.deepEqual(found([quiet], [busy, quiet]), []);
	assert.deepEqual(found([busy], [busy, busy]), []);
});

test("of the endpoint and of the target one difference in one round is enough", () => {
	const traced = round(["target.status|TracerPid: 0"], ["target.status|TracerPid: 12"]);
	assert.deepEqual(found([quiet], [quiet, traced]), ["target.status + TracerPid: 12", "target.status - TracerPid: 0"]);
	assert.deepEqual(
		found([quiet], [round(["endpoint.7.fd|4 socket:[1]"], ["endpoint.7.fd|4 socket:[1]", "endpoint.7.fd|5 /x"])]),
		["endpoint.7.fd + 5 /x"],
	);
});

test("what vanishes with a trace is told too, but not a file that only stopped changing", () => {
	const traced = round(["module|a", "module|b", "changed|/var/log/x"], ["module|a"]);
	assert.deepEqual(found([quiet], [traced]), ["module - b"]);
});

test("what belongs to the test itself does not count", () => {
	const traced = round([], ["process|71 1 0 node node test"]);
	assert.deepEqual(found([quiet], [traced], { isForeign: (_, item) => item.includes("node") }), []);
});

test("addresses, pids and inodes are no names", () => {
	assert.equal(nameOf("tcp 0100007F:1F90 00000000:0000 0A uid 0 inode 4711"), "tcp ADDRESS ADDRESS NA uid N inode N");
	assert.equal(nameOf("/data/outbox/000012.seg"), "/data/outbox/N.seg");
});
