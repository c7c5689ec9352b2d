import { deepEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DeferredBulk } from "./deferred-bulk.ts";
import { DEFER_LIMITS } from "./limits.ts";

const broken: string[] = [];
const open = () => new DeferredBulk((error) => broken.push(error.message));

async function until(isSo: () => boolean): Promise<void> {
	for (let count = 0; count < 1000 && !isSo(); count++) await sleep(1);
	ok(isSo());
}

test("bulk is not taken in the turn in which it came, and in its order; what comes meanwhile is before the rest", async () => {
	const bulk = open();
	const taken: number[] = [];
	const bytes = DEFER_LIMITS.roundBytes;
	for (const n of [0, 1, 2]) bulk.add(bytes, () => taken.push(n));
	deepEqual(taken, []);
	setTimeout(() => taken.push(-1), 0);
	await until(() => taken.length === 4);
	deepEqual(taken, [0, -1, 1, 2]);
});

test("what is put aside is bounded: beyond it some is taken at once, and no more than one round's, in order", async () => {
	const bulk = open();
	const taken: number[] = [];
	const most = Math.min(DEFER_LIMITS.itemsMax, Math.floor(DEFER_LIMITS.channelBytesMax / 1024));
	for (let n = 0; n < most; n++) bulk.add(1024, () => taken.push(n));
	deepEqual(taken, []);
	bulk.add(1024, () => taken.push(most));
	deepEqual(
		taken,
		Array.from({ length: DEFER_LIMITS.roundBytes / 1024 }, (_, n) => n),
	);
});

test("a flush takes everything now, a clear nothing any more, and what throws is told", async () => {
	const bulk = open();
	const taken: string[] = [];
	bulk.add(1, () => taken.push("a"));
	bulk.flush();
	deepEqual(taken, ["a"]);
	bulk.add(1, () => taken.push("b"));
	bulk.clear();
	await sleep(5);
	deepEqual(taken, ["a"]);
	bulk.add(1, () => {
		throw new Error("our own");
	});
	await until(() => broken.length === 1);
	bulk.add(1, () => taken.push("c"));
	await until(() => taken.length === 2);
});
