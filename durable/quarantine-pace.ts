/**
 * How refused items of one cause are told: the first few of an interval one by one, what follows in one count at its end. Pure. So a
 * sender of garbage costs the way up a few frames a minute, and nobody has to guess how much it was.
 */
import { LINK_LIMITS } from "#core/protocol/index.ts";
import { CHANNEL_LIMITS } from "./limits.ts";

/** Of one teller, hop and cause. */
export interface Sum {
	/** When the interval began. */
	readonly sinceMs: number;
	/** Told one by one in it. */
	readonly toldEach: number;
	/** Counted, and not told. */
	readonly more: number;
}

/** What is told in one count ends at what one frame may say. */
export const sumOf = (more: number, count: number): number => Math.min(LINK_LIMITS.keptCountMax, more + count);

/** What one more item, or a count of a hop below, makes of it. */
export function paceNext(
	sum: Sum,
	{ count, nowMs }: { count: number; nowMs: number },
): { sum: Sum; isToldAlone: boolean } {
	const { quarantineSumMs, quarantineToldEachMax } = CHANNEL_LIMITS;
	// A beginning that is still to come is of a clock that has been set back.
	const isOver = nowMs - sum.sinceMs >= quarantineSumMs || sum.sinceMs > nowMs;
	const now = isOver && sum.more === 0 ? { sinceMs: nowMs, toldEach: 0, more: 0 } : sum;
	if (now.more === 0 && now.toldEach < quarantineToldEachMax)
		return { sum: { ...now, toldEach: now.toldEach + 1 }, isToldAlone: true };
	return { sum: { ...now, more: sumOf(now.more, count) }, isToldAlone: false };
}
