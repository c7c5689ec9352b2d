import { deepEqual, equal, ok } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, mock, test } from "node:test";
import { sealBatch, sealEvent, ZERO_HASH } from "#core/model/batch.ts";
import { ZERO_PROCESS } from "#core/model/event.ts";
import { ed25519PublicKey } from "#crypto";
import { BoxDisk } from "./box-disk.ts";
import { ChannelStore } from "./channel-store.ts";
import type { WalBatch } from "./drain.ts";
import { alarmHoles, noteGaps } from "./holes.ts";
import { Intake } from "./intake.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { NamedGaps } from "./named-gaps.ts";
import { readDiskSettings } from "./settings.ts";

const SEED = new Uint8Array(32).fill(1);
const KEY = ed25519PublicKey(SEED);

/** The runtime's `sql.exec` over node:sqlite: the same SQLite, so the statements are what is tested. */
function openSql(database: DatabaseSync): SqlStorage {
	const exec = (query: string, ...bindings: never[]) => {
		if (query.includes("CREATE TABLE")) {
			database.exec(query);
			return { toArray: () => [] };
		}
		const rows = database.prepare(query).all(...bindings);
		return { toArray: () => rows, [Symbol.iterator]: () => rows[Symbol.iterator]() };
	};
	const pragma = (name: string) => Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
	return {
		exec,
		get databaseSize() {
			return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size");
		},
	} as never;
}

let database: DatabaseSync;
let store: ChannelStore;
let clockMs: number;

beforeEach(() => {
	database = new DatabaseSync(":memory:");
	store = new ChannelStore(openSql(database));
	clockMs = 1001;
});

const streamOf = (index: number) => Uint8Array.of(0, 0, 0, 0, 0, 0, index >> 8, index & 255);
const hashOf = (byte: number) => new Uint8Array(32).fill(byte);
function put(stream: Uint8Array, seq: number, lane: WalBatch["lane"] = "bulk"): void {
	const batch = { stream, seq, lane, bytes: new Uint8Array(10).fill(seq), hash: hashOf(seq) };
	store.stage(batch, { received: seq, lastHash: batch.hash });
	store.commit([batch], KEY, clockMs++);
}

test("what was committed is found again by another start: watermarks, depths and bytes", () => {
	put(streamOf(1), 1);
	put(streamOf(1), 2);
	put(streamOf(2), 1, "trace");
	store.raiseA2(streamOf(2), 1, "proof");
	const again = new ChannelStore(openSql(database));
	deepEqual(again.depths(), store.depths());
	deepEqual(again.depths().bulk, { batches: 2, bytes: 20, oldestMs: 1001 });
	deepEqual(again.streams(), store.streams());
	deepEqual(again.stream(streamOf(2)), { ...store.stream(streamOf(2)), a2: 1, custody: "proof" });
});

test("what is only staged is no watermark", () => {
	const batch = { stream: streamOf(1), seq: 1, lane: "bulk" as const, bytes: new Uint8Array(1), hash: hashOf(1) };
	store.stage(batch, { received: 1, lastHash: batch.hash });
	deepEqual([store.stream(streamOf(1))?.state.received, store.stream(streamOf(1))?.a1], [1, 0]);
});

test("a read goes on after its row and brings at least one batch", () => {
	for (let seq = 1; seq <= 5; seq++) put(streamOf(1), seq);
	const first = store.read("bulk", 0, { bytesMax: 25, batchesMax: 64 });
	deepEqual(
		first.map((row) => row.seq),
		[1, 2],
	);
	const next = store.read("bulk", first.at(-1)?.row ?? 0, { bytesMax: 1, batchesMax: 64 });
	deepEqual(
		next.map((row) => row.seq),
		[3],
	);
	equal(store.read("trace", 0, { bytesMax: 1, batchesMax: 64 }).length, 0);
});

