import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { equalBytes, hexOf } from "#core/bytes/bytes.ts";
import { Rig } from "../testing/rig.ts";
import { DiskFailure } from "./storage.ts";

const pids = (rig: Rig, lane: "trace" | "alert" | "bulk") =>
	rig.delivered(lane).events.map(({ payload }) => payload.pid);

/** The one segment of a lane, as a test that damages it needs it. */
function segmentOf(rig: Rig, lane: string): [string, Uint8Array] {
	const found = [...rig.storage.files].find(([name]) => name.startsWith(lane));
	assert.ok(found);
	return found;
}

/** Where each record begins, and the end. */
function recordOffsets(bytes: Uint8Array): number[] {
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const offsets = [0];
	while ((offsets.at(-1) as number) < bytes.length) {
		const at = offsets.at(-1) as number;
		offsets.push(at + 40 + view.getUint32(at + 4, true));
	}
	return offsets;
}

test("what was appended is read back as the same bytes, also after a restart, and the stream goes on", () => {
	const rig = new Rig();
	rig.put("bulk", 1);
	rig.put("bulk", 2);
	const chain = rig.outbox.chains("bulk")[0];
	assert.ok(chain);
	const before = rig.outbox.read(chain, 2);
	rig.restart();
	const again = rig.outbox.chains("bulk")[0];
	assert.ok(again && before);
	assert.equal(again.id, chain.id);
	assert.ok(equalBytes(rig.outbox.read(again, 2) ?? new Uint8Array(0), before));
	rig.put("bulk", 3);
	assert.deepEqual(pids(rig, "bulk"), [1, 2, 3]);
	assert.equal(rig.outbox.chains("bulk").length, 1);
	assert.deepEqual(rig.gaps(), []);
});

test("only the batch appended last is at hand without the disk, and only until it is let go", () => {
	const rig = new Rig();
	const chain = rig.outbox.current("bulk");
	const append = (byte: number) => {
		const batch = { bytes: new Uint8Array(300).fill(byte), hash: new Uint8Array(32), eventCount: 1 };
		assert.ok(rig.outbox.append("bulk", batch).ok);
		return batch.bytes;
	};
	const first = append(1);
	const second = append(2);
	assert.equal(rig.outbox.read(chain, 2), second);
	const read = rig.outbox.read(chain, 1);
	assert.notEqual(read, first);
	assert.deepEqual(read, first);
	rig.outbox.letGo();
	const again = rig.outbox.read(chain, 2);
	assert.notEqual(again, second);
	assert.deepEqual(again, second);
	rig.put("bulk", 3);
	const head = rig.outbox.read(chain, chain.head);
	assert.notEqual(head, rig.outbox.read(chain, chain.head), "lanes let go after each flush");
});

test("every cut of the last two records leaves what stood before, a named gap and a stream that a hop takes", () => {
	const source = new Rig();
	for (const pid of [1, 2, 3]) source.put("trace", pid);
	const [name, whole] = segmentOf(source, "trace");
	const offsets = recordOffsets(whole);
	const [second, third, end] = offsets.slice(-3) as [number, number, number];
	for (let cut = second + 1; cut < end; cut++) {
		const rig = new Rig();
		rig.storage.files.set(name, whole.slice(0, cut));
		rig.restart();
		rig.put("trace", 9);
		const kept = cut < third ? [1, 9] : cut === third ? [1, 2, 9] : [1, 2, 9];
		assert.deepEqual(pids(rig, "trace"), kept, `cut at ${cut}`);
		const gaps = rig.gaps().map(({ payload }) => [payload.gapFrom, payload.gapTo, payload.cause]);
		if (cut === third) assert.deepEqual(gaps, []);
		else assert.deepEqual(gaps, [[cut < third ? 2n : 3n, cut < third ? 2n : 3n, "outbox_damaged"]], `cut at ${cut}`);
	}
});

