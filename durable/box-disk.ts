/**
 * Room on this box, over all agents: how full the file system is, as the supervisor measures it, and how much waits in each lane.
 * All objects of one worker share it, because they share one isolate; nothing of it is on disk, and a start fills it anew.
 * Guarantees that bulk is refused first, then alert, trace last, each at its own named bound; that what a channel can write into
 * pages its file already has is not refused for a disk that is full; and that without a reading nothing is refused (evidence fails
 * open: a disk that is really full refuses by itself). Must never be asked whether something is durable.
 */
import { LANES, type Lane } from "#core/model/batch.ts";
import type { RoomCode } from "#core/protocol/index.ts";
import { ok, type Result } from "#core/result.ts";
import { DISK_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { type DiskSettings, readDiskSettings } from "./settings.ts";

/** The file system of the data directory, reserved blocks not counted as free. */
export interface DiskReading {
	readonly freeBytes: number;
	readonly totalBytes: number;
}

export type LaneBytes = Readonly<Record<Lane, number>>;

/** Which of the two settings says when a lane is refused for the disk: the one that asks for less room. */
export const DISK_BOUNDS = ["used_percent_max", "free_bytes_enough"] as const;
export type DiskBound = (typeof DISK_BOUNDS)[number];

/** Free bytes at which a lane is refused, and which setting they come from. */
export interface DiskFloor {
	readonly freeBytesMin: number;
	readonly bound: DiskBound;
}

export interface BoxDiskState {
	/** Null, as the other figures of the disk, when the supervisor has said nothing lately. */
	readonly usedPercent: number | null;
	readonly freeBytes: number | null;
	readonly totalBytes: number | null;
	readonly floors: Readonly<Record<Lane, DiskFloor>> | null;
	readonly waitingBytes: LaneBytes;
	readonly waitingBytesMax: LaneBytes;
	/** Batches refused for want of room since the start. */
	readonly refusedBatches: LaneBytes;
	/** Lanes that are refused at the moment. */
	readonly refusing: readonly Lane[];
	/** Writes of batches since the start, each one wait for the disk, and the batches in them: what group commit saves. */
	readonly commits: number;
	readonly committedBatches: number;
}

interface Ask {
	readonly lane: Lane;
	readonly bytes: number;
	/** What the channel's file can take without growing. */
	readonly reusableBytes: number;
}

const NOTHING: LaneBytes = { trace: 0, alert: 0, bulk: 0 };
const gibOf = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

export class BoxDisk {
	readonly #limits: DiskSettings;
	#reading: (DiskReading & { readonly atMs: number; readonly askedAtMs: number }) | null = null;
	#askedAtMs = Number.NEGATIVE_INFINITY;
	/** By every channel since the reading: the next one may be a second away. */
	#writtenBytes = 0;
	readonly #waiting = new Map<string, LaneBytes>();
	readonly #waitingBytes = { ...NOTHING };
	readonly #refusedBatches = { ...NOTHING };
	readonly #refusing = new Map<Lane, RoomCode>();
	#isUnread = false;
	#commits = 0;
	#committedBatches = 0;

	constructor(limits: DiskSettings) {
		this.#limits = limits;
	}

	/** Whether a new reading should be asked for; counts as asked. */
	isDue(nowMs: number): boolean {
		// Either way: objects of one isolate do not have quite the same time, and only a clock that was set back is far behind.
		if (Math.abs(nowMs - this.#askedAtMs) < DISK_LIMITS.readingIntervalMs) return false;
		this.#askedAtMs = nowMs;
		return true;
	}

	/** `askedAtMs`: of two answers the later question's stands, whichever comes first. */
	read({ freeBytes, totalBytes }: DiskReading, nowMs: number, askedAtMs: number = nowMs): void {
		const newestMs = this.#reading?.askedAtMs ?? askedAtMs;
		if (askedAtMs < newestMs && newestMs <= nowMs) return;
		this.#reading = { freeBytes, totalBytes, atMs: nowMs, askedAtMs };
		this.#isUnread = false;
		this.#writtenBytes = 0;
		// Nothing may come that makes a file grow: the disk itself says that it has room again.
		for (const [lane, code] of this.#refusing)
			if (code === "disk_low" && this.#overWatermark(lane, nowMs) === null) this.#note(lane, null);
	}

	/** Nobody said. Logged once until somebody does: it is asked every second. */
	unread(detail: string): void {
		if (!this.#isUnread) logLine("warning", "disk_not_read", { detail });
		this.#isUnread = true;
	}

	/** A channel committed so many batches; its file grew or may have grown by so much. */
	wrote(bytes: number, batches: number): void {
		this.#writtenBytes += bytes;
		this.#commits++;
		this.#committedBatches += batches;
	}

	/** What waits in a channel's log now. */
	waits(channel: string, bytes: LaneBytes): void {
		const before = this.#waiting.get(channel) ?? NOTHING;
		for (const lane of LANES) this.#waitingBytes[lane] += bytes[lane] - before[lane];
		// A channel without a backlog takes no place: the map is bounded by the agents that have one.
		if (LANES.every((lane) => bytes[lane] === 0)) this.#waiting.delete(channel);
		else this.#waiting.set(channel, { ...bytes });
	}

	/** What waits in a lane, over all channels. */
	waitingBytes(lane: Lane): number {
		return this.#waitingBytes[lane];
	}

	/** What is free now, as far as is known; null when nobody has said so lately. */
	#current(nowMs: number): DiskReading | null {
		if (this.#reading === null || nowMs - this.#reading.atMs > DISK_LIMITS.readingMsMax) return null;
		const { freeBytes, totalBytes } = this.#reading;
		return { freeBytes: Math.max(0, freeBytes - this.#writtenBytes), totalBytes };
	}

	/** The share of the file system that a lane leaves free, or what is enough on any, where that is less. */
	#floor(lane: Lane, totalBytes: number): DiskFloor {
		const shareBytes = (totalBytes * (100 - this.#limits.usedPercentMax[lane])) / 100;
		const enoughBytes = this.#limits.freeBytesEnough[lane];
		return enoughBytes < shareBytes
			? { freeBytesMin: enoughBytes, bound: "free_bytes_enough" }
			: { freeBytesMin: shareBytes, bound: "used_percent_max" };
	}

	/** Whether this box has room for a batch of a lane. */
	judge({ lane, bytes, reusableBytes }: Ask, nowMs: number): Result<true, RoomCode> {
		const isGrowing = bytes > reusableBytes;
		const refusal = this.#overQuota(lane, bytes) ?? (isGrowing ? this.#overWatermark(lane, nowMs) : null);
		// What fits into free pages of its file says nothing of the disk.
		if (refusal !== null || isGrowing || this.#refusing.get(lane) !== "disk_low") this.#note(lane, refusal);
		if (refusal === null) return ok(true);
		this.#refusedBatches[lane]++;
		return refusal;
	}

	#overQuota(lane: Lane, bytes: number): Extract<Result<true, RoomCode>, { ok: false }> | null {
		const max = this.#limits.waitingBytesMax[lane];
		if (this.#waitingBytes[lane] + bytes <= max) return null;
		return {
			ok: false,
			code: "lane_full",
			detail: `${this.#waitingBytes[lane]} of ${max} bytes of lane ${lane} wait here`,
		};
	}

	#overWatermark(lane: Lane, nowMs: number): Extract<Result<true, RoomCode>, { ok: false }> | null {
		const current = this.#current(nowMs);
		if (current === null) return null;
		const { freeBytes, totalBytes } = current;
		const { freeBytesMin, bound } = this.#floor(lane, totalBytes);
		// Once refused, a little more room than the bound is asked for, so that a lane does not change its mind at every batch.
		const easeBytes = Math.min((totalBytes * DISK_LIMITS.easePercent) / 100, DISK_LIMITS.easeBytesMax);
		const floorBytes = freeBytesMin + (this.#refusing.get(lane) === "disk_low" ? easeBytes : 0);
		if (freeBytes > floorBytes) return null;
		return {
			ok: false,
			code: "disk_low",
			detail: `the disk of this hop has ${gibOf(freeBytes)} free, ${lane} is taken above ${gibOf(floorBytes)} (${bound})`,
		};
	}

	/** Said once per change, not per batch: a full box must not fill its own log. */
	#note(lane: Lane, refusal: { readonly code: RoomCode; readonly detail: string } | null): void {
		if (this.#refusing.get(lane) === refusal?.code) return;
		if (refusal === null) {
			this.#refusing.delete(lane);
			logLine("info", "lane_taken_again", { lane });
		} else {
			this.#refusing.set(lane, refusal.code);
			logLine("warning", "lane_refused", { lane, code: refusal.code, detail: refusal.detail });
		}
	}

	state(nowMs: number): BoxDiskState {
		const current = this.#current(nowMs);
		const { freeBytes, totalBytes } = current ?? { freeBytes: null, totalBytes: null };
		const floorOf = (lane: Lane) => this.#floor(lane, totalBytes ?? 0);
		return {
			...{ freeBytes, totalBytes },
			usedPercent: current === null ? null : 100 * (1 - current.freeBytes / current.totalBytes),
			floors: current === null ? null : { trace: floorOf("trace"), alert: floorOf("alert"), bulk: floorOf("bulk") },
			waitingBytes: { ...this.#waitingBytes },
			waitingBytesMax: { ...this.#limits.waitingBytesMax },
			refusedBatches: { ...this.#refusedBatches },
			refusing: [...this.#refusing.keys()],
			commits: this.#commits,
			committedBatches: this.#committedBatches,
		};
	}
}

/** What the host binds where objects keep evidence on disk. */
export interface DiskEnv {
	readonly DISK?: Parameters<typeof readDiskSettings>[0];
	/** The supervisor, who measures: `GET /disk` answers a `DiskReading`. */
	readonly SUPERVISOR?: { fetch(url: string, init: { readonly signal: AbortSignal }): Promise<Response> };
}

let shared: BoxDisk | null = null;

/** The one of this isolate. */
export function boxDiskOf(env: DiskEnv): BoxDisk {
	shared ??= new BoxDisk(readDiskSettings(env.DISK));
	return shared;
}

/** Asks the supervisor for a reading when the last one is a second old. Never throws: without an answer the last one ages. */
export async function refreshDisk(env: DiskEnv, nowMs: number): Promise<void> {
	const disk = boxDiskOf(env);
	if (env.SUPERVISOR === undefined || !disk.isDue(nowMs)) return;
	try {
		const signal = AbortSignal.timeout(DISK_LIMITS.readingTimeoutMs);
		const answer = await env.SUPERVISOR.fetch("http://supervisor/disk", { signal });
		const reading = (await answer.json()) as Partial<DiskReading>;
		const { freeBytes = Number.NaN, totalBytes = Number.NaN } = reading;
		if (!answer.ok || !(freeBytes >= 0 && totalBytes > 0)) throw new Error(`it answered ${answer.status}`);
		disk.read({ freeBytes, totalBytes }, Date.now(), nowMs);
	} catch (error) {
		disk.unread((error as Error).message);
	}
}
