/**
 * The lanes: drafts are gathered, numbered, sealed into batches and put into the outbox. Trace and alert events are on disk
 * within `promptFlushMs`, bulk within the site's batch limits. Guarantees: events of one lane keep their order; what cannot be
 * kept becomes a gap record, written before the data goes wherever the disk allows it. Must never hold more than its limits
 * in memory, whatever the disk does.
 */
import { decodeAs } from "#core/codec/index.ts";
import { type BatchHeader, LANES, type Lane, readBatch, sealBatch, sealEventInPlace } from "#core/model/batch.ts";
import { type Event, eventShape, KEPT_GAP_CAUSE, type SealedEvent } from "#core/model/event.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { assertInvariant } from "#core/result.ts";
import type { HostClock } from "../clock.ts";
import { countGap, type EventDraft, streamGap } from "../events/draft.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import { type Chain, freedTo, sendableTo } from "../outbox/chain.ts";
import type { AppendCode, Outbox } from "../outbox/outbox.ts";
import { BatchWait } from "./batch-wait.ts";
import { PendingEvents } from "./pending-events.ts";

export interface LanesOptions {
	readonly outbox: Outbox;
	readonly agent: string;
	/** Ed25519 seed. */
	readonly seed: Uint8Array;
	readonly clock: HostClock;
	readonly log: Log;
	readonly batchMaxEvents: number;
	readonly batchMaxMs: number;
	/** Runs `task` once after `ms`; the returned function takes it back. */
	readonly schedule: (ms: number, task: () => void) => () => void;
	/** New batches are on the disk and may be sent. */
	readonly onHeld: () => void;
	/** What was made before waits for a hop: the next bulk batch may gather longer. Absent: never. */
	readonly isBehind?: () => boolean;
	/** An event waits for its batch, as these bytes, good for this call only; its number in them may change. */
	readonly onEncoded?: (draft: EventDraft, encoded: Uint8Array) => void;
	/** An event of a trace is in the outbox. */
	readonly onStored?: (traceId: string, byteCount: number) => void;
}

/**
 * What becomes of the first batch of a stream that is sealed again: null, it is sealed again with the rest; a text, it is gone, and
 * this is the cause; kept, it stays the last batch of its stream and is sent as it is.
 */
export type FirstBatch = string | null | { readonly keptFor: string };

/** Cause of a batch that a hop acknowledged, that is not here any more, and that the Security Center has not: its hop lost it. */
export const LOST_UPSTREAM = "lost_upstream";

/** Batches of a stream that cannot be sealed again. */
interface Missing {
	readonly from: number;
	to: number;
	readonly cause: string;
}

function addMissing(missing: Missing[], seq: number, cause: string): void {
	const last = missing.at(-1);
	if (last?.to === seq - 1 && last.cause === cause) last.to = seq;
	else missing.push({ from: seq, to: seq, cause });
}

interface Pending {
	events: PendingEvents;
	cancel: (() => void) | null;
	/** The disk refused the last flush: only the timer tries again. */
	isWaiting: boolean;
}

/** What could not be kept while the disk was full; told when it takes bytes again. */
interface Burned {
	readonly stream: Uint8Array;
	readonly from: number;
	to: number;
	readonly cause: AppendCode;
}

/** An event that is too large for the wire loses its command line, and says so. Its bytes are the encoder's: copied at once. */
function fitted(event: Event, seed: Uint8Array | null): SealedEvent {
	const sealed = sealEventInPlace(event, seed);
	if (sealed.bytes.length <= MODEL_LIMITS.eventBytesMax) return sealed;
	const { cmdline: _, ...payload } = event.payload;
	return sealEventInPlace({ ...event, payload: { ...payload, isCmdlineCut: true } }, seed);
}

function emptyLane(): Pending {
	return { events: new PendingEvents(), cancel: null, isWaiting: false };
}

