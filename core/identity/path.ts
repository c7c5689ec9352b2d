/**
 * The path above a node: the names of the nodes that what it sends goes through, its upstream first, the Security Center last. Each proxy
 * says its own to the proxies below it; none takes an upstream whose path holds itself. Guarantees that a loop is refused by every node
 * on it that hears of it. A path is what the nodes above say, not a proof: it may only ever keep data back, never let anything pass.
 */
import { list, text } from "#core/codec/index.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { parseNodeUri } from "./node-uri.ts";

export const PATH_LIMITS = {
	/** Nodes above each other, the Security Center with them: a site, a region, a country, and more than as many again. */
	nodesMax: 8,
} as const;

/** Node names, the nearest first. */
export const pathShape = list(text(200), PATH_LIMITS.nodesMax);

export type PathCode = "path_cycle" | "path_too_long";

/** Whether a node may have this path above it. */
export function judgePath(path: readonly string[], selfUri: string): Result<true, PathCode> {
	if (path.includes(selfUri))
		return fail("path_cycle", `${selfUri} would stand above itself: ${path.join(" > ").slice(0, 300)}`);
	if (new Set(path).size !== path.length)
		return fail("path_cycle", `a node stands above itself: ${path.join(" > ").slice(0, 300)}`);
	if (path.length >= PATH_LIMITS.nodesMax)
		return fail(
			"path_too_long",
			`${path.length} nodes above each other, and at most ${PATH_LIMITS.nodesMax} with this`,
		);
	return ok(true);
}

/** Whether the path leads to a Security Center: only then does what is sent arrive, and only then can it not come back. */
export function leadsToCenter(path: readonly string[]): boolean {
	const top = parseNodeUri(path.at(-1) ?? "");
	return top.ok && top.value.role === "sc";
}
