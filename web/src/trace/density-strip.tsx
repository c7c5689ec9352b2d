/**
 * The whole trace in one strip: how many events when, hits, holes, and the window. Dragging brushes a new window, a click moves it
 * there. The same is done by the zoom and pan commands; the strip's label says in words what it shows.
 */
import { createEffect, createMemo, createSignal, onCleanup, onMount } from "solid-js";
import type { EventRow } from "../../../workers/sc/api/answers.ts";
import { onThemeChange } from "../state/theme.ts";
import { clockText, countText, spanText } from "../state/time-text.ts";
import { KIND_GROUP, type KindGroup } from "./event-text.ts";
import { type Palette, readPalette } from "./palette.ts";
import { clampWindow, msAt, xOf } from "./time-scale.ts";
import type { TraceModel } from "./trace-model.ts";

const HEIGHT = 44;
const BIN_PX = 4;
const BRUSH_PX_MIN = 5;
const GROUPS: readonly KindGroup[] = ["process", "network", "file", "record"];

/** Events per bin and group; kinds that are filtered out do not count. */
function countBins(
	events: readonly EventRow[],
	model: TraceModel,
	width: number,
): readonly Record<KindGroup, number>[] {
	const bins = Array.from({ length: Math.max(1, Math.ceil(width / BIN_PX)) }, () => ({
		process: 0,
		network: 0,
		file: 0,
		record: 0,
	}));
	const kinds = new Set(model.view().kinds);
	for (const event of events) {
		if (kinds.size > 0 && !kinds.has(event.kind)) continue;
		const bin = bins[Math.floor(xOf(event.alignedTimeMs, model.bounds(), width) / BIN_PX)];
		if (bin) bin[KIND_GROUP[event.kind]]++;
	}
	return bins;
}

type Bins = ReturnType<typeof countBins>;

function paintStrip(
	context: CanvasRenderingContext2D,
	model: TraceModel,
	palette: Palette,
	strip: { width: number; bins: Bins },
): void {
	const { width, bins } = strip;
	const bounds = model.bounds();
	context.fillStyle = palette.ground;
	context.fillRect(0, 0, width, HEIGHT);
	const most = bins.reduce((max, bin) => Math.max(max, bin.process + bin.network + bin.file + bin.record), 1);
	for (const [index, bin] of bins.entries()) {
		let y = HEIGHT - 2;
		for (const group of GROUPS) {
			// By the square root: a burst must not flatten everything beside it.
			const total = bin.process + bin.network + bin.file + bin.record;
			const height = total === 0 ? 0 : (Math.sqrt(total / most) * (HEIGHT - 12) * bin[group]) / total;
			context.fillStyle = palette[group];
			context.fillRect(index * BIN_PX, y - height, BIN_PX - 1, height);
			y -= height;
		}
	}
	context.strokeStyle = palette.warn;
	context.globalAlpha = 0.6;
	for (const gap of model.gaps()) {
		const right = xOf(gap.endMs, bounds, width);
		const left = Math.min(xOf(gap.startMs, bounds, width), right - 6);
		context.save();
		context.beginPath();
		context.rect(left, 0, right - left, HEIGHT);
		context.clip();
		context.beginPath();
		for (let x = left - HEIGHT; x < right; x += 6) {
			context.moveTo(x, HEIGHT);
			context.lineTo(x + HEIGHT, 0);
		}
		context.stroke();
		context.restore();
	}
	context.globalAlpha = 1;
	for (const { hit, timeMs } of model.pins()) {
		const x = xOf(timeMs, bounds, width);
		context.fillStyle =
			hit.severity === "high" ? palette.bad : hit.severity === "medium" ? palette.warn : palette.muted;
		context.beginPath();
		context.moveTo(x - 4, 0);
		context.lineTo(x + 4, 0);
		context.lineTo(x, 7);
		context.fill();
	}
	const cursorMs = model.cursorMs();
	if (cursorMs !== null) {
		context.fillStyle = palette.accent;
		context.fillRect(xOf(cursorMs, bounds, width) - 0.75, 0, 1.5, HEIGHT);
	}
}

