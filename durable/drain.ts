/**
 * Where an AgentChannel's batches go. The channel is the same class at a proxy and at the Security Center; only its drain
 * differs: a proxy's Uplink pulls (`read`, `acked`), the Security Center's store is pushed to through `StoreDrain`. Types only:
 * the worker that owns the store implements them. Must never name a table, a database or a route.
 */

import type { NodeProof } from "#core/identity/binding.ts";
import type { AgentStatus } from "#core/identity/hello.ts";
import type { Lane } from "#core/model/batch.ts";
import type { Health } from "#core/protocol/index.ts";
import type { Result } from "#core/result.ts";
import type { LaneDepths } from "./faces.ts";

/** One verified batch on its way to the store, verbatim as it arrived. */
export interface WalBatch {
	/** 8 bytes, random per lane and outbox. */
	readonly stream: Uint8Array;
	/** From 1, without holes within the stream. */
	readonly seq: number;
	readonly lane: Lane;
	/** The whole batch as the agent sealed it. */
	readonly bytes: Uint8Array;
	/** `batchHash` of its header: 32 bytes. */
	readonly hash: Uint8Array;
}

/** What the Security Center hears about an agent: it came, went, or said how it is. */
export interface AgentState {
	readonly agent: string;
	/** Id of the agent's own proxy where its route is known, else of the one that said so. */
	readonly via: string;
	readonly isUp: boolean;
	readonly status?: AgentStatus;
	readonly health?: Health;
	/** When the proxy heard it, by the proxy's clock. */
	readonly heardAtMs: number;
	/** The same moment by this node's clock, where the way here was told. */
	readonly heardHereMs?: number;
	/** Lanes in which batches of the agent wait below; absent: not known. */
	readonly waiting?: readonly Lane[];
	/** Comes with every arrival; already verified. */
	readonly proof?: NodeProof;
}

/** Something a person must see. `code` is stable, `detail` one sentence. */
export interface ChannelAlarm {
	readonly agent: string;
	readonly code: string;
	readonly detail: string;
	/** The bytes that prove it (a forked or forged batch), or null. */
	readonly evidence: Uint8Array | null;
	/** What makes another report the same alarm; absent: the detail. */
	readonly sameAs?: string;
	/** It is over: what was missing came. */
	readonly isCleared?: boolean;
}

/** An item that was refused for good, as people are told of it. */
export interface QuarantinedItem {
	/** The refusal's code and sentence. */
	readonly cause: string;
	readonly detail: string;
	readonly atMs: number;
	/** How many bytes of it are kept there; a part, when the whole was too much. */
	readonly bytesKept: number;
	/** Where it is kept: empty here, `px-2` below, `px-1/px-2` below that. A proxy's own word. */
	readonly hop: string;
	/** The proxy below that brought it here in the agent's name; absent: the agent's own link, or another hop's item. */
	readonly broughtBy?: string;
	/** It speaks for so many items of this cause; absent: for itself. */
	readonly count?: number;
	/** What the item says of itself, as far as it could be read: not believed. */
	readonly stream?: Uint8Array;
	readonly seq?: number;
	readonly lane?: Lane;
}

/** The proof of custody (core/ledger/custody.ts) of one batch: everything of its stream up to it is stored. */
export interface StreamCustody {
	readonly stream: Uint8Array;
	readonly seq: number;
	/** Opaque here; the agent verifies it. */
	readonly proof: string;
}

/** Numbers of a stream of which the agent has said, in a gap record that is stored, that they do not come. */
export interface NamedGap {
	readonly stream: Uint8Array;
	readonly first: number;
	readonly last: number;
}

/** Batches of one agent for the store, in order, all signed by `signingKey`. */
export interface Delivery {
	readonly signingKey: Uint8Array;
	readonly batches: readonly WalBatch[];
	/** Called when the batches are rows: the next ones may come, while the ledger's signature for these is awaited. */
	readonly onStored: () => void;
}

/** What the store says of a delivery. */
export interface Delivered {
	/** What the gap records among the delivered events say of the agent's streams. */
	readonly gaps: readonly NamedGap[];
	/** One per stream, of its highest batch. A stream of which only forked batches came has none. */
	readonly custody: readonly StreamCustody[];
}

export interface StoreDrain {
	/**
	 * Stores in the order given, exactly once by (agent, stream, seq), appends the ledger leaves, and resolves when a signed
	 * checkpoint covers them. May be called again with batches it already has (a crash between its answer and the channel's
	 * write). `drain_unavailable`: nothing is promised, also not after `onStored`; the channel retries.
	 */
	deliver(agent: string, delivery: Delivery): Promise<Result<Delivered, "drain_unavailable">>;
	/** Latest news of an agent. A throw is logged; the next state carries the same facts. */
	onState(state: AgentState): Promise<void>;
	/** Items refused for good, here or at a hop below. Called until it resolves once; takes a repetition. */
	onQuarantine(agent: string, items: readonly QuarantinedItem[]): Promise<void>;
	/** Called until it resolves once: the channel keeps the alarm durably and retries with the same content. */
	onAlarm(alarm: ChannelAlarm): Promise<void>;
	/** How much of an agent waits for the store, said when a delivery failed or fell behind, and once when nothing waits again. */
	onBacklog?(agent: string, depths: LaneDepths): void;
}
