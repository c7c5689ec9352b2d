/**
 * What goes up and what comes back for it: batches in lane priority within a window, receipts, refusals. One sender lives as
 * long as one link. Guarantees: within a stream batches go in order; nothing is freed by an A2 but up to a batch whose leaf was shown
 * to be in a tree signed by the ledger key of the pinned trust document. Must never free anything of trace and alert by a hop's bare
 * word, be it about A2 or a refusal.
 */
import { equalBytes, hexOf } from "#core/bytes/bytes.ts";
import { nodeUri } from "#core/identity/node-uri.ts";
import { type CustodyCode, ed25519Verifier, isKeyName, verifyCustody } from "#core/ledger/index.ts";
import { batchHash, LANES, type Lane, readBatch, verifyBatch } from "#core/model/batch.ts";
import { type FrameBody, isRoomCode, PipeDepth } from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import { type Chain, freedTo, isFreed, sendableTo } from "../outbox/chain.ts";
import type { Outbox } from "../outbox/outbox.ts";
import { type FirstBatch, LOST_UPSTREAM } from "../stream/lanes.ts";
import type { LedgerMemory } from "./ledger-memory.ts";
import type { Refusals } from "./refusals.ts";

export type CustodyRefusal =
	| CustodyCode
	/** A receipt without a proof. */
	| "custody_missing"
	/** Of a batch that was never sealed here. */
	| "custody_ahead"
	/** Of a batch that is damaged here: nothing to compare with. The repair at the next start names the damage. */
	| "custody_unreadable"
	/** A second root for the newest size that was seen. */
	| "ledger_went_back";

export interface SenderOptions {
	readonly agent: string;
	/** The key that a hop verifies our batches by. */
	readonly publicKey: Uint8Array;
	readonly outbox: Outbox;
	/** Lives longer than this link. */
	readonly refusals: Refusals;
	readonly ledger: LedgerMemory;
	readonly trust: () => TrustDocument;
	readonly log: Log;
	readonly monotonicMs: () => number;
	readonly send: (batch: Uint8Array) => void;
	/** The chain cannot go on here: see `Lanes.reseal`. */
	readonly reseal: (chain: Chain, from: number, fate: FirstBatch) => void;
	/** Nothing of a stream that is not here comes from this batch on: see `Lanes.disown`. */
	readonly disown: (stream: Uint8Array, from: number) => void;
}

/** A stream that is to be sealed again from a batch on. */
interface Ending {
	readonly from: number;
	readonly fate: FirstBatch;
}

interface Progress {
	/** What was shed or is history has no chain any more that says it, and its batches may still be on the way. */
	readonly lane: Lane;
	/** The next batch to send. */
	next: number;
	/** Sent and not receipted, oldest first; when, by the monotonic clock. */
	readonly inFlight: { readonly seq: number; readonly bytes: number; readonly sentAtMs: number }[];
	/** Nothing is sent before this. */
	restUntilMs: number;
	/** Refusals for want of room since something was taken: while there are any, one batch asks for all, less and less often. */
	rests: number;
	rewinds: number;
	/** Put off: there was no copy left, or no room for one, or no place beside the stream for the batch that is to be kept. */
	ending: Ending | null;
	/** When the hop last took something of this stream: a slow hop is no lost batch. */
	movedAtMs: number;
}

function freshProgress(lane: Lane, next: number): Progress {
	return { lane, next, inFlight: [], restUntilMs: 0, rests: 0, rewinds: 0, ending: null, movedAtMs: 0 };
}

