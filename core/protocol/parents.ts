/**
 * Which of its parents a node tries next, and when: an agent among its proxies, a proxy among its upstreams. Pure: the clock and the
 * chance are arguments. Guarantees: a parent that does not answer costs one try and a short wait before the next one is tried; a round
 * without success waits longer each time, with full jitter, so that a fleet does not return in step; a preferred parent is taken back only
 * after it answered every probe for a while, each node's while being another one. Must never hold two parents at once: that is the link's.
 */
import { assertInvariant } from "#core/result.ts";

export const PARENT_LIMITS = {
	/** Parents of one node: a site's, a region's, and as many again. */
	listMax: 8,
	/** The longest wait before the next parent of the list is tried, and before the first try after a link that was well. */
	hopMs: 500,
	/** The longest wait after the first round in which no parent answered; doubles. */
	roundMs: 500,
	/** Longest wait between rounds: a parent that returns is found within it. */
	roundMsMax: 30_000,
	/** A link that lived so long was well: the order of preference starts anew, as the waits have long done. */
	steadyMs: 60_000,
	/** One try may take this long where another parent waits for its turn: two dead ones still leave a third within ten seconds. */
	tryMsMax: 3000,
	/** How often a preferred parent is asked whether it is there again, while another one serves. */
	probeSecs: 10,
	/** How long it must have answered, and up to twice that: a fleet does not return in step either. */
	stableSecs: 30,
} as const;

export interface ParentTimes {
	readonly probeMs: number;
	readonly stableMs: number;
}

export const DEFAULT_PARENT_TIMES: ParentTimes = {
	probeMs: PARENT_LIMITS.probeSecs * 1000,
	stableMs: PARENT_LIMITS.stableSecs * 1000,
};

/** Doublings from the first wait to the longest. */
const ROUNDS_MAX = Math.ceil(Math.log2(PARENT_LIMITS.roundMsMax / PARENT_LIMITS.roundMs));

export class Parents {
	readonly #count: number;
	readonly #times: ParentTimes;
	/** In [0, 1). */
	readonly #random: () => number;
	#current = 0;
	/** Tries of this round that failed. */
	#tried = 0;
	/** Rounds in which nobody answered, less what links were worth that lived meanwhile. */
	#rounds = 0;
	/** Since when each preferred parent has answered every probe. */
	#goodSinceMs: (number | null)[] = [];
	/** How long this node wants it to have answered, drawn anew for every link. */
	#stableMs = 0;

	/** `count` parents, in order of preference. */
	constructor(count: number, random: () => number, times: ParentTimes = DEFAULT_PARENT_TIMES) {
		assertInvariant(count >= 1 && count <= PARENT_LIMITS.listMax, "a node has one parent or a short list");
		this.#count = count;
		this.#times = times;
		this.#random = random;
	}

	/** The place in the list of the parent to try, or in use. */
	get current(): number {
		return this.#current;
	}

	/** A link is up. */
	up(): void {
		this.#goodSinceMs = Array.from({ length: this.#current }, () => null);
		this.#stableMs = this.#times.stableMs * (1 + this.#random());
	}

	/**
	 * A try failed, or a link ended that had lived for so long; answers how long to wait before `current` is tried. A parent that goes
	 * down again and again is passed over like a dead one; after a steady link the order of preference holds again. A link that ends
	 * at once leaves the waits as they are; a longer one takes back a doubling, and one more with every doubling of its life, so that
	 * a parent that is restarted a few times in a row is found as fast each time.
	 */
	ended(livedMs: number): number {
		if (livedMs >= PARENT_LIMITS.steadyMs) {
			this.#current = 0;
			this.#tried = 0;
			this.#rounds = 0;
			return this.#jitter(PARENT_LIMITS.hopMs);
		}
		const worth = livedMs < PARENT_LIMITS.roundMs ? 0 : 1 + Math.floor(Math.log2(livedMs / PARENT_LIMITS.roundMs));
		this.#rounds = Math.max(0, this.#rounds - worth);
		this.#tried++;
		if (this.#tried < this.#count) {
			this.#current = (this.#current + 1) % this.#count;
			return this.#jitter(PARENT_LIMITS.hopMs);
		}
		this.#tried = 0;
		this.#current = 0;
		const longestMs = Math.min(PARENT_LIMITS.roundMsMax, PARENT_LIMITS.roundMs * 2 ** this.#rounds);
		this.#rounds = Math.min(ROUNDS_MAX, this.#rounds + 1);
		return this.#jitter(longestMs);
	}

	/** How long to wait before the next probe: spread, so that a fleet's probes do not come in step. */
	probeInMs(): number {
		return Math.ceil(this.#times.probeMs * (0.5 + this.#random()));
	}

	/** Hears what a probe found. */
	heard(index: number, isGood: boolean, nowMs: number): void {
		if (index < this.#current) this.#goodSinceMs[index] = isGood ? (this.#goodSinceMs[index] ?? nowMs) : null;
	}

	/** A preferred parent that has been well for long enough to leave the link for it; null when there is none. */
	better(nowMs: number): number | null {
		const index = this.#goodSinceMs.findIndex((sinceMs) => sinceMs !== null && nowMs - sinceMs >= this.#stableMs);
		return index === -1 ? null : index;
	}

	/** The link is left for this parent: it is tried next, at once. */
	moveTo(index: number): void {
		assertInvariant(index >= 0 && index < this.#count, "a parent stands in the list");
		this.#current = index;
		this.#tried = 0;
		this.#goodSinceMs = [];
	}

	#jitter(longestMs: number): number {
		return Math.ceil(this.#random() * longestMs);
	}
}
