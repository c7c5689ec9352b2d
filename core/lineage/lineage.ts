/**
 * From events to process trees. Guarantees: linear in the events beyond one sort, the same result for the same events in any order,
 * one node per host and process key (a pid used twice is two nodes), and every node in exactly one tree: where a parent is missing
 * or the records contradict each other the node is a root that says why. Must never guess a parent from a pid.
 */
import { type EventKind, PROCESS_EVENT_KINDS } from "#core/model/event.ts";

/** What the tree needs of an event; the Security Center's event rows have it. Times are the aligned wall clock in milliseconds. */
export interface LineageEvent {
	readonly row: number;
	readonly agent: string;
	readonly kind: EventKind;
	/** Process key, hex. */
	readonly process: string;
	/** Decimal text of 64 bits. */
	readonly kernelTimeNs: string;
	readonly alignedTimeMs: number;
	readonly pid: number | null;
	readonly parent: string | null;
	readonly creatorParent: string | null;
	readonly name: string | null;
	readonly exe: string | null;
	readonly exitCode: number | null;
	readonly exitSignal: number | null;
}

export type RootCause =
	/** No event of the process names a parent. */
	| "parent_not_recorded"
	/** A parent is named, and no event of it is in the trace. */
	| "parent_outside"
	/** The named parents lead back to the process itself. */
	| "parent_cycle";

/** One process on one host. */
export interface ProcessNode<E extends LineageEvent> {
	/** `agent/process key`: unique across hosts. */
	readonly id: string;
	readonly agent: string;
	readonly process: string;
	pid: number | null;
	/** The last name it took; `names` holds all, in order. */
	name: string | null;
	readonly names: string[];
	exe: string | null;
	/** Of its fork or exec where one was seen, else its first event. */
	startMs: number;
	isStartSeen: boolean;
	/** null: no exit was seen. */
	endMs: number | null;
	exitCode: number | null;
	exitSignal: number | null;
	/** In order of time. */
	readonly events: E[];
	parent: ProcessNode<E> | null;
	/** `creator`: who forked it. `current`: who held it later, because its creator is not in the trace. */
	parentLink: "creator" | "current" | null;
	rootCause: RootCause | null;
	/** In order of their first event. */
	readonly children: ProcessNode<E>[];
	/** All below it. */
	descendantCount: number;
}

export interface HostLineage<E extends LineageEvent> {
	readonly agent: string;
	readonly roots: ProcessNode<E>[];
	processCount: number;
	/** Events of no process: gaps, answers, seals. */
	readonly ownEvents: E[];
}

export interface Lineage<E extends LineageEvent> {
	/** In order of their first event. */
	readonly hosts: readonly HostLineage<E>[];
	readonly nodes: ReadonlyMap<string, ProcessNode<E>>;
	/** All events in order of time. */
	readonly events: readonly E[];
	/** null without events. */
	readonly extent: { readonly startMs: number; readonly endMs: number } | null;
}

const PROCESS_KINDS: ReadonlySet<EventKind> = new Set<EventKind>(PROCESS_EVENT_KINDS);

export function processId(agent: string, process: string): string {
	return `${agent}/${process}`;
}

/** Decimal texts without leading zeros compare by length, then by digits; a bigint per event would cost more than the sort. */
function compareDecimal(a: string, b: string): number {
	if (a.length !== b.length) return a.length - b.length;
	return a < b ? -1 : a > b ? 1 : 0;
}

/** Order of time; within one millisecond of one host the kernel's clock decides, then the row. */
export function compareEvents(a: LineageEvent, b: LineageEvent): number {
	if (a.alignedTimeMs !== b.alignedTimeMs) return a.alignedTimeMs - b.alignedTimeMs;
	if (a.agent !== b.agent) return a.agent < b.agent ? -1 : 1;
	return compareDecimal(a.kernelTimeNs, b.kernelTimeNs) || a.row - b.row;
}

interface Draft<E extends LineageEvent> {
	readonly node: ProcessNode<E>;
	creator: string | null;
	current: string | null;
}

function openDraft<E extends LineageEvent>(event: E, id: string): Draft<E> {
	return {
		node: {
			id,
			agent: event.agent,
			process: event.process,
			pid: null,
			name: null,
			names: [],
			exe: null,
			startMs: event.alignedTimeMs,
			isStartSeen: event.kind === "fork",
			endMs: null,
			exitCode: null,
			exitSignal: null,
			events: [],
			parent: null,
			parentLink: null,
			rootCause: null,
			children: [],
			descendantCount: 0,
		},
		creator: null,
		current: null,
	};
}