test("freeing and taking out keep the counts true", () => {
	for (let seq = 1; seq <= 3; seq++) put(streamOf(1), seq);
	store.free(streamOf(1), 2);
	deepEqual([store.depths().bulk.batches, store.walBytes()], [1, 10]);
	equal(store.take(streamOf(1), 3)?.length, 10);
	equal(store.take(streamOf(1), 3), null);
	deepEqual(store.depths().bulk, { batches: 0, bytes: 0, oldestMs: null });
});

test("the A2 watermark only rises", () => {
	put(streamOf(1), 1);
	equal(store.raiseA2(streamOf(1), 5, "five"), true);
	equal(store.raiseA2(streamOf(1), 4, "four"), false);
	equal(store.stream(streamOf(1))?.custody, "five");
});

test("as many streams are remembered as the limit; the ones used last and the ones with batches stay", () => {
	put(streamOf(0), 1);
	for (let index = 1; index <= CHANNEL_LIMITS.streamsMax; index++) {
		put(streamOf(index), 1);
		store.free(streamOf(index), 1);
	}
	store.pruneStreams();
	equal(store.streams().length, CHANNEL_LIMITS.streamsMax);
	ok(store.stream(streamOf(0)), "a batch waits in it");
	equal(store.stream(streamOf(1)), undefined);
	equal(new ChannelStore(openSql(database)).streams().length, CHANNEL_LIMITS.streamsMax);
});

test("quarantine keeps the newest items within both bounds", () => {
	for (let index = 0; index <= CHANNEL_LIMITS.quarantineRowsMax; index++)
		store.quarantine.keep({ cause: "cause", detail: "", atMs: index, hop: "", teller: "" }, new Uint8Array(1));
	const kept = store.quarantine.items();
	deepEqual([kept.length, kept[0]?.atMs], [CHANNEL_LIMITS.quarantineRowsMax, 1]);
	const large = new Uint8Array(CHANNEL_LIMITS.quarantineItemBytesMax + 1);
	const countMax = Math.floor(CHANNEL_LIMITS.quarantineBytesMax / CHANNEL_LIMITS.quarantineItemBytesMax);
	for (let index = 0; index <= countMax; index++)
		store.quarantine.keep({ cause: "cause", detail: "", atMs: 1000 + index, hop: "", teller: "" }, large);
	const items = store.quarantine.items();
	deepEqual([items.length, items[0]?.atMs], [countMax, 1001]);
	equal(items[0]?.bytesKept, CHANNEL_LIMITS.quarantineItemBytesMax, "of what is larger the beginning is kept");
});

test("alarms beyond the bound are not kept, the ones before stay", () => {
	for (let index = 0; index <= CHANNEL_LIMITS.alarmsMax; index++)
		store.addAlarm({ code: `code_${index}`, detail: "", evidence: null });
	deepEqual([store.alarms().length, store.alarms()[0]?.code], [CHANNEL_LIMITS.alarmsMax, "code_0"]);
});

test("a received command is remembered until it expires and waits no more", () => {
	const command = { commandId: new Uint8Array(16), envelope: Uint8Array.of(1), expiresAtMs: 5000 };
	store.addCommand(command);
	equal(store.commands(5000).length, 1);
	equal(store.markReceived(new Uint8Array(16).fill(1)), false, "nobody sent it this command");
	equal(store.markReceived(command.commandId), true);
	equal(store.markReceived(command.commandId), false, "said again");
	store.addCommand(command);
	deepEqual([store.commands(5000).length, store.isReceived(command.commandId)], [0, true]);
	equal(store.commands(5001).length, 0);
	equal(store.isReceived(command.commandId), false);
});

test("a hole is remembered from its first refusal until it is filled or has alarmed", () => {
	equal(store.markHole(streamOf(1), "bulk", 1000), 1000);
	equal(store.markHole(streamOf(1), "bulk", 2000), 1000);
	store.markHoleAlarmed(streamOf(1));
	ok(3000 - store.markHole(streamOf(1), "bulk", 3000) < 0);
	put(streamOf(1), 1);
	equal(store.markHole(streamOf(1), "bulk", 4000), 4000);
});

