/**
 * The time lanes beside the tree: a picture of the same rows. Nothing is reachable only here; whatever a click does, a command does
 * too. Wheel with Control zooms, wheel sideways or with Shift pans, dragging pans.
 */
import { createEffect, createMemo, createSignal, onCleanup, onMount } from "solid-js";
import { beginWork } from "../api/idle.ts";
import { onThemeChange } from "../state/theme.ts";
import { createCanvasRenderer } from "./lane-painter.ts";
import { type LaneScene, targetAt } from "./lane-scene.ts";
import { type Palette, readPalette } from "./palette.ts";
import { isSameWindow, msAt, panned, zoomed } from "./time-scale.ts";
import type { PinnedHit, TraceModel } from "./trace-model.ts";

/** A press that moves less is a click. */
const DRAG_PX_MIN = 4;
const WHEEL_ZOOM = 0.0015;

function createScene(model: TraceModel, size: () => { width: number; height: number }, scrollTop: () => number) {
	const pins = createMemo(() => {
		const byRow = new Map<string, PinnedHit[]>();
		for (const pin of model.pins()) byRow.set(pin.nodeId, [...(byRow.get(pin.nodeId) ?? []), pin]);
		return byRow;
	});
	const partialSince = createMemo(
		() =>
			new Map(
				[...model.partial()].map(([id, views]) => [id, Math.min(...views.map(({ sinceMs }) => sinceMs))] as const),
			),
	);
	return createMemo<LaneScene>(() => {
		const { kinds } = model.view();
		return {
			...size(),
			scrollTop: scrollTop(),
			window: model.window(),
			endMs: model.bounds().endMs,
			rows: model.rows(),
			edges: model.edges(),
			gaps: model.gaps(),
			pins: pins(),
			partialSince: partialSince(),
			starts: model.starts(),
			kinds: kinds.length === 0 ? null : new Set(kinds),
			hueOf: (agent) => model.hostHue().get(agent) ?? 0,
			cursorMs: model.cursorMs(),
			selectedRow: model.selected.rowIndex(),
			selectedEvent: model.selected.event(),
			selectedHop: model.selected.hop()?.id ?? null,
		};
	});
}

function usePointer(canvas: HTMLCanvasElement, model: TraceModel, scene: () => LaneScene): void {
	let press: { x: number; lastX: number; isDrag: boolean } | null = null;
	const setWindow = (window: ReturnType<typeof zoomed>) =>
		model.control.setWindow(isSameWindow(window, model.bounds()) ? null : window, false);
	canvas.addEventListener("pointerdown", (event) => {
		if (event.button !== 0) return;
		press = { x: event.offsetX, lastX: event.offsetX, isDrag: false };
		canvas.setPointerCapture(event.pointerId);
	});
	canvas.addEventListener("pointermove", (event) => {
		if (press === null) return;
		press.isDrag ||= Math.abs(event.offsetX - press.x) >= DRAG_PX_MIN;
		if (press.isDrag) setWindow(panned(model.window(), (press.lastX - event.offsetX) / scene().width, model.bounds()));
		press.lastX = event.offsetX;
	});
	canvas.addEventListener("pointerup", (event) => {
		if (press !== null && !press.isDrag) {
			const target = targetAt(scene(), event.offsetX, event.offsetY);
			if (target?.type === "event") model.selected.select({ type: "event", row: target.event.row });
			else if (target) model.selected.selectRow(target.index);
			else model.control.change({ cursorMs: Math.round(msAt(event.offsetX, model.window(), scene().width)) });
		}
		press = null;
	});
	canvas.addEventListener("pointercancel", () => {
		press = null;
	});
	canvas.addEventListener(
		"wheel",
		(event) => {
			const sideways = event.deltaX !== 0 ? event.deltaX : event.shiftKey ? event.deltaY : 0;
			if (!event.ctrlKey && sideways === 0) return;
			event.preventDefault();
			const window = model.window();
			if (event.ctrlKey) {
				const around = msAt(event.offsetX, window, scene().width);
				setWindow(zoomed(window, Math.exp(event.deltaY * WHEEL_ZOOM), around, model.bounds()));
			} else setWindow(panned(window, sideways / scene().width, model.bounds()));
		},
		{ passive: false },
	);
}

export function Lanes(props: { model: TraceModel; scrollTop: number; height: number }) {
	let canvas!: HTMLCanvasElement;
	const [width, setWidth] = createSignal(0);
	const [palette, setPalette] = createSignal<Palette | null>(null);
	const scene = createScene(
		props.model,
		() => ({ width: width(), height: props.height }),
		() => props.scrollTop,
	);
	onMount(() => {
		const renderer = createCanvasRenderer(canvas);
		usePointer(canvas, props.model, scene);
		const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
		observer.observe(canvas.parentElement as HTMLElement);
		setPalette(readPalette(canvas));
		const stopTheme = onThemeChange(() => setPalette(readPalette(canvas)));
		let frame = 0;
		let end: (() => void) | undefined;
		createEffect(() => {
			const now = scene();
			const colours = palette();
			if (now.width === 0 || now.height === 0 || colours === null) return;
			cancelAnimationFrame(frame);
			end ??= beginWork();
			frame = requestAnimationFrame(() => {
				renderer.paint(now, colours);
				end?.();
				end = undefined;
			});
		});
		onCleanup(() => {
			cancelAnimationFrame(frame);
			end?.();
			observer.disconnect();
			stopTheme();
		});
	});
	return (
		<div class="lanes" style={{ height: `${props.height}px` }}>
			{/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: it takes no focus; the rows beside it say the same in words */}
			<canvas ref={canvas} class="lanes-canvas" aria-hidden="true" data-testid="lanes" />
		</div>
	);
}
