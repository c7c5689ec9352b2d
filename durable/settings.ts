/**
 * What a site may set of the evidence path, as the host hands it over in `PROXY` (the `proxy` section of the configuration). The
 * host has already judged it: what does not fit is our own mistake and stops the object.
 */
import { LANES, type Lane } from "#core/model/batch.ts";
import { PARENT_LIMITS, type ParentTimes } from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import { CHANNEL_LIMITS, DISK_LIMITS } from "./limits.ts";

export interface FlowSettings {
	/** Group-commit window of the bulk lane. */
	readonly fsyncIntervalMs: number;
	/** Every lane once, most urgent first. */
	readonly priorities: readonly Lane[];
	readonly compression: "none" | "zstd";
}

/** The binding as the host writes it; absent fields take the default. */
export interface ProxySettings {
	readonly fsync_interval_ms?: number;
	readonly flow?: { readonly priorities?: readonly string[]; readonly compression?: string };
	readonly failover?: { readonly probe_secs?: number; readonly stable_secs?: number };
}

/** When a preferred upstream is taken back. */
export function readParentTimes(settings: ProxySettings | undefined): ParentTimes {
	const probeMs = 1000 * (settings?.failover?.probe_secs ?? PARENT_LIMITS.probeSecs);
	const stableMs = 1000 * (settings?.failover?.stable_secs ?? PARENT_LIMITS.stableSecs);
	assertInvariant(probeMs > 0 && stableMs > 0, "failover.probe_secs and failover.stable_secs are above 0");
	return { probeMs, stableMs };
}

/** Bounds of the box by lane. */
export interface DiskSettings {
	readonly usedPercentMax: Readonly<Record<Lane, number>>;
	/** With so much free a lane is not refused for the disk. */
	readonly freeBytesEnough: Readonly<Record<Lane, number>>;
	readonly waitingBytesMax: Readonly<Record<Lane, number>>;
}

type PerLane = { readonly [lane in Lane]?: number };

/** The `DISK` binding as the host writes it (the `disk` section of the configuration). */
export interface DiskBinding {
	readonly used_percent_max?: PerLane;
	readonly free_bytes_enough?: PerLane;
	readonly waiting_bytes_max?: PerLane;
}

export function readDiskSettings(binding: DiskBinding | undefined): DiskSettings {
	const usedPercentMax = { ...DISK_LIMITS.usedPercentMax, ...binding?.used_percent_max };
	const freeBytesEnough = { ...DISK_LIMITS.freeBytesEnough, ...binding?.free_bytes_enough };
	const waitingBytesMax = { ...DISK_LIMITS.waitingBytesMax, ...binding?.waiting_bytes_max };
	const { bulk, alert, trace } = usedPercentMax;
	assertInvariant(
		0 < bulk && bulk <= alert && alert <= trace && trace <= 100,
		"disk.used_percent_max rises from bulk over alert to trace, within 100",
	);
	assertInvariant(
		LANES.every((lane) => Number.isSafeInteger(waitingBytesMax[lane]) && waitingBytesMax[lane] > 0),
		"disk.waiting_bytes_max is a count of bytes for each lane",
	);
	assertInvariant(
		0 < freeBytesEnough.trace &&
			freeBytesEnough.trace <= freeBytesEnough.alert &&
			freeBytesEnough.alert <= freeBytesEnough.bulk,
		"disk.free_bytes_enough falls from bulk over alert to trace, above 0",
	);
	return { usedPercentMax, freeBytesEnough, waitingBytesMax };
}

export function readFlowSettings(settings: ProxySettings | undefined): FlowSettings {
	const fsyncIntervalMs = settings?.fsync_interval_ms ?? 100;
	const priorities = settings?.flow?.priorities ?? LANES;
	const compression = settings?.flow?.compression ?? "zstd";
	assertInvariant(
		Number.isFinite(fsyncIntervalMs) && fsyncIntervalMs >= 0 && fsyncIntervalMs <= CHANNEL_LIMITS.fsyncIntervalMsMax,
		`fsync_interval_ms is 0 to ${CHANNEL_LIMITS.fsyncIntervalMsMax}`,
	);
	assertInvariant(
		priorities.length === LANES.length && LANES.every((lane) => priorities.includes(lane)),
		`flow.priorities names ${LANES.join(", ")} once each`,
	);
	assertInvariant(compression === "zstd" || compression === "none", "flow.compression is zstd or none");
	return { fsyncIntervalMs, priorities: priorities as readonly Lane[], compression };
}
