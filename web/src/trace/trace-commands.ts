/** What the commands do on a trace page. One table; the keys and the palette come from the catalog. */
import { processId } from "#core/lineage/index.ts";
import type { EventRow } from "../../../workers/sc/api/answers.ts";
import { useCommands } from "../commands/dispatch.ts";
import type { TraceCandidate } from "../signing/trace-form.tsx";
import type { Playback } from "./playback.ts";
import { isSameWindow, panned, zoomed } from "./time-scale.ts";
import type { TraceModel } from "./trace-model.ts";

const ZOOM_FACTOR = 0.6;
const PAN_SHARE = 0.2;

/** What only the page's components can do. */
export interface PageActions {
	readonly openFind: () => void;
	readonly openJump: () => void;
	readonly openExport: () => void;
	readonly openTraceForm: () => boolean;
	readonly openFollow: () => boolean;
	readonly openStop: () => boolean;
	readonly showTab: (tab: "events" | "hops" | "commands") => void;
	/** Whether the keyboard is in the event table. */
	readonly isInTable: () => boolean;
}

export function selectEvent(model: TraceModel, event: EventRow | undefined): void {
	if (event === undefined) return;
	model.selected.reveal({ type: "event", row: event.row }, event.alignedTimeMs);
}

/** The next listed event after the selected one, or after moment T, or the first; `by` is 1 or -1. */
export function stepEvent(model: TraceModel, by: 1 | -1): void {
	const events = model.list.listed();
	const at = events.findIndex(({ row }) => row === model.selected.event()?.row);
	let next = at + by;
	if (at < 0) {
		const fromMs = model.cursorMs() ?? model.selected.node()?.startMs ?? (by > 0 ? -Infinity : Infinity);
		const after = events.findIndex((event) => event.alignedTimeMs >= fromMs);
		next = by > 0 ? (after < 0 ? events.length - 1 : after) : (after < 0 ? events.length : after) - 1;
	}
	const event = events[Math.max(0, Math.min(events.length - 1, next))];
	if (event === undefined) return;
	selectEvent(model, event);
	model.control.change({ cursorMs: event.alignedTimeMs });
}

function stepHit(model: TraceModel, by: 1 | -1): void {
	const pins = model.pins();
	if (pins.length === 0) return;
	const nowMs = model.selected.event()?.alignedTimeMs ?? model.cursorMs() ?? (by > 0 ? -Infinity : Infinity);
	const pin =
		by > 0
			? (pins.find(({ timeMs }) => timeMs > nowMs) ?? pins[0])
			: (pins.findLast(({ timeMs }) => timeMs < nowMs) ?? pins.at(-1));
	if (pin === undefined) return;
	const event = model
		.lineage()
		.nodes.get(pin.nodeId)
		?.events.find(({ alignedTimeMs }) => alignedTimeMs === pin.timeMs);
	if (event) selectEvent(model, event);
	else model.selected.reveal({ type: "process", id: pin.nodeId }, pin.timeMs);
	model.control.change({ cursorMs: pin.timeMs });
}

function collapse(model: TraceModel): void {
	const index = model.selected.rowIndex();
	const row = model.rows()[index];
	if (row === undefined) return;
	if (row.isExpanded) model.control.toggleCollapsed(row.id);
	else if (row.parentIndex >= 0) model.selected.selectRow(row.parentIndex);
}

function expand(model: TraceModel): void {
	const index = model.selected.rowIndex();
	const row = model.rows()[index];
	if (row === undefined) model.selected.selectRow(0);
	else if (row.isExpanded === false) model.control.toggleCollapsed(row.id);
	else if (row.isExpanded) model.selected.selectRow(index + 1);
}

function setAllCollapsed(model: TraceModel, isCollapsed: boolean): void {
	const parents = [...model.lineage().nodes.values()].filter(({ children }) => children.length > 0);
	model.control.change({ collapsed: isCollapsed ? parents.map(({ id }) => id) : [] });
}

