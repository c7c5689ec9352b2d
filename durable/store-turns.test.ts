import { deepEqual, equal, notEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { CHANNEL_LIMITS, TURN_LIMITS } from "./limits.ts";
import type { Place } from "./places.ts";
import { StoreTurns } from "./store-turns.ts";

const SOON = { ms: TURN_LIMITS.deliveryMs * 0.4, isFull: true };
const LATE = { ms: TURN_LIMITS.deliveryMs + 1, isFull: true };

function takeAll(turns: StoreTurns, nowMs: number): Place[] {
	return Array.from({ length: TURN_LIMITS.bulkAtOnce }, () => turns.take(nowMs, false)).filter((turn) => turn !== null);
}

test("there are as many turns as the limit says, and one that is done is free again", () => {
	const turns = new StoreTurns();
	const held = takeAll(turns, 0);
	equal(held.length, TURN_LIMITS.bulkAtOnce);
	equal(turns.take(0, false), null);
	turns.done(held[0] as Place, { ...SOON, isFull: false });
	notEqual(turns.take(0, false), null);
	equal(turns.take(0, false), null);
});

test("a turn whose holder is gone is free after a while, also when the clock was set back", () => {
	const turns = new StoreTurns();
	takeAll(turns, 1000);
	equal(turns.take(1000 + TURN_LIMITS.holdMsMax, false), null);
	notEqual(turns.take(1001 + TURN_LIMITS.holdMsMax, false), null);
	const other = new StoreTurns();
	takeAll(other, 1000);
	notEqual(other.take(999), null);
});

test("who waits is called in order, once, when a turn is free; who asks again keeps its place", () => {
	const turns = new StoreTurns();
	const held = takeAll(turns, 0);
	const called: string[] = [];
	const [first, second] = [() => void called.push("first"), () => void called.push("second")];
	turns.await(first);
	turns.await(second);
	turns.await(first);
	for (const turn of held) turns.done(turn, SOON);
	deepEqual(called.slice(0, 2), ["first", "second"]);
	equal(called.length, Math.min(2, held.length));
});

test("deliveries that take long become smaller and quick full ones larger, within their bounds", () => {
	const turns = new StoreTurns();
	const deliver = (took: { ms: number; isFull: boolean }) => turns.done(turns.take(0, false) as Place, took);
	for (let i = 0; i < 20; i++) deliver(LATE);
	equal(turns.bytesMax, TURN_LIMITS.leastBytes);
	for (const ms of [SOON.ms, LATE.ms]) deliver({ ms, isFull: false });
	equal(turns.bytesMax, TURN_LIMITS.leastBytes);
	deliver(SOON);
	ok(turns.bytesMax > TURN_LIMITS.leastBytes);
	for (let i = 0; i < 20; i++) deliver(SOON);
	equal(turns.bytesMax, CHANNEL_LIMITS.deliverBytesMax);
});

test("many small deliveries are on their way at once, as many as hold the bytes of the full ones, and none is smaller than counted", () => {
	const turns = new StoreTurns();
	const small: Place[] = [];
	for (let turn = turns.take(0, false); turn !== null; turn = turns.take(0, false)) {
		turns.holds(turn, 100);
		small.push(turn);
	}
	equal(small.length, (TURN_LIMITS.bulkAtOnce * TURN_LIMITS.firstBytes) / TURN_LIMITS.deliveryBytesMin);
	turns.done(small[0] as Place, { ms: 1, isFull: false });
	equal(turns.take(0, false)?.units, TURN_LIMITS.deliveryBytesMin);
	equal(turns.take(0, false), null);
});
