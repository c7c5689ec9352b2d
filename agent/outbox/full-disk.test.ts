/** The outbox on a real file system that fills up: ENOSPC from the kernel, not from a stand-in. Needs root to mount one. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { Lane } from "#core/model/batch.ts";
import { draftOf, Rig } from "../testing/rig.ts";
import { directoryStorage, type SegmentStorage } from "./storage.ts";

const MIB = 1024 * 1024;
const options = { skip: process.getuid?.() === 0 ? false : "needs root to mount a small file system" };
const LARGE = "x".repeat(4000);
let base: string;
let filler: string;
let rig: Rig<SegmentStorage>;

beforeEach(() => {
	if (options.skip !== false) return;
	base = mkdtempSync(join(tmpdir(), "daemoneye-full-"));
	execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", base]);
	filler = join(base, "filler");
	mkdirSync(join(base, "outbox"));
	rig = new Rig(64 * MIB, directoryStorage(join(base, "outbox")));
});
afterEach(() => {
	if (options.skip !== false) return;
	rig.outbox.stop();
	execFileSync("umount", [base]);
	rmSync(base, { recursive: true });
});

/** Somebody else's file takes the disk but for so many bytes. */
function leave(bytes: number): void {
	rmSync(filler, { force: true });
	const { bavail, bsize } = statfsSync(base);
	writeFileSync(filler, new Uint8Array(bavail * bsize - bytes));
}

/** One batch of about 400 KiB: more than what is left. */
function putLarge(lane: Lane, pid: number): void {
	for (let event = 0; event < 100; event++) rig.lanes.add(lane, draftOf(pid * 100 + event, LARGE));
	rig.lanes.flush([lane]);
}
const first = (lane: Lane) => rig.delivered(lane).batches.map(({ header }) => header.seq);
const pidsOf = (lane: Lane) => rig.delivered(lane).events.map(({ payload }) => Math.floor((payload.pid ?? 0) / 100));

test(
	"a disk that fills up in mid-batch announces nothing it does not hold, and when it has room again goes on in order",
	options,
	() => {
		putLarge("bulk", 1);
		leave(150 * 1024);
		const { held } = rig;
		for (let pid = 2; pid <= 4; pid++) putLarge("bulk", pid);
		assert.ok(rig.codes.includes("disk_full"));
		assert.equal(rig.held, held, "nothing is announced");
		assert.deepEqual(first("bulk"), [1]);
		// A kill now: what was held is there, and the cut-off batch left nothing behind.
		const again = new Rig(64 * MIB, directoryStorage(join(base, "outbox")));
		assert.deepEqual(again.delivered("bulk").batches.length, 1);
		again.outbox.stop();
		for (let round = 0; round < 3; round++) rig.advance(1000);
		assert.equal(rig.held, held);
		rmSync(filler);
		rig.advance(1000);
		assert.equal(rig.held, held + 1);
		assert.deepEqual([...new Set(pidsOf("bulk"))], [1, 2, 3, 4]);
		assert.deepEqual(
			pidsOf("bulk"),
			pidsOf("bulk").toSorted((a, b) => a - b),
		);
		assert.deepEqual(rig.gaps(), []);
	},
);

test(
	"on a full disk a trace takes the place of history without a gap, and then of the oldest bulk, which is named",
	options,
	() => {
		for (let pid = 1; pid <= 40; pid++) putLarge("bulk", pid);
		const [freed, kept] = rig.outbox.chains("bulk");
		assert.ok(freed !== undefined && kept !== undefined, "a backlog is of several streams");
		rig.outbox.acknowledge(freed.id, "a1", freed.head);
		leave(100 * 1024);
		const before = pidsOf("bulk").length;
		putLarge("trace", 50);
		assert.deepEqual([...new Set(pidsOf("trace"))], [50]);
		assert.deepEqual(rig.gaps(), [], "history is ours to give");
		const chains = rig.outbox.chains("bulk").length;
		let pid = 51;
		for (; rig.outbox.chains("bulk").some((chain) => chain.id === kept.id); pid++) {
			leave(100 * 1024);
			putLarge("trace", pid);
		}
		assert.deepEqual(
			[...new Set(pidsOf("trace"))],
			Array.from({ length: pid - 50 }, (_, i) => 50 + i),
			"no trace was lost",
		);
		const gaps = rig.gaps();
		assert.equal(gaps.length, 1);
		assert.deepEqual(
			[gaps[0]?.payload.gapStream, gaps[0]?.payload.gapFrom, gaps[0]?.payload.gapTo, gaps[0]?.payload.cause],
			[kept.stream, 1n, BigInt(kept.head), "disk_full"],
		);
		assert.ok(rig.outbox.chains("bulk").length < chains && pidsOf("bulk").length < before);
	},
);
