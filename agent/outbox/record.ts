/**
 * Records of the segment log. A record is a 40-byte header with its own checksum and a sealed payload with another, so that a
 * flipped byte costs one record: where a header is damaged, the reader looks for the next magic whose header checksum is right.
 * Checksums find accidents at the price of a checksum; who changes the log on purpose is found by the seal, which holds for the
 * segment's name and the header, so no record can be put in another's place. The header names no rule, trace or operator.
 *
 *     u32 magic · u32 payload length · u8 type · u8 lane · u16 zero · u32 event count · u64 seq · u64 wall ms
 *     · u32 payload crc · u32 header crc · sealed payload     (little-endian; both lengths are those of the sealed bytes)
 */
import { crc32 } from "node:zlib";
import { decodeAs, encodeAs, field, list, optional, record, type TypeOf, uint } from "#core/codec/index.ts";
import { LANES, type Lane } from "#core/model/batch.ts";
import { hashShape, streamIdShape } from "#core/model/ids.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { type Seal, sealedLength } from "../disk-key/disk-seal.ts";

export const RECORD_HEADER_BYTES = 40;
const MAGIC = 0x31524544;
const PAYLOAD_BYTES_MAX = sealedLength(Math.max(MODEL_LIMITS.batchBytesMax, 256 * 1024));
/** What the seal holds for beside the payload: the header up to the checksums. */
const SEALED_HEADER_BYTES = 32;

/** Append-only: the number is on disk. */
export const RECORD_TYPES = { head: 1, batch: 2, marks: 3 } as const;
export type RecordType = keyof typeof RECORD_TYPES;
const TYPE_NAMES: ReadonlyMap<number, RecordType> = new Map(
	Object.entries(RECORD_TYPES).map(([name, number]) => [number, name as RecordType]),
);

/** First record of a segment: where its stream stood, so that the log can be taken up from any segment. */
export const headShape = record({
	stream: field(1, streamIdShape),
	/** Sequence and event number of what follows, and the hash it is chained to. */
	nextSeq: field(2, uint()),
	nextEvent: field(3, uint()),
	prevHash: field(4, hashShape),
});
export type SegmentHead = TypeOf<typeof headShape>;

/** How far streams have come; later records override earlier ones. */
export const marksShape = list(
	record({
		stream: field(1, streamIdShape),
		a1: field(2, uint()),
		a2: field(3, uint()),
		/** The stream ends here although the log holds more: what followed was sealed again elsewhere. */
		end: optional(4, uint()),
	}),
	4096,
);
export type Marks = TypeOf<typeof marksShape>;

export const encodeHead = (head: SegmentHead) => encodeAs(headShape, head);
export const encodeMarks = (marks: Marks) => encodeAs(marksShape, marks);
export const decodeHead = (payload: Uint8Array) => decodeAs(headShape, payload);
export const decodeMarks = (payload: Uint8Array) => decodeAs(marksShape, payload);

export interface RecordHeader {
	readonly type: RecordType;
	readonly lane: Lane;
	readonly seq: number;
	readonly eventCount: number;
	readonly wallMs: number;
	/** Of the sealed payload. */
	readonly payloadBytes: number;
	readonly payloadCrc: number;
}

/** The length of a record on the disk. */
export function recordLength(payloadBytes: number): number {
	return RECORD_HEADER_BYTES + sealedLength(payloadBytes);
}

/** A record with its payload sealed by its segment's seal. */
export function encodeRecord(
	header: Omit<RecordHeader, "payloadBytes" | "payloadCrc">,
	payload: Uint8Array,
	seal: Seal,
): Uint8Array {
	const out = new Uint8Array(recordLength(payload.length));
	const view = new DataView(out.buffer);
	view.setUint32(0, MAGIC, true);
	view.setUint32(4, out.length - RECORD_HEADER_BYTES, true);
	view.setUint8(8, RECORD_TYPES[header.type]);
	view.setUint8(9, LANES.indexOf(header.lane));
	view.setUint32(12, header.eventCount, true);
	view.setBigUint64(16, BigInt(header.seq), true);
	view.setBigUint64(24, BigInt(header.wallMs), true);
	const sealed = out.subarray(RECORD_HEADER_BYTES);
	seal.sealInto(sealed, payload, out.subarray(0, SEALED_HEADER_BYTES));
	view.setUint32(32, crc32(sealed), true);
	view.setUint32(36, crc32(out.subarray(0, 36)), true);
	return out;
}