test("one flipped byte anywhere costs at most one record, named, and everything else is delivered", () => {
	const source = new Rig();
	for (const pid of [1, 2, 3]) source.put("bulk", pid);
	const [name, whole] = segmentOf(source, "bulk");
	const stream = source.outbox.chains("bulk")[0]?.stream ?? new Uint8Array(8);
	for (let at = 0; at < whole.length; at++) {
		const rig = new Rig();
		const damaged = whole.slice();
		damaged[at] = (damaged[at] as number) ^ 0x10;
		rig.storage.files.set(name, damaged);
		rig.restart();
		rig.put("bulk", 9);
		const got = pids(rig, "bulk");
		const missing = [1, 2, 3].filter((pid) => !got.includes(pid));
		assert.ok(missing.length <= 1, `byte ${at}: ${got.join()}`);
		assert.ok(got.includes(9), `byte ${at}`);
		const gaps = rig.gaps().filter(({ payload }) => payload.cause === "outbox_damaged");
		assert.deepEqual(
			gaps.map(({ payload }) => [hexOf(payload.gapStream ?? new Uint8Array(0)), payload.gapFrom, payload.gapTo]),
			missing.map((pid) => [hexOf(stream), BigInt(pid), BigInt(pid)]),
			`byte ${at}`,
		);
	}
});

test("a damaged block over a segment's head and its first batches costs what it hit, and all of that is named", () => {
	for (const hit of [1, 2]) {
		const rig = new Rig();
		for (let pid = 1; pid <= 5; pid++) rig.put("bulk", pid);
		const chain = rig.outbox.current("bulk");
		const { name, offsets } = chain.segments[0] as { name: string; offsets: readonly number[] };
		const bytes = rig.storage.read(name);
		rig.storage.files.set(name, bytes.fill(0, 100, (offsets[hit - 1] as number) + 50));
		rig.restart();
		const pids = rig.delivered("bulk").events.map(({ payload }) => payload.pid);
		assert.deepEqual(pids, [1, 2, 3, 4, 5].slice(hit));
		const named = rig.gaps().filter(({ payload }) => payload.cause === "outbox_damaged");
		assert.deepEqual(
			named.map(({ payload }) => [payload.gapFrom, payload.gapTo]),
			[[1n, BigInt(hit)]],
		);
	}
});

test("a record put in another's place, or into another segment, is damage like any other", () => {
	const source = new Rig();
	for (const pid of [1, 2, 3]) source.put("bulk", pid);
	const [name, whole] = segmentOf(source, "bulk");
	const offsets = recordOffsets(whole);
	const record = (index: number) => whole.slice(offsets[index], offsets[index + 1]);
	// Records of one class have one length, so one fits the other's place; its header is right too.
	assert.equal(record(1).length, record(2).length);
	const header = 40;
	const moved = whole.slice();
	moved.set(record(2).subarray(header), (offsets[1] as number) + header);
	const view = new DataView(moved.buffer, offsets[1]);
	view.setUint32(32, new DataView(record(2).buffer).getUint32(32, true), true);
	view.setUint32(36, crc32(moved.subarray(offsets[1], (offsets[1] as number) + 36)), true);
	const other = name.replace("001.", "007.");
	for (const [file, bytes, kept, gap] of [
		[name, moved, [2, 3, 9], ["stream", 1n, 1n]],
		[other, whole, [9], ["count", 1n, 3n]],
	] as const) {
		const rig = new Rig();
		rig.storage.files.set(file, bytes);
		rig.restart();
		rig.put("bulk", 9);
		assert.deepEqual(pids(rig, "bulk"), kept, file);
		const damage = rig.gaps().filter(({ payload }) => payload.cause === "outbox_damaged");
		assert.deepEqual(
			damage.map(({ payload }) => [payload.gapScope, payload.gapFrom, payload.gapTo]),
			[gap],
		);
		assert.equal(rig.codes.includes("outbox_segment_unreadable"), file === other);
	}
});

