import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { PendingWork } from "./pending-work.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));
const LIMITS = { pendingBytesMax: 1000, pendingItemBytesMin: 100 };

test("what comes for one agent waits for what came before it, also when that failed; agents do not wait for each other", async () => {
	const done: string[] = [];
	const failed: string[] = [];
	const pending = new PendingWork(LIMITS, (key, error) => failed.push(`${key} ${error.message}`));
	let release: () => void = () => undefined;
	pending.add("a", 1, () => new Promise((resolve) => (release = resolve)));
	pending.add("a", 1, async () => {
		done.push("a2");
		throw new Error("away");
	});
	pending.add("a", 1, async () => void done.push("a3"));
	pending.add("b", 1, async () => void done.push("b1"));
	await settle();
	deepEqual(done, ["b1"]);
	release();
	await settle();
	deepEqual([done, failed, pending.bytes], [["b1", "a2", "a3"], ["a away"], 0]);
});

test("room ends at the limit and not before, however short the messages are, and comes back with the work", async () => {
	const pending = new PendingWork(LIMITS, () => undefined);
	let release: () => void = () => undefined;
	const held = new Promise<void>((resolve) => {
		release = resolve;
	});
	pending.add("a", 400, () => held);
	deepEqual([pending.hasRoom(600), pending.hasRoom(601)], [true, false]);
	for (let count = 0; count < 5; count++) pending.add("b", 0, () => held);
	deepEqual([pending.bytes, pending.hasRoom(0)], [900, true]);
	pending.add("b", 1, () => held);
	equal(pending.hasRoom(0), false);
	release();
	await settle();
	deepEqual([pending.bytes, pending.hasRoom(1000)], [0, true]);
});

test("lanes of one agent go beside each other; what is of no lane waits for all of them, and they for it", async () => {
	const done: string[] = [];
	const pending = new PendingWork(LIMITS, () => undefined);
	let release: () => void = () => undefined;
	const held = new Promise<void>((resolve) => {
		release = resolve;
	});
	const note = (name: string) => async () => void done.push(name);
	pending.addInLane("a", "bulk", { bytes: 1, work: () => held });
	pending.addInLane("a", "bulk", { bytes: 1, work: note("bulk 2") });
	pending.addInLane("a", "trace", { bytes: 1, work: note("trace") });
	await settle();
	deepEqual(done, ["trace"]);
	pending.add("a", 1, note("proof"));
	pending.addInLane("a", "trace", { bytes: 1, work: note("trace after it") });
	await settle();
	deepEqual(done, ["trace"]);
	release();
	await settle();
	deepEqual([done, pending.bytes], [["trace", "bulk 2", "proof", "trace after it"], 0]);
});