export class Lanes {
	readonly #options: LanesOptions;
	readonly #pending: Record<Lane, Pending> = {
		trace: emptyLane(),
		alert: emptyLane(),
		bulk: emptyLane(),
	};
	readonly #burned = new Map<Lane, Burned>();
	/** Streams whose events go on in another, each with its last batch: they end when those are on the disk. */
	readonly #resealed = new Map<Chain, number>();
	readonly #bulkWait: BatchWait;
	#isMakingRoom = false;
	/** Events and gap records since start; the heartbeat tells them. */
	eventCount = 0;
	gapCount = 0;

	constructor(options: LanesOptions) {
		this.#options = options;
		this.#bulkWait = new BatchWait(options.batchMaxMs);
	}

	/** Takes an event into a lane. It is on disk after the lane's flush, or a gap says that it is not. */
	add(lane: Lane, draft: EventDraft): void {
		const pending = this.#pending[lane];
		const { events } = pending;
		if (events.count === 0) events.firstSeq = this.#options.outbox.current(lane).nextEvent;
		const sealed = this.#sealEvent(lane, { ...draft, seq: events.firstSeq + events.count });
		events.add(sealed, { wallTimeMs: draft.wallTimeMs, traceId: draft.traceId });
		this.#options.onEncoded?.(draft, sealed.bytes);
		this.eventCount++;
		if (draft.kind === "gap") this.gapCount++;
		const { batchMaxEvents } = this.#options;
		const isFull = events.count >= batchMaxEvents || events.byteLength >= AGENT_LIMITS.pendingBytesMax;
		if (pending.isWaiting) this.#burnWhatIsTooMuch(lane);
		else if (isFull) this.flush([lane]);
		else if (pending.cancel === null) this.#flushLater(lane, this.#waitMs(lane));
	}

	/** How long the batch that begins now gathers. */
	#waitMs(lane: Lane): number {
		const { batchMaxMs, clock, isBehind } = this.#options;
		if (lane !== "bulk") return Math.min(AGENT_LIMITS.promptFlushMs, batchMaxMs);
		return this.#bulkWait.begin(clock.monotonicMs(), isBehind?.() ?? false);
	}

	#flushLater(lane: Lane, ms: number): void {
		const pending = this.#pending[lane];
		pending.cancel?.();
		pending.cancel = this.#options.schedule(ms, () => {
			pending.cancel = null;
			this.flush(lane === "bulk" ? ["bulk"] : ["trace", "alert"]);
		});
	}

	/** Seals and stores what waits in the lanes, then tells the link. Throws `DiskFailure`. */
	flush(lanes: readonly Lane[] = LANES): void {
		let hasAppended = false;
		for (const lane of lanes) hasAppended = this.#flushLane(lane) || hasAppended;
		if (this.#pending.alert.events.count > 0 && !lanes.includes("alert"))
			this.#flushLater("alert", AGENT_LIMITS.promptFlushMs);
		if (!hasAppended) return;
		const { outbox } = this.#options;
		outbox.sync();
		if (this.#isOnDisk("alert")) outbox.forgetBuried();
		this.#options.onHeld();
		outbox.letGo();
		this.#endResealed();
	}

	/** Whether nothing of a lane waits in memory, nor the record of what was dropped from there. */
	#isOnDisk(lane: Lane): boolean {
		return this.#pending[lane].events.count === 0 && !this.#burned.has(lane);
	}

	/** A stream whose events and whose record are still in memory alone stays as it is: a crash seals them again. */
	#endResealed(): void {
		const { outbox } = this.#options;
		for (const [chain, end] of this.#resealed) {
			if (!this.#isOnDisk(chain.lane) || !this.#isOnDisk("alert")) continue;
			this.#resealed.delete(chain);
			// It may have been shed meanwhile.
			if (outbox.chains(chain.lane).includes(chain)) outbox.endChain(chain, end);
		}
	}

	#flushLane(lane: Lane): boolean {
		const pending = this.#pending[lane];
		const { outbox, log } = this.#options;
		let hasAppended = false;
		pending.isWaiting = false;
		while (pending.events.count > 0) {
			if (this.#burned.has(lane)) outbox.close(lane);
			this.#renumber(lane);
			const { header, sealed } = this.#seal(lane, pending.events);
			const batch = sealBatch(header, sealed, this.#options.seed);
			const appended = outbox.append(lane, { ...batch, eventCount: sealed.length });
			// The chain at hand may be the one that goes: then this batch is sealed again for the next.
			if (!appended.ok && this.#makesRoom(lane, appended.code)) continue;
			if (!appended.ok) {
				log(appended.code, { lane });
				this.#waitForDisk(lane, appended.code);
				return hasAppended;
			}
			hasAppended = true;
			if (lane === "bulk") this.#bulkWait.stored(this.#options.clock.monotonicMs());
			this.#tellStored(pending.events, sealed.length);
			pending.events.drop(sealed.length);
			this.#tellBurned(lane);
		}
		pending.cancel?.();
		pending.cancel = null;
		// The record of what was shed may have waited for this room.
		pending.isWaiting = false;
		return hasAppended;
	}

	#tellStored(events: PendingEvents, count: number): void {
		for (let index = 0; index < count; index++) {
			const { traceId } = events.facts(index);
			if (traceId !== undefined) this.#options.onStored?.(traceId, events.lengthOf(index));
		}
	}

	#sealEvent(lane: Lane, event: Event): SealedEvent {
		return fitted(event, lane === "trace" ? this.#options.seed : null);
	}

	/** What waits was numbered for the stream of its time; where that has ended meanwhile, it is encoded again for the next. */
	#renumber(lane: Lane): void {
		const pending = this.#pending[lane];
		const { events } = pending;
		const firstSeq = this.#options.outbox.current(lane).nextEvent;
		if (events.firstSeq === firstSeq) return;
		const renumbered = new PendingEvents();
		renumbered.firstSeq = firstSeq;
		for (let index = 0; index < events.count; index++) {
			const event = decodeAs(eventShape, events.event(index).bytes);
			assertInvariant(event.ok, "an event of this process reads");
			renumbered.add(this.#sealEvent(lane, { ...event.value, seq: firstSeq + index }), events.facts(index));
		}
		pending.events = renumbered;
	}

	#seal(lane: Lane, events: PendingEvents) {
		const { outbox, agent, batchMaxEvents } = this.#options;
		const chain = outbox.current(lane);
		const sealed: SealedEvent[] = [];
		let bytes = AGENT_LIMITS.batchOverheadBytes;
		let startMs = Number.MAX_SAFE_INTEGER;
		let endMs = 0;
		for (let index = 0; index < Math.min(events.count, batchMaxEvents); index++) {
			// A map head, two keys and lengths, and the signature.
			bytes += events.lengthOf(index) + 90;
			if (bytes > MODEL_LIMITS.batchBytesMax) break;
			sealed.push(events.event(index));
			const { wallTimeMs } = events.facts(index);
			startMs = Math.min(startMs, wallTimeMs);
			endMs = Math.max(endMs, wallTimeMs);
		}
		const { stream, head, lastHash, nextEvent } = chain;
		const header: Omit<BatchHeader, "eventCount" | "eventsRoot"> = {
			agent,
			stream,
			seq: head + 1,
			prevHash: lastHash,
			startMs,
			endMs,
			lane,
			firstEvent: nextEvent,
		};
		return { header, sealed };
	}

	/**
	 * At the outbox's own limit room is always made. A disk that others filled may empty again, so bulk waits for it; traces and
	 * alerts do not: they take the place of history, then of bulk.
	 */
	#makesRoom(lane: Lane, code: AppendCode): boolean {
		if (code === "outbox_full") return this.#makeRoom(code);
		if (lane === "bulk") return false;
		const { outbox } = this.#options;
		return outbox.giveBack() || (outbox.victim()?.chain.lane === "bulk" && this.#makeRoom(code));
	}

	/** Sheds the oldest unreceipted chain of the least important lane. The gap record goes first where it can. */
	#makeRoom(cause: AppendCode): boolean {
		const { outbox, clock, log } = this.#options;
		const victim = outbox.victim();
		if (victim === null || this.#isMakingRoom) return false;
		const { chain, from, to } = victim;
		log("outbox_shed", { lane: chain.lane, batches: to - from + 1 });
		this.#isMakingRoom = true;
		try {
			// An alert chain that goes itself is closed first, or the record of its loss would go with it.
			if (chain.lane === "alert") outbox.close("alert");
			this.add("alert", streamGap(clock, { stream: chain.stream, from, to }, cause));
			if (this.#flushLane("alert")) outbox.sync();
			// A full disk may have refused the record: it stays in memory and is written into the room made here.
			if (this.#isOnDisk("alert")) outbox.shed(chain);
			else outbox.bury(victim, cause);
		} finally {
			this.#isMakingRoom = false;
		}
		return true;
	}

	#waitForDisk(lane: Lane, cause: AppendCode): void {
		const { outbox } = this.#options;
		this.#pending[lane].isWaiting = true;
		if (!this.#burned.has(lane)) this.#burnWhatIsTooMuch(lane, cause);
		// Freed history is the first thing that goes; it is ours to give.
		if (cause === "disk_full" && outbox.giveBack()) this.#flushLater(lane, AGENT_LIMITS.promptFlushMs);
		else this.#flushLater(lane, AGENT_LIMITS.diskRetryMs);
	}

	/** Drops what waits when it is more than memory may hold, and counts it as one batch number that never comes. */
	#burnWhatIsTooMuch(lane: Lane, cause?: AppendCode): void {
		const pending = this.#pending[lane];
		const isTooMuch =
			pending.events.count >= AGENT_LIMITS.pendingEventsMax ||
			pending.events.byteLength >= 2 * AGENT_LIMITS.pendingBytesMax;
		if (!isTooMuch) return;
		const burned = this.#burned.get(lane);
		if (burned === undefined) {
			const { stream, head } = this.#options.outbox.current(lane);
			this.#burned.set(lane, { stream, from: head + 1, to: head + 1, cause: cause ?? "disk_full" });
		} else burned.to++;
		pending.events = new PendingEvents();
	}

	#tellBurned(lane: Lane): void {
		const burned = this.#burned.get(lane);
		if (burned === undefined) return;
		this.#burned.delete(lane);
		this.add("alert", streamGap(this.#options.clock, burned, burned.cause));
		// What was dropped from memory held the records of what was shed.
		if (lane === "alert") this.#tellBuried();
	}

	#tellBuried(): void {
		const { clock, outbox } = this.#options;
		for (const { cause, ...range } of outbox.buried()) this.add("alert", streamGap(clock, range, cause));
	}

	/**
	 * Seals the events behind `from` again in a new stream, because no hop will take them in this one. `fate` is that of batch `from`
	 * itself: whether lost or kept, a gap record says that it is not there.
	 */
	reseal(chain: Chain, from: number, fate: FirstBatch): void {
		// A hop that refuses a stream says so for each of its batches, and on each link.
		if (this.#resealed.has(chain)) return;
		const { outbox, clock, log } = this.#options;
		const to = sendableTo(chain);
		const isKept = typeof fate === "object" && fate !== null;
		const first = fate === null ? from : from + 1;
		this.#resealed.set(chain, isKept ? from : from - 1);
		log("stream_resealed", { lane: chain.lane, batches: to - first + 1 });
		if (outbox.current(chain.lane) === chain) outbox.close(chain.lane);
		const missing: Missing[] = [];
		if (fate !== null) missing.push({ from, to: from, cause: isKept ? `${KEPT_GAP_CAUSE}${fate.keptFor}` : fate });
		for (let seq = first; seq <= to; seq++) {
			const events = this.#eventsOf(chain, seq);
			if (events === null) addMissing(missing, seq, seq <= freedTo(chain) ? LOST_UPSTREAM : "outbox_damaged");
			for (const { seq: _, ...draft } of events ?? []) this.add(chain.lane, draft);
		}
		for (const { cause, ...range } of missing)
			this.add("alert", streamGap(clock, { stream: chain.stream, ...range }, cause));
		if (first <= to) this.add("alert", streamGap(clock, { stream: chain.stream, from: first, to }, "resealed"));
		// Ends the stream behind it: a crash before that seals twice, which is better than not at all.
		this.flush();
		this.#endResealed();
	}

	/** Of a stream that was acknowledged, forgotten here and lost above, nothing comes any more; how far it went nobody knows here. */
	disown(stream: Uint8Array, from: number): void {
		const { clock, log } = this.#options;
		log("stream_disowned", { from });
		this.add("alert", streamGap(clock, { stream, from, to: Number.MAX_SAFE_INTEGER }, LOST_UPSTREAM));
	}

	#eventsOf(chain: Chain, seq: number): Event[] | null {
		const bytes = this.#options.outbox.read(chain, seq);
		const batch = bytes === null ? null : readBatch(bytes);
		if (!batch?.ok) return null;
		const events = batch.value.events.map((sealed) => decodeAs(eventShape, sealed.bytes));
		return events.every((event) => event.ok) ? events.map((event) => event.value) : null;
	}

	/** Takes back every timer; what is pending was flushed before or is lost with the process. */
	stop(): void {
		for (const { cancel } of Object.values(this.#pending)) cancel?.();
	}

	/** Names the damage that the outbox found when it was opened. */
	repair(): void {
		const { clock, outbox } = this.#options;
		if (outbox.lostEvents > 0)
			this.add("alert", countGap(clock, { count: outbox.lostEvents, cause: "outbox_damaged", agoMs: 0 }));
		this.#tellBuried();
		for (const chain of outbox.chains()) {
			const hole = outbox.firstHole(chain);
			if (hole !== null) this.reseal(chain, hole, "outbox_damaged");
		}
	}
}
