import { deepEqual, equal, ok } from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { LANES, type Lane } from "#core/model/batch.ts";
import { BoxDisk } from "./box-disk.ts";
import { DISK_LIMITS } from "./limits.ts";
import { type DiskSettings, readDiskSettings } from "./settings.ts";

const LIMITS: DiskSettings = {
	usedPercentMax: { bulk: 80, alert: 90, trace: 95 },
	freeBytesEnough: { bulk: 1_000_000, alert: 100_000, trace: 10_000 },
	waitingBytesMax: { bulk: 1000, alert: 200, trace: 500 },
};
const TOTAL = 100_000;
const GIB = 1024 ** 3;
const logged: string[] = [];
let disk: BoxDisk;

beforeEach(() => {
	disk = new BoxDisk(LIMITS);
	logged.length = 0;
	mock.method(console, "log", (line: string) => logged.push((JSON.parse(line) as { event: string }).event));
});

const codeOf = (lane: Lane, { bytes = 1, reusableBytes = 0, nowMs = 0 } = {}): string => {
	const judged = disk.judge({ lane, bytes, reusableBytes }, nowMs);
	return judged.ok ? "taken" : judged.code;
};
const codes = (nowMs = 0) => ["bulk", "alert", "trace"].map((lane) => codeOf(lane as Lane, { nowMs }));
const freeAt = (usedPercent: number) => ({ freeBytes: Math.round(TOTAL * (1 - usedPercent / 100)), totalBytes: TOTAL });

test("bulk is refused at its watermark, then alert, trace last, and none of them below", () => {
	const at = (usedPercent: number) => {
		disk = new BoxDisk(LIMITS);
		disk.read(freeAt(usedPercent), 0);
		return codes();
	};
	deepEqual(at(79.99), ["taken", "taken", "taken"]);
	deepEqual(at(80), ["disk_low", "taken", "taken"]);
	deepEqual(at(89.99), ["disk_low", "taken", "taken"]);
	deepEqual(at(90), ["disk_low", "disk_low", "taken"]);
	deepEqual(at(94.99), ["disk_low", "disk_low", "taken"]);
	deepEqual(at(95), ["disk_low", "disk_low", "disk_low"]);
});

test("on a large disk what is free counts and not the share: a terabyte is not refused at 86 %, and still is at the last bytes", () => {
	const at = (freeBytes: number, totalBytes: number) => {
		disk = new BoxDisk(readDiskSettings(undefined));
		disk.read({ freeBytes, totalBytes }, 0);
		return codes();
	};
	deepEqual(at(140 * GIB, 1000 * GIB), ["taken", "taken", "taken"]);
	deepEqual(at(8 * GIB + 1, 1000 * GIB), ["taken", "taken", "taken"]);
	deepEqual(at(8 * GIB, 1000 * GIB), ["disk_low", "taken", "taken"]);
	deepEqual(at(5 * GIB, 1000 * GIB), ["disk_low", "disk_low", "taken"]);
	deepEqual(at(2 * GIB, 1000 * GIB), ["disk_low", "disk_low", "disk_low"]);
	// On a small one the share is less than that, and stays the bound.
	deepEqual(at(3 * GIB + 1, 20 * GIB), ["taken", "taken", "taken"]);
	deepEqual(at(3 * GIB, 20 * GIB), ["disk_low", "taken", "taken"]);
	const { floors } = disk.state(0);
	deepEqual(floors?.bulk, { freeBytesMin: 3 * GIB, bound: "used_percent_max" });
	disk.read({ freeBytes: 1, totalBytes: 1000 * GIB }, 0);
	deepEqual(disk.state(0).floors?.trace, { freeBytesMin: 2 * GIB, bound: "free_bytes_enough" });
});

test("on a large disk a refused lane is taken again half a gibibyte above its bound", () => {
	disk = new BoxDisk(readDiskSettings(undefined));
	const bulkAt = (freeBytes: number) => {
		disk.read({ freeBytes, totalBytes: 1000 * GIB }, 0);
		return codeOf("bulk");
	};
	equal(bulkAt(8 * GIB), "disk_low");
	equal(bulkAt(8 * GIB + DISK_LIMITS.easeBytesMax), "disk_low");
	equal(bulkAt(8 * GIB + DISK_LIMITS.easeBytesMax + 1), "taken");
	equal(bulkAt(8 * GIB + 1), "taken");
});

test("an answer that a later question's overtook changes nothing, unless the clock went back", () => {
	disk.read(freeAt(50), 2000, 1900);
	disk.read(freeAt(99), 2100, 900);
	equal(codeOf("bulk", { nowMs: 2100 }), "taken");
	disk.read(freeAt(99), 500, 450);
	equal(codeOf("bulk", { nowMs: 500 }), "disk_low");
});

test("a supervisor that does not answer is logged once, and again after it did", () => {
	for (let ask = 0; ask < 5; ask++) disk.unread("it answered 503");
	disk.read(freeAt(50), 0);
	disk.unread("it answered 503");
	deepEqual(logged, ["disk_not_read", "disk_not_read"]);
});

