/**
 * A stream that is refused for a hole, from its first refusal to the end of its alarm: a time, and then a mark in the place of that
 * time, because a channel is evicted in between and must find it again. Guarantees that the alarm is told once for a hole, that it is
 * told to be over when the missing batches come after all, and that one that was never told is not told to be over. Pure.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { Lane } from "#core/model/batch.ts";
import type { ChannelAlarm } from "./drain.ts";

/** Later than any clock: no hole counts its time from one of them. */
export const HOLE_MARKS = {
	/** The alarm stands. */
	told: Number.MAX_SAFE_INTEGER,
	/** It is to be told. */
	due: Number.MAX_SAFE_INTEGER - 1,
	/** It stands and is to be told to be over. */
	filled: Number.MAX_SAFE_INTEGER - 2,
} as const;

/** What a hole's time or mark becomes when the next batch comes. */
export function afterFill(mark: number | null): number | null {
	return mark === HOLE_MARKS.told || mark === HOLE_MARKS.filled ? HOLE_MARKS.filled : null;
}

/** What it becomes when the alarm, or its end, was told; `mark` is as it is then, not as it was when the telling began. */
export function afterTold(toldMark: number, mark: number | null): number | null {
	if (toldMark === HOLE_MARKS.filled) return mark === HOLE_MARKS.filled ? null : mark;
	return mark === HOLE_MARKS.due ? HOLE_MARKS.told : HOLE_MARKS.filled;
}

/** One alarm per stream, however often it has a hole. */
export function holeAlarm(
	mark: number | null,
	{ stream, lane, received }: { readonly stream: Uint8Array; readonly lane: Lane; readonly received: number },
): Omit<ChannelAlarm, "agent"> | null {
	if (mark !== HOLE_MARKS.due && mark !== HOLE_MARKS.filled) return null;
	const key = hexOf(stream);
	const detail = `${lane} stream ${key}: batch ${received + 1} has not come, and what follows it is refused until it does`;
	const alarm = { code: "sequence_missing", detail, evidence: null, sameAs: key };
	return mark === HOLE_MARKS.filled ? { ...alarm, isCleared: true } : alarm;
}
