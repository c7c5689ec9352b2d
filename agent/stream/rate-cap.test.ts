import assert from "node:assert/strict";
import { test } from "node:test";
import { EVENT_KINDS } from "#core/model/event.ts";
import { capClassOf, RateCap } from "./rate-cap.ts";

const passing = (cap: RateCap, kind: Parameters<RateCap["admits"]>[0], count: number, nowMs: number) =>
	Array.from({ length: count }).filter(() => cap.admits(kind, nowMs)).length;

test("files give way before network details, these before connections, processes last", () => {
	const cap = new RateCap(100, 0);
	assert.equal(passing(cap, "file_open", 300, 0), 100);
	assert.equal(passing(cap, "dns", 300, 0), 30);
	assert.equal(passing(cap, "connect", 300, 0), 30);
	assert.equal(passing(cap, "exec", 300, 0), 40);
	const refused = cap.takeRefused(500);
	assert.equal(refused?.text, "file 200, network_detail 270, network 270, process 260");
	assert.equal(refused?.count, 1000);
	assert.equal(refused?.agoMs, 500);
	assert.equal(cap.takeRefused(500), null);
});

test("after a storm everything is taken again", () => {
	const cap = new RateCap(100, 0);
	passing(cap, "exec", 300, 0);
	assert.equal(cap.admits("file_open", 0), false);
	assert.equal(passing(cap, "file_open", 10, 2000), 10);
});

test("at the rate nothing is refused, above it exactly the surplus is", () => {
	const cap = new RateCap(100, 0);
	let passed = 0;
	// 150 a second for ten seconds: the bucket's 200 and 1,000 more.
	for (let at = 0; at < 10_000; at += 20) passed += passing(cap, "exec", 3, at);
	assert.ok(Math.abs(passed - 1200) <= 3, `${passed} passed`);
	assert.equal(cap.takeRefused(0)?.count, 1500 - passed);
});

test("what a process is and how it began is never counted as a detail", () => {
	for (const kind of ["fork", "exec", "exit", "snapshot"] as const) assert.equal(capClassOf(kind), "process");
	const details = EVENT_KINDS.filter((kind) => capClassOf(kind) !== "process");
	assert.equal(details.length, 17);
});