test("nothing of a batch stands in the segment, and its length is a class's", () => {
	const rig = new Rig();
	rig.put("trace", 1, "/srv/reports/quarterly.sh");
	rig.put("trace", 2, "/srv/reports/q");
	const [, bytes] = segmentOf(rig, "trace");
	assert.ok(!Buffer.from(bytes).includes("reports"));
	assert.ok(!Buffer.from(bytes).includes("web-01"));
	const offsets = recordOffsets(bytes);
	const lengths = offsets.slice(1).map((end, index) => end - (offsets[index] as number));
	assert.equal(new Set(lengths).size, 1, "head, long and short batch look alike");
});

test("the segments of all lanes stand before anything is written, and again after a restart", () => {
	const rig = new Rig();
	rig.outbox.prepare();
	const names = () => [...rig.storage.files.keys()].map((name) => name.split("-")[0]).sort();
	assert.deepEqual(names(), ["alert", "bulk", "trace"]);
	rig.put("trace", 1);
	assert.deepEqual(names(), ["alert", "bulk", "trace"]);
	for (let start = 0; start < 3; start++) {
		rig.restart();
		rig.outbox.prepare();
	}
	rig.put("trace", 2);
	assert.deepEqual(names(), ["alert", "bulk", "trace"], "starts do not pile up files");
	rig.restart();
	assert.deepEqual(pids(rig, "trace"), [1, 2]);
	assert.equal(rig.outbox.chains("trace").length, 1, "the stream goes on");
});

test("a number that may have been sent is never used again for other bytes", () => {
	const rig = new Rig();
	rig.put("trace", 1);
	rig.put("trace", 2);
	const [name, whole] = segmentOf(rig, "trace");
	const old = rig.outbox.chains("trace")[0]?.id;
	const damaged = whole.slice();
	damaged[whole.length - 5] = (damaged[whole.length - 5] as number) ^ 1;
	rig.storage.files.set(name, damaged);
	rig.restart();
	rig.put("trace", 3);
	const last = rig.outbox.chains("trace").at(-1);
	assert.notEqual(last?.id, old);
	assert.equal(last?.head, 1);
});

test("a stream whose receipted end is damaged is not continued either", () => {
	const rig = new Rig();
	rig.put("trace", 1);
	rig.put("trace", 2);
	const chain = rig.outbox.chains("trace")[0];
	assert.ok(chain);
	rig.outbox.acknowledge(chain.id, "a2", 2);
	rig.outbox.persistMarks();
	const [name, whole] = segmentOf(rig, "trace");
	const last = recordOffsets(whole).at(-3) as number;
	whole[last + 50] = (whole[last + 50] as number) ^ 1;
	rig.storage.files.set(name, whole);
	rig.restart();
	rig.put("trace", 3);
	assert.notEqual(rig.outbox.current("trace").id, chain.id);
	assert.deepEqual(rig.gaps(), [], "what was receipted is no loss");
});

test("a chain that was sealed again is not sealed again by the next start", () => {
	const source = new Rig();
	for (const pid of [1, 2, 3]) source.put("bulk", pid);
	const [name, whole] = segmentOf(source, "bulk");
	const offsets = recordOffsets(whole);
	whole[(offsets[2] as number) + 60] = (whole[(offsets[2] as number) + 60] as number) ^ 1;
	const rig = new Rig();
	rig.storage.files.set(name, whole);
	rig.restart();
	assert.deepEqual(pids(rig, "bulk"), [1, 3]);
	rig.restart();
	rig.restart();
	assert.deepEqual(pids(rig, "bulk"), [1, 3]);
	assert.equal(rig.gaps().length, 2);
});

