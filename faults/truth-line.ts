/**
 * What a feeding agent says on its standard output, one JSON array per line: the truth that the store is compared with. Every line is
 * written with one blocking system call before the step that it announces goes on, so a SIGKILL loses none that counts.
 */
import type { Lane } from "#core/model/batch.ts";
import type { ParentTimes } from "#core/protocol/index.ts";

export type TruthLine =
	/** The outbox is open and everything found in it is repaired; ms since the process began. */
	| readonly ["ready", pid: number, ms: number]
	/** These bytes are about to be appended under this number. */
	| readonly ["attempt", lane: Lane, stream: string, seq: number, sha256: string, events: number]
	/** A0: everything of the stream up to this number has been fsynced. */
	| readonly ["held", stream: string, seq: number]
	/** A receipt that the agent believed. */
	| readonly ["ack", stream: string, level: "a1" | "a2", seq: number]
	/** The rounds that were asked for are sealed. */
	| readonly ["fed"]
	/** Everything is freed. */
	| readonly ["freed"]
	| readonly ["log", code: string, fields: Readonly<Record<string, unknown>>];

/** What a feeding agent is told on its standard input, one JSON object per line; its end ends the process. */
export type FeedingOrder =
	| { readonly order: "feed"; readonly feed: Feed }
	| { readonly order: "wire"; readonly wire: Wire }
	| { readonly order: "stop" };

export interface Feed {
	readonly rounds: number;
	readonly everyMs: number;
	/** Events per lane and round. */
	readonly events: number;
	readonly lanes: readonly Lane[];
}

/** What the wire does to batches on their way up. Other frames pass. */
export interface Wire {
	/** One batch in so many is dropped; 0 drops none. */
	readonly dropOneIn: number;
	/** Batches are shuffled within a window of so many; 1 keeps the order. */
	readonly reorderWindow: number;
	readonly seed: number;
}

export interface FeedingConfig {
	readonly agent: string;
	readonly enclave: string;
	/** The node's folder. */
	readonly node: string;
	/** Outbox and its key. */
	readonly directory: string;
	/** In order of preference. */
	readonly hops: readonly { readonly host: string; readonly port: number }[];
	/** When a preferred hop is taken back. */
	readonly parentTimes: ParentTimes;
	/** What a power loss would leave of the outbox is kept here; null keeps none. */
	readonly image: string | null;
	readonly outboxBytesMax: number;
	/** Ends by itself when this is reached; "never" runs until it is told. */
	readonly until: "held" | "freed" | "never";
	readonly feed: Feed | null;
	/** The wall clock of this agent is off by so much. */
	readonly clockOffsetMs: number;
	/** Swings between the offset and its negative every second. */
	readonly isClockStrobing: boolean;
}
