/** What a load needs of a destination, the same for the tree and for the yardsticks. */
import type { ConnectionOptions } from "node:tls";

export interface ClientEvents {
	/** How many more batches are durably taken (A1, or what the destination calls so). */
	readonly onTaken: (count: number) => void;
	/** Everything of the load is stored and under a checkpoint up to this batch of the agent. */
	readonly onStored: (seq: number) => void;
	readonly onTrouble: (detail: string) => void;
	/** A TraceCommand arrived; the client has confirmed it. */
	readonly onCommand?: (commandId: Uint8Array) => void;
}

/** One agent's connection. */
export interface Client {
	/** Makes a payload ready to be sent, outside of the timed part. */
	readonly prepare: (batch: Uint8Array) => Uint8Array;
	readonly send: (prepared: Uint8Array) => void;
	/** A load begins: what is told from now on is of this stream. */
	readonly begin: (stream: Uint8Array) => void;
	readonly close: () => Promise<void>;
}

/** TLS of one agent to one destination. */
export type ClientTls = Pick<ConnectionOptions, "ca" | "cert" | "key" | "host" | "port" | "servername">;
