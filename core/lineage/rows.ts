/**
 * The rows every view of a trace draws from: hosts, their process trees in preorder, and under each process the connections that
 * lead to other hosts. Guarantees: linear, no recursion, and that no hop is lost: one whose process is not in the trace stands
 * under its host. Collapsed rows say how many processes they hide.
 */
import { type Lineage, type LineageEvent, type ProcessNode, processId } from "./lineage.ts";

/** What the rows need of a connection that may be seen from its other end. */
export interface LineageHop {
	readonly id: string;
	readonly from: { readonly agent: string; readonly process: string };
	readonly to: { readonly agent: string; readonly process: string } | null;
	/** The child that serves the connection. */
	readonly followTarget: { readonly agent: string; readonly process: string } | null;
	readonly timeMs: number;
}

interface RowPlace {
	/** Unique among the rows: `host:web-01`, a process id, or `hop:ID`. */
	readonly id: string;
	readonly agent: string;
	/** From 1, as in aria-level. */
	readonly level: number;
	/** null: nothing below it. */
	readonly isExpanded: boolean | null;
	/** Index of the row above it in the tree; -1 for a host. */
	readonly parentIndex: number;
	/** Processes below it that are not shown. */
	readonly hiddenCount: number;
}

export type LineageRow<E extends LineageEvent, H extends LineageHop> = RowPlace &
	(
		| { readonly kind: "host"; readonly processCount: number; readonly ownEvents: readonly E[] }
		| { readonly kind: "process"; readonly node: ProcessNode<E> }
		| { readonly kind: "hop"; readonly hop: H }
	);

export function hostRowId(agent: string): string {
	return `host:${agent}`;
}

export function hopRowId(hopId: string): string {
	return `hop:${hopId}`;
}

function hopsByOwner<E extends LineageEvent, H extends LineageHop>(
	lineage: Lineage<E>,
	hops: readonly H[],
): ReadonlyMap<string, H[]> {
	const byOwner = new Map<string, H[]>();
	for (const hop of [...hops].sort((a, b) => a.timeMs - b.timeMs || (a.id < b.id ? -1 : 1))) {
		const id = processId(hop.from.agent, hop.from.process);
		const owner = lineage.nodes.has(id) ? id : hostRowId(hop.from.agent);
		const list = byOwner.get(owner);
		if (list) list.push(hop);
		else byOwner.set(owner, [hop]);
	}
	return byOwner;
}

type Pending<E extends LineageEvent, H extends LineageHop> = { level: number; parentIndex: number } & (
	| { node: ProcessNode<E> }
	| { hop: H }
);

/** The visible rows in preorder. `collapsed` holds row ids; ids that name nothing are ignored. */
export function lineageRows<E extends LineageEvent, H extends LineageHop>(
	lineage: Lineage<E>,
	hops: readonly H[],
	collapsed: ReadonlySet<string>,
): readonly LineageRow<E, H>[] {
	const byOwner = hopsByOwner(lineage, hops);
	const rows: LineageRow<E, H>[] = [];
	const stack: Pending<E, H>[] = [];
	const pushBelow = (
		owner: string,
		below: readonly ProcessNode<E>[],
		place: { level: number; parentIndex: number },
	) => {
		for (let i = below.length - 1; i >= 0; i--) stack.push({ ...place, node: below[i] as ProcessNode<E> });
		for (const hop of [...(byOwner.get(owner) ?? [])].reverse()) stack.push({ ...place, hop });
	};
	for (const { agent, roots, processCount, ownEvents } of lineage.hosts) {
		const id = hostRowId(agent);
		const hasBelow = roots.length > 0 || byOwner.has(id);
		const isOpen = !collapsed.has(id);
		const parentIndex = rows.length;
		rows.push({
			kind: "host",
			id,
			agent,
			level: 1,
			isExpanded: hasBelow ? isOpen : null,
			parentIndex: -1,
			hiddenCount: isOpen ? 0 : processCount,
			processCount,
			ownEvents,
		});
		if (isOpen) pushBelow(id, roots, { level: 2, parentIndex });
		for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
			const { level, parentIndex: above } = next;
			if ("hop" in next) {
				const place = { id: hopRowId(next.hop.id), agent, level, isExpanded: null, parentIndex: above, hiddenCount: 0 };
				rows.push({ kind: "hop", ...place, hop: next.hop });
				continue;
			}
			const { node } = next;
			const isNodeOpen = !collapsed.has(node.id);
			const isParent = node.children.length > 0 || byOwner.has(node.id);
			rows.push({
				kind: "process",
				id: node.id,
				agent,
				level,
				isExpanded: isParent ? isNodeOpen : null,
				parentIndex: above,
				hiddenCount: isNodeOpen ? 0 : node.descendantCount,
				node,
			});
			if (isNodeOpen) pushBelow(node.id, node.children, { level: level + 1, parentIndex: rows.length - 1 });
		}
	}
	return rows;
}

/** A hop as an edge between two visible rows. */
export interface HopEdge<H extends LineageHop> {
	readonly hop: H;
	readonly fromIndex: number;
	/** null: the other end is not in the trace (yet). */
	readonly toIndex: number | null;
}

/** Edges between visible rows; an end inside a collapsed row is drawn to the nearest row that shows. Linear in rows and hops × depth. */
export function hopEdges<E extends LineageEvent, H extends LineageHop>(
	lineage: Lineage<E>,
	rows: readonly LineageRow<E, H>[],
	hops: readonly H[],
): readonly HopEdge<H>[] {
	const indexOf = new Map(rows.map((row, index) => [row.id, index]));
	const visibleIndex = (end: { agent: string; process: string } | null): number | null => {
		if (end === null) return null;
		let node = lineage.nodes.get(processId(end.agent, end.process)) ?? null;
		if (node === null) return null;
		for (; node !== null; node = node.parent) {
			const index = indexOf.get(node.id);
			if (index !== undefined) return index;
		}
		return indexOf.get(hostRowId(end.agent)) ?? null;
	};
	return hops.flatMap((hop) => {
		const fromIndex = indexOf.get(hopRowId(hop.id)) ?? visibleIndex(hop.from) ?? indexOf.get(hostRowId(hop.from.agent));
		if (fromIndex === undefined) return [];
		return [{ hop, fromIndex, toIndex: visibleIndex(hop.followTarget) ?? visibleIndex(hop.to) }];
	});
}

/** Ids of everything above a process, its host last: what must be open for its row to show. */
export function idsAbove<E extends LineageEvent>(node: ProcessNode<E>): readonly string[] {
	const ids: string[] = [];
	for (let above = node.parent; above !== null; above = above.parent) ids.push(above.id);
	ids.push(hostRowId(node.agent));
	return ids;
}