test("the alarm of a hole is told once, over when the hole fills, and found again by a restarted object", () => {
	const again = () => new ChannelStore(openSql(database));
	store.markHole(streamOf(1), "bulk", 1000);
	store.markHoleAlarmed(streamOf(1));
	const [raised] = again().holeNews();
	equal(raised?.alarm.code, "sequence_missing");
	for (const { done } of store.holeNews()) done();
	deepEqual([store.holeNews(), again().holeNews()], [[], []]);
	put(streamOf(1), 1);
	const [over] = again().holeNews();
	deepEqual([over?.alarm.isCleared, over?.alarm.sameAs], [true, raised?.alarm.sameAs]);
	for (const { done } of store.holeNews()) done();
	deepEqual([store.holeNews(), again().holeNews()], [[], []]);
});

test("a host that begins every stream in its middle leaves no more than the bound of them", () => {
	const many = 3 * CHANNEL_LIMITS.streamsMax;
	for (let index = 0; index < many; index++) store.markHole(new Uint8Array(8).fill(index), "bulk", index);
	equal(store.streams().length, CHANNEL_LIMITS.streamsMax);
	equal(database.prepare("SELECT count(*) AS count FROM streams").get()?.count, CHANNEL_LIMITS.streamsMax);
});

const OPEN_DISK = new BoxDisk(readDiskSettings(undefined));
function intakeOf(fsyncIntervalMs: number, receipts: unknown[], isRelay = true, disk = OPEN_DISK): Intake {
	return new Intake({
		...{ store, disk, isRelay },
		fsyncIntervalMs,
		transaction: (write) => write(),
		abort: () => undefined,
		onCommitted: (committed) => receipts.push(committed.map(({ seq }) => seq)),
	});
}
const SENDER = { agent: "web-01", signingKey: KEY };
function sealed(seq: number, prevHash: Uint8Array, lane: WalBatch["lane"] = "bulk", stream = streamOf(1)) {
	const event = { kind: "exec", process: ZERO_PROCESS, kernelTimeNs: 1n, wallTimeMs: 1, seq: 0, tier: "ebpf" } as const;
	const header = { agent: "web-01", stream, seq, prevHash, startMs: 1, endMs: 1, lane, firstEvent: 0 };
	return sealBatch(header, [sealEvent({ ...event, payload: {} }, null)], SEED);
}

test("bulk waits for its window and one commit, trace commits at once and takes bulk along", () => {
	mock.timers.enable({ apis: ["setTimeout"] });
	try {
		const receipts: number[][] = [];
		const intake = intakeOf(100, receipts);
		const first = sealed(1, ZERO_HASH);
		const second = sealed(2, first.hash);
		for (const { bytes } of [first, second]) equal(intake.take(bytes, SENDER, 0).refusal, null);
		mock.timers.tick(99);
		deepEqual([receipts, store.walBytes()], [[], 0]);
		equal(
			intake.take(first.bytes, SENDER, 0).repeated,
			null,
			"no receipt before the commit, not even for a repetition",
		);
		mock.timers.tick(1);
		deepEqual(receipts, [[2]]);
		const third = sealed(3, second.hash);
		intake.take(third.bytes, SENDER, 0);
		intake.take(sealed(1, ZERO_HASH, "trace", streamOf(2)).bytes, SENDER, 0);
		deepEqual(receipts, [[2], [3, 1]]);
		mock.timers.tick(1000);
		equal(receipts.length, 2);
	} finally {
		mock.timers.reset();
	}
});

