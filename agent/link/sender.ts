/**
 * What goes up and what comes back for it: batches in lane priority within a window, receipts, refusals. One sender lives as
 * long as one link. Guarantees: within a stream batches go in order; nothing is freed by an A2 whose checkpoint was not signed by
 * the ledger key of the pinned trust document. Must never free anything by a hop's bare word about A2.
 */
import { hexOf, utf8 } from "#core/bytes/bytes.ts";
import { ed25519Verifier, isKeyName, openCheckpoint } from "#core/ledger/index.ts";
import { LANES } from "#core/model/batch.ts";
import type { FrameBody } from "#core/protocol/index.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import { type Chain, freedTo, sendableTo } from "../outbox/chain.ts";
import type { Outbox } from "../outbox/outbox.ts";

export interface SenderOptions {
	readonly agent: string;
	readonly outbox: Outbox;
	readonly trust: () => TrustDocument;
	readonly log: Log;
	readonly monotonicMs: () => number;
	readonly send: (batch: Uint8Array) => void;
	/** The chain cannot go on here: see `Lanes.reseal`. */
	readonly reseal: (chain: Chain, from: number, cause: string | null) => void;
}

interface Progress {
	/** The next batch to send. */
	next: number;
	/** Sent and not receipted, oldest first. */
	readonly inFlight: { readonly seq: number; readonly bytes: number }[];
	/** Nothing is sent before this. */
	restUntilMs: number;
	rewinds: number;
}

/** A refusal that passes: the batch is sent again (the other one is `skipped`). Everything else is final for the batch. */
const PASSING_CODES: ReadonlySet<string> = new Set(["wal_full"]);

export class Sender {
	readonly #options: SenderOptions;
	readonly #progress = new Map<string, Progress>();
	#inFlightBytes = 0;
	#bulkInFlightBytes = 0;

	constructor(options: SenderOptions, watermarks: FrameBody<"welcome">["watermarks"]) {
		this.#options = options;
		for (const { stream, a1 } of watermarks) {
			const id = hexOf(stream);
			const chain = this.#chain(id);
			if (chain === undefined) continue;
			if (a1 > chain.head) {
				// The hop holds more of this stream than we do: our copy lost its end, and going on would fork it.
				options.log("stream_ahead", { lane: chain.lane });
				if (options.outbox.current(chain.lane) === chain) options.outbox.close(chain.lane);
			}
			options.outbox.acknowledge(id, "a1", a1);
			this.#progress.set(id, { next: a1 + 1, inFlight: [], restUntilMs: 0, rewinds: 0 });
		}
	}

	#chain(id: string): Chain | undefined {
		return this.#options.outbox.chains().find((chain) => chain.id === id);
	}

	#progressOf(chain: Chain): Progress {
		let progress = this.#progress.get(chain.id);
		if (progress === undefined) {
			// Unknown to the hop: everything that is not freed, in order.
			progress = { next: freedTo(chain) + 1, inFlight: [], restUntilMs: 0, rewinds: 0 };
			this.#progress.set(chain.id, progress);
		}
		return progress;
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
		while (progress.next <= sendableTo(chain)) {
			if (!this.#hasRoom(chain)) return false;
			const bytes = outbox.read(chain, progress.next);
			if (bytes === null) {
				// Below the freed mark nothing is missing: another hop has it, and this one asked for more than is kept.
				if (progress.next <= freedTo(chain)) this.#reseal(chain, freedTo(chain) + 1, null);
				else this.#reseal(chain, progress.next, "outbox_damaged");
				return true;
			}
			progress.inFlight.push({ seq: progress.next, bytes: bytes.length });
			progress.next++;
			this.#inFlightBytes += bytes.length;
			if (chain.lane === "bulk") this.#bulkInFlightBytes += bytes.length;
			send(bytes);
		}
		return true;
	}

	#hasRoom(chain: Chain): boolean {
		if (this.#inFlightBytes >= AGENT_LIMITS.windowBytesMax) return false;
		return chain.lane !== "bulk" || this.#bulkInFlightBytes < AGENT_LIMITS.windowBulkBytesMax;
	}

	/** Takes out of the window what the predicate names. */
	#land(id: string, hasLanded: (seq: number) => boolean): void {
		const progress = this.#progress.get(id);
		if (progress === undefined) return;
		const isBulk = this.#chain(id)?.lane === "bulk";
		const landed = progress.inFlight.filter(({ seq }) => hasLanded(seq));
		const kept = progress.inFlight.filter(({ seq }) => !hasLanded(seq));
		progress.inFlight.splice(0, progress.inFlight.length, ...kept);
		const bytes = landed.reduce((sum, each) => sum + each.bytes, 0);
		this.#inFlightBytes -= bytes;
		if (isBulk) this.#bulkInFlightBytes -= bytes;
	}

	receipt(body: FrameBody<"receipt">): void {
		const { agent, outbox, log } = this.#options;
		if (body.agent !== agent) return;
		if (body.level === "a2" && !this.#isCheckpointValid(body.checkpoint)) {
			log("receipt_refused", { reason: "checkpoint_invalid" });
			return;
		}
		const id = hexOf(body.stream);
		this.#land(id, (seq) => seq <= body.seq);
		const progress = this.#progress.get(id);
		if (progress !== undefined && outbox.acknowledge(id, body.level, body.seq)) progress.rewinds = 0;
		this.pump();
	}

	#isCheckpointValid(checkpoint: string | undefined): boolean {
		const { ledgerOrigin, ledgerKey } = this.#options.trust();
		if (checkpoint === undefined || !isKeyName(ledgerOrigin)) return false;
		const keys = [ed25519Verifier(ledgerOrigin, ledgerKey)];
		return openCheckpoint(utf8(checkpoint), { origin: ledgerOrigin, keys }).ok;
	}

	reject(body: FrameBody<"reject">): void {
		const { log } = this.#options;
		log("batch_refused", { reason: body.code });
		const chain = body.stream === undefined ? undefined : this.#chain(hexOf(body.stream));
		if (chain === undefined || body.seq === undefined) return;
		if (body.code === "skipped") this.#rewind(chain, body.seq);
		else if (PASSING_CODES.has(body.code)) this.#rest(chain, body.seq);
		else this.#giveUp(chain, body.seq, body.code);
	}

	/** The hop wants `expected` next. Batches that were in flight behind the hole are refused too: one rewind answers all. */
	#rewind(chain: Chain, expected: number): void {
		const progress = this.#progressOf(chain);
		const isAnswered = progress.next <= expected || progress.inFlight[0]?.seq === expected;
		if (isAnswered) return;
		this.#land(chain.id, () => true);
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
		progress.restUntilMs = this.#options.monotonicMs() + AGENT_LIMITS.rejectRestMs;
	}

	/** The hop will never take this batch: what follows it goes by another stream, and the gap record names it. */
	#giveUp(chain: Chain, seq: number, code: string): void {
		if (seq <= freedTo(chain) || seq > sendableTo(chain)) return;
		this.#reseal(chain, seq, `refused: ${code}`);
	}

	/** The stream ends here. Marked first: sealing again brings new batches, and they are sent before this returns. */
	#reseal(chain: Chain, from: number, cause: string | null): void {
		this.#land(chain.id, (seq) => seq >= from);
		const progress = this.#progressOf(chain);
		progress.rewinds = 0;
		progress.next = Number.MAX_SAFE_INTEGER;
		this.#options.reseal(chain, from, cause);
	}
}
