/** Which link is slow, since when and by what measure, and in which order the fleet is read. Pure. */
import type { FleetAnswer, FleetLane, FleetNode } from "../../../workers/sc/api/answers.ts";

/** Waiting longer than this is worth a sentence: a healthy link acknowledges within a second or two. */
export const SLOW_MS = 10_000;

export interface SlowLink {
	/** `cut`: its node is silent. `waits`: something has waited on it. */
	readonly kind: "cut" | "waits";
	/** Node ids; empty: the Security Center. */
	readonly from: string;
	/** Empty: the Security Center; null: its store. */
	readonly to: string | null;
	readonly sinceMs: number;
	/** How long until `nowMs`. */
	readonly forMs: number;
	/** The lane that has waited longest; null where only the agent's outbox is known. */
	readonly lane: FleetLane["lane"] | null;
	readonly batches: number | null;
	readonly bytes: number;
	/** Hosts of which nothing is known because of it. */
	readonly hiddenHosts: number;
}

function oldestOf(lanes: readonly FleetLane[]): FleetLane | null {
	return lanes.reduce<FleetLane | null>(
		(oldest, lane) => (oldest === null || lane.oldestAgeMs > oldest.oldestAgeMs ? lane : oldest),
		null,
	);
}

/** It began when it was told less its age then, and goes on. */
function sinceOf(toldAtMs: number, ageMs: number, nowMs: number): Pick<SlowLink, "sinceMs" | "forMs"> {
	const sinceMs = toldAtMs - ageMs;
	return { sinceMs, forMs: Math.max(ageMs, nowMs - sinceMs) };
}

type Ends = Pick<SlowLink, "from" | "to">;

function waiting(
	ends: Ends,
	lanes: readonly FleetLane[],
	{ toldAtMs, nowMs }: { toldAtMs: number; nowMs: number },
): SlowLink | null {
	const oldest = oldestOf(lanes);
	if (oldest === null || oldest.oldestAgeMs <= SLOW_MS) return null;
	const { lane, batches, bytes, oldestAgeMs } = oldest;
	return { kind: "waits", ...ends, ...sinceOf(toldAtMs, oldestAgeMs, nowMs), lane, batches, bytes, hiddenHosts: 0 };
}

/** The longest that anything has waited between a node and the store, without the node's own link. */
function lagAbove(node: FleetNode, byId: ReadonlyMap<string, FleetNode>, storeLagMs: number): number {
	let lagMs = storeLagMs;
	const seen = new Set<string>();
	for (let via = node.link.to; via !== "" && !seen.has(via); via = byId.get(via)?.link.to ?? "") {
		seen.add(via);
		lagMs = Math.max(lagMs, byId.get(via)?.behindMs ?? 0);
	}
	return lagMs;
}

function linkOf(node: FleetNode, fleet: FleetAnswer, context: { nowMs: number; lagAboveMs: number }): SlowLink | null {
	const { nowMs, lagAboveMs } = context;
	const ends = { from: node.id, to: node.link.to };
	if (node.role === "px") {
		const told = { toldAtMs: node.link.toldAtMs, nowMs };
		if (node.state !== "silent") return node.state === "alive" ? waiting(ends, node.link.lanes, told) : null;
		const hiddenHosts = fleet.nodes.filter(({ role, hiddenBy }) => role === "agent" && hiddenBy === node.id).length;
		const since = { sinceMs: node.stateSinceMs, forMs: Math.max(0, nowMs - node.stateSinceMs) };
		return { kind: "cut", ...ends, ...since, lane: null, batches: null, bytes: node.outboxBytes, hiddenHosts };
	}
	// An agent keeps some batches until the store has them: what waits higher up is not its link's.
	if (node.state !== "alive" || node.behindMs <= SLOW_MS + lagAboveMs) return null;
	const since = sinceOf(node.link.toldAtMs, node.behindMs, nowMs);
	return { kind: "waits", ...ends, ...since, lane: null, batches: null, bytes: node.outboxBytes, hiddenHosts: 0 };
}

/** Cut links first, then by how long something has waited. */
export function slowLinks(fleet: FleetAnswer, nowMs: number): SlowLink[] {
	const byId = new Map(fleet.nodes.map((node) => [node.id, node]));
	const store = waiting({ from: "", to: null }, fleet.storeLanes, { toldAtMs: fleet.timeMs, nowMs });
	const links = fleet.nodes.map((node) =>
		linkOf(node, fleet, { nowMs, lagAboveMs: lagAbove(node, byId, store?.forMs ?? 0) }),
	);
	const rank = ({ kind }: SlowLink) => (kind === "cut" ? 0 : 1);
	return [store, ...links]
		.filter((link) => link !== null)
		.sort((a, b) => rank(a) - rank(b) || b.forMs - a.forMs || a.from.localeCompare(b.from));
}

/** Deeper than any tree of proxies; beyond it rows are drawn no further in. */
export const DEPTH_MAX = 4;

export interface PlacedNode {
	readonly node: FleetNode;
	/** Proxies above it, as far as they are known. */
	readonly depth: number;
}

/** Each proxy followed by what is behind it; nodes whose proxy is not known, or that name each other, stand at the end. */
export function inTreeOrder(nodes: readonly FleetNode[]): PlacedNode[] {
	const below = new Map<string, FleetNode[]>();
	for (const node of nodes) below.set(node.link.to, [...(below.get(node.link.to) ?? []), node]);
	const out: PlacedNode[] = [];
	const placed = new Set<string>();
	const place = (node: FleetNode, depth: number): void => {
		if (placed.has(node.id)) return;
		placed.add(node.id);
		out.push({ node, depth: Math.min(depth, DEPTH_MAX) });
		if (node.role !== "px") return;
		// Hosts first, then the next tier: a proxy's own hosts are not torn from it.
		const own = below.get(node.id) ?? [];
		for (const each of own.filter(({ role }) => role === "agent")) place(each, depth + 1);
		for (const each of own.filter(({ role }) => role === "px")) place(each, depth + 1);
	};
	for (const node of below.get("") ?? []) place(node, 0);
	for (const node of nodes) place(node, 0);
	return out;
}