test("each lane has its own quota over all agents, taken at it and refused above it", () => {
	disk.waits("a", { bulk: 900, alert: 100, trace: 499 });
	disk.waits("b", { bulk: 90, alert: 50, trace: 0 });
	for (const [lane, left] of [
		["bulk", 10],
		["alert", 50],
		["trace", 1],
	] as const) {
		equal(codeOf(lane, { bytes: left }), "taken", lane);
		equal(codeOf(lane, { bytes: left + 1 }), "lane_full", lane);
	}
	disk.waits("a", { bulk: 0, alert: 0, trace: 0 });
	equal(codeOf("bulk", { bytes: 910 }), "taken");
	deepEqual(disk.state(0).waitingBytes, { bulk: 90, alert: 50, trace: 0 });
});

test("a channel that comes again with its log counts once", () => {
	for (let start = 0; start < 3; start++) disk.waits("a", { bulk: 700, alert: 0, trace: 0 });
	equal(disk.state(0).waitingBytes.bulk, 700);
});

test("what was written since the reading counts, until the next reading", () => {
	disk.read(freeAt(79), 0);
	disk.wrote(999, 1);
	equal(codeOf("bulk"), "taken");
	disk.wrote(1, 1);
	equal(codeOf("bulk"), "disk_low");
	disk.read(freeAt(78), 0);
	equal(codeOf("bulk"), "taken");
});

test("what fits into pages the file already has is taken on a full disk", () => {
	disk.read(freeAt(99), 0);
	equal(codeOf("bulk", { bytes: 50, reusableBytes: 50 }), "taken");
	equal(codeOf("bulk", { bytes: 51, reusableBytes: 50 }), "disk_low");
});

test("without a reading, or with one that is too old, nothing is refused for the disk", () => {
	deepEqual(codes(), ["taken", "taken", "taken"]);
	disk.read(freeAt(100), 0);
	equal(codeOf("trace", { nowMs: DISK_LIMITS.readingMsMax }), "disk_low");
	equal(codeOf("trace", { nowMs: DISK_LIMITS.readingMsMax + 1 }), "taken");
	equal(disk.state(DISK_LIMITS.readingMsMax + 1).usedPercent, null);
});

test("a refused lane is taken again only below its watermark by a margin, and only the changes are logged", () => {
	disk.read(freeAt(80), 0);
	for (let i = 0; i < 50; i++) codeOf("bulk");
	disk.read(freeAt(79.5), 0);
	equal(codeOf("bulk"), "disk_low");
	deepEqual(disk.state(0).refusing, ["bulk"]);
	disk.read(freeAt(80 - DISK_LIMITS.easePercent - 0.01), 0);
	deepEqual(disk.state(0).refusing, [], "before anything comes that would make a file grow");
	equal(codeOf("bulk"), "taken");
	deepEqual(logged, ["lane_refused", "lane_taken_again"]);
	deepEqual(disk.state(0).refusedBatches, { bulk: 51, alert: 0, trace: 0 });
	deepEqual(disk.state(0).refusing, []);
});

test("a reading is asked for once in its interval, also when the clock went back", () => {
	ok(disk.isDue(5000));
	equal(disk.isDue(5000 + DISK_LIMITS.readingIntervalMs - 1), false);
	ok(disk.isDue(5000 + DISK_LIMITS.readingIntervalMs));
	equal(disk.isDue(5000 + DISK_LIMITS.readingIntervalMs - 3), false, "another object's time is a little behind");
	ok(disk.isDue(10));
});

test("settings take the defaults, and bounds that would refuse trace before bulk are no settings", () => {
	deepEqual(readDiskSettings(undefined), {
		usedPercentMax: DISK_LIMITS.usedPercentMax,
		freeBytesEnough: DISK_LIMITS.freeBytesEnough,
		waitingBytesMax: DISK_LIMITS.waitingBytesMax,
	});
	equal(readDiskSettings({ used_percent_max: { bulk: 50 } }).usedPercentMax.bulk, 50);
	for (const wrong of [
		{ used_percent_max: { bulk: 91 } },
		{ used_percent_max: { trace: 89 } },
		{ used_percent_max: { trace: 101 } },
		{ used_percent_max: { bulk: 0 } },
		{ free_bytes_enough: { bulk: 3 * GIB } },
		{ free_bytes_enough: { trace: 6 * GIB } },
		{ free_bytes_enough: { trace: 0 } },
		{ waiting_bytes_max: { alert: 0 } },
		{ waiting_bytes_max: { bulk: 1.5 } },
	])
		try {
			readDiskSettings(wrong);
			throw new Error(`${JSON.stringify(wrong)} was taken`);
		} catch (error) {
			ok(/disk\./.test((error as Error).message), (error as Error).message);
		}
	equal(LANES.length, 3);
});

test("what fits into free pages is taken on a full disk, and does not make the log say that there is room again", () => {
	disk.read(freeAt(85), 0);
	equal(codeOf("bulk"), "disk_low");
	for (let times = 0; times < 3; times++) {
		equal(codeOf("bulk", { bytes: 10, reusableBytes: 10 }), "taken");
		equal(codeOf("bulk", { bytes: 11, reusableBytes: 10 }), "disk_low");
	}
	equal(logged.filter((event) => event === "lane_taken_again").length, 0);
});
