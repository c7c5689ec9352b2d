/**
 * The way of a batch into a channel's write-ahead log: judged, staged, committed. Trace and alert commit at once and take along
 * whatever bulk already waits; bulk alone waits up to the group-commit window or until a commit is worth it, and its receipt with it. Guarantees that
 * `onCommitted` runs in the turn of the write, so a receipt sent there cannot leave before the fsync, and that a write that fails
 * restarts the object from its disk: memory never runs ahead of it.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { Lane } from "#core/model/batch.ts";
import type { RoomCode } from "#core/protocol/index.ts";
import { fail, type Result } from "#core/result.ts";
import { type Admission, admitBatch, GAP_NAMED } from "./admission.ts";
import type { BoxDisk } from "./box-disk.ts";
import type { ChannelIdentity, ChannelStore } from "./channel-store.ts";
import type { WalBatch } from "./drain.ts";
import type { IngestAnswer, Refusal } from "./faces.ts";
import { forgetOldest } from "./forget-oldest.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { TELLERS } from "./quarantine.ts";

export interface IntakeParts {
	readonly store: ChannelStore;
	readonly disk: BoxDisk;
	readonly isRelay: boolean;
	readonly fsyncIntervalMs: number;
	readonly transaction: <T>(write: () => T) => T;
	readonly abort: (reason: string) => void;
	readonly onCommitted: (receipts: readonly { stream: Uint8Array; seq: number }[]) => void;
}

interface Sender extends Pick<ChannelIdentity, "agent" | "signingKey"> {
	/** The relay that brought it; absent: the agent's own link. */
	readonly broughtBy?: string;
}

export interface Taken {
	/** It was not known before. */
	readonly isNew: boolean;
	readonly refusal: Refusal | null;
	/** The durable watermark of a repeated batch's stream, to be receipted again. */
	readonly repeated: { readonly stream: Uint8Array; readonly seq: number } | null;
}

export class Intake {
	readonly #parts: IntakeParts;
	#staged: WalBatch[] = [];
	#stagedBytes = 0;
	#signingKey: Uint8Array = new Uint8Array(32);
	#timer: ReturnType<typeof setTimeout> | null = null;
	/**
	 * Streams seen on this link, by id. Null: something was taken or judged, and only the first batch of a stream may resume past what
	 * this relay knows. A number: that batch was refused for want of room; what follows it is early, neither a hole nor a place to
	 * resume at. On the disk too, because the link outlives a sleep of the object.
	 */
	#seen: Map<string, number | null>;
	/** When the sender was last asked for a batch that upstream waits for, by stream. */
	readonly #askedMs = new Map<string, number>();
	/** Lanes of which this link was refused something for want of room, and nothing was taken since. */
	#waitingLanes: Set<Lane>;

	constructor(parts: IntakeParts) {
		this.#parts = parts;
		const known = parts.store.linkStreams();
		this.#seen = new Map(known.map(({ stream, heldBack }) => [hexOf(stream), heldBack]));
		this.#waitingLanes = new Set(known.filter(({ heldBack }) => heldBack !== null).map(({ lane }) => lane));
	}

	/** Whether batches wait for their commit. */
	get isStaging(): boolean {
		return this.#staged.length > 0;
	}

