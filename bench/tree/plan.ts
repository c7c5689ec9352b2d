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
	/** Batches a second over all agents; absent: as fast as the windows allow. */
	readonly perSecond?: number;
}

export type Order =
	| LoadOrder
	/** Sends what was sealed. */
	| { readonly act: "go" };

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

export type LoadReport =
	| { readonly kind: "ready"; readonly links: LinkTimes; readonly bytes: number }
	| { readonly kind: "done"; readonly result: LoadResult };

/** Asks the prober to send trace batches of one event, so many a second from each agent. */
export interface ProbeOrder {
	readonly act: "probe";
	readonly perSecond: number;
	readonly seconds: number;
}

/** A trace batch that left its outbox, by the machine's clock. */
export interface SentProbe {
	readonly stream: string;
	readonly seq: number;
	readonly atMs: number;
}

export type ProbeReport =
	| { readonly kind: "connected" }
	| { readonly kind: "probed"; readonly sent: readonly SentProbe[] }
	| { readonly kind: "command"; readonly agent: string; readonly commandId: string; readonly atMs: number };

export interface StormOrder {
	/** `prepare` connects and seals; `watch` notes the time and sends what is waiting as links come back. */
	readonly act: "prepare" | "watch";
}

export type StormReport =
	| { readonly kind: "prepared"; readonly links: LinkTimes }
	/** From `watch` to each agent's acknowledgement, milliseconds; tries that failed. */
	| { readonly kind: "calm"; readonly ackedMs: readonly number[]; readonly failedTries: number };

export type CrowdOrder =
	/** Links the agents up to this number; those who are linked send from then on. */
	| { readonly act: "grow"; readonly to: number }
	/** Ends the links beyond this number. */
	| { readonly act: "shrink"; readonly to: number }
	/** Asks what happened since the last pulse. */
	| { readonly act: "pulse" };

export interface Pulse {
	readonly kind: "pulse";
	readonly linked: number;
	readonly sentEvents: number;
	readonly takenEvents: number;
	readonly storedBatches: number;
	/** From the send of a batch to its A1. */
	readonly ackMs: { readonly p50: number; readonly p99: number };
	/** How long the oldest batch without A1 waits. */
	readonly oldestMs: number;
	/** Links that ended by themselves since the beginning, by what was said. */
	readonly ended: readonly (readonly [string, number])[];
	readonly cpuSeconds: number;
}

export type CrowdReport =
	| { readonly kind: "grown"; readonly links: LinkTimes; readonly failed: readonly (readonly [string, number])[] }
	| { readonly kind: "shrunk" }
	| Pulse;