export class Sender {
	readonly #options: SenderOptions;
	readonly #progress = new Map<string, Progress>();
	/** Streams that are gone from here and of which that was said on this link; the budget of copies bounds them. */
	readonly #disowned = new Set<string>();
	#inFlightBytes = 0;
	#bulkInFlightBytes = 0;
	/** When a kept batch was shown last on this link, if the hop took nothing since: an honest one drops a link of refusals only. */
	#shownAtMs: number | null = null;
	/** How much of it may be: a hop that is behind is not buried in bulk. */
	readonly #bulkDepth = new PipeDepth({
		bytesMax: AGENT_LIMITS.windowBulkBytesMax,
		bytesMin: AGENT_LIMITS.windowBulkBytesMin,
	});

	constructor(options: SenderOptions, watermarks: FrameBody<"welcome">["watermarks"]) {
		this.#options = options;
		options.refusals.startLink();
		for (const mark of watermarks) {
			const id = hexOf(mark.stream);
			const chain = this.#chain(id);
			if (chain === undefined) continue;
			if (!this.#isOurs(chain, mark)) {
				// The hop knows other batches under our numbers: our disk is an old copy, or lost its end. Nothing it says frees anything.
				options.log(mark.a1 > sendableTo(chain) ? "stream_ahead" : "stream_forked", { lane: chain.lane });
				this.#reseal(chain, freedTo(chain) + 1, null);
				continue;
			}
			options.outbox.acknowledge(id, "a1", mark.a1);
			this.#progress.set(id, freshProgress(chain.lane, mark.a1 + 1));
		}
	}

	/** Whether the hop's watermark is of the batches that lie here. What was freed and evicted cannot be compared and is not ours to doubt. */
	#isOurs(chain: Chain, { a1, hash }: FrameBody<"welcome">["watermarks"][number]): boolean {
		// Where only our copy of its last batch is damaged, no proof of custody of that one frees what lies before it here.
		if (a1 > chain.head || (a1 > sendableTo(chain) && !isFreed(chain))) return false;
		const held = a1 === 0 || hash === undefined ? null : this.#options.outbox.read(chain, a1);
		if (held === null || hash === undefined) return true;
		const batch = readBatch(held);
		assertInvariant(batch.ok, "the outbox returned a batch that does not read");
		return equalBytes(batchHash(batch.value.headerBytes), hash);
	}

	#chain(id: string): Chain | undefined {
		return this.#options.outbox.chains().find((chain) => chain.id === id);
	}

	#progressOf(chain: Chain): Progress {
		let progress = this.#progress.get(chain.id);
		if (progress === undefined) {
			// Unknown to the hop: everything that is not freed, in order.
			progress = freshProgress(chain.lane, freedTo(chain) + 1);
			this.#progress.set(chain.id, progress);
		}
		return progress;
	}

	/** Whether bulk that was made is not sent: the hop has not acknowledged enough of it, or has no room. */
	get isBehind(): boolean {
		return this.#options.outbox.chains("bulk").some((chain) => this.#progressOf(chain).next <= sendableTo(chain));
	}

	/** Sends what the window has room for, the most important lane first. */
	pump(): void {
		for (const lane of LANES) {
			for (const chain of this.#options.outbox.chains(lane)) if (!this.#pumpChain(chain)) break;
		}
	}

	/** False: the window is full for this lane. */
	#pumpChain(chain: Chain): boolean {
		const { outbox, monotonicMs, send } = this.#options;
		const progress = this.#progressOf(chain);
		if (progress.restUntilMs > monotonicMs()) return true;
		if (progress.ending !== null) {
			this.#reseal(chain, progress.ending.from, progress.ending.fate);
			return true;
		}
		// The last batch of a stream may be lost on the way with nothing behind it that the hop could refuse.
		if (this.#isOverdue(progress, AGENT_LIMITS.resendMs))
			this.#goBack(chain, progress.inFlight[0]?.seq ?? progress.next);
		while (progress.next <= this.#lastOf(chain)) {
			if (progress.rests > 0 && progress.inFlight.length > 0) return true;
			if (!this.#hasRoom(chain)) return false;
			if (!this.#mayShow(chain, progress.next)) return true;
			const bytes = outbox.read(chain, progress.next);
			if (bytes === null) {
				// Below the freed mark nothing is missing: another hop has it, and this one asked for more than is kept.
				if (progress.next <= freedTo(chain)) this.#reseal(chain, freedTo(chain) + 1, null);
				else this.#reseal(chain, progress.next, "outbox_damaged");
				return true;
			}
			progress.inFlight.push({ seq: progress.next, bytes: bytes.length, sentAtMs: monotonicMs() });
			progress.next++;
			this.#inFlightBytes += bytes.length;
			if (chain.lane === "bulk") this.#bulkInFlightBytes += bytes.length;
			send(bytes);
		}
		return true;
	}

	/** Highest batch of the stream that is sent on this link: the end of one that is kept is written behind what follows it. */
	#lastOf(chain: Chain): number {
		return Math.min(this.#options.refusals.keptOf(chain)?.seq ?? Number.MAX_SAFE_INTEGER, sendableTo(chain));
	}

	/** Whether it is time for this batch; one that a hop refused waits for its own, and none goes right behind another such. */
	#mayShow(chain: Chain, seq: number): boolean {
		const { refusals, monotonicMs } = this.#options;
		const kept = refusals.keptOf(chain);
		if (kept === undefined || kept.seq !== seq) return true;
		const nowMs = monotonicMs();
		const isAlone = this.#shownAtMs === null || nowMs - this.#shownAtMs >= AGENT_LIMITS.refusedRestMs;
		if (nowMs < kept.notBeforeMs || !isAlone) return false;
		this.#shownAtMs = nowMs;
		return true;
	}

	#hasRoom(chain: Chain): boolean {
		if (this.#inFlightBytes >= AGENT_LIMITS.windowBytesMax) return false;
		return chain.lane !== "bulk" || this.#bulkInFlightBytes < this.#bulkDepth.bytes;
	}

	/** Whether the oldest batch in flight waits so long for its receipt, and nothing of its stream was receipted meanwhile. */
	#isOverdue({ inFlight, movedAtMs }: Progress, afterMs: number): boolean {
		const oldest = inFlight[0];
		return oldest !== undefined && this.#options.monotonicMs() - Math.max(oldest.sentAtMs, movedAtMs) >= afterMs;
	}

	/** Sends from there again: what is in flight counts as lost. */
	#goBack(chain: Chain, to: number): void {
		this.#land(chain.id, () => true);
		this.#progressOf(chain).next = Math.max(1, to);
	}

	/** Takes out of the window what the predicate names. */
	#land(id: string, hasLanded: (seq: number) => boolean): void {
		const progress = this.#progress.get(id);
		if (progress === undefined) return;
		const landed = progress.inFlight.filter(({ seq }) => hasLanded(seq));
		const kept = progress.inFlight.filter(({ seq }) => !hasLanded(seq));
		progress.inFlight.splice(0, progress.inFlight.length, ...kept);
		const bytes = landed.reduce((sum, each) => sum + each.bytes, 0);
		this.#inFlightBytes -= bytes;
		if (progress.lane === "bulk") this.#bulkInFlightBytes -= bytes;
	}

	receipt(body: FrameBody<"receipt">): void {
		const { agent, outbox } = this.#options;
		if (body.agent !== agent) return;
		const id = hexOf(body.stream);
		if (body.level === "a2" && !this.#isInCustody(id, body)) return;
		const progress = this.#progress.get(id);
		this.#measure(progress, body.seq);
		this.#land(id, (seq) => seq <= body.seq);
		if (progress !== undefined && outbox.acknowledge(id, body.level, body.seq)) {
			progress.rewinds = 0;
			progress.rests = 0;
			progress.movedAtMs = this.#options.monotonicMs();
			this.#shownAtMs = null;
		}
		this.#options.refusals.taken(id, body.seq);
		this.pump();
	}

	/** How long the newest of what a receipt names was on its way. */
	#measure(progress: Progress | undefined, seq: number): void {
		const newest = progress?.inFlight.findLast((each) => each.seq <= seq);
		if (progress?.lane !== "bulk" || newest === undefined) return;
		const nowMs = this.#options.monotonicMs();
		this.#bulkDepth.heard(nowMs - newest.sentAtMs, nowMs);
	}

	/** Whether an A2 receipt says something new and proves it. */
	#isInCustody(id: string, body: FrameBody<"receipt">): boolean {
		const { outbox, log } = this.#options;
		const chain = this.#chain(id);
		// A bulk lane is freed by A1; a stream that is not here any more was shed or is history. Neither learns from an A2.
		if (chain === undefined || chain.lane === "bulk" || body.seq <= chain.a2) return false;
		const refusal = body.seq > chain.head ? "custody_ahead" : this.#judgeCustody(outbox.read(chain, body.seq), body);
		if (refusal === null) return true;
		log("custody_refused", { lane: chain.lane, reason: refusal });
		// Our disk is an older one that was put back: upstream has another history of this stream, which no proof will free.
		// So has it when the proof is of a batch behind all that this hop has of us: no other proof will come for what lies here.
		const isBehindOurs = body.seq > sendableTo(chain) && chain.a1 >= sendableTo(chain);
		if ((refusal === "custody_body_mismatch" || isBehindOurs) && !isFreed(chain))
			this.#reseal(chain, freedTo(chain) + 1, null);
		return false;
	}

	/** Null when the proof holds for the batch as it lies in the outbox. */
	#judgeCustody(held: Uint8Array | null, body: FrameBody<"receipt">): CustodyRefusal | null {
		const { agent, ledger, trust } = this.#options;
		const { enclave, ledgerOrigin, ledgerKey } = trust();
		if (body.custody === undefined) return "custody_missing";
		if (held === null) return "custody_unreadable";
		if (!isKeyName(ledgerOrigin)) return "custody_unproven";
		const batch = readBatch(held);
		assertInvariant(batch.ok, "the outbox returned a batch that does not read");
		const proven = verifyCustody(body.custody, {
			log: { origin: ledgerOrigin, keys: [ed25519Verifier(ledgerOrigin, ledgerKey)] },
			agentUri: nodeUri({ enclave, role: "agent", id: agent }),
			stream: body.stream,
			seq: body.seq,
			headerBytes: batch.value.headerBytes,
		});
		if (!proven.ok) return proven.code;
		return ledger.take(proven.value.checkpoint) ? null : "ledger_went_back";
	}

	reject(body: FrameBody<"reject">): void {
		const { log } = this.#options;
		log("batch_refused", { reason: body.code });
		if (body.stream === undefined || body.seq === undefined) return;
		const chain = this.#chain(hexOf(body.stream));
		if (chain === undefined) {
			// It was shed meanwhile: nothing of it is sent again, and what was on the way must not fill the window for ever.
			this.#land(hexOf(body.stream), () => true);
			if (body.code === "skipped") this.#disown(body.stream, body.seq);
			return;
		}
		if (body.code === "skipped") this.#rewind(chain, body.seq);
		else if (isRoomCode(body.code)) this.#rest(chain, body.seq);
		else this.#giveUp(chain, body.seq, body.code);
	}

	/** Somebody above waits for what is nowhere here any more: said once, or those who hold what follows it would wait for ever. */
	#disown(stream: Uint8Array, from: number): void {
		const { refusals, disown } = this.#options;
		const id = hexOf(stream);
		if (this.#disowned.has(id) || !refusals.takeCopy("bulk")) return;
		this.#disowned.add(id);
		disown(stream, from);
	}

	/**
	 * The hop wants `expected` next. Batches that were in flight behind the hole are refused too: one rewind answers all, unless the
	 * batch it sent again was lost as well.
	 */
	#rewind(chain: Chain, expected: number): void {
		// What stands behind the end of a stream went by another.
		if (expected > this.#lastOf(chain)) return;
		const progress = this.#progressOf(chain);
		const isOnItsWay = progress.inFlight[0]?.seq === expected && !this.#isOverdue(progress, AGENT_LIMITS.rejectRestMs);
		if (progress.next <= expected || isOnItsWay) return;
		this.#land(chain.id, () => true);
		// The hop that acknowledged it has lost it, and history here no longer goes so far back: the hole gets its name.
		if (chain.lane === "bulk" && expected <= freedTo(chain) && this.#options.outbox.read(chain, expected) === null) {
			this.#reseal(chain, expected, LOST_UPSTREAM);
			return;
		}
		progress.rewinds++;
		if (progress.rewinds > AGENT_LIMITS.rewindsMax) {
			this.#reseal(chain, freedTo(chain) + 1, null);
			return;
		}
		progress.next = Math.max(1, expected);
		this.pump();
	}

	#rest(chain: Chain, seq: number): void {
		const progress = this.#progressOf(chain);
		this.#land(chain.id, (each) => each >= seq);
		progress.next = Math.min(progress.next, Math.max(seq, 1));
		// A hop without room refuses the whole window: what it would cost both to send it again is not asked for twice.
		const restMs = Math.min(AGENT_LIMITS.rejectRestMs * 2 ** progress.rests, AGENT_LIMITS.rejectRestMsMax);
		progress.rests++;
		progress.restUntilMs = this.#options.monotonicMs() + restMs;
	}

	/**
	 * The hop will not take this batch, and what follows it goes by another stream. Whether the batch itself is at fault is judged here:
	 * where it is not ours as it lies, or only its number is another's, its events are good and go too. Bulk is freed by this hop's word
	 * in any case. A sound trace or alert batch is kept: it is shown again later, here and to every other hop.
	 */
	#giveUp(chain: Chain, seq: number, code: string): void {
		// Bulk that a hop acknowledged before another knew it for a second history has been freed by nobody who has it.
		const isFreedHistory = seq <= freedTo(chain) && !(code === "forked" && chain.lane === "bulk");
		if (isFreedHistory || seq > this.#lastOf(chain)) return;
		// What our own gap record names was sealed again before a crash could end its stream: once more rather than not at all.
		const isNamed = code === "gap_named" && chain.lane !== "bulk";
		if (code === "forked" || isNamed || !this.#isSound(chain, seq)) this.#reseal(chain, seq, null);
		else this.#reseal(chain, seq, chain.lane === "bulk" ? `refused: ${code}` : { keptFor: code });
	}

	/** Whether an honest hop that knows our key would take the batch. */
	#isSound(chain: Chain, seq: number): boolean {
		const { agent, publicKey, outbox } = this.#options;
		const held = outbox.read(chain, seq);
		const batch = held === null ? null : readBatch(held);
		return batch?.ok === true && batch.value.header.agent === agent && verifyBatch(batch.value, publicKey).ok;
	}

	/**
	 * The stream ends here, or before here. Marked first: sealing again brings new batches, and they are sent before this returns.
	 * Damage of our own disk is repaired whatever it costs; what a hop causes has its bounds, and takes no other evidence's room.
	 */
	#reseal(chain: Chain, from: number, fate: FirstBatch): void {
		const { refusals, monotonicMs, reseal, log } = this.#options;
		this.#land(chain.id, (seq) => seq >= from);
		const progress = this.#progressOf(chain);
		progress.rewinds = 0;
		progress.next = Number.MAX_SAFE_INTEGER;
		const keptFor = typeof fate === "object" && fate !== null ? fate.keptFor : null;
		const isKept = keptFor !== null && refusals.keptOf(chain)?.seq === from;
		if (!isKept && fate !== "outbox_damaged" && !this.#mayReseal(chain, from, keptFor)) {
			if (progress.ending === null) log("reseal_put_off", { lane: chain.lane });
			progress.ending = { from, fate };
			progress.restUntilMs = monotonicMs() + AGENT_LIMITS.resealRestMs;
			return;
		}
		progress.ending = null;
		if (keptFor === null) refusals.forget(chain);
		else {
			refusals.refused(chain, from, keptFor);
			progress.next = from;
		}
		// What followed a batch that is kept went its way at the first refusal.
		if (!isKept) reseal(chain, from, fate);
	}

	#mayReseal(chain: Chain, from: number, keptFor: string | null): boolean {
		const { refusals, outbox } = this.#options;
		if (keptFor !== null && !refusals.hasPlace(chain)) return false;
		return outbox.hasRoomToCopy(chain, keptFor === null ? from : from + 1) && refusals.takeCopy(chain.lane);
	}
}