test("a full log refuses bulk first and trace later, at the limit and not before", () => {
	const intake = intakeOf(0, []);
	const bulk = sealed(1, ZERO_HASH);
	const trace = sealed(1, ZERO_HASH, "trace", streamOf(2));
	let waiting = CHANNEL_LIMITS.bulkWalBytesMax - bulk.bytes.length + 1;
	mock.method(store, "walBytes", () => waiting);
	equal(intake.take(bulk.bytes, SENDER, 0).refusal?.code, "wal_full");
	equal(intake.take(trace.bytes, SENDER, 0).refusal, null);
	waiting--;
	equal(intake.take(bulk.bytes, SENDER, 0).refusal, null);
	waiting = CHANNEL_LIMITS.walBytesMax;
	equal(intake.take(sealed(2, trace.hash, "trace", streamOf(2)).bytes, SENDER, 0).refusal?.code, "wal_full");
});

test("a box without room refuses by name, keeps the batch's place, and takes it when there is room", () => {
	mock.method(console, "log", () => undefined);
	const disk = new BoxDisk(readDiskSettings(undefined));
	const intake = intakeOf(0, [], true, disk);
	const first = sealed(1, ZERO_HASH);
	disk.read({ freeBytes: 15e6, totalBytes: 100e6 }, 0);
	const refusal = intake.take(first.bytes, SENDER, 0).refusal;
	deepEqual([refusal?.code, refusal?.seq, store.walBytes()], ["disk_low", 1, 0]);
	equal(store.quarantine.items().length, 0, "it is no poison");
	disk.read({ freeBytes: 50e6, totalBytes: 100e6 }, 0);
	const second = sealed(2, first.hash);
	const early = intake.take(second.bytes, SENDER, 0).refusal;
	// Taken as the first of a new link it would be receipted, and the batch before it with it.
	deepEqual([early?.code, early?.seq], ["skipped", 1]);
	for (const { bytes } of [first, second]) equal(intake.take(bytes, SENDER, 0).refusal, null);
	equal(store.stream(streamOf(1))?.a1, 2);
});

test("a batch refused for want of room may still be the first of its link, with the number it has", () => {
	mock.method(console, "log", () => undefined);
	const disk = new BoxDisk(readDiskSettings(undefined));
	const intake = intakeOf(0, [], true, disk);
	const fifth = sealed(5, hashOf(4));
	disk.read({ freeBytes: 0, totalBytes: 100 }, 0);
	equal(intake.take(fifth.bytes, SENDER, 0).refusal?.code, "disk_low");
	disk.read({ freeBytes: 1e9, totalBytes: 1e9 }, 0);
	equal(
		intake.take(sealed(6, hashOf(5)).bytes, SENDER, 0).refusal?.seq,
		5,
		"the sender goes back to what it was refused",
	);
	equal(intake.take(fifth.bytes, SENDER, 0).refusal, null);
});

test("what follows a batch that was refused for want of room is early, not missing: no alarm", () => {
	mock.method(console, "log", () => undefined);
	const disk = new BoxDisk(readDiskSettings(undefined));
	const intake = intakeOf(0, [], false, disk);
	const first = sealed(1, ZERO_HASH);
	const second = sealed(2, first.hash);
	for (const nowMs of [0, 20_000, CHANNEL_LIMITS.holeAlarmMs + 20_000]) {
		disk.read({ freeBytes: 0, totalBytes: 100 }, nowMs);
		deepEqual(
			intake.takeAll([first.bytes, second.bytes], SENDER, nowMs).refusals.map(({ code }) => code),
			["disk_low", "skipped"],
		);
	}
	equal(store.alarms().length, 0);
	disk.read({ freeBytes: 1e9, totalBytes: 1e9 }, 100_000);
	equal(intake.takeAll([first.bytes, second.bytes], SENDER, 100_000).receipts[0]?.seq, 2);
});

