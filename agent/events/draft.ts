/**
 * Events before they have a place in a stream, and the agent's own ones: gaps, answers, seals. A draft gets its sequence when
 * its batch is sealed, so nothing is renumbered when a stream ends.
 */
import type { Event, EventKind, EventPayload } from "#core/model/event.ts";
import { ZERO_PROCESS } from "#core/model/event.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import type { LostRange } from "../capture/loss.ts";
import type { HostClock } from "../clock.ts";

export type EventDraft = Omit<Event, "seq">;

/** Text of the kernel's bytes, cut to what a field holds. */
export function cutText(text: string, lengthMax: number): string {
	return text.length <= lengthMax ? text : text.slice(0, lengthMax);
}

/** An event that the agent itself has to tell; it belongs to no process. */
export function agentEvent(clock: HostClock, kind: EventKind, payload: EventPayload): EventDraft {
	const { cause } = payload;
	return {
		kind,
		process: ZERO_PROCESS,
		kernelTimeNs: clock.kernelNowNs(),
		wallTimeMs: clock.nowMs(),
		tier: "agent",
		payload: cause === undefined ? payload : { ...payload, cause: cutText(cause, MODEL_LIMITS.sentenceLengthMax) },
	};
}

export function cpuGap(clock: HostClock, lost: LostRange): EventDraft {
	const { cpu, from, to, cause } = lost;
	return agentEvent(clock, "gap", { gapScope: "cpu", gapCpu: cpu, gapFrom: from, gapTo: to, cause });
}

/** Events that were given up without numbers: how many, why, and when that began. */
export function countGap(
	clock: HostClock,
	{ count, cause, agoMs }: { readonly count: number; readonly cause: string; readonly agoMs: number },
): EventDraft {
	const sinceNs = clock.kernelNowNs() - BigInt(Math.round(agoMs)) * 1_000_000n;
	return agentEvent(clock, "gap", {
		gapScope: "count",
		gapFrom: 1n,
		gapTo: BigInt(count),
		cause,
		sinceNs: sinceNs < 0n ? 0n : sinceNs,
	});
}

export interface StreamRange {
	readonly stream: Uint8Array;
	/** Batch numbers, inclusive. */
	readonly from: number;
	readonly to: number;
}

/** Batches that will never come under these numbers, and why. */
export function streamGap(clock: HostClock, range: StreamRange, cause: string): EventDraft {
	return agentEvent(clock, "gap", {
		gapScope: "stream",
		gapStream: range.stream,
		gapFrom: BigInt(range.from),
		gapTo: BigInt(range.to),
		cause,
	});
}
