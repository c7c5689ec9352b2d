import assert from "node:assert/strict";
import { test } from "node:test";
import type { FleetAnswer, FleetNode } from "../../../workers/sc/api/answers.ts";
import { inTreeOrder, SLOW_MS, slowLinks } from "./links.ts";

const NOW = 1_795_000_000_000;

function node(id: string, role: FleetNode["role"], to: string, over: Partial<FleetNode> = {}): FleetNode {
	const link = {
		to,
		toldAtMs: NOW,
		sinceMs: 1,
		lanes: [],
		unackedBytes: 0,
		windowBytes: 8,
		roundTripMs: 1,
		reconnects: 0,
		lastError: null,
		refusedBatches: 0,
		refusedFor: null,
	};
	return {
		...{
			id,
			role,
			isUp: true,
			state: "alive",
			stateSinceMs: NOW - 2000,
			hiddenBy: "",
			link,
			hostName: id,
			siteTag: "",
		},
		...{
			tier: "",
			missing: "",
			cause: "",
			via: to,
			lastHeardMs: NOW,
			fidelityLevel: 0,
			fidelityCause: "",
			fidelityMs: 0,
		},
		...{ behindMs: 0, outboxBytes: 0, clockOffsetMs: 0, clockBoundMs: null, rssBytes: 0, eventCount: 0, gapCount: 0 },
		...{ storedBatches: 0, softwareVersion: "", addresses: [], ...over },
	};
}

const waitsFor = (id: string, to: string, oldestAgeMs: number): FleetNode => {
	const made = node(id, "px", to, { behindMs: oldestAgeMs });
	const lanes: FleetNode["link"]["lanes"] = [
		{ lane: "trace", batches: 1, bytes: 10, oldestAgeMs: 100 },
		{ lane: "bulk", batches: 40, bytes: 4000, oldestAgeMs },
	];
	return { ...made, link: { ...made.link, lanes } };
};
const fleet = (nodes: FleetNode[], over: Partial<FleetAnswer> = {}): FleetAnswer => {
	const silent = { agentSilentMs: 60_000, proxySilentMs: 45_000 };
	return {
		nodes,
		storeLanes: [],
		strangers: [],
		refusedWords: 0,
		lookedAtMs: NOW,
		lateLooks: 0,
		...silent,
		timeMs: NOW,
		...over,
	};
};
const named = (answer: FleetAnswer) => slowLinks(answer, NOW).map(({ from, to, kind }) => [from, to, kind]);

test("a link is slow when something has waited on it for longer than the limit, and not at it", () => {
	assert.deepEqual(named(fleet([waitsFor("px-1", "", SLOW_MS)])), []);
	const [slow] = slowLinks(fleet([waitsFor("px-1", "", SLOW_MS + 1)]), NOW);
	assert.deepEqual(slow, {
		...{ kind: "waits", from: "px-1", to: "", sinceMs: NOW - SLOW_MS - 1, forMs: SLOW_MS + 1, lane: "bulk" },
		...{ batches: 40, bytes: 4000, hiddenHosts: 0 },
	});
});

test("since when it waits does not move while nothing new is told, and for how long does", () => {
	const answer = fleet([waitsFor("px-1", "", 60_000)]);
	const [later] = slowLinks(answer, NOW + 7000);
	assert.deepEqual([later?.sinceMs, later?.forMs], [NOW - 60_000, 67_000]);
});

test("the hop on which it waits is named, not the hosts whose batches wait there", () => {
	const behind = { behindMs: 190_000, outboxBytes: 5 };
	const above = fleet([waitsFor("px-1", "", 200_000), node("web-01", "agent", "px-1", behind)]);
	assert.deepEqual(named(above), [["px-1", "", "waits"]]);
	const own = fleet([waitsFor("px-1", "", 20_000), node("web-01", "agent", "px-1", behind)]);
	assert.deepEqual(named(own), [
		["web-01", "px-1", "waits"],
		["px-1", "", "waits"],
	]);
	const store = fleet([node("px-1", "px", ""), node("web-01", "agent", "px-1", behind)], {
		storeLanes: [{ lane: "alert", batches: 3, bytes: 9, oldestAgeMs: 185_000 }],
	});
	assert.deepEqual(named(store), [["", null, "waits"]]);
	const tiers = fleet([
		waitsFor("px-1", "", 200_000),
		node("px-2", "px", "px-1"),
		node("web-01", "agent", "px-2", behind),
	]);
	assert.deepEqual(named(tiers), [["px-1", "", "waits"]]);
});

test("a cut link comes before a slow one and counts whom it hides; what is hidden or silent is not called slow", () => {
	const hidden = { state: "unknown", hiddenBy: "px-1", behindMs: 400_000 } as const;
	const nodes = [
		node("px-1", "px", "", { state: "silent", stateSinceMs: NOW - 90_000 }),
		node("web-01", "agent", "px-1", hidden),
		node("web-02", "agent", "px-1", hidden),
		node("db-01", "agent", "px-9", { state: "silent", behindMs: 400_000 }),
		{ ...waitsFor("px-2", "px-1", 400_000), state: "unknown", hiddenBy: "px-1" } as const,
		waitsFor("px-9", "", 300_000),
	];
	const [cut, slow, ...others] = slowLinks(fleet(nodes), NOW);
	assert.deepEqual([cut?.kind, cut?.from, cut?.forMs, cut?.hiddenHosts], ["cut", "px-1", 90_000, 2]);
	assert.deepEqual([slow?.from, others], ["px-9", []]);
});

test("rows stand behind their proxy, a proxy's hosts before its proxies, and nobody is left out", () => {
	const nodes = [
		node("a-host", "agent", "px-2"),
		node("px-1", "px", ""),
		node("px-2", "px", "px-1"),
		node("z-host", "agent", "px-1"),
		node("loop-a", "px", "loop-b"),
		node("loop-b", "px", "loop-a"),
		node("lost", "agent", "px-gone"),
	];
	assert.deepEqual(
		inTreeOrder(nodes).map(({ node: { id }, depth }) => `${"-".repeat(depth)}${id}`),
		["px-1", "-z-host", "-px-2", "--a-host", "loop-a", "-loop-b", "lost"],
	);
	assert.deepEqual(slowLinks(fleet(nodes), NOW), [], "parents in a circle hang nothing");
});