test("receipts free: A1 is enough for bulk and not for traces, and they survive a restart when written", () => {
	const rig = new Rig();
	rig.put("bulk", 1);
	rig.put("trace", 2);
	const [trace, bulk] = [rig.outbox.chains("trace")[0], rig.outbox.chains("bulk")[0]];
	assert.ok(trace && bulk);
	rig.outbox.acknowledge(bulk.id, "a1", 1);
	rig.outbox.acknowledge(trace.id, "a1", 1);
	assert.equal(rig.outbox.victim()?.chain.id, trace.id);
	rig.outbox.acknowledge(trace.id, "a2", 1);
	assert.equal(rig.outbox.victim(), null);
	assert.equal(rig.outbox.oldestUnfreedMs(), null);
	rig.outbox.persistMarks();
	rig.restart();
	assert.equal(rig.outbox.victim(), null);
});

test("a receipt beyond what was written frees only what was written", () => {
	const rig = new Rig();
	rig.put("bulk", 1);
	const chain = rig.outbox.chains("bulk")[0];
	assert.ok(chain);
	rig.outbox.acknowledge(chain.id, "a1", 900);
	assert.equal(chain.a1, 1);
});

const LIMIT = 8 * 1024 * 1024;
const LARGE = "x".repeat(4000);

/** Batches of about 400 KiB until `count` of them are in. */
function fill(rig: Rig, lane: "trace" | "bulk", count: number): void {
	for (let i = 0; i < count; i++) {
		for (let event = 0; event < 100; event++) {
			rig.lanes.add(lane, { ...rigDraft(i * 100 + event) });
		}
		rig.lanes.flush([lane]);
	}
}

function rigDraft(pid: number) {
	return {
		kind: "exec",
		process: new Uint8Array(16),
		kernelTimeNs: 1n,
		wallTimeMs: 1_700_000_000_000,
		tier: "ebpf",
		payload: { pid, exe: LARGE },
	} as const;
}

test("a full outbox sheds the oldest bulk by whole streams, says which, and what stays is without holes", () => {
	const rig = new Rig(LIMIT);
	rig.put("trace", 7);
	fill(rig, "bulk", 60);
	assert.ok(rig.outbox.bytes <= LIMIT);
	assert.deepEqual(pids(rig, "trace"), [7]);
	const { events } = rig.delivered("bulk");
	const gaps = rig.gaps();
	assert.ok(gaps.length > 0);
	assert.ok(gaps.every(({ payload }) => payload.cause === "outbox_full" && payload.gapScope === "stream"));
	const shed = gaps.reduce((sum, { payload }) => sum + Number(payload.gapTo) - Number(payload.gapFrom) + 1, 0);
	const kept = rig.outbox.chains("bulk").reduce((sum, chain) => sum + chain.head, 0);
	assert.equal(shed + kept, 60);
	// What stays is the newest, in order.
	assert.equal(events.at(-1)?.payload.pid, 5999);
	assert.ok(
		events.every(
			(event, index) => index === 0 || (event.payload.pid ?? 0) === (events[index - 1]?.payload.pid ?? 0) + 1,
		),
	);
	// Shedding costs little at a time: more than half of the outbox stays in use.
	assert.ok(rig.outbox.bytes > LIMIT / 2);
	rig.restart();
	assert.equal(rig.delivered("bulk").events.length, events.length);
});

test("the record of what is shed is on the disk before the data goes", () => {
	const rig = new Rig(LIMIT);
	const alertsAtRemoval: number[] = [];
	const { storage } = rig;
	const remove = storage.remove.bind(storage);
	storage.remove = (name) => {
		if (name.startsWith("bulk")) alertsAtRemoval.push(rig.outbox.chains("alert")[0]?.head ?? 0);
		remove(name);
	};
	fill(rig, "bulk", 30);
	assert.ok(alertsAtRemoval.length > 0);
	assert.ok(alertsAtRemoval.every((head) => head > 0));
});

