/** Replay: moment T runs through the trace at a chosen speed. With reduced motion it advances in four steps a second. */
import { createSignal, onCleanup } from "solid-js";
import type { TraceModel } from "./trace-model.ts";

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64] as const;
const REDUCED_STEP_MS = 250;

export type Playback = ReturnType<typeof createPlayback>;

export function createPlayback(model: TraceModel) {
	const [isPlaying, setPlaying] = createSignal(false);
	const [speed, setSpeed] = createSignal<number>(4);
	const reduced = matchMedia("(prefers-reduced-motion: reduce)");
	let frame = 0;
	let lastMs = 0;

	const stop = () => {
		cancelAnimationFrame(frame);
		setPlaying(false);
	};
	const advance = (nowMs: number) => {
		frame = requestAnimationFrame(advance);
		if (reduced.matches && nowMs - lastMs < REDUCED_STEP_MS) return;
		const { startMs, endMs } = model.bounds();
		const next = (model.cursorMs() ?? startMs) + (nowMs - lastMs) * speed();
		lastMs = nowMs;
		model.control.change({ cursorMs: Math.min(next, endMs) });
		if (next >= endMs) stop();
	};
	const play = () => {
		const { startMs, endMs } = model.bounds();
		const from = model.cursorMs() ?? model.window().startMs;
		model.control.change({ cursorMs: from >= endMs ? startMs : from });
		setPlaying(true);
		lastMs = performance.now();
		frame = requestAnimationFrame(advance);
	};
	const changeSpeed = (by: number) => {
		const at = SPEEDS.indexOf(speed() as (typeof SPEEDS)[number]) + by;
		setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, at))] as number);
	};
	onCleanup(stop);
	return { isPlaying, speed, setSpeed, changeSpeed, stop, toggle: () => (isPlaying() ? stop() : play()) };
}
