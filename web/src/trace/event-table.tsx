// biome-ignore-all lint/a11y/useSemanticElements: a virtual grid cannot be a table element; it holds the focus, names its active row, and its keys are commands
// biome-ignore-all lint/a11y/useFocusableInteractive: a virtual grid cannot be a table element; it holds the focus, names its active row, and its keys are commands
// biome-ignore-all lint/a11y/useKeyWithClickEvents: a virtual grid cannot be a table element; it holds the focus, names its active row, and its keys are commands
// biome-ignore-all lint/a11y/useAriaActivedescendantWithTabindex: a virtual grid cannot be a table element; it holds the focus, names its active row, and its keys are commands
/**
 * The events of the window as a grid over virtual rows: filtered by kind, searched by our own find with a match count, selected
 * together with tree and lanes.
 */
import { createEffect, createMemo, createSignal, For, Index, onCleanup, onMount, Show } from "solid-js";
import type { EventKind } from "#core/model/event.ts";
import type { EventRow } from "../../../workers/sc/api/answers.ts";
import { clockText, countText } from "../state/time-text.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { rowWindow, scrollToShow } from "../widgets/row-window.ts";
import { RowMark } from "./event-details.tsx";
import { eventText, isLookBack, KIND_GROUP, KIND_LABEL, ROW_MARKS } from "./event-text.ts";
import { groupState, KIND_GROUPS, kindsOf, toggleGroup, toggleKind } from "./kind-filter.ts";
import { selectEvent } from "./trace-commands.ts";
import type { TraceModel } from "./trace-model.ts";

const EVENT_ROW_HEIGHT = 24;
const EVENT_HEADER_HEIGHT = 24;

function KindChip(props: { kind: EventKind; count: number; model: TraceModel }) {
	const chosen = () => props.model.view().kinds;
	return (
		<button
			type="button"
			class={`kind-chip kind-${KIND_GROUP[props.kind]}`}
			aria-pressed={chosen().includes(props.kind)}
			onClick={() => props.model.control.change({ kinds: toggleKind(chosen(), props.kind) })}
			data-testid={`kind-${props.kind}`}
		>
			{KIND_LABEL[props.kind]} <span class="muted">{props.count}</span>
		</button>
	);
}

/** Four groups at hand, every kind behind one button: thirty chips at once would be read by nobody. */
function KindFilter(props: { model: TraceModel }) {
	const chosen = () => props.model.view().kinds;
	const [isOpen, setOpen] = createSignal(KIND_GROUPS.some(({ group }) => groupState(chosen(), group) === "mixed"));
	const counts = createMemo(() => {
		const byKind = new Map<EventKind, number>();
		for (const { kind } of props.model.lineage().events) byKind.set(kind, (byKind.get(kind) ?? 0) + 1);
		return byKind;
	});
	const shown = (kinds: readonly EventKind[]) => kinds.filter((kind) => counts().has(kind) || chosen().includes(kind));
	const total = (kinds: readonly EventKind[]) => kinds.reduce((sum, kind) => sum + (counts().get(kind) ?? 0), 0);
	const groups = () => KIND_GROUPS.filter(({ group }) => shown(kindsOf(group)).length > 0);
	return (
		<>
			<fieldset class="kind-chips">
				<legend class="visually-hidden">Kinds shown</legend>
				<For each={groups()}>
					{({ group, label }) => (
						<button
							type="button"
							class={`kind-chip kind-${group}`}
							aria-pressed={groupState(chosen(), group)}
							onClick={() => props.model.control.change({ kinds: toggleGroup(chosen(), group) })}
							data-testid={`group-${group}`}
						>
							<span class="kind-shape" aria-hidden="true" />
							{label} <span class="muted">{total(kindsOf(group))}</span>
						</button>
					)}
				</For>
				<button
					type="button"
					class="button button-quiet"
					aria-expanded={isOpen()}
					onClick={() => setOpen(!isOpen())}
					data-testid="kinds-open"
				>
					{isOpen() ? "Fewer" : "Each kind"}
				</button>
				<Show when={chosen().length > 0}>
					<button
						type="button"
						class="button button-quiet"
						onClick={() => props.model.control.change({ kinds: [] })}
						data-testid="kinds-all"
					>
						All kinds
					</button>
				</Show>
			</fieldset>
			<Show when={isOpen()}>
				<div class="kind-rows" data-testid="kind-rows">
					<For each={groups()}>
						{({ group, label }) => (
							<fieldset class="kind-chips">
								<legend class={`kind-legend kind-${group}`}>
									<span class="kind-shape" aria-hidden="true" />
									{label}
								</legend>
								<For each={shown(kindsOf(group))}>
									{(kind) => <KindChip kind={kind} count={counts().get(kind) ?? 0} model={props.model} />}
								</For>
							</fieldset>
						)}
					</For>
				</div>
			</Show>
		</>
	);
}

function Find(props: { model: TraceModel; input: (element: HTMLInputElement) => void }) {
	const { list, selected } = props.model;
	const step = (by: 1 | -1) => {
		const found = list.listed().filter(({ row }) => list.matches().has(row));
		if (found.length === 0) return;
		const at = found.findIndex(({ row }) => row === selected.event()?.row);
		const next = at < 0 ? (by > 0 ? 0 : found.length - 1) : (at + by + found.length) % found.length;
		selectEvent(props.model, found[next]);
	};
	const position = () => {
		const rows = [...list.matches()];
		const at = rows.indexOf(selected.event()?.row ?? -1);
		return `${at < 0 ? "" : `${at + 1} of `}${rows.length} found`;
	};
	return (
		<search class="find">
			<input
				ref={(element) => props.input(element)}
				type="search"
				aria-label="Find in events"
				placeholder="Find  /"
				autocomplete="off"
				spellcheck={false}
				value={list.findText()}
				onInput={(event) => list.setFindText(event.currentTarget.value)}
				onKeyDown={(event) => {
					if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
					else if (event.key === "Escape" && list.findText() !== "") list.setFindText("");
					else if (event.key === "Escape") event.currentTarget.blur();
					else return;
					event.preventDefault();
				}}
				data-testid="find"
			/>
			<span class="muted find-count" role="status" data-testid="find-count">
				{list.findText().trim() === "" ? "" : position()}
			</span>
		</search>
	);
}