test("a link remembers as many streams as the limit, and the one seen first may resume again", () => {
	const intake = intakeOf(0, []);
	const late = (index: number, seq: number) => sealed(seq, hashOf(9), "trace", streamOf(index)).bytes;
	for (let index = 0; index < CHANNEL_LIMITS.seenStreamsMax; index++)
		equal(intake.take(late(index, 5), SENDER, 0).refusal, null);
	equal(intake.take(late(0, 9), SENDER, 0).refusal?.code, "skipped");
	equal(intake.take(late(1000, 5), SENDER, 0).refusal, null);
	equal(intake.take(late(0, 9), SENDER, 0).refusal, null);
});

test("a drained file says what it can reuse, and keeps everything but its size when it is made anew", () => {
	store.writeIdentity({
		...{ agent: "web-01", proof: hashOf(1), signingKey: KEY, notAfterMs: 5, status: null, via: "px-2", linkId: "l" },
		...{ isUp: true, heardAtMs: 3, route: hashOf(2), routeTimesMs: [1, 2] },
	});
	const large = new Uint8Array(CHANNEL_LIMITS.highMarkStepBytes);
	for (let seq = 1; seq <= 4; seq++) {
		const batch = { stream: streamOf(1), seq, lane: "bulk" as const, bytes: large, hash: hashOf(seq) };
		store.stage(batch, { received: seq, lastHash: batch.hash });
		store.commit([batch], KEY, clockMs++);
	}
	equal(store.reusableBytes(), 0);
	put(streamOf(2), 1, "trace");
	store.raiseA2(streamOf(1), 2, "proof");
	store.quarantine.keep({ cause: "cause", detail: "detail", atMs: 9, hop: "", teller: "" }, hashOf(7));
	store.addCommand({ commandId: new Uint8Array(16), envelope: hashOf(3), expiresAtMs: 1e12 });
	store.free(streamOf(1), 4);
	store.free(streamOf(2), 1);
	ok(store.reusableBytes() >= 4 * large.length, `${store.reusableBytes()} bytes are reusable`);
	// Another start knows it too, but for the last step that was not noted.
	ok(new ChannelStore(openSql(database)).reusableBytes() >= 3 * large.length);
	const before = [store.identity(), store.streams(), store.quarantine.items(), store.commands(0)];
	database.exec("CREATE TABLE gone (x)");
	store.remake(() => {
		for (const { name } of database
			.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
			.all())
			database.exec(`DROP TABLE ${name}`);
		database.exec("VACUUM");
	});
	equal(store.reusableBytes(), 0);
	const again = new ChannelStore(openSql(database));
	deepEqual([again.identity(), again.streams(), again.quarantine.items(), again.commands(0)], before);
	const waiting: number[] = [];
	put(streamOf(1), 5);
	deepEqual(
		store.read("bulk", 5, { bytesMax: 10, batchesMax: 10 }).map(({ row, seq }) => [row, seq]),
		[[6, 5]],
		"a reader that stood behind row 5 finds the next one",
	);
	new ChannelStore(openSql(database), ({ bulk }) => waiting.push(bulk)).free(streamOf(1), 5);
	deepEqual(waiting, [10, 0]);
});

test("at the center a hole raises one alarm after its time, at a relay none", () => {
	const intake = intakeOf(0, [], false);
	const late = sealed(2, hashOf(9)).bytes;
	for (const nowMs of [0, CHANNEL_LIMITS.holeAlarmMs - 1])
		equal(intake.takeAll([late], SENDER, nowMs).refusals[0]?.code, "skipped");
	equal(store.holeNews().length, 0);
	for (const afterMs of [0, 10_000]) intake.takeAll([late], SENDER, CHANNEL_LIMITS.holeAlarmMs + afterMs);
	deepEqual(
		store.holeNews().map(({ alarm }) => alarm.code),
		["sequence_missing"],
	);
});

