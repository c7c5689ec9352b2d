/**
 * Draws the lanes. `Renderer` is all that the rest knows, so another way of drawing can stand in its place. This one is Canvas2D:
 * it draws rows on screen only, and marks that fall on one pixel once, so its cost follows the screen and not the trace.
 */
import type { EventRow } from "../../../workers/sc/api/answers.ts";
import { isLookBack, KIND_GROUP, type KindGroup } from "./event-text.ts";
import { firstAt, HEADER_HEIGHT, type LaneScene, laneEvents, ROW_HEIGHT, rowTop, visibleRange } from "./lane-scene.ts";
import type { Palette } from "./palette.ts";
import { ticks, xOf } from "./time-scale.ts";
import type { TraceRow } from "./trace-model.ts";

export interface Renderer {
	/** Draws the whole scene; the palette is the present theme's. */
	paint(scene: LaneScene, palette: Palette): void;
}

const TICK_GAP_PX = 96;
const BAR_HEIGHT = 8;
const GAP_WIDTH_MIN_PX = 8;

type Brush = { readonly context: CanvasRenderingContext2D; readonly scene: LaneScene; readonly palette: Palette };

/** Outline of a mark: a shape per kind group, so that colour is not the only sign: diamond, triangle, square, ring. */
function traceShape(
	context: CanvasRenderingContext2D,
	group: KindGroup,
	at: { x: number; y: number; isDown: boolean },
) {
	const { x, y } = at;
	context.beginPath();
	if (group === "process") {
		context.moveTo(x, y - 5);
		context.lineTo(x + 4, y);
		context.lineTo(x, y + 5);
		context.lineTo(x - 4, y);
	} else if (group === "network") {
		const tip = at.isDown ? 5 : -5;
		context.moveTo(x, y + tip);
		context.lineTo(x + 5, y - tip * 0.8);
		context.lineTo(x - 5, y - tip * 0.8);
	} else if (group === "file") context.rect(x - 3, y - 3, 6, 6);
	else context.arc(x, y, 3.5, 0, 2 * Math.PI);
	context.closePath();
}

/** What came in points down. What was told from memory is hollow. Tampering is a cross that stands out of all. */
function drawMark({ context, palette }: Brush, event: EventRow, { x, y }: { x: number; y: number }): void {
	const group = KIND_GROUP[event.kind];
	if (event.kind === "tamper") {
		context.strokeStyle = palette.bad;
		context.lineWidth = 2.5;
		context.beginPath();
		context.moveTo(x - 4.5, y - 4.5);
		context.lineTo(x + 4.5, y + 4.5);
		context.moveTo(x + 4.5, y - 4.5);
		context.lineTo(x - 4.5, y + 4.5);
		context.stroke();
		context.lineWidth = 1;
		return;
	}
	const isIncoming = event.kind === "accept" || (event.details?.marks?.includes("received") ?? false);
	traceShape(context, group, { x, y, isDown: isIncoming });
	const isHollow = isLookBack(event);
	context.fillStyle = isHollow ? palette.ground : palette[group];
	context.fill();
	if (!isHollow) return;
	context.strokeStyle = palette[group];
	context.lineWidth = 1.5;
	context.stroke();
	context.lineWidth = 1;
}

function drawAxis({ context, scene, palette }: Brush): void {
	const { width, height, window } = scene;
	context.textBaseline = "middle";
	context.font = `11px ${palette.font}`;
	for (const { ms, label } of ticks(window, width, TICK_GAP_PX)) {
		const x = Math.round(xOf(ms, window, width)) + 0.5;
		context.strokeStyle = palette.line;
		context.beginPath();
		context.moveTo(x, HEADER_HEIGHT - 6);
		context.lineTo(x, height);
		context.stroke();
		context.fillStyle = palette.muted;
		const labelWidth = context.measureText(label).width;
		if (x + labelWidth + 6 < width) context.fillText(label, x + 4, HEADER_HEIGHT / 2);
	}
}

