/**
 * Everything the views of one trace share, computed once: trees, rows, edges, gaps, hits, the filtered events and the selection.
 * Views read from here and change only the view state, so tree, lanes, strip, table and drawer cannot disagree.
 */
import { createMemo, createSignal, onCleanup } from "solid-js";
import {
	buildLineage,
	gapSpans,
	hopEdges,
	hopRowId,
	hostRowId,
	idsAbove,
	lineageRows,
	type ProcessNode as Node,
	processId,
	type LineageRow as Row,
} from "#core/lineage/index.ts";
import type { EventRow, Hit, HitsAnswer, Hop, TraceAnswer, TraceHost } from "../../../workers/sc/api/answers.ts";
import { onLive } from "../api/live.ts";
import { createQuery, type Query } from "../api/query.ts";
import { useConsole } from "../state/console.ts";
import type { Selection, TimeWindow } from "../state/url-state.ts";
import { createEventFeed } from "./event-feed.ts";
import { isMatch } from "./event-text.ts";
import { traceStarts } from "./lane-scene.ts";
import { partialViews } from "./partial-view.ts";
import { clampWindow } from "./time-scale.ts";
import { createViewControl } from "./view-control.ts";

export type TraceRow = Row<EventRow, Hop>;
export type ProcessNode = Node<EventRow>;
export type TraceModel = ReturnType<typeof createTraceModel>;

/** A hit of a process of this trace, on the aligned clock. */
export interface PinnedHit {
	readonly hit: Hit;
	readonly nodeId: string;
	readonly timeMs: number;
}

/** Room at both ends of the axis, so that the first and last event do not stand on the edge. */
const EXTENT_PADDING_SHARE = 0.02;
const HITS_READ_MAX = 500;
/** The other end's accept comes with that host's untraced events: within seconds on a healthy link, within a minute behind a proxy. */
const HOP_MATCH_WAIT_MS = 120_000;
const HOP_ASK_INTERVAL_MS = 2000;

/**
 * The accept that matches a hop belongs to no trace yet, so no live note names ours when it is stored. While a hop is young and
 * unmatched, the trace is asked again; never while the page is hidden or an answer is under way.
 */
function askForYoungHops(trace: Query<TraceAnswer>): void {
	const state = useConsole();
	const isYoung = (hop: Hop) => hop.to === null && state.nowMs() - hop.timeMs < HOP_MATCH_WAIT_MS;
	const timer = setInterval(() => {
		const answer = trace.data();
		if (answer?.trace.state !== "running" || document.hidden || trace.isLoading()) return;
		if (answer.hops.some(isYoung)) void trace.reload();
	}, HOP_ASK_INTERVAL_MS);
	onCleanup(() => clearInterval(timer));
}

/** The new hops, each one that did not change as the object it was: a row under the keyboard is not drawn anew. */
function keepUnchanged(before: readonly Hop[], now: readonly Hop[]): readonly Hop[] {
	const known = new Map(before.map((hop) => [JSON.stringify(hop), hop]));
	const kept = now.map((hop) => known.get(JSON.stringify(hop)) ?? hop);
	return kept.length === before.length && kept.every((hop, at) => hop === before[at]) ? before : kept;
}

function createAnswers(traceId: string) {
	const trace = createQuery<TraceAnswer>(() => `/api/traces/${traceId}`);
	const hits = createQuery<HitsAnswer>(() => `/api/hits?limit=${HITS_READ_MAX}`);
	onLive((note) => {
		const isOurs = note.kind === "resync" || (note.kind === "trace" && note.id === traceId);
		if (isOurs || (note.kind === "events" && note.traceId === traceId)) trace.refresh();
		if (note.kind === "resync" || note.kind === "hit") hits.refresh();
	});
	askForYoungHops(trace);
	return { trace, hits, feed: createEventFeed(traceId) };
}

