/**
 * The lanes: drafts are gathered, numbered, sealed into batches and put into the outbox. Trace and alert events are on disk
 * within `promptFlushMs`, bulk within the site's batch limits. Guarantees: events of one lane keep their order; what cannot be
 * kept becomes a gap record, written before the data goes wherever the disk allows it. Must never hold more than its limits
 * in memory, whatever the disk does.
 */
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { type BatchHeader, LANES, type Lane, readBatch, sealBatch, sealEvent } from "#core/model/batch.ts";
import { type Event, eventShape, type SealedEvent } from "#core/model/event.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import type { HostClock } from "../clock.ts";
import { countGap, type EventDraft, streamGap } from "../events/draft.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import { type Chain, sendableTo } from "../outbox/chain.ts";
import type { AppendCode, Outbox } from "../outbox/outbox.ts";

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
	/** An event is in the outbox, as these bytes. */
	readonly onStored?: (draft: EventDraft, encoded: Uint8Array) => void;
}

interface Pending {
	drafts: EventDraft[];
	bytes: number;
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

/** What a draft takes, roughly: bounds memory between flushes, never decides what fits a batch. */
function estimateBytes(draft: EventDraft): number {
	let length = 256;
	for (const value of Object.values(draft.payload)) {
		if (typeof value === "string" || value instanceof Uint8Array) length += value.length;
		else if (Array.isArray(value)) for (const item of value) length += 2 + item.length;
	}
	return length;
}

/** An event that is too large for the wire loses its command line, and says so. */
function fitted(event: Event, seed: Uint8Array | null): SealedEvent {
	if (
		estimateBytes(event) > MODEL_LIMITS.eventBytesMax / 4 &&
		encodeAs(eventShape, event).length > MODEL_LIMITS.eventBytesMax
	) {
		const { cmdline: _, ...payload } = event.payload;
		return sealEvent({ ...event, payload: { ...payload, isCmdlineCut: true } }, seed);
	}
	return sealEvent(event, seed);
}

export class Lanes {
	readonly #options: LanesOptions;
	readonly #pending: Record<Lane, Pending> = {
		trace: { drafts: [], bytes: 0, cancel: null, isWaiting: false },
		alert: { drafts: [], bytes: 0, cancel: null, isWaiting: false },
		bulk: { drafts: [], bytes: 0, cancel: null, isWaiting: false },
	};
	readonly #burned = new Map<Lane, Burned>();
	#isMakingRoom = false;
	/** Events and gap records since start; the heartbeat tells them. */
	eventCount = 0;
	gapCount = 0;

	constructor(options: LanesOptions) {
		this.#options = options;
	}