test("receipted history is given up before anything unreceipted, without a gap", () => {
	const rig = new Rig(LIMIT);
	for (let i = 0; i < 40; i++) {
		fill(rig, "bulk", 1);
		for (const chain of rig.outbox.chains("bulk")) rig.outbox.acknowledge(chain.id, "a1", chain.head);
	}
	assert.ok(rig.outbox.bytes <= LIMIT);
	assert.ok(rig.outbox.bytes > LIMIT / 2, "history is kept while there is room");
	assert.deepEqual(rig.gaps(), []);
	assert.equal(rig.outbox.chains("bulk").length, 1, "without a backlog there is one stream");
});

test("traces are shed only when no bulk is left, and the gap records of both stay", () => {
	const rig = new Rig(LIMIT);
	fill(rig, "bulk", 10);
	fill(rig, "trace", 30);
	assert.equal(rig.delivered("bulk").batches.length, 0);
	const { events } = rig.delivered("trace");
	assert.equal(events.at(-1)?.payload.pid, 2999);
	assert.ok(rig.gaps().length >= 2);
});

test("a full disk does not stop the agent, loses nothing while memory has room, and heals by itself", () => {
	const rig = new Rig();
	rig.put("bulk", 1);
	rig.storage.capacity = rig.storage.used + 100;
	rig.put("bulk", 2);
	rig.put("bulk", 3);
	assert.ok(rig.codes.includes("disk_full"));
	assert.deepEqual(pids(rig, "bulk"), [1]);
	rig.storage.capacity = Number.MAX_SAFE_INTEGER;
	rig.advance(1000);
	assert.deepEqual(pids(rig, "bulk"), [1, 2, 3]);
	assert.deepEqual(rig.gaps(), []);
});

test("what memory cannot hold while the disk is full becomes a gap record when it takes bytes again", () => {
	const rig = new Rig();
	rig.put("bulk", 1);
	const stream = rig.outbox.chains("bulk")[0]?.stream;
	rig.storage.capacity = rig.storage.used;
	for (let pid = 2; pid < 10_000; pid++) rig.lanes.add("bulk", { ...rigDraft(pid), payload: { pid } });
	rig.storage.capacity = Number.MAX_SAFE_INTEGER;
	rig.advance(1000);
	rig.advance(1000);
	const gaps = rig.gaps();
	assert.equal(gaps.length, 1);
	assert.deepEqual(gaps[0]?.payload.gapStream, stream);
	assert.equal(gaps[0]?.payload.gapFrom, 2n);
	assert.equal(gaps[0]?.payload.cause, "disk_full");
	const got = pids(rig, "bulk");
	assert.equal(got[0], 1);
	assert.equal(got.at(-1), 9999);
});

test("a write that takes only a part is finished, and a part that stays is cut off", () => {
	const rig = new Rig();
	rig.storage.writeBytesMax = 7;
	rig.put("bulk", 1);
	assert.deepEqual(pids(rig, "bulk"), [1]);
	rig.storage.capacity = rig.storage.used + 3;
	const before = rig.storage.used;
	rig.put("bulk", 2);
	assert.equal(rig.storage.used, before);
});

test("a failing disk throws at once and is not tried again", () => {
	const failing = new Rig();
	failing.put("bulk", 1);
	failing.storage.syncFault = "EIO";
	const before = failing.storage.syncCount;
	assert.throws(() => failing.put("bulk", 2), DiskFailure);
	assert.equal(failing.storage.syncCount, before + 1);
	assert.equal(failing.held, 1, "a batch that was not synced is never announced");
	const writing = new Rig();
	writing.storage.writeFault = "EIO";
	assert.throws(() => writing.put("bulk", 1), DiskFailure);
});

test("nothing is announced to the link before its fsync", () => {
	const rig = new Rig();
	let syncedAtHeld = -1;
	const { lanes, storage } = rig;
	const count = storage.syncCount;
	lanes.add("alert", rigDraft(1));
	rig.advance(10);
	syncedAtHeld = storage.syncCount;
	assert.equal(rig.held, 1);
	assert.ok(syncedAtHeld > count);
});

