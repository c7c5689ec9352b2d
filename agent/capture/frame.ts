/**
 * Frames between procmond and the agent: bytes to values and back. procmond runs with capabilities and parses what attackers
 * name, so its bytes are foreign: a frame is read whole or refused by name, and a refusal ends the link because the stream has
 * no place to resume. Unknown kinds and unknown tags are skipped, which is how a newer procmond talks to an older agent. Must
 * never keep more than one frame of a peer that does not finish it.
 */
import { concatBytes, utf8 } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import {
	type CaptureTier,
	FRAME_VERSION,
	type FrameKind,
	HEADER_BYTES,
	HEADER_OFFSETS,
	KINDS,
	LENGTH_MAX,
	LENGTH_MIN,
	PREFIX_BYTES,
	TAG_WIDTHS,
	TAGS,
	type TagName,
	TIERS,
	TLV_BYTES,
} from "./layout.ts";
import { type FrameTags, readTags, type TagCode } from "./tags.ts";

export type FrameCode =
	| "frame_too_short"
	| "frame_too_large"
	| "frame_truncated"
	| "frame_version"
	| "tier_unknown"
	| TagCode;

export interface CaptureFrame {
	readonly kind: FrameKind;
	readonly tier: CaptureTier;
	/** Bits of `FLAG_BITS`. */
	readonly flags: number;
	readonly cpu: number;
	readonly tgid: number;
	/** 0 = not numbered. */
	readonly cpuSeq: bigint;
	readonly ktimeNs: bigint;
	readonly startTicks: bigint;
	readonly tid: number;
	readonly uid: number;
	readonly gid: number;
	readonly euid: number;
	readonly cgroupId: bigint;
	readonly tags: FrameTags;
}

/** What one frame's body is: a frame, or one of a kind this version does not know. */
export type Decoded = CaptureFrame | { readonly kind: null; readonly number: number };

function namesByNumber<Name extends string>(numbers: Readonly<Record<Name, number>>): ReadonlyMap<number, Name> {
	return new Map(Object.entries<number>(numbers).map(([name, number]) => [number, name as Name]));
}

const KIND_NAMES = namesByNumber(KINDS);
const TIER_NAMES = namesByNumber(TIERS);

/** Reads one frame's body (what follows the length prefix). The frame keeps it: the tags lie in it. */
export function decodeFrameBody(body: Uint8Array): Result<Decoded, FrameCode> {
	if (body.length < LENGTH_MIN) return fail("frame_too_short", `${body.length} bytes, a header has ${HEADER_BYTES}`);
	if (body.length > LENGTH_MAX) return fail("frame_too_large", `${body.length} bytes, at most ${LENGTH_MAX}`);
	const view = new DataView(body.buffer, body.byteOffset, body.length);
	const version = view.getUint16(HEADER_OFFSETS.version, true);
	if (version !== FRAME_VERSION) return fail("frame_version", `version ${version}, this agent reads ${FRAME_VERSION}`);
	const tags = readTags(view);
	if (!tags.ok) return tags;
	const number = view.getUint16(HEADER_OFFSETS.kind, true);
	const kind = KIND_NAMES.get(number);
	if (kind === undefined) return ok({ kind: null, number });
	const tier = TIER_NAMES.get(view.getUint16(HEADER_OFFSETS.tier, true));
	if (tier === undefined) return fail("tier_unknown", `tier ${view.getUint16(HEADER_OFFSETS.tier, true)}`);
	return ok({
		kind,
		tier,
		flags: view.getUint16(HEADER_OFFSETS.flags, true),
		cpu: view.getUint32(HEADER_OFFSETS.cpu, true),
		tgid: view.getUint32(HEADER_OFFSETS.tgid, true),
		cpuSeq: view.getBigUint64(HEADER_OFFSETS.cpu_seq, true),
		ktimeNs: view.getBigUint64(HEADER_OFFSETS.ktime_ns, true),
		startTicks: view.getBigUint64(HEADER_OFFSETS.start_ticks, true),
		tid: view.getUint32(HEADER_OFFSETS.tid, true),
		uid: view.getUint32(HEADER_OFFSETS.uid, true),
		gid: view.getUint32(HEADER_OFFSETS.gid, true),
		euid: view.getUint32(HEADER_OFFSETS.euid, true),
		cgroupId: view.getBigUint64(HEADER_OFFSETS.cgroup_id, true),
		tags: tags.value,
	});
}

/** Cuts a byte stream into frames. Holds the started frame only; after a refusal it must not be used again. */
export class FrameReader {
	#rest: Uint8Array = new Uint8Array(0);

	/** The frames that these bytes complete, in order, or the first refusal. */
	push(chunk: Uint8Array): Result<Decoded[], FrameCode> {
		const bytes = this.#rest.length === 0 ? chunk : concatBytes(this.#rest, chunk);
		const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
		const frames: Decoded[] = [];
		let at = 0;
		while (bytes.length - at >= PREFIX_BYTES) {
			const length = view.getUint32(at, true);
			// Judged before the body is there: a claimed length is never waited for when it cannot be right.
			if (length < LENGTH_MIN) return fail("frame_too_short", `${length} bytes, a header has ${HEADER_BYTES}`);
			if (length > LENGTH_MAX) return fail("frame_too_large", `${length} bytes, at most ${LENGTH_MAX}`);
			if (bytes.length - at - PREFIX_BYTES < length) break;
			const frame = decodeFrameBody(bytes.subarray(at + PREFIX_BYTES, at + PREFIX_BYTES + length));
			if (!frame.ok) return frame;
			frames.push(frame.value);
			at += PREFIX_BYTES + length;
		}
		// A copy: the socket's chunk must not be kept alive by a few bytes of the next frame.
		this.#rest = at === bytes.length ? new Uint8Array(0) : bytes.slice(at);
		return ok(frames);
	}