	/** Lanes in which the sender holds what this hop had no room for. */
	get waitingLanes(): Lane[] {
		return [...this.#waitingLanes];
	}

	/** A new link of the agent begins. */
	startLink(): void {
		this.commit();
		if (this.#seen.size > 0) this.#write(() => this.#parts.store.forgetLinkStreams());
		this.#seen = new Map();
		this.#waitingLanes = new Set();
	}

	/** One batch of the agent's own session. */
	take(bytes: Uint8Array, sender: Sender, nowMs: number): Taken {
		const admission = this.#admit(bytes, sender, nowMs);
		if (admission.kind === "refused") return { isNew: false, refusal: admission.refusal, repeated: null };
		if (admission.kind === "repeated")
			return { isNew: false, refusal: null, repeated: this.#watermark(admission.stream) };
		const isFull = this.#stagedBytes >= CHANNEL_LIMITS.commitBytes;
		if (admission.batch.lane !== "bulk" || this.#parts.fsyncIntervalMs === 0 || isFull) this.commit();
		else this.#timer ??= setTimeout(() => this.commit(), this.#parts.fsyncIntervalMs);
		return { isNew: true, refusal: null, repeated: null };
	}

	/** Many batches at once, as a carrier brings them: one commit for all. */
	takeAll(batches: readonly Uint8Array[], sender: Sender, nowMs: number): IngestAnswer {
		const refusals: Refusal[] = [];
		const streams = new Map<string, Uint8Array>();
		for (const bytes of batches) {
			const admission = this.#admit(bytes, sender, nowMs);
			if (admission.kind === "refused") refusals.push(admission.refusal);
			else {
				const stream = admission.kind === "taken" ? admission.batch.stream : admission.stream;
				streams.set(hexOf(stream), stream);
			}
		}
		this.commit();
		const receipts = [...streams.values()].map((stream) => this.#watermark(stream)).filter((each) => each !== null);
		return { receipts, refusals };
	}

	#watermark(stream: Uint8Array): { stream: Uint8Array; seq: number } | null {
		const seq = this.#parts.store.stream(stream)?.a1 ?? 0;
		return seq === 0 ? null : { stream, seq };
	}

	#admit(bytes: Uint8Array, sender: Sender, nowMs: number): Admission {
		const { store, isRelay } = this.#parts;
		const { agent, signingKey, broughtBy = TELLERS.agent } = sender;
		const admission = admitBatch(bytes, {
			...{ agent, signingKey },
			streamOf: (stream) => store.stream(stream),
			heldHash: (stream, seq) =>
				this.#staged.find((batch) => batch.seq === seq && hexOf(batch.stream) === hexOf(stream))?.hash ??
				store.heldHash(stream, seq),
			aheadHash: (stream, seq) => (store.hasAhead(stream) ? store.heldHash(stream, seq) : undefined),
			isNamedGap: (stream, seq) => !isRelay && store.gaps.names(stream, seq),
			mayResume: (stream) => isRelay && this.#seen.get(hexOf(stream)) !== null,
			heldBackAt: (stream) => this.#seen.get(hexOf(stream)) ?? undefined,
		});
		if (admission.kind === "refused") this.#keepRefused(bytes, admission, { teller: broughtBy, nowMs });
		if (admission.kind !== "taken") {
			if (admission.kind === "repeated") this.#see(admission.stream, admission.lane);
			else if (admission.refusal.code === "forked") this.#seeForked(admission.refusal, admission.lane);
			return admission;
		}
		const { batch, state } = admission;
		const room = this.#judgeRoom(batch, nowMs);
		if (!room.ok) {
			const { code, detail } = room;
			this.#see(batch.stream, batch.lane, batch.seq);
			this.#waitingLanes.add(batch.lane);
			return { kind: "refused", refusal: { code, detail, stream: batch.stream, seq: batch.seq }, lane: batch.lane };
		}
		this.#waitingLanes.delete(batch.lane);
		this.#see(batch.stream, batch.lane);
		this.#signingKey = sender.signingKey;
		store.stage(batch, state);
		this.#staged.push(batch);
		this.#stagedBytes += batch.bytes.length;
		return admission;
	}

	/**
	 * Upstream waits for batch `expected`. Where it is not held here, a disk was lost on the way: the stream is set back to it, so that
	 * whoever has it may send it once more. Answers whether the sender below is to be asked.
	 */
	misses(stream: Uint8Array, expected: number, nowMs: number): boolean {
		const { store } = this.#parts;
		this.commit();
		const known = store.stream(stream);
		if ((store.lowestHeld(stream) ?? expected + 1) <= expected) return false;
		if (!this.mayAsk(stream, nowMs)) return false;
		if (known === undefined || expected > known.a1) return true;
		logLine("warning", "stream_set_back", { stream: hexOf(stream), lane: known.lane, received: known.a1, expected });
		this.#write(() => store.setBack(stream, expected - 1));
		return true;
	}

	/** Whether it is time to ask the sender for a batch of the stream; true counts as asked. */
	mayAsk(stream: Uint8Array, nowMs: number): boolean {
		const key = hexOf(stream);
		const askedMs = this.#askedMs.get(key);
		if (askedMs !== undefined && Math.abs(nowMs - askedMs) < CHANNEL_LIMITS.askAgainMs) return false;
		this.#askedMs.delete(key);
		this.#askedMs.set(key, nowMs);
		forgetOldest(this.#askedMs, CHANNEL_LIMITS.seenStreamsMax);
		return true;
	}

	/** What follows a batch of another history may not resume past it. */
	#seeForked({ stream }: Refusal, lane: Lane | null): void {
		if (stream !== undefined && lane !== null) this.#see(stream, lane);
	}

	/** A forgotten one may at worst resume once more. */
	#see(stream: Uint8Array, lane: Lane, refusedSeq: number | null = null): void {
		const key = hexOf(stream);
		const known = this.#seen.get(key);
		const heldBack = refusedSeq === null ? null : Math.min(refusedSeq, known ?? refusedSeq);
		if (known === heldBack) return;
		this.#seen.delete(key);
		this.#seen.set(key, heldBack);
		forgetOldest(this.#seen, CHANNEL_LIMITS.seenStreamsMax);
		this.#write(() => this.#parts.store.markLinkStream({ stream, lane, heldBack }));
	}

	/** Memory never runs ahead of the disk: where that takes nothing, the object starts again from it. */
	#write<T>(write: () => T): T {
		try {
			return write();
		} catch (error) {
			logLine("error", "wal_write_failed", { detail: (error as Error).message });
			this.#parts.abort("the write-ahead log could not be written");
			throw error;
		}
	}

	/** Room for this agent, then room on this box. */
	#judgeRoom({ lane, bytes: { length: bytes } }: WalBatch, nowMs: number): Result<true, RoomCode> {
		const { store, disk } = this.#parts;
		const bytesMax = lane === "bulk" ? CHANNEL_LIMITS.bulkWalBytesMax : CHANNEL_LIMITS.walBytesMax;
		const waiting = store.walBytes() + this.#stagedBytes;
		if (waiting + bytes > bytesMax) return fail("wal_full", `the log of this hop is full at ${waiting} bytes`);
		return disk.judge({ lane, bytes, reusableBytes: store.reusableBytes() - this.#stagedBytes }, nowMs);
	}

	/** A hole is the sender's to fill and its batch comes again; anything else is kept for a person. */
	#keepRefused(
		bytes: Uint8Array,
		admission: Extract<Admission, { kind: "refused" }>,
		{ teller, nowMs }: { teller: string; nowMs: number },
	): void {
		const { store, isRelay } = this.#parts;
		const { code, detail, stream } = admission.refusal;
		if (code === "skipped") {
			if (isRelay || stream === undefined || admission.lane === null) return;
			if ((this.#seen.get(hexOf(stream)) ?? null) !== null) return;
			if (nowMs - store.markHole(stream, admission.lane, nowMs) < CHANNEL_LIMITS.holeAlarmMs) return;
			store.markHoleAlarmed(stream);
			return;
		}
		// Its hole has a name now: nobody has to look for it any more.
		if (code === GAP_NAMED && stream !== undefined) store.endHole(stream);
		const { lane } = admission;
		const place = { ...placeIn(admission.refusal), ...(lane === null ? {} : { lane }) };
		store.quarantine.keep({ cause: code, detail, atMs: nowMs, hop: "", teller, ...place }, bytes);
		if (code !== "forked") return;
		const where = stream === undefined ? "" : `stream ${hexOf(stream)}: `;
		if (isRelay) logLine("error", "stream_forked", { detail: where + detail });
		else store.addAlarm({ code, detail: where + detail, evidence: bytes });
	}

	/** Writes what is staged and answers for it. */
	commit(): void {
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#timer = null;
		if (this.#staged.length === 0) return;
		const batches = this.#staged;
		this.#staged = [];
		this.#parts.disk.wrote(Math.max(0, this.#stagedBytes - this.#parts.store.reusableBytes()), batches.length);
		this.#stagedBytes = 0;
		this.#write(() => {
			const receipts = this.#parts.transaction(() => {
				const written = this.#parts.store.commit(batches, this.#signingKey, Date.now());
				this.#parts.store.pruneStreams();
				return written;
			});
			this.#parts.onCommitted(receipts);
		});
	}
}

function placeIn({ stream, seq }: Refusal): { stream?: Uint8Array; seq?: number } {
	return { ...(stream === undefined ? {} : { stream }), ...(seq === undefined ? {} : { seq }) };
}