/** First the selection fills the window, then the whole trace. */
function focusTime(model: TraceModel): void {
	const node = model.selected.node();
	const hop = model.selected.hop();
	const bounds = model.bounds();
	if (node === null && hop === null) {
		model.control.setWindow(null);
		return;
	}
	const startMs = node?.startMs ?? hop?.timeMs ?? bounds.startMs;
	const endMs = node ? (node.endMs ?? bounds.endMs) : startMs;
	const padding = Math.max(20, (endMs - startMs) * 0.1);
	const focused = { startMs: Math.floor(startMs - padding), endMs: Math.ceil(endMs + padding) };
	const now = model.view().window;
	model.control.setWindow(now !== null && isSameWindow(now, focused) ? null : focused);
}

function moveRow(model: TraceModel, actions: PageActions, by: 1 | -1): void {
	const index = model.selected.rowIndex();
	if (actions.isInTable()) stepEvent(model, by);
	else model.selected.selectRow(index < 0 ? 0 : index + by);
}

function zoomBy(model: TraceModel, factor: number): void {
	const window = model.window();
	const anchorMs = model.selected.event()?.alignedTimeMs ?? model.cursorMs();
	const isInside = anchorMs !== null && anchorMs >= window.startMs && anchorMs <= window.endMs;
	const around = isInside ? anchorMs : (window.startMs + window.endMs) / 2;
	const next = zoomed(window, factor, around, model.bounds());
	model.control.setWindow(isSameWindow(next, model.bounds()) ? null : next);
}

function panBy(model: TraceModel, share: number): void {
	if (model.view().window === null) return;
	model.control.setWindow(panned(model.window(), share, model.bounds()), false);
}

/** One level: the selection, then moment T, then the window. */
function stepOut(model: TraceModel, playback: Playback): boolean {
	if (playback.isPlaying()) playback.stop();
	else if (model.selected.selection() !== null) model.selected.select(null);
	else if (model.cursorMs() !== null) model.control.change({ cursorMs: null });
	else if (model.view().window !== null) model.control.setWindow(null);
	else return false;
	return true;
}

export function useTraceCommands(model: TraceModel, playback: Playback, actions: PageActions): void {
	const lastRow = () => model.rows().length - 1;
	useCommands({
		"row.next": () => moveRow(model, actions, 1),
		"row.previous": () => moveRow(model, actions, -1),
		"row.first": () => (actions.isInTable() ? selectEvent(model, model.list.listed()[0]) : model.selected.selectRow(0)),
		"row.last": () =>
			actions.isInTable() ? selectEvent(model, model.list.listed().at(-1)) : model.selected.selectRow(lastRow()),
		"row.collapse": () => collapse(model),
		"row.expand": () => expand(model),
		"row.collapseAll": () => setAllCollapsed(model, true),
		"row.expandAll": () => setAllCollapsed(model, false),
		"event.next": () => stepEvent(model, 1),
		"event.previous": () => stepEvent(model, -1),
		"hit.next": () => stepHit(model, 1),
		"hit.previous": () => stepHit(model, -1),
		"find.open": actions.openFind,
		"tab.events": () => actions.showTab("events"),
		"tab.hops": () => actions.showTab("hops"),
		"tab.commands": () => actions.showTab("commands"),
		"time.play": playback.toggle,
		"time.faster": () => playback.changeSpeed(1),
		"time.slower": () => playback.changeSpeed(-1),
		"time.jump": actions.openJump,
		"time.zoomIn": () => zoomBy(model, ZOOM_FACTOR),
		"time.zoomOut": () => zoomBy(model, 1 / ZOOM_FACTOR),
		"time.panLeft": () => panBy(model, -PAN_SHARE),
		"time.panRight": () => panBy(model, PAN_SHARE),
		"time.focus": () => focusTime(model),
		"time.back": () => model.control.back(),
		"trace.fromHere": actions.openTraceForm,
		"trace.follow": actions.openFollow,
		"trace.stop": actions.openStop,
		"trace.export": actions.openExport,
		"step.out": () => stepOut(model, playback),
	});
}

/** Ancestors of a process as the trace form offers them, nearest first, itself leading. */
export function candidatesOf(model: TraceModel, agent: string, process: string): TraceCandidate[] {
	const candidates: TraceCandidate[] = [];
	let node = model.lineage().nodes.get(processId(agent, process)) ?? null;
	for (; node !== null; node = node.parent)
		candidates.push({
			process: node.process,
			pid: node.pid ?? 0,
			name: node.name ?? "no name",
			exe: node.exe ?? "",
			hasEnded: node.endMs !== null,
		});
	return candidates;
}
