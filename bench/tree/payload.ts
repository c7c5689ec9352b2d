/**
 * Sealed and signed batches of a load. Guarantees that each is what an agent would have sealed: own stream, numbers, chain,
 * signature. The events are the same for every agent, so that a thousand agents' load is sealed in seconds; headers and
 * signatures are each agent's own.
 */
import { randomBytes } from "node:crypto";
import { type Lane, sealBatch, sealEvent, ZERO_HASH } from "#core/model/batch.ts";
import { loadDrafts } from "../load-events.ts";

type Sealed = ReturnType<typeof sealEvent>;

/** Events by batch, numbered on from batch to batch. Trace events are signed per agent and are not shared. */
export function shareEvents(batches: number, eventsPerBatch: number, startMs: number): Sealed[][] {
	const drafts = loadDrafts(batches * eventsPerBatch, startMs);
	return Array.from({ length: batches }, (_, batch) =>
		drafts
			.slice(batch * eventsPerBatch, (batch + 1) * eventsPerBatch)
			.map((draft, index) => sealEvent({ ...draft, seq: batch * eventsPerBatch + index }, null)),
	);
}

export interface AgentLoad {
	readonly stream: Uint8Array;
	readonly batches: readonly Uint8Array[];
}

/** One agent's batches in a new stream. */
export function sealLoad(
	agent: { readonly id: string; readonly seed: Uint8Array },
	lane: Lane,
	shared: readonly (readonly Sealed[])[],
): AgentLoad {
	const stream = new Uint8Array(randomBytes(8));
	const nowMs = Date.now();
	let prevHash: Uint8Array = ZERO_HASH;
	let firstEvent = 0;
	const batches = shared.map((events, index) => {
		const header = {
			agent: agent.id,
			stream,
			seq: index + 1,
			prevHash,
			startMs: nowMs,
			endMs: nowMs,
			lane,
			firstEvent,
		};
		const sealed = sealBatch(header, events, agent.seed);
		prevHash = sealed.hash;
		firstEvent += events.length;
		return sealed.bytes;
	});
	return { stream, batches };
}
