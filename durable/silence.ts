/**
 * Who is silent. Pure. A node is silent when it is its own silence: while a proxy on its way is silent, nothing is known of what lies
 * behind it, and it is said so. Guarantees that a node gets its whole time anew when the watch itself was away, when its proxy comes
 * back, and when our clock was set; so no outage of ours is told as an outage of theirs.
 */

export const NODE_STATES = ["alive", "silent", "unknown"] as const;
export type NodeState = (typeof NODE_STATES)[number];

export interface WatchedNode {
	readonly id: string;
	readonly role: "agent" | "px";
	/** Its proxy; for a proxy its parent. Empty: linked to this node. */
	readonly via: string;
	/** When it was last heard, by our clock. */
	readonly heardMs: number;
	/** Proxies: since when they are heard without a silence. */
	readonly upSinceMs: number;
	/** Proxies: whether the link of it stands. */
	readonly isUp: boolean;
	/** Proxies: of the newest signed word that was stored. */
	readonly wordNumber?: number;
}

export interface SilenceContext {
	readonly nowMs: number;
	/** Since when the watch has looked without a break. */
	readonly watchingSinceMs: number;
	readonly agentSilentMs: number;
	readonly proxySilentMs: number;
}

export interface NodeVerdict {
	readonly state: NodeState;
	/** The last word of a node, or of the proxy that hides it. */
	readonly sinceMs: number;
	/** The silent proxy that hides it; empty unless unknown. */
	readonly hiddenBy: string;
}

/** Proxies above each other; a longer chain is a loop in what was told. */
const PATH_MAX = 16;

/** The proxies between a node and us, the nearest to the node first. One that nobody has told of ends the path. */
function pathOf(node: WatchedNode, byId: ReadonlyMap<string, WatchedNode>): WatchedNode[] {
	const path: WatchedNode[] = [];
	let via = node.via;
	while (via !== "" && path.length < PATH_MAX) {
		const proxy = byId.get(via);
		if (proxy === undefined || proxy.role !== "px" || path.includes(proxy)) break;
		path.push(proxy);
		via = proxy.via;
	}
	return path;
}

export function judgeSilence(
	nodes: readonly WatchedNode[],
	{ nowMs, watchingSinceMs, agentSilentMs, proxySilentMs }: SilenceContext,
): Map<string, NodeVerdict> {
	const byId = new Map(nodes.map((node) => [node.id, node]));
	// A time ahead of ours was written before our clock was set back.
	const saneMs = (ms: number) => (ms > nowMs ? watchingSinceMs : ms);
	const isOverdue = (node: WatchedNode, path: readonly WatchedNode[]): boolean => {
		const limitMs = node.role === "px" ? proxySilentMs : agentSilentMs;
		const since = [node.heardMs, ...path.map((proxy) => proxy.upSinceMs)].map(saneMs);
		return nowMs - Math.max(watchingSinceMs, ...since) > limitMs;
	};
	const out = new Map<string, NodeVerdict>();
	for (const node of nodes) {
		const path = pathOf(node, byId);
		// The highest one hides all below it.
		const hiding = path.findLast((proxy, index) => isOverdue(proxy, path.slice(index + 1)));
		const isUnseen = nowMs - saneMs(node.heardMs) > (node.role === "px" ? proxySilentMs : agentSilentMs);
		if (hiding !== undefined && isUnseen)
			out.set(node.id, { state: "unknown", sinceMs: hiding.heardMs, hiddenBy: hiding.id });
		else {
			const state = isOverdue(node, path) ? "silent" : "alive";
			out.set(node.id, { state, sinceMs: node.heardMs, hiddenBy: "" });
		}
	}
	return out;
}
