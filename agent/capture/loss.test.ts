import assert from "node:assert/strict";
import { test } from "node:test";
import { AGENT_LIMITS } from "../limits.ts";
import { LossTracker, type LostRange } from "./loss.ts";

const ranges = (lost: readonly LostRange[]) => lost.map(({ cpu, from, to }) => [cpu, Number(from), Number(to)]);

test("numbers in order are no loss, on any number of CPUs", () => {
	const tracker = new LossTracker();
	for (let seq = 1n; seq <= 1000n; seq++) for (const cpu of [0, 7]) assert.deepEqual(tracker.saw(cpu, seq, 0), []);
	assert.deepEqual(tracker.tick(10_000), []);
});

test("an inversion that is filled in time is no loss", () => {
	const tracker = new LossTracker();
	const lost = [1n, 4n, 3n, 2n, 5n].flatMap((seq) => tracker.saw(0, seq, 0));
	assert.deepEqual([...lost, ...tracker.tick(60_000)], []);
	assert.equal(tracker.lateCount, 0);
});

test("a hole is named after a second, exactly, and once", () => {
	const tracker = new LossTracker();
	tracker.saw(2, 1n, 0);
	assert.deepEqual(tracker.saw(2, 10n, 100), []);
	assert.deepEqual(tracker.saw(2, 5n, 100), []);
	assert.deepEqual(tracker.tick(100 + AGENT_LIMITS.reorderWaitMs - 1), []);
	assert.deepEqual(ranges(tracker.tick(100 + AGENT_LIMITS.reorderWaitMs)), [
		[2, 2, 4],
		[2, 6, 9],
	]);
	assert.deepEqual(tracker.tick(60_000), []);
	assert.deepEqual(tracker.saw(2, 7n, 60_000), []);
	assert.equal(tracker.lateCount, 1);
});

test("a hole is named at once when enough numbers have passed it", () => {
	const tracker = new LossTracker();
	tracker.saw(0, 1n, 0);
	const lost: LostRange[] = [];
	for (let seq = 3n; seq <= BigInt(AGENT_LIMITS.reorderNumbersMax) + 1n; seq++) lost.push(...tracker.saw(0, seq, 0));
	assert.deepEqual(lost, []);
	assert.deepEqual(ranges(tracker.saw(0, BigInt(AGENT_LIMITS.reorderNumbersMax) + 2n, 0)), [[0, 2, 2]]);
});

test("the first number of a CPU is 1: what stood before the first that came is missing", () => {
	const tracker = new LossTracker();
	tracker.saw(0, 3n, 0);
	assert.deepEqual(ranges(tracker.tick(5000)), [[0, 1, 2]]);
});

test("a head tells of a tail that never came, after its grace", () => {
	const tracker = new LossTracker();
	tracker.saw(0, 1n, 0);
	tracker.stats([4n, 0n, 2n], [3n, 0n, 0n], 1000);
	assert.deepEqual(tracker.tick(1000 + AGENT_LIMITS.headGraceMs - 1), []);
	const lost = tracker.tick(1000 + AGENT_LIMITS.headGraceMs);
	assert.deepEqual(ranges(lost), [
		[0, 2, 4],
		[2, 1, 2],
	]);
	assert.deepEqual(
		lost.map(({ cause }) => cause),
		["ring_full", "not_delivered"],
	);
});

test("a head that moves on every second does not put off the judgement of the first", () => {
	const tracker = new LossTracker();
	tracker.stats([10n], [0n], 0);
	tracker.stats([20n], [0n], 1000);
	assert.deepEqual(ranges(tracker.tick(AGENT_LIMITS.headGraceMs)), [[0, 1, 10]]);
	tracker.stats([20n], [0n], 2000);
	assert.deepEqual(ranges(tracker.tick(2000 + AGENT_LIMITS.headGraceMs)), [[0, 11, 20]]);
});

test("more holes than are kept open are named, oldest first", () => {
	const tracker = new LossTracker();
	const lost: LostRange[] = [];
	// Every other number is missing, so the window closes over the oldest.
	for (let i = 1n; i <= 3000n; i++) lost.push(...tracker.saw(0, 2n * i, 0));
	assert.deepEqual(ranges(lost.slice(0, 2)), [
		[0, 1, 1],
		[0, 3, 3],
	]);
	const all = [...lost, ...tracker.tick(60_000)];
	assert.equal(all.length, 3000);
	assert.equal(new Set(all.map(({ from }) => from)).size, 3000);
});

test("any delivery names each missing number exactly once", () => {
	let state = 12_345;
	const random = (below: number) => {
		state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
		return state % below;
	};
	for (let round = 0; round < 50; round++) {
		const tracker = new LossTracker();
		const sent = Array.from({ length: 400 }, (_, index) => BigInt(index + 1)).filter(() => random(10) > 0);
		for (let i = 1; i < sent.length; i++) {
			const j = Math.max(0, i - random(3));
			[sent[i], sent[j]] = [sent[j] as bigint, sent[i] as bigint];
		}
		const lost = sent.flatMap((seq) => tracker.saw(0, seq, 0));
		tracker.stats([400n], [0n], 0);
		lost.push(...tracker.tick(60_000), ...tracker.tick(120_000));
		const named = lost.flatMap(({ from, to }) =>
			Array.from({ length: Number(to - from) + 1 }, (_, i) => from + BigInt(i)),
		);
		const missing = Array.from({ length: 400 }, (_, index) => BigInt(index + 1)).filter((seq) => !sent.includes(seq));
		assert.deepEqual(
			named.sort((a, b) => Number(a - b)),
			missing,
		);
	}
});
