import assert from "node:assert/strict";
import { test } from "node:test";
import { AGENT_LIMITS } from "../limits.ts";
import { draftOf, Rig } from "../testing/rig.ts";
import { BatchWait } from "./batch-wait.ts";

const { bulkFlushMsMin, bulkFlushGrowth, bulkQuietMs } = AGENT_LIMITS;
const MAX_MS = 250;

test("after a quiet second a batch goes at once; those that follow gather longer, up to the site's limit", () => {
	const wait = new BatchWait(MAX_MS);
	const next = (nowMs: number) => {
		const waitMs = wait.begin(nowMs, false);
		wait.stored(nowMs + waitMs);
		return waitMs;
	};
	assert.equal(next(0), bulkFlushMsMin);
	assert.equal(next(100), bulkFlushMsMin * bulkFlushGrowth);
	assert.equal(next(300), MAX_MS);
	assert.equal(next(600), MAX_MS);
	assert.equal(next(600 + MAX_MS + bulkQuietMs - 1), MAX_MS, "not quiet yet");
	assert.equal(next(600 + 3 * MAX_MS + 2 * bulkQuietMs), bulkFlushMsMin);
});

test("while the hop is behind a batch gathers as long as it may, and a limit below ours is kept", () => {
	const wait = new BatchWait(MAX_MS);
	assert.equal(wait.begin(0, true), MAX_MS, "even on a quiet host");
	wait.stored(MAX_MS);
	assert.equal(wait.begin(MAX_MS + 1, false), MAX_MS);
	const short = new BatchWait(5);
	assert.equal(short.begin(0, false), 5);
	assert.equal(short.begin(0, true), 5);
});

/** Bulk batches that a host makes in a minute in which every `everyMs` a burst of so many events begins, 10 ms apart. */
function batchesInAMinute(everyMs: number, burst = 1): number {
	const rig = new Rig();
	for (let ms = 0; ms < 60_000; ms++) {
		const ofBurst = ms % everyMs;
		if (ofBurst % 10 === 0 && ofBurst / 10 < burst) rig.lanes.add("bulk", draftOf(ms));
		rig.advance(1);
	}
	rig.advance(MAX_MS);
	const { batches, events } = rig.delivered("bulk");
	assert.equal(events.length, Math.ceil(60_000 / everyMs) * burst);
	return batches.length;
}

test("a busy host makes as few batches as with the longest wait alone, a quiet one at most two more in a burst", () => {
	// What the longest wait alone makes: one for each 250 ms, and the time until the next event comes.
	assert.ok(batchesInAMinute(2) <= 60_000 / MAX_MS + 2);
	assert.ok(batchesInAMinute(50) <= 60_000 / MAX_MS + 2);
	assert.equal(batchesInAMinute(300), 200, "one event a batch, as before");
	assert.equal(batchesInAMinute(2000, 2), 30, "a fork and its exec go together");
	const before = 2;
	assert.ok(batchesInAMinute(2000, 40) <= 30 * (before + 2));
});

test("the first event of a quiet host is on the disk within the shortest wait, one of a busy host within the site's", () => {
	const rig = new Rig();
	rig.lanes.add("bulk", draftOf(1));
	rig.advance(bulkFlushMsMin - 1);
	assert.equal(rig.delivered("bulk").events.length, 0);
	rig.advance(1);
	assert.equal(rig.delivered("bulk").events.length, 1);
	for (let ms = 0; ms < 2000; ms++) {
		rig.lanes.add("bulk", draftOf(ms));
		rig.advance(1);
	}
	const { length } = rig.delivered("bulk").events;
	rig.advance(MAX_MS);
	assert.ok(length >= 2000 - MAX_MS);
	assert.equal(rig.delivered("bulk").events.length, 2001);
});

test("under a storm a batch goes when it holds as many events as it may, however long it could wait", () => {
	const rig = new Rig();
	for (let pid = 0; pid < 6000; pid++) rig.lanes.add("bulk", draftOf(pid));
	assert.deepEqual(
		rig.delivered("bulk").batches.map(({ header }) => header.eventCount),
		[2000, 2000, 2000],
	);
});
