/**
 * Chains: how the outbox sees a stream. A chain is one stream of one lane, in one or more segments; the next hop takes its
 * batches only in order and without holes. So a chain is the unit that is shed, and a lane with a backlog starts a new chain
 * every other segment, which bounds what one shedding costs.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { Lane } from "#core/model/batch.ts";
import type { Seal } from "../disk-key/disk-seal.ts";

export interface Segment {
	readonly name: string;
	/** Rises over all lanes; the file's place in time. */
	readonly index: number;
	readonly lane: Lane;
	/** Seals and opens its records. */
	readonly seal: Seal;
	/** Sequence of the first batch that this segment may hold. */
	firstSeq: number;
	/** Offset per batch from `firstSeq`; -1 = damaged. */
	readonly offsets: number[];
	bytes: number;
}

export interface Chain {
	readonly lane: Lane;
	readonly stream: Uint8Array;
	/** The stream's id as a map key. */
	readonly id: string;
	readonly segments: Segment[];
	/** Highest batch written. */
	head: number;
	/** Hash of the last batch's header; zeros before the first. */
	lastHash: Uint8Array;
	/** Number of the next event. */
	nextEvent: number;
	/** Highest batch under each receipt. */
	a1: number;
	a2: number;
	/** Highest batch that may still be sent, when that is not the head. */
	end: number | null;
}

export function chainOf(lane: Lane, stream: Uint8Array): Chain {
	return {
		lane,
		stream,
		id: hexOf(stream),
		segments: [],
		head: 0,
		lastHash: new Uint8Array(32),
		nextEvent: 0,
		a1: 0,
		a2: 0,
		end: null,
	};
}

/** Highest batch whose data the lane's receipt has freed: A1 frees bulk, A2 frees trace and alert (DESIGN §6). */
export function freedTo(chain: Chain): number {
	return chain.lane === "bulk" ? chain.a1 : chain.a2;
}

/** Highest batch that the next hop shall get. */
export function sendableTo(chain: Chain): number {
	return chain.end ?? chain.head;
}

export function isFreed(chain: Chain): boolean {
	return freedTo(chain) >= sendableTo(chain);
}

/** Highest batch in a segment; one below its first when it is empty. */
export function lastSeqOf(segment: Segment): number {
	return segment.firstSeq + segment.offsets.length - 1;
}
