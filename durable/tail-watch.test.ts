import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { CHANNEL_LIMITS } from "./limits.ts";
import { type TailParts, TailWatch } from "./tail-watch.ts";

/** As the runtime's storage answers: rows, and blobs as buffers. */
function sqlOf(database: DatabaseSync): TailParts["sql"] {
	const exec = (query: string, ...bindings: never[]) => {
		if (bindings.length === 0 && query.includes("CREATE")) {
			database.exec(query);
			return { toArray: () => [] };
		}
		const rows = database.prepare(query).all(...bindings) as Record<string, unknown>[];
		const plain = (value: unknown) => (value instanceof Uint8Array ? new Uint8Array(value).buffer : value);
		return {
			toArray: () =>
				rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, plain(value)]))),
		};
	};
	return { exec } as unknown as TailParts["sql"];
}

const HOUR = 60 * 60_000;
const STREAM = new Uint8Array(8).fill(7);
const said = (head: number) => [{ lane: "bulk" as const, stream: STREAM, head }];

function stage() {
	const database = new DatabaseSync(":memory:");
	let received = 5;
	const make = () =>
		new TailWatch({ sql: sqlOf(database), receivedOf: () => received, missingMs: 40_000, waitMs: HOUR });
	return {
		make,
		watch: make(),
		comes(seq: number) {
			received = seq;
		},
	};
}

test("a tail is named after its time and not before, once, and over when it comes", () => {
	const { watch, comes } = stage();
	watch.heard(said(8), [], 1000);
	assert.equal(watch.dueAtMs, 41_000);
	assert.deepEqual(watch.news(40_999), []);
	const [news] = watch.news(41_000);
	assert.equal(news?.alarm.code, "tail_missing");
	assert.match(news?.alarm.detail ?? "", /^bulk stream 0707070707070707: batches 6 to 8 were made and never came/);
	assert.equal(watch.news(41_001).length, 1, "until it is kept that it was told");
	news?.done();
	assert.deepEqual([watch.news(99_000), watch.dueAtMs], [[], null]);
	comes(8);
	const [over] = watch.news(99_000);
	assert.deepEqual([over?.alarm.isCleared, over?.alarm.sameAs], [true, news?.alarm.sameAs]);
	over?.done();
	assert.deepEqual(watch.news(99_000), []);
});

test("what waits on the way, or may wait, is late and not lost", () => {
	const { watch } = stage();
	watch.heard(said(8), ["bulk"], 1000);
	watch.heard(said(8), undefined, 1500);
	assert.equal(watch.dueAtMs, 1000 + HOUR);
	watch.heard(said(8), ["trace"], 2000);
	assert.equal(watch.dueAtMs, 42_000);
	watch.heard(said(8), ["bulk"], 3000);
	assert.equal(watch.dueAtMs, 1000 + HOUR, "it was found");
});

test("what is said to wait and does not come is an alarm after its time, whatever is said of it meanwhile, until it comes", () => {
	const { watch, make, comes } = stage();
	watch.heard(said(8), ["bulk"], 0);
	// Now here, now there: none of it makes it younger.
	for (let ms = 30_000; ms < HOUR; ms += 30_000)
		(ms % 60_000 === 0 ? watch : make()).heard(said(8 + ms / 30_000), ms % 60_000 === 0 ? ["bulk"] : undefined, ms);
	assert.deepEqual(make().news(HOUR - 1), []);
	const again = make();
	const [news] = again.news(HOUR);
	assert.match(
		news?.alarm.detail ?? "",
		/^bulk stream (07)+: batches 6 to \d+ were made and said to wait on the way, and nothing of them comes$/,
	);
	assert.equal(news?.alarm.code, "tail_missing");
	news?.done();
	again.heard(said(130), ["bulk"], HOUR + 1);
	assert.deepEqual(again.missing(), [], "whoever says that he has it is not asked for another");
	again.heard(said(130), [], HOUR + 2);
	assert.deepEqual(again.missing(), [{ stream: STREAM, seq: 6 }]);
	assert.deepEqual(again.news(2 * HOUR), []);
	comes(130);
	assert.equal(make().news(2 * HOUR)[0]?.alarm.isCleared, true);
});

