/** What the bench and its load generator, a process of its own, say to each other over Node's channel. */
import type { Lane } from "#core/model/batch.ts";
import type { SimulatedAgent } from "./identities.ts";

/** Where a load goes; every way is TLS with a client certificate of the same enclave. */
export type Destination =
	| { readonly kind: "tree"; readonly port: number; readonly serverName: string; readonly serverUri: string }
	| { readonly kind: "redis" | "nats"; readonly port: number; readonly serverName: string };

/** First word to the generator. */
export interface LoadPlan {
	readonly destination: Destination;
	/** PEM of the root. */
	readonly ca: string;
	readonly agents: readonly SimulatedAgent[];
	readonly windowBytes: number;
}

/** One load: sealed and signed before it is timed. */
export interface LoadOrder {
	readonly act: "load";
	readonly lane: Lane;
	/** The first so many agents. */
	readonly agentCount: number;
	readonly batchesPerAgent: number;
	readonly eventsPerBatch: number;
	/** The same payloads so often; a tree takes each batch once. */
	readonly repeats: number;
	/** Whether the load is over with the last A2, or with the last A1. */
	readonly until: "a1" | "a2";
}

export type Order =
	| LoadOrder
	/** Sends what was sealed. */
	| { readonly act: "go" }
	| { readonly act: "close" };

export interface LoadResult {
	readonly batches: number;
	readonly events: number;
	readonly bytes: number;
	/** From the first batch sent to the last acknowledgement. */
	readonly a1Ms: number;
	/** The same to the last A2; null where nobody waited for it. */
	readonly a2Ms: number | null;
	/** CPU seconds of the generator meanwhile. */
	readonly cpuSeconds: number;
	/** Per batch, from the send to its acknowledgement. */
	readonly ackMs: { readonly p50: number; readonly p99: number };
}

export interface LinkTimes {
	/** From the first connection begun to the last agent let in. */
	readonly allMs: number;
	/** Of each agent alone, from its own begin to its welcome. */
	readonly eachMs: readonly number[];
}

export type Report =
	| { readonly kind: "ready"; readonly links: LinkTimes; readonly bytes: number }
	| { readonly kind: "done"; readonly result: LoadResult }
	| { readonly kind: "closed" }
	| { readonly kind: "trouble"; readonly detail: string };
