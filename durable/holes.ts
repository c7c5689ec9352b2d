/**
 * Holes of a channel's streams that no refusal would show, because nothing follows them: what a gap record speaks over without naming
 * it, and any whose time is over. At the Security Center, where a hole that nobody names is an alarm in its time.
 */
import type { ChannelStore } from "./channel-store.ts";
import type { NamedGap } from "./drain.ts";
import { HOLE_MARKS } from "./hole-marks.ts";
import { CHANNEL_LIMITS } from "./limits.ts";

type Streams = Pick<ChannelStore, "streams" | "stream" | "markHole" | "markHoleAlarmed" | "gaps">;

/** Makes alarms of holes whose time is over; answers when the next one's is. */
export function alarmHoles(store: Streams, nowMs: number): number | null {
	const { holeAlarmMs } = CHANNEL_LIMITS;
	const young: number[] = [];
	for (const { stream, holeSinceMs } of store.streams()) {
		if (holeSinceMs === null || holeSinceMs >= HOLE_MARKS.filled) continue;
		if (nowMs - holeSinceMs >= holeAlarmMs) store.markHoleAlarmed(stream);
		else young.push(holeSinceMs + holeAlarmMs);
	}
	return young.length === 0 ? null : Math.min(...young);
}

/**
 * Keeps what an agent says will not come. A batch before that which is not here either is a hole, though nothing behind it ever comes;
 * answers whether there is such a one.
 */
export function noteGaps(store: Streams, gaps: readonly NamedGap[], nowMs: number): boolean {
	store.gaps.note(gaps);
	const holes = gaps.flatMap(({ stream, first }) => {
		const row = store.stream(stream);
		return row !== undefined && row.holeSinceMs === null && first > row.state.received + 1 ? [row] : [];
	});
	for (const { stream, lane } of holes) store.markHole(stream, lane, nowMs);
	return holes.length > 0;
}