	/** Takes an event into a lane. It is on disk after the lane's flush, or a gap says that it is not. */
	add(lane: Lane, draft: EventDraft): void {
		const pending = this.#pending[lane];
		pending.drafts.push(draft);
		pending.bytes += estimateBytes(draft);
		this.eventCount++;
		if (draft.kind === "gap") this.gapCount++;
		const { batchMaxEvents, batchMaxMs } = this.#options;
		const isFull = pending.drafts.length >= batchMaxEvents || pending.bytes >= AGENT_LIMITS.pendingBytesMax;
		if (pending.isWaiting) this.#burnWhatIsTooMuch(lane);
		else if (isFull) this.flush([lane]);
		else if (pending.cancel === null)
			this.#flushLater(lane, lane === "bulk" ? batchMaxMs : Math.min(AGENT_LIMITS.promptFlushMs, batchMaxMs));
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
		if (this.#pending.alert.drafts.length > 0 && !lanes.includes("alert"))
			this.#flushLater("alert", AGENT_LIMITS.promptFlushMs);
		if (!hasAppended) return;
		this.#options.outbox.sync();
		this.#options.onHeld();
	}

	#flushLane(lane: Lane): boolean {
		const pending = this.#pending[lane];
		const { outbox, log } = this.#options;
		let hasAppended = false;
		pending.isWaiting = false;
		while (pending.drafts.length > 0) {
			if (this.#burned.has(lane)) outbox.close(lane);
			const { header, sealed } = this.#seal(lane, pending.drafts);
			const batch = sealBatch(header, sealed, this.#options.seed);
			const appended = outbox.append(lane, { ...batch, eventCount: sealed.length });
			// The chain at hand may be the one that goes: then this batch is sealed again for the next.
			if (!appended.ok && appended.code === "outbox_full" && this.#makeRoom()) continue;
			if (!appended.ok) {
				log(appended.code, { lane });
				this.#waitForDisk(lane, appended.code);
				return hasAppended;
			}
			hasAppended = true;
			this.#tellStored(pending.drafts, sealed);
			pending.drafts = pending.drafts.slice(sealed.length);
			this.#tellBurned(lane);
		}
		pending.cancel?.();
		pending.cancel = null;
		pending.bytes = 0;
		return hasAppended;
	}

	#tellStored(drafts: readonly EventDraft[], sealed: readonly SealedEvent[]): void {
		const { onStored } = this.#options;
		if (onStored === undefined) return;
		for (const [at, { bytes }] of sealed.entries()) onStored(drafts[at] as EventDraft, bytes);
	}

	#seal(lane: Lane, drafts: readonly EventDraft[]) {
		const { outbox, agent, seed, batchMaxEvents } = this.#options;
		const chain = outbox.current(lane);
		const sealed: SealedEvent[] = [];
		let bytes = AGENT_LIMITS.batchOverheadBytes;
		let startMs = Number.MAX_SAFE_INTEGER;
		let endMs = 0;
		for (const draft of drafts.slice(0, batchMaxEvents)) {
			const one = fitted({ ...draft, seq: chain.nextEvent + sealed.length }, lane === "trace" ? seed : null);
			// A map head, two keys and lengths, and the signature.
			bytes += one.bytes.length + 90;
			if (bytes > MODEL_LIMITS.batchBytesMax) break;
			sealed.push(one);
			startMs = Math.min(startMs, draft.wallTimeMs);
			endMs = Math.max(endMs, draft.wallTimeMs);
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

	/** Sheds the oldest unreceipted chain of the least important lane. The gap record goes first where it can. */
	#makeRoom(): boolean {
		const { outbox, clock, log } = this.#options;
		const victim = outbox.victim();
		if (victim === null || this.#isMakingRoom) return false;
		const { chain, from, to } = victim;
		log("outbox_shed", { lane: chain.lane, batches: to - from + 1 });
		this.#isMakingRoom = true;
		try {
			// An alert chain that goes itself is closed first, or the record of its loss would go with it.
			if (chain.lane === "alert") outbox.close("alert");
			this.add("alert", streamGap(clock, { stream: chain.stream, from, to }, "outbox_full"));
			if (this.#flushLane("alert")) outbox.sync();
			// A full disk may have refused the record: it stays in memory and is written into the room made here.
			outbox.shed(chain);
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
			pending.drafts.length >= AGENT_LIMITS.pendingEventsMax || pending.bytes >= 2 * AGENT_LIMITS.pendingBytesMax;
		if (!isTooMuch) return;
		const burned = this.#burned.get(lane);
		if (burned === undefined) {
			const { stream, head } = this.#options.outbox.current(lane);
			this.#burned.set(lane, { stream, from: head + 1, to: head + 1, cause: cause ?? "disk_full" });
		} else burned.to++;
		pending.drafts = [];
		pending.bytes = 0;
	}

	#tellBurned(lane: Lane): void {
		const burned = this.#burned.get(lane);
		if (burned === undefined) return;
		this.#burned.delete(lane);
		this.add("alert", streamGap(this.#options.clock, burned, burned.cause));
	}

	/**
	 * Seals the events behind `from` again in a new stream, because no hop will take them in this one. `cause` says what became
	 * of batch `from` itself; null = it can be read too and is sealed again with the rest.
	 */
	reseal(chain: Chain, from: number, cause: string | null): void {
		const { outbox, clock, log } = this.#options;
		const to = sendableTo(chain);
		log("stream_resealed", { lane: chain.lane, batches: to - from + 1 });
		if (outbox.current(chain.lane) === chain) outbox.close(chain.lane);
		const lost = cause === null ? [] : [{ stream: chain.stream, from, to: from }];
		for (const range of lost) this.add("alert", streamGap(clock, range, cause as string));
		const first = cause === null ? from : from + 1;
		for (let seq = first; seq <= to; seq++) {
			const events = this.#eventsOf(chain, seq);
			if (events === null)
				this.add("alert", streamGap(clock, { stream: chain.stream, from: seq, to: seq }, "outbox_damaged"));
			for (const { seq: _, ...draft } of events ?? []) this.add(chain.lane, draft);
		}
		if (first <= to) this.add("alert", streamGap(clock, { stream: chain.stream, from: first, to }, "resealed"));
		this.flush();
		// Only now: a crash before this seals twice, which is better than not at all.
		outbox.endChain(chain, from - 1);
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
		for (const chain of outbox.chains()) {
			const hole = outbox.firstHole(chain);
			if (hole !== null) this.reseal(chain, hole, "outbox_damaged");
		}
	}
}
