/**
 * What the lanes show, as plain values, and what lies under a point of them. The painter and the pointer read the same scene, so
 * what is clicked is what is drawn. Pure.
 */

import type { GapSpan, HopEdge } from "#core/lineage/index.ts";
import type { EventKind } from "#core/model/event.ts";
import type { Completeness, EventRow, Hop } from "../../../workers/sc/api/answers.ts";
import type { TimeWindow } from "../state/url-state.ts";
import { isLookBack } from "./event-text.ts";
import { xOf } from "./time-scale.ts";
import type { PinnedHit, TraceRow } from "./trace-model.ts";

export const ROW_HEIGHT = 28;
export const HEADER_HEIGHT = 30;
/** How far from a mark a click still means it. */
const REACH_PX = 7;

export type Gap = GapSpan<Completeness["gaps"][number]>;

export interface LaneScene {
	readonly width: number;
	readonly height: number;
	readonly scrollTop: number;
	readonly window: TimeWindow;
	/** Where open spans end: the last moment known. */
	readonly endMs: number;
	readonly rows: readonly TraceRow[];
	readonly edges: readonly HopEdge<Hop>[];
	readonly gaps: readonly Gap[];
	readonly pins: ReadonlyMap<string, readonly PinnedHit[]>;
	/** By process id, from when on its view may be partial. */
	readonly partialSince: ReadonlyMap<string, number>;
	/** By host, when its trace began, where it tells what was before. */
	readonly starts: ReadonlyMap<string, number>;
	/** null: all. */
	readonly kinds: ReadonlySet<EventKind> | null;
	readonly hueOf: (agent: string) => number;
	readonly cursorMs: number | null;
	readonly selectedRow: number;
	readonly selectedEvent: EventRow | null;
	readonly selectedHop: string | null;
}

/**
 * When the trace of each host began, where the host told what was before: with its first event that is not from memory, by its
 * own clock (the lineage as it stood). An answer to the command would come later by what the way to the Security Center took.
 */
export function traceStarts(events: readonly EventRow[]): ReadonlyMap<string, number> {
	const afterMemory = new Map<string, number>();
	const firstSeen = new Map<string, number>();
	for (const event of events) {
		const { agent, alignedTimeMs } = event;
		if (isLookBack(event)) afterMemory.set(agent, Math.max(afterMemory.get(agent) ?? -Infinity, alignedTimeMs + 1));
		else if (event.pid !== null && !firstSeen.has(agent)) firstSeen.set(agent, alignedTimeMs);
	}
	return new Map(
		[...afterMemory].map(([agent, ms]) => [agent, Math.max(ms, firstSeen.get(agent) ?? -Infinity)] as const),
	);
}

/** Index of the first event at or after a moment; events are in order of time. */
export function firstAt(events: readonly { readonly alignedTimeMs: number }[], ms: number): number {
	let low = 0;
	let high = events.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((events[middle] as { alignedTimeMs: number }).alignedTimeMs < ms) low = middle + 1;
		else high = middle;
	}
	return low;
}

/** The rows on screen, as a range of indexes; the header covers the first pixels. */
export function visibleRange(scene: Pick<LaneScene, "scrollTop" | "height" | "rows">): { first: number; last: number } {
	const first = Math.max(0, Math.floor(scene.scrollTop / ROW_HEIGHT));
	const last = Math.min(
		scene.rows.length - 1,
		Math.ceil((scene.scrollTop + scene.height - HEADER_HEIGHT) / ROW_HEIGHT),
	);
	return { first, last };
}

/** Top of a row on the canvas. */
export function rowTop(index: number, scrollTop: number): number {
	return HEADER_HEIGHT + index * ROW_HEIGHT - scrollTop;
}

/** Events that a row's lane shows. */
export function laneEvents(row: TraceRow): readonly EventRow[] {
	return row.kind === "process" ? row.node.events : row.kind === "host" ? row.ownEvents : [];
}

export type LaneTarget =
	| { readonly type: "event"; readonly event: EventRow }
	| { readonly type: "row"; readonly index: number };

/** What lies under a point: the nearest mark of the row within reach, else the row; null outside. */
export function targetAt(scene: LaneScene, x: number, y: number): LaneTarget | null {
	if (y < HEADER_HEIGHT) return null;
	const index = Math.floor((y - HEADER_HEIGHT + scene.scrollTop) / ROW_HEIGHT);
	const row = scene.rows[index];
	if (row === undefined) return null;
	const { window, width } = scene;
	const msPerPixel = (window.endMs - window.startMs) / width;
	const ms = window.startMs + x * msPerPixel;
	let best: EventRow | null = null;
	let bestDistance = REACH_PX;
	const events = laneEvents(row);
	for (let i = firstAt(events, ms - REACH_PX * msPerPixel); i < events.length; i++) {
		const event = events[i] as EventRow;
		const distance = Math.abs(xOf(event.alignedTimeMs, window, width) - x);
		if (event.alignedTimeMs > ms && distance > REACH_PX) break;
		if (scene.kinds !== null && !scene.kinds.has(event.kind)) continue;
		if (distance <= bestDistance) {
			best = event;
			bestDistance = distance;
		}
	}
	return best === null ? { type: "row", index } : { type: "event", event: best };
}