function createDerived(answers: ReturnType<typeof createAnswers>, collapsed: () => readonly string[]) {
	const { trace, hits, feed } = answers;
	const hosts = createMemo<readonly TraceHost[]>(() => trace.data()?.hosts ?? []);
	const hops = createMemo<readonly Hop[]>((before) => keepUnchanged(before, trace.data()?.hops ?? []), []);
	const lineage = createMemo(() =>
		buildLineage(
			feed.rows(),
			hosts().map(({ agent }) => agent),
		),
	);
	const rows = createMemo<readonly TraceRow[]>(() => lineageRows(lineage(), hops(), new Set(collapsed())));
	const edges = createMemo(() => hopEdges(lineage(), rows(), hops()));
	/** The newest word on what is missing, from either answer. */
	const completeness = () => feed.completeness() ?? trace.data()?.completeness ?? null;
	const gaps = createMemo(() => gapSpans(completeness()?.gaps ?? [], lineage().events));
	const pins = createMemo<readonly PinnedHit[]>(() =>
		(hits.data()?.hits ?? [])
			.flatMap((hit) => {
				const nodeId = processId(hit.agent, hit.process);
				const node = lineage().nodes.get(nodeId);
				if (node === undefined) return [];
				// The event the hit is about, where the trace holds it: that one is aligned already.
				const about = node.events.find((event) => event.timeMs === hit.eventTimeMs);
				const offset = hosts().find(({ agent }) => agent === hit.agent)?.clockOffsetMs ?? 0;
				return [{ hit, nodeId, timeMs: about?.alignedTimeMs ?? hit.eventTimeMs - offset }];
			})
			.sort((a, b) => a.timeMs - b.timeMs || a.hit.id - b.hit.id),
	);
	const bounds = createMemo<TimeWindow>(() => {
		const times = [
			lineage().extent?.startMs,
			lineage().extent?.endMs,
			...gaps().flatMap((gap) => [gap.startMs, gap.endMs]),
		];
		for (const { timeMs } of hops()) times.push(timeMs);
		const known = times.filter((ms) => ms !== undefined);
		if (known.length === 0) {
			const startedAtMs = trace.data()?.trace.startedAtMs ?? 0;
			return { startMs: startedAtMs, endMs: startedAtMs + 1000 };
		}
		const startMs = known.reduce((a, b) => Math.min(a, b));
		const endMs = known.reduce((a, b) => Math.max(a, b));
		const padding = Math.max(5, (endMs - startMs) * EXTENT_PADDING_SHARE);
		return { startMs: Math.floor(startMs - padding), endMs: Math.ceil(endMs + padding) };
	});
	const partial = createMemo(() => partialViews(lineage().hosts.flatMap((host) => host.roots)));
	const starts = createMemo(() => traceStarts(lineage().events));
	return { hosts, hops, lineage, rows, edges, completeness, gaps, pins, bounds, partial, starts };
}

type Derived = ReturnType<typeof createDerived>;
type Control = ReturnType<typeof createViewControl>;

