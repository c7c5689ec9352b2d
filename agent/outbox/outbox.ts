/**
 * The outbox: an append-only segment log of sealed batches, and the bounded local history in the same bytes (DESIGN §6). What
 * is appended counts as held (A0) only after `sync`. Guarantees: batches are returned as the bytes that were appended and lie on
 * the disk sealed; nothing unreceipted is removed but by `shed`, whose caller has recorded the gap; a full disk is a value, every other disk error
 * throws `DiskFailure`. One process owns the directory (see data-dir.ts).
 */
import { LANES, type Lane } from "#core/model/batch.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import type { DiskSeal } from "../disk-key/disk-seal.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import { type Chain, chainOf, freedTo, isFreed, lastSeqOf, type Segment, sendableTo } from "./chain.ts";
import {
	encodeHead,
	encodeMarks,
	encodeRecord,
	openPayload,
	RECORD_HEADER_BYTES,
	readHeader,
	recordLength,
} from "./record.ts";
import { type Buried, buriedName, recoverLog, segmentName, segmentPurpose } from "./recover.ts";
import { DiskFailure, isDiskFull, type SegmentStorage } from "./storage.ts";

export type AppendCode =
	/** `outbox.bytes_max` is reached and nothing freed is left to remove. */
	| "outbox_full"
	/** The disk takes nothing at the moment. */
	| "disk_full";

export interface OutboxOptions {
	readonly bytesMax: number;
	/** Seals what is stored. */
	readonly disk: DiskSeal;
	/** Fresh random bytes for stream ids. */
	readonly randomBytes: (length: number) => Uint8Array;
	readonly nowMs: () => number;
	readonly log: Log;
}

/** One sealed batch as it is appended. */
export interface AppendedBatch {
	readonly bytes: Uint8Array;
	readonly hash: Uint8Array;
	readonly eventCount: number;
}

/** A range of batch numbers that no hop will get from here. */
export interface StreamLoss {
	readonly chain: Chain;
	readonly from: number;
	readonly to: number;
}

interface Active {
	readonly segment: Segment;
	readonly handle: number;
	isDirty: boolean;
}

/** Trace data is shed before alerts: the alert lane holds the gap records that make every other loss visible. */
const SHED_ORDER: readonly Lane[] = ["bulk", "trace", "alert"];

export class Outbox {
	readonly #storage: SegmentStorage;
	readonly #options: OutboxOptions;
	readonly #segmentBytesMax: number;
	readonly #chains: Map<Lane, Chain[]>;
	readonly #active = new Map<Lane, Active>();
	/** Chains that cannot be continued: the next append starts another. */
	readonly #closed: Set<string>;
	/** Events in segments that did not open at all, to be told once. */
	readonly lostEvents: number;
	#buried: Buried[];
	#nextIndex: number;
	#bytes = 0;
	#hasNewMarks = false;
	/** The batch appended last, until `letGo`: it is sent at once as a rule, and need not be read back and opened for that. */
	#fresh: { readonly chain: Chain; readonly seq: number; readonly bytes: Uint8Array } | null = null;

	/** Opens the log, cutting what is torn. Throws `DiskFailure` when it cannot be read. */
	constructor(storage: SegmentStorage, options: OutboxOptions) {
		this.#storage = storage;
		this.#options = options;
		const sixteenth = Math.floor(options.bytesMax / 16);
		this.#segmentBytesMax = Math.max(AGENT_LIMITS.segmentBytesMin, Math.min(AGENT_LIMITS.segmentBytesMax, sixteenth));
		const recovered = this.#guard("read", () => recoverLog(storage, options));
		this.#chains = new Map(recovered.chains);
		this.#closed = new Set(recovered.closed);
		this.#nextIndex = recovered.nextIndex;
		this.lostEvents = recovered.lostEvents;
		this.#buried = [...recovered.buried];
		for (const chain of this.chains()) for (const segment of chain.segments) this.#bytes += segment.bytes;
	}

	get bytes(): number {
		return this.#bytes;
	}