test("a stream shed while the disk has no room for the record of it is named after a crash, and its rest is gone", () => {
	for (let callsLeft = 1; callsLeft < 10; callsLeft++) {
		const rig = new Rig();
		fill(rig, "bulk", 3);
		const [chain] = rig.outbox.chains("bulk");
		assert.ok(chain !== undefined);
		rig.storage.writeFault = "ENOSPC";
		// The power fails at some call that takes the stream away, or at none.
		let left = callsLeft;
		let isNamed = false;
		for (const call of ["rename", "truncate", "remove", "syncDirectory"] as const) {
			const real = rig.storage[call].bind(rig.storage) as (...args: unknown[]) => void;
			rig.storage[call] = (...args: unknown[]) => {
				if (--left === 0) throw new Error("power");
				real(...args);
				isNamed ||= call === "rename";
			};
		}
		try {
			rig.put("trace", 7);
		} catch (error) {
			assert.ok(error instanceof DiskFailure);
		}
		rig.storage.writeFault = null;
		left = Number.MAX_SAFE_INTEGER;
		rig.restart();
		const isThere = rig.outbox.chains("bulk").some(({ id }) => id === chain.id);
		assert.equal(isThere, !isNamed);
		const gaps = rig.gaps().map(({ payload }) => [payload.gapStream, payload.gapFrom, payload.gapTo, payload.cause]);
		assert.deepEqual(gaps, isThere ? [] : [[chain.stream, 1n, 3n, "disk_full"]]);
		assert.ok(!rig.storage.list().some((name) => name.startsWith("gone-")), "what is on record needs no name");
		rig.restart();
		assert.equal(rig.gaps().length, gaps.length, "told once");
	}
});

test("the record of what was shed is made again when memory had to drop it too", () => {
	const rig = new Rig();
	fill(rig, "bulk", 3);
	const [chain] = rig.outbox.chains("bulk");
	rig.storage.writeFault = "ENOSPC";
	rig.put("trace", 7);
	for (let pid = 0; pid < 10_000; pid++) rig.lanes.add("alert", { ...rigDraft(pid), payload: { pid } });
	rig.storage.writeFault = null;
	for (let second = 0; second < 3; second++) rig.advance(1000);
	const named = rig.gaps().filter(({ payload }) => hexOf(payload.gapStream ?? new Uint8Array()) === chain?.id);
	assert.ok(named.length > 0);
	assert.ok(!rig.storage.list().some((name) => name.startsWith("gone-")));
});

test("a stream that goes on in another ends only when that one is on the disk", () => {
	const rig = new Rig();
	for (let pid = 1; pid <= 3; pid++) rig.put("trace", pid);
	const [chain] = rig.outbox.chains("trace");
	assert.ok(chain !== undefined);
	rig.storage.writeFault = "ENOSPC";
	rig.lanes.reseal(chain, 1, null);
	rig.lanes.reseal(chain, 1, null);
	assert.equal(chain.end, null, "its events are nowhere else");
	rig.storage.writeFault = null;
	const crashed = new Rig(64 * 1024 * 1024, rig.storage);
	assert.deepEqual(pids(crashed, "trace"), [1, 2, 3]);
	rig.advance(1000);
	rig.advance(1000);
	assert.equal(chain.end, 0);
	assert.deepEqual(pids(rig, "trace"), [1, 2, 3], "once, though it was refused twice");
});

test("a stream that was ended is not gone on with after a crash, though nothing of it is damaged", () => {
	const rig = new Rig();
	for (let pid = 1; pid <= 3; pid++) rig.put("bulk", pid);
	const [chain] = rig.outbox.chains("bulk");
	assert.ok(chain !== undefined);
	rig.outbox.endChain(chain, 2);
	rig.restart();
	rig.put("bulk", 4);
	assert.deepEqual(pids(rig, "bulk"), [1, 2, 4]);
	assert.equal(rig.outbox.chains("bulk").length, 2);
});
