// biome-ignore-all lint/a11y/useSemanticElements: a virtual grid cannot be a table element; it holds the focus, names its active row, and its keys are commands
// biome-ignore-all lint/a11y/useFocusableInteractive: a virtual grid cannot be a table element; it holds the focus, names its active row, and its keys are commands
// biome-ignore-all lint/a11y/useKeyWithClickEvents: a virtual grid cannot be a table element; it holds the focus, names its active row, and its keys are commands
// biome-ignore-all lint/a11y/useAriaActivedescendantWithTabindex: a virtual grid cannot be a table element; it holds the focus, names its active row, and its keys are commands
/**
 * The process tree as an ARIA treegrid over virtual rows, with the lanes beside it in one scroll. The grid holds the focus and names
 * the active row (aria-activedescendant), which is always among the drawn rows. Arrow keys and J/K are commands of the page.
 */
import { createEffect, createMemo, createSignal, Index, Match, onCleanup, onMount, Show, Switch } from "solid-js";
import { visibleText } from "#core/lineage/index.ts";
import type { EventRow, Hop } from "../../../workers/sc/api/answers.ts";
import { clockText, countText, spanText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { rowWindow, scrollToShow } from "../widgets/row-window.ts";
import { commandLineText } from "./event-text.ts";
import { HEADER_HEIGHT, ROW_HEIGHT } from "./lane-scene.ts";
import { Lanes } from "./lanes.tsx";
import { type PartialView, partialCauseText } from "./partial-view.ts";
import type { ProcessNode, TraceModel, TraceRow } from "./trace-model.ts";

const ROOT_REASON = {
	parent_not_recorded: "its parent was not recorded",
	parent_outside: "its parent is outside the trace",
	parent_cycle: "its recorded parents contradict each other",
} as const;

export function rootReason(node: ProcessNode): string | null {
	return node.rootCause === null ? null : ROOT_REASON[node.rootCause];
}

/** The arguments a process has now: those of its last exec or of the snapshot. */
export function lastExec(node: ProcessNode): EventRow | undefined {
	return node.events.findLast((event) => event.cmdline !== null);
}

export function hopText(hop: Hop): string {
	const other = hop.followTarget ?? hop.to;
	return other === null ? `${hop.remote} (not seen from its end)` : `${other.agent} · ${other.name} ${other.pid}`;
}

export function confidenceText(hop: Hop): string {
	return `${Math.round(hop.confidence * 100)} % sure`;
}

function PartialChip(props: { views: readonly PartialView[] }) {
	const causes = () => visibleText(props.views.map(({ cause }) => partialCauseText(cause)).join("; "));
	return (
		<span class="chip chip-warn partial-mark" title={causes()} data-testid="partial">
			<span class="wide-only">view may be </span>partial<span class="visually-hidden">: {causes()}</span>
		</span>
	);
}

function ProcessCell(props: { node: ProcessNode; model: TraceModel; hiddenCount: number }) {
	const exec = createMemo(() => lastExec(props.node));
	const hits = () => props.model.pins().filter((pin) => pin.nodeId === props.node.id);
	return (
		<>
			<span class="process-name">
				<Foreign text={props.node.name ?? "no name"} />
			</span>
			<span class="mono muted">{props.node.pid ?? "?"}</span>
			<Show when={hits().length > 0}>
				<span class="pin" classList={{ "pin-high": hits().some((pin) => pin.hit.severity === "high") }}>
					hit
				</span>
			</Show>
			<Show when={props.model.partial().get(props.node.id)}>{(views) => <PartialChip views={views()} />}</Show>
			<Show when={rootReason(props.node)}>
				{(reason) => (
					<span class="root-mark" title={reason()}>
						root<span class="visually-hidden">: {reason()}</span>
					</span>
				)}
			</Show>
			<Show when={exec()}>
				{(event) => (
					<span class="cmdline muted" classList={{ masked: event().isMasked }}>
						<Foreign text={commandLineText(event().cmdline ?? [])} />
					</span>
				)}
			</Show>
			<Show when={props.hiddenCount > 0}>
				<span class="chip chip-plain">+{props.hiddenCount} hidden</span>
			</Show>
		</>
	);
}

function RowCell(props: { row: TraceRow; model: TraceModel }) {
	return (
		<Switch>
			<Match when={props.row.kind === "host" && props.row}>
				{(row) => (
					<>
						<span class={`host-mark host-${(props.model.hostHue().get(row().agent) ?? 0) + 1}`} aria-hidden="true" />
						<span class="strong mono">
							<Foreign text={row().agent} />
						</span>
						<span class="muted">
							{row().processCount === 0 ? "no events yet" : countText(row().processCount, "process", "processes")}
							<Show when={props.model.hostOf(row().agent)}>
								{(host) => (
									<>
										{` · clock ${host().clockOffsetMs > 0 ? "+" : ""}${spanText(host().clockOffsetMs)}`}
										{host().seal ? ` · sealed: ${visibleText(host().seal?.cause ?? "", 60)}` : ""}
									</>
								)}
							</Show>
						</span>
						<Show when={row().hiddenCount > 0}>
							<span class="chip chip-plain">+{row().hiddenCount} hidden</span>
						</Show>
					</>
				)}
			</Match>
			<Match when={props.row.kind === "process" && props.row}>
				{(row) => <ProcessCell node={row().node} model={props.model} hiddenCount={row().hiddenCount} />}
			</Match>
			<Match when={props.row.kind === "hop" && props.row}>
				{(row) => (
					<>
						<span class="hop-mark" aria-hidden="true">
							⇢
						</span>
						<span class="hop-to">
							<Foreign text={hopText(row().hop)} />
						</span>
						<span class="muted">{row().hop.to === null ? "not matched yet" : confidenceText(row().hop)}</span>
						<Show when={!row().hop.isFollowed && row().hop.followTarget !== null}>
							<span class="chip chip-accent">not followed</span>
						</Show>
					</>
				)}
			</Match>
		</Switch>
	);
}

function startOf(row: TraceRow): string {
	if (row.kind === "host") return "";
	return clockText(row.kind === "hop" ? row.hop.timeMs : row.node.startMs);
}

function eventCount(row: TraceRow): number {
	return row.kind === "process" ? row.node.events.length : row.kind === "host" ? row.ownEvents.length : 0;
}

/** What the process was at moment T, in a word for the row's class. */
function stateAtT(row: TraceRow, cursorMs: number | null): "future" | "past" | "now" {
	if (cursorMs === null || row.kind === "host") return "now";
	if (row.kind === "hop") return row.hop.timeMs > cursorMs ? "future" : "now";
	if (row.node.startMs > cursorMs) return "future";
	return row.node.endMs !== null && row.node.endMs < cursorMs ? "past" : "now";
}

function GridRow(props: { row: TraceRow; index: number; model: TraceModel; idPrefix: string }) {
	const isSelected = () => props.model.selected.rowIndex() === props.index;
	const state = () => stateAtT(props.row, props.model.cursorMs());
	return (
		<div
			role="row"
			id={`${props.idPrefix}-${props.index}`}
			class={`grid-row row-${props.row.kind} row-${state()}`}
			style={{ top: `${props.index * ROW_HEIGHT}px` }}
			aria-rowindex={props.index + 2}
			aria-level={props.row.level}
			aria-expanded={props.row.isExpanded ?? undefined}
			aria-selected={isSelected()}
			data-row={props.row.id}
			onClick={() => props.model.selected.selectRow(props.index)}
		>
			<div role="gridcell" class="cell-tree" style={{ "padding-left": `${8 + (props.row.level - 1) * 16}px` }}>
				<span
					class="twist"
					classList={{ "twist-none": props.row.isExpanded === null }}
					aria-hidden="true"
					onClick={(event) => {
						event.stopPropagation();
						if (props.row.isExpanded !== null) props.model.control.toggleCollapsed(props.row.id);
					}}
				>
					{props.row.isExpanded === null ? "" : props.row.isExpanded ? "▾" : "▸"}
				</span>
				<RowCell row={props.row} model={props.model} />
				<Show when={state() !== "now"}>
					<span class="at-t">{state() === "past" ? "ended" : "later"}</span>
				</Show>
			</div>
			<div role="gridcell" class="cell-start number muted">
				{startOf(props.row)}
			</div>
			<div role="gridcell" class="cell-count number muted">
				{eventCount(props.row) || ""}
			</div>
		</div>
	);
}

function GridHeader() {
	return (
		<div class="grid-header" role="row" aria-rowindex="1">
			<div role="columnheader" class="cell-tree">
				Process
			</div>
			<div role="columnheader" class="cell-start number">
				Start (UTC)
			</div>
			<div role="columnheader" class="cell-count number">
				Events
			</div>
		</div>
	);
}

export function LineageGrid(props: { model: TraceModel }) {
	const { model } = props;
	const [scrollTop, setScrollTop] = createSignal(0);
	const [height, setHeight] = createSignal(0);
	let scroller!: HTMLDivElement;
	const shown = createMemo(() =>
		rowWindow({
			count: model.rows().length,
			rowHeight: ROW_HEIGHT,
			scrollTop: scrollTop(),
			height: height(),
			kept: model.selected.rowIndex(),
		}).map((index) => ({ index, row: model.rows()[index] as TraceRow })),
	);
	onMount(() => {
		const observer = new ResizeObserver(() => setHeight(scroller.clientHeight));
		observer.observe(scroller);
		onCleanup(() => observer.disconnect());
	});
	createEffect(() => {
		const index = model.selected.rowIndex();
		if (index < 0 || height() === 0) return;
		const view = {
			index,
			rowHeight: ROW_HEIGHT,
			scrollTop: scroller.scrollTop,
			height: height(),
			coveredTop: HEADER_HEIGHT,
		};
		const target = scrollToShow(view);
		if (target !== null) scroller.scrollTop = target;
	});
	return (
		<div class="lineage" ref={scroller} onScroll={() => setScrollTop(scroller.scrollTop)} data-testid="lineage">
			<div
				class="treegrid"
				role="treegrid"
				tabindex="0"
				aria-label="Processes by host"
				aria-rowcount={model.rows().length + 1}
				aria-activedescendant={model.selected.rowIndex() >= 0 ? `lineage-row-${model.selected.rowIndex()}` : undefined}
				data-testid="treegrid"
			>
				<GridHeader />
				<div class="grid-body" role="rowgroup" style={{ height: `${model.rows().length * ROW_HEIGHT}px` }}>
					<Index each={shown()}>
						{(item) => <GridRow row={item().row} index={item().index} model={model} idPrefix="lineage-row" />}
					</Index>
				</div>
			</div>
			<Lanes model={model} scrollTop={scrollTop()} height={height()} />
		</div>
	);
}
