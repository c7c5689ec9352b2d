/**
 * The route to an agent: the hellos by which it chose its proxy, that proxy the next, and so on up. A proxy that asks for an agent's
 * commands and receipts shows it. Guarantees that a route is believed only if every node on it signed its own step, so a captured proxy
 * can claim no agent that did not come to it. Must never be taken for a sign of life: a route is as old as its hellos.
 */
import { bytes, list } from "#core/codec/index.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { type HelloCode, verifyRelayedHello } from "./hello.ts";
import { PATH_LIMITS } from "./path.ts";
import { isListed } from "./proxy-list.ts";

export const ROUTE_LIMITS = {
	/** What the door of a node takes: 32 KiB of base64. */
	helloBytesMax: 24 * 1024,
	/** Hellos of one route with the one to the reader: as many as nodes may stand above an agent. */
	hopsMax: PATH_LIMITS.nodesMax,
} as const;

/** Hellos, the agent's first. */
export const routeShape = list(bytes(ROUTE_LIMITS.helloBytesMax), ROUTE_LIMITS.hopsMax);

export type RouteCode = HelloCode | "route_empty" | "route_of_another" | "path_cycle" | "proxy_not_listed";

export interface RouteContext {
	readonly agentUri: string;
	/** The proxy that shows the route: the last hello must be for it. */
	readonly proxyUri: string;
	/** The reader. */
	readonly selfUri: string;
	readonly root: Uint8Array;
	readonly nowMs: number;
}

/** Proves every step of a route; answers when each was chosen, the agent's first, each by its maker's clock. */
export async function verifyRoute(
	route: readonly Uint8Array[],
	context: RouteContext,
): Promise<Result<readonly number[], RouteCode>> {
	if (route.length === 0) return fail("route_empty", "a route begins with the agent's own hello");
	const { root, nowMs } = context;
	const timesMs: number[] = [];
	let serverUri = context.proxyUri;
	for (const [index, hello] of [...route.entries()].reverse()) {
		const step = await verifyRelayedHello(hello, { serverUri, root, nowMs });
		if (!step.ok) return step;
		const { uri, role } = step.value.node;
		if (uri === context.selfUri) return fail("path_cycle", `step ${index} is this node's own`);
		if (index === 0 ? uri !== context.agentUri : role !== "px")
			return fail("route_of_another", `step ${index} is of ${uri}`);
		if (index === 0 && !isListed(step.value.node.proxies, serverUri))
			return fail("proxy_not_listed", `the list of ${uri} does not name ${serverUri}`);
		timesMs.unshift(step.value.timeMs);
		serverUri = uri;
	}
	return ok(timesMs);
}

/** Whether a route was chosen later than another: by the agent, or by the proxy at which the two part. */
export function isNewerRoute(timesMs: readonly number[], thanMs: readonly number[]): boolean {
	for (const [index, timeMs] of timesMs.entries()) {
		const other = thanMs[index];
		if (other === undefined) return false;
		if (timeMs !== other) return timeMs > other;
	}
	return false;
}