function EventGridRow(props: { event: EventRow; index: number; model: TraceModel }) {
	const isSelected = () => props.model.selected.event()?.row === props.event.row;
	const cursorMs = () => props.model.cursorMs();
	return (
		<div
			role="row"
			id={`event-row-${props.index}`}
			class="event-row"
			classList={{
				"event-before": isLookBack(props.event),
				"event-match": props.model.list.matches().has(props.event.row),
				"row-future": cursorMs() !== null && props.event.alignedTimeMs > (cursorMs() as number),
			}}
			style={{ top: `${props.index * EVENT_ROW_HEIGHT}px` }}
			aria-rowindex={props.index + 2}
			aria-selected={isSelected()}
			data-event={props.event.row}
			onClick={() => selectEvent(props.model, props.event)}
		>
			<div role="gridcell" class="mono">
				{clockText(props.event.alignedTimeMs)}
			</div>
			<div role="gridcell">
				<span class={`host-mark host-${(props.model.hostHue().get(props.event.agent) ?? 0) + 1}`} aria-hidden="true" />
				<Foreign text={props.event.agent} />
			</div>
			<div role="gridcell" class={`kind-${KIND_GROUP[props.event.kind]}`}>
				<span class="kind-shape" aria-hidden="true" />
				{KIND_LABEL[props.event.kind]}
			</div>
			<div role="gridcell">
				<Foreign text={props.event.name ?? ""} />
			</div>
			<div role="gridcell" class="mono muted number">
				{props.event.pid ?? ""}
			</div>
			<div role="gridcell" class="cell-detail" classList={{ masked: props.event.isMasked }}>
				<For each={props.event.details?.marks?.filter((mark) => ROW_MARKS.has(mark))}>
					{(mark) => <RowMark mark={mark} />}
				</For>
				<Foreign text={eventText(props.event)} />
			</div>
			<div role="gridcell" class="muted">
				{props.event.verdict === "event_signed" ? "signed" : "by batch"}
			</div>
		</div>
	);
}

const COLUMNS = ["Time (UTC)", "Host", "Kind", "Process", "PID", "What happened", "Proof"];

function EventGrid(props: { model: TraceModel }) {
	const { model } = props;
	const [scrollTop, setScrollTop] = createSignal(0);
	const [height, setHeight] = createSignal(0);
	let scroller!: HTMLDivElement;
	const selectedIndex = createMemo(() => {
		const row = model.selected.event()?.row;
		return row === undefined ? -1 : model.list.listed().findIndex((event) => event.row === row);
	});
	const shown = createMemo(() =>
		rowWindow({
			count: model.list.listed().length,
			rowHeight: EVENT_ROW_HEIGHT,
			scrollTop: scrollTop(),
			height: height(),
			kept: selectedIndex(),
		}).map((index) => ({ index, event: model.list.listed()[index] as EventRow })),
	);
	onMount(() => {
		const observer = new ResizeObserver(() => setHeight(scroller.clientHeight));
		observer.observe(scroller);
		onCleanup(() => observer.disconnect());
	});
	createEffect(() => {
		const index = selectedIndex();
		if (index < 0 || height() === 0) return;
		const target = scrollToShow({
			index,
			rowHeight: EVENT_ROW_HEIGHT,
			scrollTop: scroller.scrollTop,
			height: height(),
			coveredTop: EVENT_HEADER_HEIGHT,
		});
		if (target !== null) scroller.scrollTop = target;
	});
	return (
		<div class="event-scroll" ref={scroller} onScroll={() => setScrollTop(scroller.scrollTop)}>
			<div
				role="grid"
				class="event-grid"
				tabindex="0"
				aria-label="Events"
				aria-rowcount={model.list.listed().length + 1}
				aria-activedescendant={selectedIndex() >= 0 ? `event-row-${selectedIndex()}` : undefined}
				data-testid="events"
				data-pane="events"
			>
				<div role="row" class="event-header" aria-rowindex="1">
					<For each={COLUMNS}>{(title) => <div role="columnheader">{title}</div>}</For>
				</div>
				<div role="rowgroup" class="grid-body" style={{ height: `${model.list.listed().length * EVENT_ROW_HEIGHT}px` }}>
					<Index each={shown()}>
						{(item) => <EventGridRow event={item().event} index={item().index} model={model} />}
					</Index>
				</div>
			</div>
		</div>
	);
}

export function EventTable(props: { model: TraceModel; findInput: (element: HTMLInputElement) => void }) {
	const listed = () => props.model.list.listed().length;
	const all = () => props.model.lineage().events.length;
	return (
		<div class="event-pane">
			<div class="event-tools">
				<KindFilter model={props.model} />
				<span class="spacer" />
				<span class="muted" data-testid="event-count">
					{listed() === all() ? countText(all(), "event") : `${listed()} of ${countText(all(), "event")}`}
					{props.model.view().window ? " in this window" : ""}
				</span>
				<Find model={props.model} input={props.findInput} />
			</div>
			<EventGrid model={props.model} />
		</div>
	);
}
