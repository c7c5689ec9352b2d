/**
 * Opening the log: every segment is read once, a torn tail is cut exactly, damage is named. Guarantees that after a cut or a
 * damage the stream is not continued: the bytes lost may have been sent, and the same number with other bytes would be a fork.
 */
import { bytesOfHex, hexOf } from "#core/bytes/bytes.ts";
import { batchHash, LANES, type Lane, readBatch } from "#core/model/batch.ts";
import type { DiskSeal } from "../disk-key/disk-seal.ts";
import type { Log } from "../log.ts";
import { type Chain, chainOf, lastSeqOf, type Segment } from "./chain.ts";
import {
	decodeHead,
	decodeMarks,
	encodeHead,
	type Marks,
	readHeader,
	recordLength,
	type ScannedRecord,
	scanSegment,
} from "./record.ts";
import type { SegmentStorage } from "./storage.ts";

export interface Recovered {
	/** Per lane, oldest first. */
	readonly chains: ReadonlyMap<Lane, Chain[]>;
	/** Ids of chains that may not be continued. */
	readonly closed: ReadonlySet<string>;
	/** Events in segments of which nothing opens: their stream is not known, the headers tell how many they were. */
	readonly lostEvents: number;
	readonly buried: readonly Buried[];
	readonly nextIndex: number;
}

/** A stream that was shed while the disk had no room for the record of it: the name of an empty file is that record meanwhile. */
export interface Buried {
	readonly name: string;
	readonly stream: Uint8Array;
	readonly from: number;
	readonly to: number;
	readonly cause: string;
}

const BURIED = /^gone-([0-9a-f]{16})-(\d{1,16})-(\d{1,16})-([a-z_]{1,32})$/;

/** Every head takes the same place on the disk: its fields are fixed or small. */
const HEAD_RECORD_BYTES = recordLength(
	encodeHead({ stream: new Uint8Array(8), nextSeq: 1, nextEvent: 0, prevHash: new Uint8Array(32) }).length,
);

const NAME = /^(trace|alert|bulk)-(\d{12})\.sealed$/;

/** The purpose of a segment's key: a segment's records do not open in another. */
export function segmentPurpose(name: string): string {
	return `outbox/${name}`;
}

export function segmentName(lane: Lane, index: number): string {
	return `${lane}-${String(index).padStart(12, "0")}.sealed`;
}

export function buriedName({ stream, from, to, cause }: Omit<Buried, "name">): string {
	return `gone-${hexOf(stream)}-${from}-${to}-${cause}`;
}

function readBuried(name: string): Buried[] {
	const [, stream, from, to, cause] = BURIED.exec(name) ?? [];
	const bytes = stream === undefined ? null : bytesOfHex(stream);
	return bytes === null ? [] : [{ name, stream: bytes, from: Number(from), to: Number(to), cause: cause as string }];
}

interface SegmentFile {
	readonly name: string;
	readonly lane: Lane;
	readonly index: number;
}

/** What a scan says about its segment. */
interface ReadSegment {
	readonly segment: Segment;
	readonly stream: Uint8Array;
	readonly hasLoss: boolean;
	readonly nextEvent: number;
	readonly lastHash: Uint8Array | null;
	readonly marks: readonly Marks[];
}

/** The first number of a segment whose head does not read: what was damaged with it may have been batches too, as many as fit. */
function firstSeqWithoutHead(first: ScannedRecord | undefined): number {
	if (first === undefined) return 1;
	const hidden = Math.floor((first.offset - HEAD_RECORD_BYTES) / recordLength(1));
	return Math.max(1, first.header.seq - Math.max(0, hidden));
}

/** What a segment holds; when nothing of it opens, how many events its headers name. */
function readSegment(file: SegmentFile, bytes: Uint8Array, disk: DiskSeal): ReadSegment | { lostEvents: number } {
	const { name, lane, index } = file;
	const seal = disk.of(segmentPurpose(name));
	const scan = scanSegment(bytes, seal);
	const records = scan.records.filter((each) => each.offset < scan.end && each.header.lane === lane);
	const headRecord = records.find((each) => each.header.type === "head" && each.payload !== null);
	const head = headRecord?.payload ? decodeHead(headRecord.payload) : null;
	const batches = records.filter((each) => each.header.type === "batch");
	const firstWhole = batches.find((each) => each.payload !== null);
	const firstBatch = firstWhole?.payload ? readBatch(firstWhole.payload) : null;
	const stream = head?.ok ? head.value.stream : firstBatch?.ok ? firstBatch.value.header.stream : null;
	if (stream === null) return { lostEvents: scan.records.reduce((sum, { header }) => sum + header.eventCount, 0) };
	const firstSeq = head?.ok ? head.value.nextSeq : firstSeqWithoutHead(batches[0]);
	const segment: Segment = { name, index, lane, seal, firstSeq, offsets: [], bytes: scan.end };
	let hasLoss = scan.damagedRuns > 0 || scan.end < bytes.length || !head?.ok;
	let nextEvent = head?.ok ? head.value.nextEvent : 0;
	let lastHash = head?.ok ? head.value.prevHash : null;
	const marks: Marks[] = [];
	for (const { header, payload, offset } of records) {
		if (header.type === "marks") {
			const decoded = payload === null ? null : decodeMarks(payload);
			if (decoded?.ok) marks.push(decoded.value);
		}
		if (header.type !== "batch") continue;
		while (segment.firstSeq + segment.offsets.length < header.seq) segment.offsets.push(-1);
		if (payload === null) hasLoss = true;
		segment.offsets.push(payload === null ? -1 : offset);
		nextEvent += header.eventCount;
		const batch = payload === null ? null : readBatch(payload);
		if (batch?.ok) lastHash = batchHash(batch.value.headerBytes);
	}
	// What was torn held at most one batch, unless its header says that it held none.
	const torn = scan.end < bytes.length ? readHeader(bytes, scan.end) : null;
	if (scan.end < bytes.length && (torn === null || torn.type === "batch")) segment.offsets.push(-1);
	return { segment, stream, hasLoss, nextEvent, lastHash, marks };
}