function createSelection(derived: Derived, control: Control) {
	const { lineage, hops, rows, bounds } = derived;
	const eventByRow = createMemo(() => new Map(lineage().events.map((event) => [event.row, event])));
	const selection = () => control.view().selection;
	const event = createMemo<EventRow | null>(() => {
		const chosen = selection();
		return chosen?.type === "event" ? (eventByRow().get(chosen.row) ?? null) : null;
	});
	const node = createMemo<ProcessNode | null>(() => {
		const chosen = selection();
		const about = event();
		const id = about ? processId(about.agent, about.process) : chosen?.type === "process" ? chosen.id : null;
		return id === null ? null : (lineage().nodes.get(id) ?? null);
	});
	const hop = createMemo<Hop | null>(() => {
		const chosen = selection();
		return chosen?.type === "hop" ? (hops().find(({ id }) => id === chosen.id) ?? null) : null;
	});
	/** Index of the row that stands for the selection: itself, or the nearest visible one above it; -1 without one. */
	const rowIndex = createMemo<number>(() => {
		const chosen = selection();
		const index = new Map(rows().map((row, at) => [row.id, at]));
		const about = event();
		const process = node();
		const ids =
			chosen?.type === "hop"
				? [hopRowId(chosen.id)]
				: chosen?.type === "host"
					? [hostRowId(chosen.agent)]
					: process
						? [process.id, ...idsAbove(process)]
						: about
							? [hostRowId(about.agent)]
							: [];
		return ids.map((id) => index.get(id)).find((at) => at !== undefined) ?? -1;
	});
	/** Opens what hides it and moves the window to it where it is outside. */
	const reveal = (chosen: Selection, timeMs: number | null): void => {
		const id = chosen.type === "process" ? chosen.id : null;
		const about = chosen.type === "event" ? eventByRow().get(chosen.row) : undefined;
		const target = lineage().nodes.get(about ? processId(about.agent, about.process) : (id ?? ""));
		const hidden = new Set(target ? idsAbove(target) : []);
		const { collapsed, window } = control.view();
		const isOutside = window !== null && timeMs !== null && (timeMs < window.startMs || timeMs > window.endMs);
		const half = window === null ? 0 : (window.endMs - window.startMs) / 2;
		control.change({
			selection: chosen,
			...(collapsed.some((each) => hidden.has(each))
				? { collapsed: collapsed.filter((each) => !hidden.has(each)) }
				: {}),
			...(isOutside ? { window: clampWindow({ startMs: timeMs - half, endMs: timeMs + half }, bounds()) } : {}),
		});
	};
	return {
		selection,
		event,
		node,
		hop,
		rowIndex,
		select: (chosen: Selection | null) => control.change({ selection: chosen }),
		reveal,
		selectRow(index: number): void {
			const row = rows()[Math.max(0, Math.min(rows().length - 1, index))];
			if (row === undefined) return;
			if (row.kind === "host") control.change({ selection: { type: "host", agent: row.agent } });
			else if (row.kind === "hop") control.change({ selection: { type: "hop", id: row.hop.id } });
			else control.change({ selection: { type: "process", id: row.id } });
		},
	};
}

function createEventList(derived: Derived, control: Control) {
	const [findText, setFindText] = createSignal("");
	/** By kind and window; what the table lists and stepping walks. */
	const listed = createMemo<readonly EventRow[]>(() => {
		const { kinds, window } = control.view();
		const wanted = kinds.length === 0 ? null : new Set(kinds);
		return derived
			.lineage()
			.events.filter(
				(event) =>
					(wanted === null || wanted.has(event.kind)) &&
					(window === null || (event.alignedTimeMs >= window.startMs && event.alignedTimeMs <= window.endMs)),
			);
	});
	const matches = createMemo<ReadonlySet<number>>(() => {
		const typed = findText().trim().toLowerCase();
		if (typed === "") return new Set<number>();
		return new Set(listed().flatMap((event) => (isMatch(event, typed) ? [event.row] : [])));
	});
	return { findText, setFindText, listed, matches };
}

export function createTraceModel(traceId: string) {
	const control = createViewControl(traceId);
	const answers = createAnswers(traceId);
	const derived = createDerived(answers, () => control.view().collapsed);
	const selected = createSelection(derived, control);
	const list = createEventList(derived, control);
	const hostHue = createMemo<ReadonlyMap<string, number>>(
		// By order of assignment, not by hash: two hosts of one trace never get one colour while six are enough.
		() => new Map(derived.lineage().hosts.map(({ agent }, index) => [agent, index % 6])),
	);
	return {
		traceId,
		...answers,
		...derived,
		control,
		view: control.view,
		selected,
		list,
		hostHue,
		window: (): TimeWindow => control.view().window ?? derived.bounds(),
		hostOf: (agent: string): TraceHost | undefined => derived.hosts().find((host) => host.agent === agent),
		/** Moment T, where one is set. */
		cursorMs: () => control.view().cursorMs,
	};
}