test("a write that fails aborts the object and acknowledges nothing", () => {
	const receipts: unknown[] = [];
	const aborted: string[] = [];
	const intake = new Intake({
		...{
			...{ store, disk: OPEN_DISK, isRelay: true },
			fsyncIntervalMs: 0,
			transaction: () => {
				throw new Error("disk full");
			},
		},
		abort: (reason) => aborted.push(reason),
		onCommitted: (committed) => receipts.push(committed),
	});
	mock.method(console, "error", () => undefined);
	let failed = false;
	try {
		intake.take(sealed(1, ZERO_HASH).bytes, SENDER, 0);
	} catch {
		failed = true;
	}
	deepEqual([failed, aborted.length, receipts], [true, 1, []]);
});

test("a relay whose object slept lets no stream resume that its link has brought before, and a new link does", () => {
	const batches = [sealed(1, ZERO_HASH)];
	for (let seq = 2; seq <= 9; seq++) batches.push(sealed(seq, (batches.at(-1) as (typeof batches)[0]).hash));
	const take = (intake: Intake, seq: number) =>
		intake.take((batches[seq - 1] as (typeof batches)[0]).bytes, SENDER, 0).refusal?.code;
	const asleep = () => {
		store = new ChannelStore(openSql(database));
		return intakeOf(0, []);
	};
	let intake = intakeOf(0, []);
	equal(take(intake, 3), undefined, "the agent was elsewhere before");
	equal(take(intake, 5), "skipped");
	intake = asleep();
	equal(take(intake, 5), "skipped", "the hole is still there");
	equal(take(intake, 4), undefined);
	intake.startLink();
	equal(take(intake, 7), undefined, "the agent was elsewhere meanwhile");
	intake = asleep();
	equal(take(intake, 9), "skipped");
});

test("a relay whose object slept still waits for the batch that it had no room for", () => {
	const second = sealed(2, ZERO_HASH);
	const third = sealed(3, second.hash);
	const full = {
		judge: () => ({ ok: false, code: "wal_full", detail: "" }),
		wrote: () => undefined,
	} as never as BoxDisk;
	const refused = intakeOf(0, [], true, full).take(second.bytes, SENDER, 0).refusal;
	equal(refused?.code, "wal_full");
	store = new ChannelStore(openSql(database));
	const intake = intakeOf(0, []);
	deepEqual(intake.waitingLanes, ["bulk"]);
	const early = intake.take(third.bytes, SENDER, 0).refusal;
	deepEqual([early?.code, early?.seq], ["skipped", 2]);
	equal(intake.take(second.bytes, SENDER, 0).refusal, null, "the first of its stream here may be any");
	deepEqual(intake.waitingLanes, []);
});

test("what a link has brought is remembered of so many streams, and no more", () => {
	for (let index = 0; index <= CHANNEL_LIMITS.seenStreamsMax; index++)
		store.markLinkStream({ stream: streamOf(index), lane: "bulk", heldBack: null });
	const known = store.linkStreams();
	equal(known.length, CHANNEL_LIMITS.seenStreamsMax);
	deepEqual(known[0]?.stream, streamOf(1));
});

test("a batch that upstream refused is taken once more with what follows it, and only while no proof of it is known", () => {
	const batches = [sealed(1, ZERO_HASH)];
	for (let seq = 2; seq <= 4; seq++) batches.push(sealed(seq, (batches.at(-1) as (typeof batches)[0]).hash));
	const take = (intake: Intake, seq: number) => intake.take((batches[seq - 1] as (typeof batches)[0]).bytes, SENDER, 0);
	const intake = intakeOf(0, []);
	for (let seq = 1; seq <= 4; seq++) ok(take(intake, seq).isNew);
	const { stream } = store.streams()[0] ?? {};
	ok(stream !== undefined);
	store.raiseA2(stream, 1, "proof");
	for (const seq of [1, 5]) {
		store.reopen(stream, seq);
		equal(store.stream(stream)?.a1, 4, "in custody, or never taken");
	}
	store.reopen(stream, 2);
	deepEqual(
		store.read("bulk", 0, { bytesMax: 1e6, batchesMax: 9 }).map(({ seq }) => seq),
		[1],
	);
	equal(store.depths().bulk.batches, 1);
	const again = new ChannelStore(openSql(database));
	equal(again.stream(stream)?.a1, 1);
	equal(take(intake, 3).refusal?.code, "skipped");
	for (let seq = 2; seq <= 4; seq++) ok(take(intake, seq).isNew, `batch ${seq}`);
	equal(store.stream(stream)?.a1, 4);
});

