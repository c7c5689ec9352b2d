/** The time axis: moments to pixels and back, round tick times, zooming and panning inside bounds. Pure. */
import { isoText } from "../state/time-text.ts";
import type { TimeWindow } from "../state/url-state.ts";

/** Closer than this, kernel order decides and not the picture. */
export const WINDOW_MS_MIN = 2;

const STEPS_MS = [
	1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
	900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 43_200_000, 86_400_000,
];

export function xOf(ms: number, window: TimeWindow, width: number): number {
	return ((ms - window.startMs) / (window.endMs - window.startMs)) * width;
}

export function msAt(x: number, window: TimeWindow, width: number): number {
	return window.startMs + (x / width) * (window.endMs - window.startMs);
}

export interface Tick {
	readonly ms: number;
	readonly label: string;
}

/** Ticks at round UTC times, at least `gapMin` pixels apart. */
export function ticks(window: TimeWindow, width: number, gapMin: number): readonly Tick[] {
	const msPerPixel = (window.endMs - window.startMs) / width;
	const step =
		STEPS_MS.find((each) => each / msPerPixel >= gapMin) ?? 86_400_000 * Math.ceil((msPerPixel * gapMin) / 86_400_000);
	const [from, to] = step < 1000 ? [11, 23] : step < 60_000 ? [11, 19] : step < 86_400_000 ? [11, 16] : [0, 10];
	const found: Tick[] = [];
	for (let ms = Math.ceil(window.startMs / step) * step; ms <= window.endMs; ms += step)
		found.push({ ms, label: isoText(ms)?.slice(from, to) ?? "" });
	return found;
}

/** The window inside the bounds, at least WINDOW_MS_MIN wide; one as wide as the bounds becomes the bounds. */
export function clampWindow(window: TimeWindow, bounds: TimeWindow): TimeWindow {
	const span = Math.max(WINDOW_MS_MIN, window.endMs - window.startMs);
	if (span >= bounds.endMs - bounds.startMs) return bounds;
	const startMs = Math.min(Math.max(window.startMs, bounds.startMs), bounds.endMs - span);
	return { startMs, endMs: startMs + span };
}

/** Scales by `factor` (below 1 zooms in) around a moment that keeps its place. */
export function zoomed(window: TimeWindow, factor: number, aroundMs: number, bounds: TimeWindow): TimeWindow {
	const span = Math.max(WINDOW_MS_MIN, (window.endMs - window.startMs) * factor);
	const share = (aroundMs - window.startMs) / (window.endMs - window.startMs);
	const startMs = aroundMs - span * share;
	return clampWindow({ startMs, endMs: startMs + span }, bounds);
}

/** Moves by a share of the window's width. */
export function panned(window: TimeWindow, share: number, bounds: TimeWindow): TimeWindow {
	const by = (window.endMs - window.startMs) * share;
	return clampWindow({ startMs: window.startMs + by, endMs: window.endMs + by }, bounds);
}

export function isSameWindow(a: TimeWindow, b: TimeWindow): boolean {
	return a.startMs === b.startMs && a.endMs === b.endMs;
}
