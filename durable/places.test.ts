import assert from "node:assert/strict";
import { test } from "node:test";
import { type Place, Places } from "./places.ts";

const limits = { atOnce: 2, holdMsMax: 1000, waitingMax: 3 };

test("there are as many places as said, and one that is left is given to who waits first", () => {
	const places = new Places(limits);
	const first = places.take(0, false);
	assert.ok(first !== null && places.take(0, false) !== null);
	assert.equal(places.take(0, false), null);
	const woken: string[] = [];
	places.await(() => woken.push("a"));
	places.await(() => woken.push("b"));
	places.leave(first);
	assert.deepEqual(woken, ["a"]);
	assert.equal(places.take(0, false), null, "b waits: who comes now is not before it");
	assert.ok(places.take(0, true) !== null);
	assert.equal(places.take(0, true), null);
});

test("a place whose holder never leaves it is free after a while, and after the clock was set back", () => {
	const places = new Places(limits);
	places.take(0, false);
	places.take(0, false);
	assert.equal(places.take(1000, false), null);
	assert.ok(places.take(1001, false) !== null);
	const later = new Places(limits);
	later.take(5000, false);
	later.take(5000, false);
	assert.ok(later.take(4999, false) !== null);
});

test("of more who wait than the limit the oldest are forgotten, and who waits no longer is not called", () => {
	const places = new Places(limits);
	const place = places.take(0, false);
	const woken: number[] = [];
	const callbacks = [0, 1, 2, 3].map((name) => () => void woken.push(name));
	for (const callback of callbacks) places.await(callback);
	places.forget(callbacks[1] as () => void);
	places.leave(place as Place);
	assert.deepEqual(woken, [2]);
});

test("who wants more than is free takes what is free, and what it does not need wakes who waits", () => {
	const places = new Places(limits);
	const want = { least: 10, most: 60, atOnce: 100 };
	const first = places.take(0, false, want) as Place;
	const second = places.take(0, false, want) as Place;
	assert.deepEqual([first.units, second.units], [60, 40]);
	assert.equal(places.take(0, false, want), null);
	let woken = 0;
	places.await(() => void woken++);
	places.give(second, 31);
	assert.equal(woken, 1);
	assert.equal(places.take(0, true, want), null, "nine are less than is of use");
	places.give(second, 30);
	assert.equal(places.take(0, true, want)?.units, 10);
	places.give(second, 30);
	assert.equal(places.take(0, true, want), null, "giving nothing frees nothing");
	places.leave(first);
	assert.equal(places.take(0, true, want)?.units, 60);
});