function drawSpan({ context, scene, palette }: Brush, row: TraceRow, top: number): void {
	if (row.kind !== "process") return;
	const { window, width, endMs } = scene;
	const start = xOf(row.node.startMs, window, width);
	const end = xOf(row.node.endMs ?? endMs, window, width);
	if (end < 0 || start > width) return;
	const left = Math.max(-2, start);
	const span = Math.max(2, Math.min(width + 2, end) - left);
	const y = top + (ROW_HEIGHT - BAR_HEIGHT) / 2;
	context.fillStyle = palette.hosts[scene.hueOf(row.agent)] as string;
	const isFuture = scene.cursorMs !== null && row.node.startMs > scene.cursorMs;
	context.globalAlpha = isFuture ? 0.12 : 0.38;
	context.fillRect(left, y, span, BAR_HEIGHT);
	context.globalAlpha = isFuture ? 0.25 : 1;
	// A start that was seen has an edge; one from before the trace is open to the left, a running process to the right.
	if (row.node.isStartSeen && start >= 0) context.fillRect(left, y - 2, 2, BAR_HEIGHT + 4);
	if (row.node.endMs !== null && end <= width) context.fillRect(left + span - 2, y - 2, 2, BAR_HEIGHT + 4);
	context.globalAlpha = 1;
	drawPartial({ context, scene, palette }, row.id, { left, right: left + span, top });
}

/** From when on the view of a process may be partial: a broken line under its bar. */
function drawPartial(
	{ context, scene, palette }: Brush,
	id: string,
	span: { left: number; right: number; top: number },
) {
	const sinceMs = scene.partialSince.get(id);
	if (sinceMs === undefined) return;
	const y = span.top + (ROW_HEIGHT + BAR_HEIGHT) / 2 + 2.5;
	context.strokeStyle = palette.warn;
	context.lineWidth = 2;
	context.setLineDash([4, 3]);
	context.beginPath();
	context.moveTo(Math.max(span.left, xOf(sinceMs, scene.window, scene.width)), y);
	context.lineTo(span.right, y);
	context.stroke();
	context.setLineDash([]);
	context.lineWidth = 1;
}

function drawEvents(brush: Brush, row: TraceRow, top: number): void {
	const { scene, context } = brush;
	const { window, width, kinds, cursorMs } = scene;
	const events = laneEvents(row);
	const y = top + ROW_HEIGHT / 2;
	const lastX: Record<string, number> = {};
	for (let i = firstAt(events, window.startMs); i < events.length; i++) {
		const event = events[i] as EventRow;
		if (event.alignedTimeMs > window.endMs) break;
		if (kinds !== null && !kinds.has(event.kind)) continue;
		const look = event.kind === "tamper" ? "tamper" : KIND_GROUP[event.kind];
		const x = Math.round(xOf(event.alignedTimeMs, window, width));
		if (lastX[look] === x) continue;
		lastX[look] = x;
		context.globalAlpha = cursorMs !== null && event.alignedTimeMs > cursorMs ? 0.25 : 1;
		drawMark(brush, event, { x, y });
	}
	context.globalAlpha = 1;
}

/** Holes as hatched bands over the rows of their host, never narrower than can be seen. */
function drawGaps({ context, scene, palette }: Brush, first: number, last: number): void {
	const { window, width, scrollTop, rows } = scene;
	for (const { gap, startMs, endMs } of scene.gaps) {
		const end = xOf(endMs, window, width);
		const start = Math.min(xOf(startMs, window, width), end - GAP_WIDTH_MIN_PX);
		if (end < 0 || start > width) continue;
		const left = Math.max(0, start);
		const right = Math.min(width, end);
		for (let index = first; index <= last; index++) {
			if (rows[index]?.agent !== gap.agent) continue;
			const top = rowTop(index, scrollTop);
			context.save();
			context.beginPath();
			context.rect(left, top, right - left, ROW_HEIGHT);
			context.clip();
			context.fillStyle = palette.ground;
			context.globalAlpha = 0.55;
			context.fillRect(left, top, right - left, ROW_HEIGHT);
			context.globalAlpha = 0.6;
			context.strokeStyle = palette.warn;
			context.beginPath();
			// The hatch is anchored to the page, so that neighbouring rows make one surface.
			const phase = (index * ROW_HEIGHT) % 8;
			for (let x = left - ROW_HEIGHT - ((left + phase) % 8); x < right; x += 8) {
				context.moveTo(x, top + ROW_HEIGHT);
				context.lineTo(x + ROW_HEIGHT, top);
			}
			context.stroke();
			context.restore();
		}
	}
}

