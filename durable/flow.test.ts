import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { LANES, type Lane } from "#core/model/batch.ts";
import { LaneScheduler, SendWindow } from "./flow.ts";

const take = (scheduler: LaneScheduler, waiting: readonly Lane[], count: number) =>
	Array.from({ length: count }, () => scheduler.next((lane) => waiting.includes(lane)));

test("the most urgent lane that waits goes first", () => {
	const scheduler = new LaneScheduler(LANES, 16);
	deepEqual(take(scheduler, [], 1), [null]);
	deepEqual(take(scheduler, ["bulk", "alert"], 3), ["alert", "alert", "alert"]);
	deepEqual(take(scheduler, ["bulk", "trace"], 1), ["trace"]);
	deepEqual(take(scheduler, ["bulk"], 1), ["bulk"]);
});

test("the lowest lane that waits gets one carrier in every floorEvery and no more", () => {
	const scheduler = new LaneScheduler(LANES, 4);
	deepEqual(take(scheduler, LANES, 8), ["trace", "trace", "trace", "bulk", "trace", "trace", "trace", "bulk"]);
});

test("the order comes from the settings", () => {
	const scheduler = new LaneScheduler(["bulk", "alert", "trace"], 100);
	deepEqual(take(scheduler, ["trace", "bulk"], 1), ["bulk"]);
});

test("a floor is not saved up while nothing low waits", () => {
	const scheduler = new LaneScheduler(LANES, 4);
	take(scheduler, ["trace"], 50);
	deepEqual(take(scheduler, LANES, 4), ["trace", "trace", "trace", "bulk"]);
});

test("bulk stops at the reserve, higher lanes at the whole window", () => {
	const window = new SendWindow(100, 30);
	window.add("a/1", { seq: 1, bytes: 69, atMs: 0 });
	deepEqual([window.hasRoom(true), window.hasRoom(false)], [true, true]);
	window.add("a/1", { seq: 2, bytes: 1, atMs: 0 });
	deepEqual([window.hasRoom(true), window.hasRoom(false)], [false, true]);
	window.add("a/1", { seq: 3, bytes: 29, atMs: 0 });
	equal(window.hasRoom(false), true);
	window.add("a/1", { seq: 4, bytes: 1, atMs: 0 });
	equal(window.hasRoom(false), false);
});

test("a receipt frees its stream up to its number, once", () => {
	const window = new SendWindow(100, 0);
	for (const seq of [1, 2, 3]) window.add("a/1", { seq, bytes: 10, atMs: 0 });
	window.add("b/1", { seq: 1, bytes: 5, atMs: 0 });
	window.acknowledge("a/1", 2);
	equal(window.unackedBytes, 15);
	window.acknowledge("a/1", 2);
	window.acknowledge("unknown", 9);
	equal(window.unackedBytes, 15);
	window.acknowledge("a/1", 3);
	window.acknowledge("b/1", 1);
	equal(window.unackedBytes, 0);
});

test("what was sent twice is freed twice by one receipt", () => {
	const window = new SendWindow(100, 0);
	window.add("a/1", { seq: 1, bytes: 10, atMs: 0 });
	window.add("a/1", { seq: 1, bytes: 10, atMs: 0 });
	window.acknowledge("a/1", 1);
	equal(window.unackedBytes, 0);
});

test("a refused batch, a stream and an agent are freed and nothing else", () => {
	const window = new SendWindow(1000, 0);
	for (const key of ["a/1", "a/2", "ab/1"]) for (const seq of [1, 2]) window.add(key, { seq, bytes: 10, atMs: 0 });
	window.forget("a/1", 1);
	equal(window.unackedBytes, 50);
	window.forgetStream("a/1");
	equal(window.unackedBytes, 40);
	window.forgetOwner("a/");
	equal(window.unackedBytes, 20);
});