	/** Every chain of a lane, oldest first; of all lanes in priority order without one. */
	chains(lane?: Lane): Chain[] {
		if (lane !== undefined) return [...(this.#chains.get(lane) ?? [])];
		return LANES.flatMap((each) => this.#chains.get(each) ?? []);
	}

	/** The chain that the lane's next batch belongs to: `head + 1`, `lastHash`, `nextEvent` go into its header. */
	current(lane: Lane): Chain {
		const ofLane = this.#chains.get(lane) as Chain[];
		const last = ofLane.at(-1);
		if (last !== undefined && !this.#closed.has(last.id)) return last;
		const chain = chainOf(lane, this.#options.randomBytes(8));
		ofLane.push(chain);
		return chain;
	}

	/**
	 * Opens every lane's segment before anything is written, so that no file appears when a trace starts. Without room the file
	 * comes with the lane's first batch.
	 */
	prepare(): void {
		for (const lane of LANES) {
			const chain = this.current(lane);
			if (this.#active.has(lane) || this.#resume(chain)) continue;
			const opened = this.#room(chain, 0, lane === "alert");
			if (!opened.ok) this.#options.log(opened.code, { lane });
		}
	}

	/** Goes on in the chain's last segment, so that starts do not pile up files. A damaged or cut one's chain is closed, never here. */
	#resume({ lane, segments }: Chain): boolean {
		const segment = segments.at(-1);
		if (segment === undefined || segment.bytes >= this.#segmentBytesMax) return false;
		const handle = this.#guard("open", () => this.#storage.open(segment.name, false));
		this.#active.set(lane, { segment, handle, isDirty: false });
		return true;
	}

	/** Ends the lane's stream: the next batch starts one with a new random id. */
	close(lane: Lane): void {
		const last = this.#chains.get(lane)?.at(-1);
		if (last === undefined) return;
		this.#closed.add(last.id);
		this.#retire(lane);
	}

	/** Appends the current chain's next batch. It is held only after `sync`. */
	append(lane: Lane, batch: AppendedBatch): Result<true, AppendCode> {
		const chain = this.current(lane);
		const seq = chain.head + 1;
		const header = { type: "batch", lane, seq, eventCount: batch.eventCount, wallMs: this.#options.nowMs() } as const;
		const active = this.#room(chain, recordLength(batch.bytes.length), lane === "alert");
		if (!active.ok) return active;
		const offset = active.value.segment.bytes;
		const written = this.#write(active.value, encodeRecord(header, batch.bytes, active.value.segment.seal));
		if (!written.ok) return written;
		active.value.segment.offsets.push(offset);
		chain.head = seq;
		chain.lastHash = batch.hash;
		chain.nextEvent += batch.eventCount;
		this.#fresh = { chain, seq, bytes: batch.bytes };
		return ok(true);
	}

	/** What was appended is sent, or will be read from the disk when its time comes. */
	letGo(): void {
		this.#fresh = null;
	}

	/** Returns when everything appended is on the disk. Throws `DiskFailure`; never tries an fsync twice. */
	sync(): void {
		for (const active of this.#active.values()) {
			if (!active.isDirty) continue;
			this.#guard("sync", () => this.#storage.sync(active.handle));
			active.isDirty = false;
		}
	}

	/** The bytes of a batch as they were appended, or null when the log does not hold it undamaged. */
	read(chain: Chain, seq: number): Uint8Array | null {
		const fresh = this.#fresh;
		if (fresh !== null && fresh.chain === chain && fresh.seq === seq) return fresh.bytes;
		return this.#record(chain, seq)?.payload ?? null;
	}

	/** When the oldest batch without its freeing receipt was appended, or null. */
	oldestUnfreedMs(): number | null {
		let oldest: number | null = null;
		for (const chain of this.chains()) {
			if (isFreed(chain)) continue;
			const wallMs = this.#record(chain, freedTo(chain) + 1)?.wallMs;
			if (wallMs !== undefined && (oldest === null || wallMs < oldest)) oldest = wallMs;
		}
		return oldest;
	}

	#record(chain: Chain, seq: number): { payload: Uint8Array; wallMs: number } | null {
		const segment = chain.segments.find((each) => each.firstSeq <= seq && seq <= lastSeqOf(each));
		const offset = segment?.offsets[seq - segment.firstSeq] ?? -1;
		if (segment === undefined || offset < 0) return null;
		const headerBytes = this.#guard("read", () => this.#storage.readAt(segment.name, offset, RECORD_HEADER_BYTES));
		const header = readHeader(headerBytes, 0);
		if (header === null || header.seq !== seq) return null;
		const at = offset + RECORD_HEADER_BYTES;
		const sealed = this.#guard("read", () => this.#storage.readAt(segment.name, at, header.payloadBytes));
		const payload = openPayload({ header, headerBytes, sealed }, segment.seal);
		return payload === null ? null : { payload, wallMs: header.wallMs };
	}

	/** Progress from a hop. A stream that is not here any more is ignored: it was shed or is history. */
	acknowledge(id: string, level: "a1" | "a2", seq: number): boolean {
		const chain = this.chains().find((each) => each.id === id);
		if (chain === undefined) return false;
		const upTo = Math.min(seq, sendableTo(chain));
		if (upTo <= chain[level]) return false;
		chain[level] = upTo;
		if (level === "a2") chain.a1 = Math.max(chain.a1, upTo);
		this.#hasNewMarks = true;
		if (this.#closed.has(id) || chain !== this.#chains.get(chain.lane)?.at(-1)) this.#retire(chain.lane);
		return true;
	}

	/** Forgets chains that are freed, not current, and hold no bytes any more. */
	#retire(lane: Lane): void {
		const ofLane = this.#chains.get(lane) as Chain[];
		const kept = ofLane.filter((chain, index) => chain.segments.length > 0 || index === ofLane.length - 1);
		for (const chain of ofLane) if (!kept.includes(chain)) this.#closed.delete(chain.id);
		this.#chains.set(lane, kept);
	}

	/** Writes progress lazily; a restart before that sends again, which every hop absorbs. With `isUrgent` it is synced. */
	persistMarks(isUrgent = false): void {
		if (!this.#hasNewMarks && !isUrgent) return;
		const marks = this.chains().map(({ stream, a1, a2, end }) => ({
			stream,
			a1,
			a2,
			...(end === null ? {} : { end }),
		}));
		const payload = encodeMarks(marks.slice(0, 4096));
		const first = this.#active.values().next().value;
		const opened =
			first === undefined ? this.#room(this.current("alert"), recordLength(payload.length), true) : ok(first);
		// A full disk: the marks wait, and the worst is that batches are sent again.
		if (!opened.ok) return;
		const { lane, seal } = opened.value.segment;
		const header = { type: "marks", lane, seq: 0, eventCount: 0, wallMs: this.#options.nowMs() } as const;
		if (!this.#write(opened.value, encodeRecord(header, payload, seal)).ok) return;
		this.#hasNewMarks = false;
		if (isUrgent) this.sync();
	}

	/** The chain to shed when there is no room: the oldest unfreed of the least important lane that has one. */
	victim(): StreamLoss | null {
		for (const lane of SHED_ORDER) {
			const chain = this.chains(lane).find((each) => !isFreed(each));
			if (chain !== undefined) return { chain, from: freedTo(chain) + 1, to: sendableTo(chain) };
		}
		return null;
	}

	/** Removes a chain with all its segments. The caller has recorded what is lost. */
	shed(chain: Chain): void {
		this.#closed.add(chain.id);
		for (const segment of [...chain.segments]) this.#remove(chain, segment);
		const ofLane = this.#chains.get(chain.lane) as Chain[];
		this.#chains.set(
			chain.lane,
			ofLane.filter((each) => each !== chain),
		);
		this.#closed.delete(chain.id);
	}

	/**
	 * Sheds a chain whose record the disk has no room for: one of its files stays, empty, and its new name says what is lost. A name
	 * takes no room, and from it the record is made again should the process end before that is on the disk.
	 */
	bury({ chain, from, to }: StreamLoss, cause: AppendCode): void {
		const [first] = chain.segments;
		assertInvariant(first !== undefined, "a chain that is shed has a segment");
		const active = this.#active.get(chain.lane);
		if (active?.segment === first) {
			this.#storage.close(active.handle);
			this.#active.delete(chain.lane);
		}
		const buried = { stream: chain.stream, from, to, cause };
		const name = buriedName(buried);
		this.#guard("rename", () => this.#storage.rename(first.name, name));
		this.#guard("sync", () => this.#storage.syncDirectory());
		this.#buried.push({ ...buried, name });
		const handle = this.#guard("open", () => this.#storage.open(name, false));
		this.#guard("truncate", () => this.#storage.truncate(handle, 0));
		this.#storage.close(handle);
		chain.segments.shift();
		this.#bytes -= first.bytes;
		this.shed(chain);
	}

	/** What was shed and is not yet on record. */
	buried(): readonly Omit<Buried, "name">[] {
		return this.#buried;
	}

	/** Everything buried is on record, on the disk. */
	forgetBuried(): void {
		if (this.#buried.length === 0) return;
		for (const { name } of this.#buried) this.#guard("remove", () => this.#storage.remove(name));
		this.#guard("sync", () => this.#storage.syncDirectory());
		this.#buried = [];
	}

	/** Ends a chain before its head: what follows `end` is never sent. On the disk when this returns. */
	endChain(chain: Chain, end: number): void {
		chain.end = end;
		this.#closed.add(chain.id);
		this.persistMarks(true);
	}

	/** Whether a copy of a chain's batches from one on fits beside everything that is not freed: nothing has to go for it. */
	hasRoomToCopy(chain: Chain, from: number): boolean {
		const copied = chain.segments.filter((segment) => lastSeqOf(segment) >= from);
		const before = copied[0]?.offsets[Math.max(0, from - copied[0].firstSeq)] ?? 0;
		const unfreed = this.chains().flatMap((each) =>
			each.segments.filter((segment) => Math.min(lastSeqOf(segment), sendableTo(each)) > freedTo(each)),
		);
		const bytes = [...unfreed, ...copied].reduce((sum, segment) => sum + segment.bytes, 0);
		return copied.length === 0 || bytes - before <= this.#options.bytesMax;
	}

	/** Damage that still matters: the first batch of a chain that is neither freed nor readable. */
	firstHole(chain: Chain): number | null {
		for (const segment of chain.segments) {
			for (const [index, offset] of segment.offsets.entries()) {
				const seq = segment.firstSeq + index;
				if (offset < 0 && seq > freedTo(chain) && seq <= sendableTo(chain)) return seq;
			}
		}
		return null;
	}

	/** Closes the files. What was appended and not synced is synced first. */
	stop(): void {
		this.persistMarks();
		this.sync();
		for (const active of this.#active.values()) this.#storage.close(active.handle);
		this.#active.clear();
	}

	/** Makes room within `bytes_max` by removing freed segments, and opens the segment to write to. */
	#room(chain: Chain, bytes: number, isReserved: boolean): Result<Active, AppendCode> {
		const active = this.#active.get(chain.lane);
		const isFit =
			active !== undefined &&
			chain.segments.includes(active.segment) &&
			active.segment.bytes + bytes <= this.#segmentBytesMax;
		while (this.#bytes + bytes > this.#options.bytesMax && this.#removeOldestFreed()) {
			// One segment at a time, so that the newest history stays.
		}
		// Alerts may use a reserve of one segment beyond the limit: the record of a loss must not be lost for lack of room.
		const bytesMax = this.#options.bytesMax + (isReserved ? this.#segmentBytesMax : 0);
		if (this.#bytes + bytes > bytesMax) return fail("outbox_full", `${this.#bytes} bytes wait for receipts`);
		return isFit ? ok(active) : this.#roll(chain);
	}

	/** Removes the oldest freed segment, when a full disk needs it. False: all that is left is unreceipted. */
	giveBack(): boolean {
		return this.#removeOldestFreed();
	}

	#removeOldestFreed(): boolean {
		let oldest: { chain: Chain; segment: Segment } | null = null;
		for (const chain of this.chains()) {
			const segment = chain.segments[0];
			if (segment === undefined || this.#active.get(chain.lane)?.segment === segment) continue;
			if (Math.min(lastSeqOf(segment), sendableTo(chain)) > freedTo(chain)) continue;
			if (oldest === null || segment.index < oldest.segment.index) oldest = { chain, segment };
		}
		if (oldest === null) return false;
		this.#remove(oldest.chain, oldest.segment);
		this.#retire(oldest.chain.lane);
		return true;
	}

	#remove(chain: Chain, segment: Segment): void {
		const active = this.#active.get(chain.lane);
		if (active?.segment === segment) {
			this.#storage.close(active.handle);
			this.#active.delete(chain.lane);
		}
		this.#guard("remove", () => this.#storage.remove(segment.name));
		this.#guard("sync", () => this.#storage.syncDirectory());
		chain.segments.splice(chain.segments.indexOf(segment), 1);
		this.#bytes -= segment.bytes;
	}

	/** Starts a segment; with a backlog of a whole segment it starts a chain too, so that shedding stays small. */
	#roll(chain: Chain): Result<Active, AppendCode> {
		const before = this.#active.get(chain.lane);
		const isBacklogged = chain.segments.length > 1 && lastSeqOf(chain.segments.at(-2) as Segment) > freedTo(chain);
		if (before !== undefined && isBacklogged) {
			// The batch at hand was sealed for this chain: it goes in, the next one starts the new chain.
			this.#closed.add(chain.id);
		}
		const index = this.#nextIndex;
		const name = segmentName(chain.lane, index);
		let handle: number;
		try {
			handle = this.#storage.open(name, true);
		} catch (error) {
			return this.#diskTrouble(error, "create");
		}
		this.#nextIndex++;
		const { lane } = chain;
		const seal = this.#options.disk.of(segmentPurpose(name));
		const segment: Segment = { name, index, lane, seal, firstSeq: chain.head + 1, offsets: [], bytes: 0 };
		const active: Active = { segment, handle, isDirty: false };
		const { stream, lastHash, nextEvent } = chain;
		const head = encodeHead({ stream, nextSeq: segment.firstSeq, nextEvent, prevHash: lastHash });
		const place = { type: "head", lane, seq: segment.firstSeq, eventCount: 0, wallMs: this.#options.nowMs() } as const;
		const written = this.#write(active, encodeRecord(place, head, seal));
		if (!written.ok) {
			this.#storage.close(handle);
			this.#guard("remove", () => this.#storage.remove(name));
			return written;
		}
		this.#guard("sync", () => this.#storage.syncDirectory());
		if (before !== undefined) {
			if (before.isDirty) this.#guard("sync", () => this.#storage.sync(before.handle));
			this.#storage.close(before.handle);
		}
		chain.segments.push(segment);
		this.#active.set(chain.lane, active);
		// Old segments take their marks with them: the next marks stand in a segment that stays.
		this.#hasNewMarks = true;
		return ok(active);
	}

	/** Writes whole or not at all: what a full disk took of it is cut off again. */
	#write(active: Active, bytes: Uint8Array): Result<true, AppendCode> {
		const start = active.segment.bytes;
		let written = 0;
		try {
			while (written < bytes.length) {
				const count = this.#storage.write(active.handle, bytes.subarray(written), start + written);
				assertInvariant(count > 0, "a write of bytes writes some or fails");
				written += count;
			}
		} catch (error) {
			const trouble = this.#diskTrouble(error, "write");
			this.#guard("truncate", () => this.#storage.truncate(active.handle, start));
			return trouble;
		}
		active.segment.bytes += bytes.length;
		this.#bytes += bytes.length;
		active.isDirty = true;
		return ok(true);
	}

	#diskTrouble(error: unknown, action: string): Result<never, AppendCode> {
		if (isDiskFull(error)) return fail("disk_full", "the disk of the data directory is full");
		throw new DiskFailure(`The outbox could not ${action}: ${(error as Error).message}.`);
	}

	#guard<T>(action: string, call: () => T): T {
		try {
			return call();
		} catch (error) {
			throw new DiskFailure(`The outbox could not ${action}: ${(error as Error).message}.`);
		}
	}
}