function addEvent<E extends LineageEvent>(draft: Draft<E>, event: E): void {
	const { node } = draft;
	node.events.push(event);
	node.pid ??= event.pid;
	draft.creator ??= event.creatorParent;
	draft.current ??= event.parent;
	if (event.name !== null && event.name !== node.name) {
		node.name = event.name;
		node.names.push(event.name);
	}
	if (event.exe !== null) node.exe = event.exe;
	if (event.kind === "exit") {
		node.endMs = event.alignedTimeMs;
		node.exitCode = event.exitCode;
		node.exitSignal = event.exitSignal;
	}
}

function linkParent<E extends LineageEvent>(draft: Draft<E>, drafts: ReadonlyMap<string, Draft<E>>): void {
	const { node, creator, current } = draft;
	for (const [link, key] of [
		["creator", creator],
		["current", current],
	] as const) {
		const parent = key === null ? undefined : drafts.get(processId(node.agent, key))?.node;
		if (parent === undefined) continue;
		node.parent = parent;
		node.parentLink = link;
		parent.children.push(node);
		return;
	}
	node.rootCause = creator === null && current === null ? "parent_not_recorded" : "parent_outside";
}

/** Cuts a node off a cycle of parents, so that it becomes a root that says so. */
function cutCycle<E extends LineageEvent>(node: ProcessNode<E>): void {
	const siblings = node.parent?.children ?? [];
	siblings.splice(siblings.indexOf(node), 1);
	node.parent = null;
	node.parentLink = null;
	node.rootCause = "parent_cycle";
}

/** Walks one tree, marks what it reaches, and counts descendants on the way back. */
function walkTree<E extends LineageEvent>(root: ProcessNode<E>, reached: Set<ProcessNode<E>>): void {
	const preorder: ProcessNode<E>[] = [];
	const stack = [root];
	for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
		if (reached.has(node)) continue;
		reached.add(node);
		preorder.push(node);
		for (const child of node.children) stack.push(child);
	}
	for (let i = preorder.length - 1; i > 0; i--) {
		const node = preorder[i] as ProcessNode<E>;
		if (node.parent !== null) node.parent.descendantCount += node.descendantCount + 1;
	}
}

/** Builds the trees of all hosts. `agents` names hosts that belong to the trace even where no event of them has come yet. */
export function buildLineage<E extends LineageEvent>(events: readonly E[], agents: readonly string[] = []): Lineage<E> {
	const sorted = [...events].sort(compareEvents);
	const hosts = new Map<string, HostLineage<E>>();
	const drafts = new Map<string, Draft<E>>();
	const hostOf = (agent: string): HostLineage<E> => {
		let host = hosts.get(agent);
		if (host === undefined) {
			host = { agent, roots: [], processCount: 0, ownEvents: [] };
			hosts.set(agent, host);
		}
		return host;
	};
	for (const event of sorted) {
		const host = hostOf(event.agent);
		if (!PROCESS_KINDS.has(event.kind)) {
			host.ownEvents.push(event);
			continue;
		}
		const id = processId(event.agent, event.process);
		let draft = drafts.get(id);
		if (draft === undefined) {
			draft = openDraft(event, id);
			drafts.set(id, draft);
		}
		addEvent(draft, event);
	}
	for (const agent of [...agents].sort()) hostOf(agent);
	for (const draft of drafts.values()) linkParent(draft, drafts);
	const reached = new Set<ProcessNode<E>>();
	for (const { node } of drafts.values()) if (node.parent === null) walkTree(node, reached);
	for (const { node } of drafts.values()) {
		if (reached.has(node)) continue;
		cutCycle(node);
		walkTree(node, reached);
	}
	const nodes = new Map<string, ProcessNode<E>>();
	for (const { node } of drafts.values()) {
		const host = hostOf(node.agent);
		host.processCount++;
		if (node.parent === null) host.roots.push(node);
		nodes.set(node.id, node);
	}
	const first = sorted[0];
	const last = sorted.at(-1);
	const extent = first && last ? { startMs: first.alignedTimeMs, endMs: last.alignedTimeMs } : null;
	return { hosts: [...hosts.values()], nodes, events: sorted, extent };
}
