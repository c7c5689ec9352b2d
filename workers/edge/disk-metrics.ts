/** Room on a box as metrics, the same at both tiers. Label values: the three lanes and the two settings that bound them. */
import { LANES, type Lane } from "#core/model/batch.ts";
import type { BoxDiskState } from "../../durable/box-disk.ts";
import type { Family, Sample } from "./open-metrics.ts";

const known = (value: number | null): Sample[] => (value === null ? [] : [{ value }]);
const byLane = (measure: (lane: Lane) => number): Sample[] =>
	LANES.map((lane) => ({ labels: { lane }, value: measure(lane) }));

export function diskMetrics(disk: BoxDiskState): Family[] {
	const { floors } = disk;
	return [
		{
			...{ name: "daemoneye_disk_free_bytes", type: "gauge", unit: "bytes" },
			help: "Free on the file system of the box's data; absent when the supervisor has not said.",
			samples: known(disk.freeBytes),
		},
		{
			...{ name: "daemoneye_disk_size_bytes", type: "gauge", unit: "bytes" },
			help: "Size of that file system.",
			samples: known(disk.totalBytes),
		},
		{
			...{ name: "daemoneye_disk_refused_below_bytes", type: "gauge", unit: "bytes" },
			help: "Free bytes at which the lane is refused, and the setting they come from.",
			samples: LANES.flatMap((lane) => {
				if (floors === null) return [];
				const { freeBytesMin, bound } = floors[lane];
				return [{ labels: { lane, bound }, value: freeBytesMin }];
			}),
		},
		{
			...{ name: "daemoneye_lane_quota_bytes", type: "gauge", unit: "bytes" },
			help: "What may wait in the lane on this box, all agents together.",
			samples: byLane((lane) => disk.waitingBytesMax[lane]),
		},
		{
			...{ name: "daemoneye_lane_held_bytes", type: "gauge", unit: "bytes" },
			help: "What of that is taken.",
			samples: byLane((lane) => disk.waitingBytes[lane]),
		},
		{
			...{ name: "daemoneye_refused_lanes", type: "gauge", unit: "lanes" },
			help: "1 where the lane is refused for want of room now, else 0.",
			samples: byLane((lane) => (disk.refusing.includes(lane) ? 1 : 0)),
		},
		{
			...{ name: "daemoneye_refused_for_room_batches", type: "counter", unit: "batches" },
			help: "Batches refused for want of room since the process began; their senders keep them.",
			samples: byLane((lane) => disk.refusedBatches[lane]),
		},
	];
}
