/**
 * What hops refused, remembered over links: which trace and alert batches are kept although a hop would not have them, when each is
 * shown again, and how often a stream may still be sealed again at a hop's word. Guarantees: a hop's unsigned word frees nothing of
 * these lanes, and what it can make the agent copy is bounded in time, whatever it says and however many hops say it. Lives as
 * long as the process; after a start a batch that is refused again is kept again.
 */
import type { Lane } from "#core/model/batch.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { type Chain, isFreed } from "../outbox/chain.ts";

/** The last batch of a stream that ended with it, because a hop refused it for good. */
export interface KeptBatch {
	readonly chain: Chain;
	readonly seq: number;
	/** The hop's reason, the newest. */
	readonly code: string;
	readonly refusedTimes: number;
	/** A hop has taken it since: it waits for its proof as any other. */
	readonly isTaken: boolean;
	/** Not shown again on this link before. */
	readonly notBeforeMs: number;
}

interface Copies {
	left: number;
	/** Since when less than all are left. */
	sinceMs: number;
}

export class Refusals {
	readonly #monotonicMs: () => number;
	readonly #kept = new Map<string, KeptBatch>();
	readonly #copies = new Map<Lane, Copies>();

	constructor(monotonicMs: () => number) {
		this.#monotonicMs = monotonicMs;
	}

	/** Batches that hops refused, are kept, and no hop has taken since. */
	waiting(): KeptBatch[] {
		this.#forgetFreed();
		return [...this.#kept.values()].filter(({ isTaken }) => !isTaken);
	}

	keptOf(chain: Chain): KeptBatch | undefined {
		return this.#kept.get(chain.id);
	}

	/** Whether one more may be kept beside its stream; a batch that is kept already has its place. */
	hasPlace(chain: Chain): boolean {
		this.#forgetFreed();
		return this.#kept.has(chain.id) || this.#kept.size < AGENT_LIMITS.refusedKeptMax;
	}

	/** A hop refused the batch, which is now the last of its stream; it rests, twice as long each time. */
	refused(chain: Chain, seq: number, code: string): void {
		const refusedTimes = (this.#kept.get(chain.id)?.refusedTimes ?? 0) + 1;
		const restMs = Math.min(AGENT_LIMITS.refusedRestMs * 2 ** (refusedTimes - 1), AGENT_LIMITS.refusedRestMsMax);
		const notBeforeMs = this.#monotonicMs() + restMs;
		this.#kept.set(chain.id, { chain, seq, code, refusedTimes, isTaken: false, notBeforeMs });
	}

	/** A hop has taken what is kept of this stream. Its place and its count stay: the same hop may refuse it once more. */
	taken(id: string, upTo: number): void {
		const kept = this.#kept.get(id);
		if (kept !== undefined && upTo >= kept.seq) this.#kept.set(id, { ...kept, isTaken: true });
	}

	/** The stream ends before it now: its events go on in another. */
	forget(chain: Chain): void {
		this.#kept.delete(chain.id);
	}

	/** Another link, perhaps to another hop, is asked without rest. */
	startLink(): void {
		const notBeforeMs = this.#monotonicMs();
		for (const [id, kept] of this.#kept) this.#kept.set(id, { ...kept, notBeforeMs });
	}

	/** Takes one of the copies that hops may cause in a lane; false when none is left for now. */
	takeCopy(lane: Lane): boolean {
		const nowMs = this.#monotonicMs();
		const { resealsMax, resealRefillMs } = AGENT_LIMITS;
		const copies = this.#copies.get(lane) ?? { left: resealsMax, sinceMs: nowMs };
		const refilled = Math.floor((nowMs - copies.sinceMs) / resealRefillMs);
		copies.left = Math.min(resealsMax, copies.left + refilled);
		copies.sinceMs = copies.left === resealsMax ? nowMs : copies.sinceMs + refilled * resealRefillMs;
		this.#copies.set(lane, copies);
		if (copies.left === 0) return false;
		copies.left--;
		return true;
	}

	/** Proved to be in custody, or shed with its gap on record. */
	#forgetFreed(): void {
		for (const [id, { chain }] of this.#kept) if (isFreed(chain) || chain.segments.length === 0) this.#kept.delete(id);
	}
}