/** Where each host's trace began: what is left of the line was told from memory. */
function drawStarts({ context, scene, palette }: Brush, first: number, last: number): void {
	const { window, width, scrollTop, rows } = scene;
	for (let index = first; index <= last; index++) {
		const row = rows[index] as TraceRow;
		const startMs = scene.starts.get(row.agent);
		if (startMs === undefined) continue;
		const top = rowTop(index, scrollTop);
		const x = Math.round(xOf(startMs, window, width)) + 0.5;
		context.fillStyle = palette.veil;
		if (x > 0) context.fillRect(0, top, Math.min(x, width), ROW_HEIGHT);
		if (x < 0 || x > width) continue;
		context.strokeStyle = palette.text;
		context.setLineDash([2, 2]);
		context.beginPath();
		context.moveTo(x, top);
		context.lineTo(x, top + ROW_HEIGHT);
		context.stroke();
		context.setLineDash([]);
		if (row.kind !== "host") continue;
		context.font = `11px ${palette.font}`;
		const label = "trace starts";
		const labelWidth = context.measureText(label).width;
		const labelX = x + labelWidth + 8 < width ? x + 4 : x - labelWidth - 4;
		context.fillStyle = palette.ground;
		context.fillRect(labelX - 2, top + 5, labelWidth + 4, ROW_HEIGHT - 10);
		context.fillStyle = palette.text;
		context.fillText(label, labelX, top + ROW_HEIGHT / 2);
	}
}

function drawPins({ context, scene, palette }: Brush, row: TraceRow, top: number): void {
	for (const { hit, timeMs } of scene.pins.get(row.id) ?? []) {
		const x = xOf(timeMs, scene.window, scene.width);
		if (x < -8 || x > scene.width + 8) continue;
		context.fillStyle =
			hit.severity === "high" ? palette.bad : hit.severity === "medium" ? palette.warn : palette.muted;
		context.fillRect(x - 0.75, top + 2, 1.5, ROW_HEIGHT - 4);
		context.beginPath();
		context.moveTo(x, top + 2);
		context.lineTo(x + 9, top + 5.5);
		context.lineTo(x, top + 9);
		context.fill();
	}
}

function drawHopMark({ context, scene, palette }: Brush, row: TraceRow, top: number): void {
	if (row.kind !== "hop") return;
	const x = xOf(row.hop.timeMs, scene.window, scene.width);
	if (x < -8 || x > scene.width + 8) return;
	context.fillStyle = palette.network;
	context.beginPath();
	context.arc(x, top + ROW_HEIGHT / 2, 4, 0, 2 * Math.PI);
	context.fill();
}

/** Hops as edges between rows: whole lines where the match is good, dashed where it is doubtful, a stub where no end is known. */
function drawEdges({ context, scene, palette }: Brush): void {
	const { window, width, height, scrollTop } = scene;
	for (const { hop, fromIndex, toIndex } of scene.edges) {
		const x = xOf(hop.timeMs, window, width);
		if (x < -40 || x > width + 40) continue;
		const from = rowTop(fromIndex, scrollTop) + ROW_HEIGHT / 2;
		const to = toIndex === null ? from + ROW_HEIGHT * 0.8 : rowTop(toIndex, scrollTop) + ROW_HEIGHT / 2;
		if (Math.max(from, to) < HEADER_HEIGHT || Math.min(from, to) > height) continue;
		const isSelected = hop.id === scene.selectedHop;
		const down = Math.sign(to - from) || 1;
		const bend = Math.min(26, Math.abs(to - from) / 2);
		context.strokeStyle = palette.network;
		context.lineWidth = isSelected ? 2.5 : 1.5;
		context.setLineDash(toIndex === null ? [2, 3] : hop.confidence < 0.7 ? [5, 4] : []);
		context.beginPath();
		context.moveTo(x, from + 4 * down);
		context.bezierCurveTo(x + bend, from + bend * down, x + bend, to - bend * down, x + 7, to);
		context.stroke();
		context.setLineDash([]);
		context.lineWidth = 1;
		if (toIndex === null) continue;
		context.fillStyle = palette.network;
		context.beginPath();
		context.moveTo(x, to);
		context.lineTo(x + 9, to - 4.5);
		context.lineTo(x + 9, to + 4.5);
		context.fill();
		const label = `${Math.round(hop.confidence * 100)} %`;
		context.font = `11px ${palette.font}`;
		const labelY = (from + to) / 2;
		const labelX = Math.min(width - 34, x + bend * 0.75 + 6);
		context.fillStyle = palette.ground;
		context.fillRect(labelX - 2, labelY - 8, context.measureText(label).width + 4, 16);
		context.fillStyle = palette.text;
		context.fillText(label, labelX, labelY);
	}
}