/** The header at an offset, or null when no whole and undamaged one stands there. */
export function readHeader(log: Uint8Array, offset: number): RecordHeader | null {
	if (log.length - offset < RECORD_HEADER_BYTES) return null;
	const view = new DataView(log.buffer, log.byteOffset + offset, RECORD_HEADER_BYTES);
	if (view.getUint32(0, true) !== MAGIC) return null;
	if (view.getUint32(36, true) !== crc32(log.subarray(offset, offset + 36))) return null;
	const type = TYPE_NAMES.get(view.getUint8(8));
	const lane = LANES[view.getUint8(9)];
	const payloadBytes = view.getUint32(4, true);
	const seq = Number(view.getBigUint64(16, true));
	if (type === undefined || lane === undefined || payloadBytes > PAYLOAD_BYTES_MAX) return null;
	if (!Number.isSafeInteger(seq)) return null;
	return {
		type,
		lane,
		seq,
		eventCount: view.getUint32(12, true),
		wallMs: Number(view.getBigUint64(24, true)),
		payloadBytes,
		payloadCrc: view.getUint32(32, true),
	};
}

/**
 * The payload of a record as it was appended, or null: damaged, or not sealed for this header in this segment. `headerBytes` are
 * the bytes that `header` was read from.
 */
export function openPayload(
	record: { readonly header: RecordHeader; readonly headerBytes: Uint8Array; readonly sealed: Uint8Array },
	seal: Seal,
): Uint8Array | null {
	const { header, headerBytes, sealed } = record;
	if (sealed.length !== header.payloadBytes || crc32(sealed) !== header.payloadCrc) return null;
	return seal.open(sealed, headerBytes.subarray(0, SEALED_HEADER_BYTES));
}

export interface ScannedRecord {
	readonly offset: number;
	readonly header: RecordHeader;
	/** As it was appended. Null: the header is right, the payload is damaged. */
	readonly payload: Uint8Array | null;
}

export interface Scan {
	readonly records: readonly ScannedRecord[];
	/** Runs of bytes between records that are no record. */
	readonly damagedRuns: number;
	/** Where the last undamaged record ends; what lies behind is a torn tail. */
	readonly end: number;
}

function nextRecord(log: Uint8Array, from: number): number {
	for (let at = from; at <= log.length - RECORD_HEADER_BYTES; at++) {
		if (log[at] === 0x44 && readHeader(log, at) !== null) return at;
	}
	return -1;
}

/** Walks a segment's bytes. Linear but for damage; never throws. */
export function scanSegment(log: Uint8Array, seal: Seal): Scan {
	const records: ScannedRecord[] = [];
	let damagedRuns = 0;
	let end = 0;
	let at = 0;
	while (at < log.length) {
		const header = readHeader(log, at);
		if (header === null) {
			const next = nextRecord(log, at + 1);
			if (next === -1) break;
			damagedRuns++;
			at = next;
			continue;
		}
		const sealed = log.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + header.payloadBytes);
		const payload = openPayload({ header, headerBytes: log.subarray(at), sealed }, seal);
		const isWhole = payload !== null;
		if (!isWhole && sealed.length < header.payloadBytes && nextRecord(log, at + 1) === -1) break;
		records.push({ offset: at, header, payload });
		// A payload that is short or damaged may hide a record: look behind the header, not behind the claimed length.
		at =
			isWhole || sealed.length === header.payloadBytes
				? at + RECORD_HEADER_BYTES + header.payloadBytes
				: nextRecord(log, at + 1);
		if (isWhole) end = at;
	}
	return { records, damagedRuns, end };
}