	/** The end of the stream: good only between two frames. */
	end(): Result<true, FrameCode> {
		if (this.#rest.length === 0) return ok(true);
		return fail("frame_truncated", `the stream ended ${this.#rest.length} bytes into a frame`);
	}
}

export interface OutgoingFrame {
	readonly kind: FrameKind;
	readonly tier?: CaptureTier;
	readonly flags?: number;
	readonly cpu?: number;
	readonly cpuSeq?: bigint;
	readonly ktimeNs?: bigint;
	readonly tgid?: number;
	/** Absent = the first thread. */
	readonly tid?: number;
	readonly startTicks?: bigint;
	readonly uid?: number;
	readonly gid?: number;
	readonly euid?: number;
	readonly cgroupId?: bigint;
	readonly tags?: Readonly<Partial<Record<TagName, number | bigint | string | Uint8Array>>>;
}

function tagValue(name: TagName, value: number | bigint | string | Uint8Array): Uint8Array {
	if (typeof value === "string") return utf8(value);
	if (value instanceof Uint8Array) return value;
	const out = new Uint8Array(TAG_WIDTHS[name] ?? 8);
	const view = new DataView(out.buffer);
	if (out.length === 8) view.setBigUint64(0, BigInt(value), true);
	else if (out.length === 4) view.setUint32(0, Number(value), true);
	else view.setUint16(0, Number(value), true);
	return out;
}

/** One frame with its length prefix. Fields that are not given are zero; numbers take the width of their tag. */
export function encodeFrame(frame: OutgoingFrame): Uint8Array {
	const header = new Uint8Array(PREFIX_BYTES + HEADER_BYTES);
	const parts: Uint8Array[] = [header];
	for (const [name, value] of Object.entries(frame.tags ?? {}) as [TagName, number | string | Uint8Array][]) {
		const bytes = tagValue(name, value);
		const head = new Uint8Array(TLV_BYTES);
		new DataView(head.buffer).setUint16(0, TAGS[name], true);
		new DataView(head.buffer).setUint16(2, bytes.length, true);
		parts.push(head, bytes);
	}
	const view = new DataView(header.buffer, PREFIX_BYTES);
	const length = parts.reduce((sum, part) => sum + part.length, 0) - PREFIX_BYTES;
	new DataView(header.buffer).setUint32(0, length, true);
	view.setUint16(HEADER_OFFSETS.version, FRAME_VERSION, true);
	view.setUint16(HEADER_OFFSETS.kind, KINDS[frame.kind], true);
	view.setUint16(HEADER_OFFSETS.tier, TIERS[frame.tier ?? "ebpf"], true);
	view.setUint16(HEADER_OFFSETS.flags, frame.flags ?? 0, true);
	view.setUint32(HEADER_OFFSETS.cpu, frame.cpu ?? 0, true);
	view.setUint32(HEADER_OFFSETS.tgid, frame.tgid ?? 0, true);
	view.setBigUint64(HEADER_OFFSETS.cpu_seq, frame.cpuSeq ?? 0n, true);
	view.setBigUint64(HEADER_OFFSETS.ktime_ns, frame.ktimeNs ?? 0n, true);
	view.setBigUint64(HEADER_OFFSETS.start_ticks, frame.startTicks ?? 0n, true);
	view.setUint32(HEADER_OFFSETS.tid, frame.tid ?? frame.tgid ?? 0, true);
	view.setUint32(HEADER_OFFSETS.uid, frame.uid ?? 0, true);
	view.setUint32(HEADER_OFFSETS.gid, frame.gid ?? 0, true);
	view.setUint32(HEADER_OFFSETS.euid, frame.euid ?? 0, true);
	view.setBigUint64(HEADER_OFFSETS.cgroup_id, frame.cgroupId ?? 0n, true);
	return concatBytes(...parts);
}

/** A tag's value as an unsigned number of its own width, or undefined when the frame has none. */
export function tagNumber(frame: CaptureFrame, name: TagName): number | undefined {
	const { tags } = frame;
	const at = tags.offsetOf(TAGS[name]);
	if (at === -1) return undefined;
	return tags.lengthAt(at) === 2 ? tags.view.getUint16(at, true) : tags.view.getUint32(at, true);
}

export function tagBigint(frame: CaptureFrame, name: TagName): bigint | undefined {
	const at = frame.tags.offsetOf(TAGS[name]);
	return at === -1 ? undefined : frame.tags.view.getBigUint64(at, true);
}

export function tagBytes(frame: CaptureFrame, name: TagName): Uint8Array | undefined {
	const at = frame.tags.offsetOf(TAGS[name]);
	return at === -1 ? undefined : frame.tags.bytesAt(at);
}

/** A tag's value as a column of u64, one per CPU; a rest that is no whole number is left out. */
export function tagColumn(frame: CaptureFrame, name: TagName): bigint[] {
	const bytes = tagBytes(frame, name) ?? new Uint8Array(0);
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	return Array.from({ length: bytes.length >> 3 }, (_, cpu) => view.getBigUint64(8 * cpu, true));
}