test("each batch that comes gives what waits behind it the whole time anew", () => {
	const { watch, comes } = stage();
	watch.heard(said(8), ["bulk"], 0);
	comes(6);
	watch.heard(said(8), ["bulk"], HOUR - 1);
	assert.equal(watch.dueAtMs, 2 * HOUR - 1);
	comes(7);
	assert.deepEqual(watch.news(2 * HOUR), []);
	assert.equal(watch.dueAtMs, 3 * HOUR);
	comes(8);
	watch.heard(said(8), ["bulk"], 2 * HOUR + 1);
	assert.equal(watch.dueAtMs, null);
});

test("a way that is lost and found again does not make young what waits on it; an outage that is told does not count", () => {
	const { watch, make } = stage();
	watch.heard(said(8), ["bulk"], 0);
	const { lostSightMsMax } = CHANNEL_LIMITS;
	for (let ms = 10_000; ms <= 1_000_000; ms += 100_000) {
		make().lostSight(ms);
		make().heard(said(8), ["bulk"], ms + lostSightMsMax);
	}
	assert.equal(make().dueAtMs, HOUR);
	const again = make();
	again.lostSight(2_000_000);
	assert.deepEqual([again.dueAtMs, again.news(2 * HOUR)], [null, []]);
	again.lostSight(3_000_000);
	again.heard(said(8), [], 2_000_000 + lostSightMsMax + 5 * HOUR);
	assert.equal(again.dueAtMs, 2_000_000 + lostSightMsMax + 5 * HOUR + 40_000);
	again.heard(said(8), ["bulk"], 2_000_001 + lostSightMsMax + 5 * HOUR);
	assert.equal(make().dueAtMs, 6 * HOUR);
});

test("a stream that goes on has its time anew; a higher head does not prolong it", () => {
	const { watch, comes } = stage();
	watch.heard(said(8), [], 1000);
	watch.heard(said(20), [], 30_000);
	assert.equal(watch.dueAtMs, 41_000);
	comes(12);
	watch.heard(said(20), [], 35_000);
	assert.equal(watch.dueAtMs, 75_000);
	comes(20);
	assert.deepEqual(watch.news(80_000), []);
	assert.equal(watch.dueAtMs, null);
});

test("a stream whose end is told later ends there: its tail is none, and an alarm of it is over", () => {
	const { watch } = stage();
	watch.heard(said(8), [], 1000);
	watch.heard(said(5), [], 2000);
	assert.equal(watch.dueAtMs, null);
	watch.heard(said(8), [], 3000);
	watch.heard(said(6), [], 4000);
	const [news] = watch.news(43_000);
	assert.match(news?.alarm.detail ?? "", /batch 6 was made/);
	news?.done();
	watch.heard(said(5), [], 50_000);
	assert.equal(watch.news(50_000)[0]?.alarm.isCleared, true);
});

test("a host that names new streams at every beat is watched in the newest of them, and what is alarmed is kept", () => {
	const { watch, make } = stage();
	const streamOf = (index: number) => new Uint8Array(8).fill(index);
	const name = (index: number, head = 8) => [{ lane: "bulk" as const, stream: streamOf(index), head }];
	watch.heard(name(0), [], 0);
	for (const { done } of watch.news(40_000)) done();
	for (let index = 1; index <= CHANNEL_LIMITS.tailsMax + 20; index++) watch.heard(name(index), [], 50_000);
	const alarms = make().news(90_000);
	assert.equal(alarms.length, CHANNEL_LIMITS.tailsMax - 1);
	watch.heard(name(0, 5), [], 91_000);
	assert.equal(watch.news(91_000).filter(({ alarm }) => alarm.isCleared === true).length, 1);
});

test("a tail outlives the object that heard of it, and is let go where the way to the proxy is lost", () => {
	const { watch, make } = stage();
	watch.heard(said(6), [], 1000);
	const again = make();
	assert.equal(again.dueAtMs, 41_000);
	const [news] = again.news(50_000);
	assert.match(news?.alarm.detail ?? "", /batch 6 were|batch 6 was/);
	again.lostSight(50_000);
	assert.deepEqual([again.dueAtMs, make().dueAtMs], [null, null]);
});

test("an alarm that stands is kept through lost links and restarts until its batches come", () => {
	const { watch, make, comes } = stage();
	watch.heard(said(6), [], 0);
	for (const { done } of watch.news(40_000)) done();
	watch.lostSight(40_000);
	watch.heard(said(6), ["bulk"], 50_000);
	const again = make();
	comes(6);
	assert.equal(again.news(60_000)[0]?.alarm.isCleared, true);
});