function drawCursor({ context, scene, palette }: Brush): void {
	const { cursorMs, window, width, height } = scene;
	if (cursorMs === null) return;
	const x = Math.round(xOf(cursorMs, window, width)) + 0.5;
	context.fillStyle = palette.veil;
	if (x < width) context.fillRect(Math.max(0, x), HEADER_HEIGHT, width - Math.max(0, x), height - HEADER_HEIGHT);
	if (x < 0 || x > width) return;
	context.strokeStyle = palette.accent;
	context.lineWidth = 1.5;
	context.beginPath();
	context.moveTo(x, HEADER_HEIGHT - 8);
	context.lineTo(x, height);
	context.stroke();
	context.lineWidth = 1;
	context.fillStyle = palette.accent;
	context.beginPath();
	context.moveTo(x - 5, HEADER_HEIGHT - 12);
	context.lineTo(x + 5, HEADER_HEIGHT - 12);
	context.lineTo(x, HEADER_HEIGHT - 5);
	context.fill();
}

function drawSelected({ context, scene, palette }: Brush): void {
	const { selectedEvent, selectedRow, window, width, scrollTop } = scene;
	if (selectedEvent === null || selectedRow < 0) return;
	const x = xOf(selectedEvent.alignedTimeMs, window, width);
	context.strokeStyle = palette.accent;
	context.lineWidth = 2;
	context.beginPath();
	context.arc(x, rowTop(selectedRow, scrollTop) + ROW_HEIGHT / 2, 9, 0, 2 * Math.PI);
	context.stroke();
	context.lineWidth = 1;
}

function drawRows(brush: Brush): void {
	const { context, scene, palette } = brush;
	const { first, last } = visibleRange(scene);
	for (let index = first; index <= last; index++) {
		const row = scene.rows[index] as TraceRow;
		const top = rowTop(index, scene.scrollTop);
		if (index === scene.selectedRow) {
			context.fillStyle = palette.selected;
			context.fillRect(0, top, scene.width, ROW_HEIGHT);
		}
		if (row.kind === "host") {
			context.fillStyle = palette.line;
			context.fillRect(0, top, scene.width, 1);
		}
		drawSpan(brush, row, top);
	}
	drawGaps(brush, first, last);
	drawStarts(brush, first, last);
	for (let index = first; index <= last; index++) {
		const row = scene.rows[index] as TraceRow;
		const top = rowTop(index, scene.scrollTop);
		drawEvents(brush, row, top);
		drawHopMark(brush, row, top);
		drawPins(brush, row, top);
	}
}

export function createCanvasRenderer(canvas: HTMLCanvasElement): Renderer {
	const context = canvas.getContext("2d", { alpha: false });
	return {
		paint(scene, palette) {
			if (context === null) return;
			const ratio = devicePixelRatio || 1;
			const width = Math.round(scene.width * ratio);
			const height = Math.round(scene.height * ratio);
			if (canvas.width !== width || canvas.height !== height) {
				canvas.width = width;
				canvas.height = height;
			}
			context.setTransform(ratio, 0, 0, ratio, 0, 0);
			context.fillStyle = palette.ground;
			context.fillRect(0, 0, scene.width, scene.height);
			const brush: Brush = { context, scene, palette };
			drawAxis(brush);
			context.save();
			context.beginPath();
			context.rect(0, HEADER_HEIGHT, scene.width, scene.height - HEADER_HEIGHT);
			context.clip();
			drawRows(brush);
			drawEdges(brush);
			drawSelected(brush);
			context.restore();
			drawCursor(brush);
		},
	};
}
