/**
 * Whether a batch that arrived is taken. Pure: the channel hands over what it knows of the agent and its streams. Guarantees the
 * order of questions: readable → this agent's → signed and whole → one lane per stream → next in sequence. So nothing unsigned
 * ever moves a sequence. The bytes taken are the bytes that arrived.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { batchHash, type Lane, type ReadBatch, readBatch, verifyBatch } from "#core/model/batch.ts";
import { EMPTY_STREAM, judgeSequence, type StreamState } from "#core/protocol/index.ts";
import type { WalBatch } from "./drain.ts";
import type { Refusal } from "./faces.ts";

export interface KnownStream {
	readonly lane: Lane;
	readonly state: StreamState;
}

export interface AdmissionContext {
	readonly agent: string;
	readonly signingKey: Uint8Array;
	readonly streamOf: (stream: Uint8Array) => KnownStream | undefined;
	/** Header hash of a batch this hop still holds, to tell a repetition from a fork. */
	readonly heldHash: (stream: Uint8Array, seq: number) => Uint8Array | undefined;
	/** The same of a batch that this hop holds beyond what it has received without a hole. */
	readonly aheadHash: (stream: Uint8Array, seq: number) => Uint8Array | undefined;
	/**
	 * A relay lets the first batch of a stream on a new link start later than it expects: the agent was elsewhere meanwhile, and
	 * whether anything is missing is judged where all paths meet.
	 */
	readonly mayResume: (stream: Uint8Array) => boolean;
	/** The batch of a stream that was refused for want of room and is to come first; nothing after it is taken, or judged missing. */
	readonly heldBackAt: (stream: Uint8Array) => number | undefined;
	/** Whether a gap record of the agent, which is stored, says that the batch does not come in this stream. */
	readonly isNamedGap: (stream: Uint8Array, seq: number) => boolean;
}

export type Admission =
	| { readonly kind: "taken"; readonly batch: WalBatch; readonly state: StreamState }
	| { readonly kind: "repeated"; readonly stream: Uint8Array; readonly lane: Lane }
	/** `lane` is what the header says, where it could be read. */
	| { readonly kind: "refused"; readonly refusal: Refusal; readonly lane: Lane | null };

/** What follows a hole that the agent has named: its events came in another stream, or are lost by name. */
export const GAP_NAMED = "gap_named";

type Place = { readonly stream?: Uint8Array; readonly seq?: number; readonly lane?: Lane };

function refused(code: string, detail: string, { lane, ...at }: Place = {}): Admission {
	return { kind: "refused", refusal: { code, detail, ...at }, lane: lane ?? null };
}

function judge(batch: ReadBatch, hash: Uint8Array, context: AdmissionContext): Admission {
	const { stream, seq, prevHash, lane } = batch.header;
	const at = { stream, seq, lane };
	const known = context.streamOf(stream);
	if (known !== undefined && known.lane !== lane)
		return refused("lane_mismatch", `this stream is of lane ${known.lane}, the batch of lane ${lane}`, at);
	const state = known?.state ?? EMPTY_STREAM;
	const held = context.heldBackAt(stream);
	if (held !== undefined && seq > held)
		return refused("skipped", `batch ${seq} came, ${held} is next`, { stream, lane, seq: held });
	// A stream that was set back has a hole that upstream asked for: it goes on there and nowhere else.
	const isSetBack = state.lastHash.length === 0;
	const isResumed = !isSetBack && seq > state.received + 1 && context.mayResume(stream);
	const base = isResumed ? { received: seq - 1, lastHash: prevHash } : state;
	const verdict = judgeSequence(base, { seq, prevHash, hash });
	switch (verdict.verdict) {
		case "next": {
			const ahead = context.aheadHash(stream, seq);
			if (ahead !== undefined && !equalBytes(ahead, hash))
				return refused("forked", `batch ${seq} is held with other content`, at);
			return { kind: "taken", batch: { stream, seq, lane, bytes: batch.bytes, hash }, state: verdict.state };
		}
		case "repeated": {
			const held = context.heldHash(stream, seq);
			if (held !== undefined && !equalBytes(held, hash))
				return refused("forked", `batch ${seq} is held with other content`, at);
			return { kind: "repeated", stream, lane };
		}
		case "skipped":
			if (context.isNamedGap(stream, seq))
				return refused(GAP_NAMED, `the agent has said that batch ${seq} does not come in this stream`, at);
			return refused("skipped", `batch ${seq} came, ${verdict.expected} is next`, {
				stream,
				lane,
				seq: verdict.expected,
			});
		case "forked":
			return refused("forked", `batch ${seq} does not follow what was taken before it`, at);
	}
}

/** Judges one batch. A refusal carries what is known of stream and number; `skipped` carries the expected number instead. */
export function admitBatch(bytes: Uint8Array, context: AdmissionContext): Admission {
	const read = readBatch(bytes);
	if (!read.ok) return refused(read.code, read.detail);
	const { stream, seq, agent } = read.value.header;
	const at = { stream, seq, lane: read.value.header.lane };
	if (agent !== context.agent) return refused("agent_mismatch", `the batch is of ${agent}`, at);
	const verified = verifyBatch(read.value, context.signingKey);
	if (!verified.ok) return refused(verified.code, verified.detail, at);
	if (seq === 0) return refused("sequence_zero", "sequences start at 1", at);
	return judge(read.value, batchHash(read.value.headerBytes), context);
}