/** A stream of nine batches, and what takes one of them at a time. */
function nine() {
	const batches = [sealed(1, ZERO_HASH)];
	for (let seq = 2; seq <= 9; seq++) batches.push(sealed(seq, (batches.at(-1) as (typeof batches)[0]).hash));
	const take = (intake: Intake, seq: number) => {
		const { isNew, refusal } = intake.take((batches[seq - 1] as (typeof batches)[0]).bytes, SENDER, 0);
		return isNew ? "taken" : (refusal?.code ?? "repeated");
	};
	return { stream: streamOf(1), take };
}
const ROOM = { bytesMax: 1e6, batchesMax: 9 };
const readable = (afterRow = 0) => store.read("bulk", afterRow, ROOM).map(({ seq }) => seq);

test("what upstream waits for and this hop does not hold is taken once more, before what waits here, and nothing is let go", () => {
	const { stream, take } = nine();
	const intake = intakeOf(0, []);
	// A disk that knew more was lost: the stream begins at its fifth batch here.
	for (const seq of [5, 6, 7]) equal(take(intake, seq), "taken");
	ok(intake.misses(stream, 2, 0));
	deepEqual([store.stream(stream)?.a1, store.depths().bulk.batches], [1, 3]);
	deepEqual(readable(), [5], "by which upstream says again that it waits");
	intake.startLink();
	equal(take(intake, 8), "skipped", "another link does not resume past the hole");
	equal(take(intake, 2), "taken");
	deepEqual(readable(), [2]);
	ok(!intake.misses(stream, 2, 60_000), "it is sent from here");
	store = new ChannelStore(openSql(database));
	const again = intakeOf(0, []);
	for (const seq of [3, 4, 5, 6, 7, 8]) equal(take(again, seq), "taken");
	deepEqual(readable(3), [2, 3, 4, 5, 6, 7, 8], "behind the place of a reader that has been at the end");
	equal(store.depths().bulk.batches, 7);
	equal(take(again, 6), "repeated");
	store.free(stream, 8);
	deepEqual([store.depths().bulk, store.stream(stream)?.a1], [{ batches: 0, bytes: 0, oldestMs: null }, 8]);
});

test("a hop asks below for what upstream waits for now and then, and not for what it holds", () => {
	const { stream, take } = nine();
	const intake = intakeOf(0, []);
	for (const seq of [5, 6]) take(intake, seq);
	deepEqual(
		[0, CHANNEL_LIMITS.askAgainMs - 1, CHANNEL_LIMITS.askAgainMs].map((nowMs) => intake.misses(stream, 2, nowMs)),
		[true, false, true],
	);
	ok(!intake.misses(stream, 5, 99_000));
	ok(intake.misses(streamOf(9), 1, 99_000), "what it never heard of, others below may have");
	equal(store.stream(streamOf(9)), undefined);
});

test("another history does not fill a hole before what is held", () => {
	const { stream, take } = nine();
	const intake = intakeOf(0, []);
	for (const seq of [5, 6]) take(intake, seq);
	intake.misses(stream, 4, 0);
	equal(take(intake, 4), "taken");
	const other = sealed(5, hashOf(9));
	equal(intake.take(other.bytes, SENDER, 0).refusal?.code, "forked");
	equal(take(intake, 5), "taken");
});

