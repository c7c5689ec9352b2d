import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { BoxDisk } from "../../durable/box-disk.ts";
import { readDiskSettings } from "../../durable/settings.ts";
import { diskMetrics } from "./disk-metrics.ts";
import { openMetricsText } from "./open-metrics.ts";
import { readOpenMetrics, seriesValue } from "./testing/open-metrics-reader.ts";

const GIB = 1024 ** 3;
const seriesOf = (disk: BoxDisk) => readOpenMetrics(openMetricsText(diskMetrics(disk.state(0))));

test("a box tells what is free, where each lane is refused and by which setting, and which lanes are", () => {
	const disk = new BoxDisk(readDiskSettings({ used_percent_max: { trace: 99 } }));
	disk.read({ freeBytes: 4 * GIB, totalBytes: 100 * GIB }, 0);
	for (const lane of ["trace", "alert", "bulk"] as const) disk.judge({ lane, bytes: 10, reusableBytes: 0 }, 0);
	const families = seriesOf(disk);
	equal(seriesValue(families, "daemoneye_disk_free_bytes"), 4 * GIB);
	equal(seriesValue(families, "daemoneye_disk_size_bytes"), 100 * GIB);
	const floor = (lane: string, bound: string) =>
		seriesValue(families, "daemoneye_disk_refused_below_bytes", { lane, bound });
	equal(floor("bulk", "free_bytes_enough"), 8 * GIB);
	equal(floor("alert", "free_bytes_enough"), 5 * GIB);
	equal(floor("trace", "used_percent_max"), GIB);
	const of = (name: string) => ["trace", "alert", "bulk"].map((lane) => seriesValue(families, name, { lane }));
	deepEqual(of("daemoneye_refused_lanes"), [0, 1, 1]);
	deepEqual(of("daemoneye_refused_for_room_batches_total"), [0, 1, 1]);
	deepEqual(of("daemoneye_lane_quota_bytes"), [32 * GIB, 8 * GIB, 64 * GIB]);
});

test("a disk that nobody measured has no figures, and the lanes have theirs", () => {
	const families = seriesOf(new BoxDisk(readDiskSettings(undefined)));
	const counts = families.map(({ name, samples }) => [name, samples.length]);
	deepEqual(counts.slice(0, 3), [
		["daemoneye_disk_free_bytes", 0],
		["daemoneye_disk_size_bytes", 0],
		["daemoneye_disk_refused_below_bytes", 0],
	]);
	equal(seriesValue(families, "daemoneye_refused_lanes", { lane: "bulk" }), 0);
});
