/**
 * The sequence of one stream as a hop sees it. A batch is the next one, a repetition, a hole or a fork; nothing else exists.
 * Pure: the caller keeps the state and makes the verdict durable. Identity is (agent, stream, seq), never a time window.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { ZERO_HASH } from "#core/model/batch.ts";

export interface StreamState {
	/** Highest sequence taken, without holes below; 0 before the first. */
	readonly received: number;
	/** Header hash of that batch; zeros before the first; `UNKNOWN_HASH` where the stream was set back. */
	readonly lastHash: Uint8Array;
}

/** In the place of a hash that this hop no longer knows: the next batch may follow any. */
export const UNKNOWN_HASH = new Uint8Array(0);

export const EMPTY_STREAM: StreamState = { received: 0, lastHash: ZERO_HASH };

export type SequenceVerdict =
	| { readonly verdict: "next"; readonly state: StreamState }
	/** Already taken: absorbed and receipted again. The caller compares hashes where it still holds the old one. */
	| { readonly verdict: "repeated" }
	/** The sender must go back to `expected`. */
	| { readonly verdict: "skipped"; readonly expected: number }
	/** Right number, other predecessor: two histories of one stream (I5). */
	| { readonly verdict: "forked" };

/** Where a batch with this number and predecessor stands against what was taken. */
export function judgeSequence(
	state: StreamState,
	batch: { readonly seq: number; readonly prevHash: Uint8Array; readonly hash: Uint8Array },
): SequenceVerdict {
	const isKnown = state.lastHash.length > 0;
	if (batch.seq <= state.received) {
		const isFork = isKnown && batch.seq === state.received && !equalBytes(batch.hash, state.lastHash);
		return isFork ? { verdict: "forked" } : { verdict: "repeated" };
	}
	if (batch.seq !== state.received + 1) return { verdict: "skipped", expected: state.received + 1 };
	if (isKnown && !equalBytes(batch.prevHash, state.lastHash)) return { verdict: "forked" };
	return { verdict: "next", state: { received: batch.seq, lastHash: batch.hash } };
}