function paintWindow(
	context: CanvasRenderingContext2D,
	palette: Palette,
	width: number,
	range: readonly [number, number] | null,
): void {
	if (range === null) return;
	const [left, right] = range;
	context.fillStyle = palette.veil;
	context.fillRect(0, 0, left, HEIGHT);
	context.fillRect(right, 0, width - right, HEIGHT);
	context.strokeStyle = palette.accent;
	context.lineWidth = 1.5;
	context.strokeRect(left + 0.75, 0.75, Math.max(1, right - left - 1.5), HEIGHT - 1.5);
	context.lineWidth = 1;
}

export function DensityStrip(props: { model: TraceModel }) {
	let canvas!: HTMLCanvasElement;
	const [width, setWidth] = createSignal(0);
	const [palette, setPalette] = createSignal<Palette | null>(null);
	const [brush, setBrush] = createSignal<readonly [number, number] | null>(null);
	const { model } = props;
	// Not again for every step of moment T.
	const bins = createMemo(() => countBins(model.lineage().events, model, width()));
	const shownRange = (): readonly [number, number] | null => {
		const window = model.view().window;
		const brushed = brush();
		if (brushed !== null) return brushed[0] < brushed[1] ? brushed : [brushed[1], brushed[0]];
		return window ? [xOf(window.startMs, model.bounds(), width()), xOf(window.endMs, model.bounds(), width())] : null;
	};
	const finish = () => {
		const range = shownRange();
		const isBrush = brush() !== null && range !== null && range[1] - range[0] >= BRUSH_PX_MIN;
		const at = msAt(brush()?.[0] ?? 0, model.bounds(), width());
		setBrush(null);
		const window = model.view().window;
		if (isBrush) {
			const [startMs, endMs] = range.map((x) => Math.round(msAt(x, model.bounds(), width()))) as [number, number];
			model.control.setWindow(clampWindow({ startMs, endMs }, model.bounds()));
		} else if (window !== null) {
			const half = (window.endMs - window.startMs) / 2;
			model.control.setWindow(clampWindow({ startMs: at - half, endMs: at + half }, model.bounds()));
		} else model.control.change({ cursorMs: Math.round(at) });
	};
	onMount(() => {
		const context = canvas.getContext("2d", { alpha: false });
		const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
		observer.observe(canvas.parentElement as HTMLElement);
		setPalette(readPalette(canvas));
		const stopTheme = onThemeChange(() => setPalette(readPalette(canvas)));
		createEffect(() => {
			const colours = palette();
			const ratio = devicePixelRatio || 1;
			if (context === null || colours === null || width() === 0) return;
			canvas.width = Math.round(width() * ratio);
			canvas.height = Math.round(HEIGHT * ratio);
			context.setTransform(ratio, 0, 0, ratio, 0, 0);
			paintStrip(context, model, colours, { width: width(), bins: bins() });
			paintWindow(context, colours, width(), shownRange());
		});
		onCleanup(() => {
			observer.disconnect();
			stopTheme();
		});
	});
	const label = () => {
		const { startMs, endMs } = model.window();
		const gaps = model.gaps().length;
		return `${countText(model.lineage().events.length, "event")}, ${countText(model.pins().length, "hit")}, ${countText(gaps, "gap")}. Shown: ${clockText(startMs)} to ${clockText(endMs)} UTC, ${spanText(endMs - startMs)}.`;
	};
	return (
		<div class="strip">
			<canvas
				ref={canvas}
				class="strip-canvas"
				role="img"
				aria-label={label()}
				data-testid="density"
				onPointerDown={(event) => {
					if (event.button !== 0) return;
					canvas.setPointerCapture(event.pointerId);
					setBrush([event.offsetX, event.offsetX]);
				}}
				onPointerMove={(event) => {
					const from = brush();
					if (from !== null) setBrush([from[0], Math.max(0, Math.min(width(), event.offsetX))]);
				}}
				onPointerUp={finish}
				onPointerCancel={() => setBrush(null)}
			/>
		</div>
	);
}