test("a stream that was set back and that upstream has by another way goes on behind it", () => {
	const { stream, take } = nine();
	const intake = intakeOf(0, []);
	for (const seq of [5, 6]) take(intake, seq);
	intake.misses(stream, 2, 0);
	equal(store.free(stream, 7), 2);
	deepEqual([store.stream(stream)?.a1, readable()], [6, []], "upstream's word goes no further than what was here");
	equal(take(intake, 8), "skipped");
	equal(take(intake, 7), "taken");
});

test("a receipt for more than was ever here makes this hop call nothing taken that it never saw", () => {
	const { stream, take } = nine();
	const intake = intakeOf(0, []);
	equal(take(intake, 5), "taken");
	equal(store.free(stream, 5), 1);
	intake.misses(stream, 1, 0);
	equal(store.free(stream, Number.MAX_SAFE_INTEGER), 0);
	equal(store.stream(stream)?.a1, 0);
	equal(take(intake, 1), "taken");
});

test("when upstream has what filled a hole, all that is held behind it is read, and the stream goes on at its end", () => {
	const { stream, take } = nine();
	const intake = intakeOf(0, []);
	for (const seq of [4, 5, 6, 7]) take(intake, seq);
	intake.misses(stream, 2, 0);
	equal(store.read("bulk", 0, ROOM).length, 1, "the first, by which upstream says again that it waits");
	equal(store.free(stream, 5), 2);
	deepEqual(
		store.read("bulk", 0, ROOM).map(({ seq }) => seq),
		[6, 7],
	);
	equal(store.stream(stream)?.a1, 7);
	equal(take(intake, 8), "taken");
});

test("what waits behind a hole that upstream refuses for good is read one by one", () => {
	const { stream, take } = nine();
	const intake = intakeOf(0, []);
	for (const seq of [5, 6, 7]) take(intake, seq);
	intake.misses(stream, 2, 0);
	let row = store.read("bulk", 0, ROOM)[0]?.row ?? 0;
	for (const seq of [5, 6, 7]) {
		ok(store.take(stream, seq) !== null);
		const next = store.read("bulk", row, ROOM);
		deepEqual(
			next.map((each) => each.seq),
			seq === 7 ? [] : [seq + 1],
		);
		row = next[0]?.row ?? row;
	}
});

test("at the center what stands behind a hole that the agent has named is refused for good, and the alarm of the hole is over", () => {
	const { stream, take } = nine();
	const intake = intakeOf(0, [], false);
	equal(take(intake, 1), "taken");
	equal(take(intake, 4), "skipped");
	store.markHoleAlarmed(stream);
	for (const { done } of store.holeNews()) done();
	equal(noteGaps(store, [{ stream, first: 2, last: 5 }], 0), false);
	equal(take(intake, 4), "gap_named");
	equal(store.holeNews()[0]?.alarm.isCleared, true);
	equal(take(intake, 6), "skipped", "of it nothing was said");
	equal(take(intake, 2), "taken", "what comes by another way after all");
});

test("a batch that a gap record passes over without naming it becomes an alarm in the hole's time, with nothing behind it", () => {
	const { stream, take } = nine();
	const intake = intakeOf(0, [], false);
	equal(take(intake, 1), "taken");
	ok(noteGaps(store, [{ stream, first: 3, last: 9 }], 1000));
	equal(alarmHoles(store, 1001), 1000 + CHANNEL_LIMITS.holeAlarmMs);
	equal(alarmHoles(store, 1000 + CHANNEL_LIMITS.holeAlarmMs), null);
	equal(store.holeNews()[0]?.alarm.code, "sequence_missing");
});

test("gap records are remembered up to their bound, the newest", () => {
	const gaps = new NamedGaps(openSql(database), 2);
	gaps.note([1, 2, 3].map((first) => ({ stream: streamOf(1), first, last: first })));
	gaps.note([{ stream: streamOf(1), first: 3, last: 3 }]);
	deepEqual(
		[1, 2, 3].map((seq) => gaps.names(streamOf(1), seq)),
		[false, true, true],
	);
});