function cutTail(storage: SegmentStorage, name: string, end: number): void {
	const handle = storage.open(name, false);
	try {
		storage.truncate(handle, end);
		storage.sync(handle);
	} finally {
		storage.close(handle);
	}
}

function applyMarks(chains: ReadonlyMap<Lane, Chain[]>, all: readonly Marks[]): void {
	const byId = new Map([...chains.values()].flat().map((chain) => [chain.id, chain]));
	for (const mark of all.flat()) {
		const chain = byId.get(hexOf(mark.stream));
		if (chain === undefined) continue;
		chain.a1 = Math.max(chain.a1, mark.a1);
		chain.a2 = Math.max(chain.a2, mark.a2);
		if (mark.end !== undefined) chain.end = mark.end;
	}
}

/** Puts a segment behind the chain it belongs to. */
function place(ofLane: Chain[], read: ReadSegment): Chain {
	const { segment } = read;
	let chain = ofLane.at(-1);
	if (chain === undefined || chain.id !== hexOf(read.stream)) {
		chain = chainOf(segment.lane, read.stream);
		// What stood before the oldest kept segment was freed, or it would still be here.
		chain.a1 = chain.a2 = chain.head = segment.firstSeq - 1;
		ofLane.push(chain);
	}
	while (segment.firstSeq > chain.head + 1) {
		segment.firstSeq--;
		segment.offsets.unshift(-1);
	}
	chain.segments.push(segment);
	chain.head = lastSeqOf(segment);
	chain.nextEvent = read.nextEvent;
	if (read.lastHash !== null) chain.lastHash = read.lastHash;
	return chain;
}

/** Reads the log. Throws the system's error when the disk cannot be read. */
export function recoverLog(storage: SegmentStorage, { disk, log }: { disk: DiskSeal; log: Log }): Recovered {
	const names = storage.list();
	const buried = names.flatMap(readBuried);
	const isBuried = new Set(buried.map(({ stream }) => hexOf(stream)));
	for (const { name } of buried) cutTail(storage, name, 0);
	const found = names
		.map((name) => NAME.exec(name))
		.filter((match) => match !== null)
		.map((match) => ({ name: match[0], lane: match[1] as Lane, index: Number(match[2]) }))
		.sort((a, b) => a.index - b.index);
	const chains = new Map<Lane, Chain[]>(LANES.map((lane) => [lane, []]));
	const closed = new Set<string>();
	const marks: Marks[] = [];
	let lostEvents = 0;
	for (const { name, lane, index } of found) {
		const bytes = storage.read(name);
		const read = readSegment({ name, lane, index }, bytes, disk);
		if ("lostEvents" in read) {
			// Created and never written, as power leaves it between the name and the head; or not sealed here under this name.
			const isEmpty = read.lostEvents === 0;
			log(isEmpty ? "outbox_segment_empty" : "outbox_segment_unreadable", { lane, bytes: bytes.length });
			const before = chains.get(lane)?.at(-1);
			// What cannot be read may have been sent under the numbers that would come next.
			if (!isEmpty && before !== undefined) closed.add(before.id);
			lostEvents += read.lostEvents;
			storage.remove(name);
			continue;
		}
		if (isBuried.has(hexOf(read.stream))) {
			// The power failed between the burial and the removal of the rest.
			storage.remove(name);
			continue;
		}
		if (read.segment.bytes < bytes.length) {
			log("outbox_tail_cut", { lane, bytes: bytes.length - read.segment.bytes });
			cutTail(storage, name, read.segment.bytes);
		}
		const chain = place(chains.get(lane) as Chain[], read);
		if (read.hasLoss) {
			log("outbox_damaged", { lane });
			closed.add(chain.id);
		}
		marks.push(...read.marks);
	}
	applyMarks(chains, marks);
	// Behind its end nothing of a stream is sent: what came there would wait for ever.
	for (const chain of [...chains.values()].flat()) if (chain.end !== null) closed.add(chain.id);
	return { chains, closed, lostEvents, buried, nextIndex: (found.at(-1)?.index ?? 0) + 1 };
}
