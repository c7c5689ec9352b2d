import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeSilence, type WatchedNode } from "./silence.ts";

const T0 = 1_000_000_000;
const limits = { agentSilentMs: 60_000, proxySilentMs: 45_000 };
const px = (id: string, heardMs: number, over: Partial<WatchedNode> = {}): WatchedNode => {
	return { id, role: "px", via: "", heardMs, upSinceMs: T0 - 900_000, isUp: true, ...over };
};
const agent = (id: string, via: string, heardMs: number): WatchedNode => {
	return { id, role: "agent", via, heardMs, upSinceMs: 0, isUp: true };
};

function states(nodes: readonly WatchedNode[], nowMs: number, watchingSinceMs = T0 - 900_000): Record<string, string> {
	const verdicts = judgeSilence(nodes, { nowMs, watchingSinceMs, ...limits });
	return Object.fromEntries([...verdicts].map(([id, { state }]) => [id, state]));
}

test("an agent is silent after its time and not before, while its proxy goes on", () => {
	const nodes = (nowMs: number) => [px("px-1", nowMs - 9000), agent("web-01", "px-1", T0)];
	assert.equal(states(nodes(T0 + 60_000), T0 + 60_000)["web-01"], "alive");
	assert.equal(states(nodes(T0 + 60_001), T0 + 60_001)["web-01"], "silent");
});

test("behind a silent proxy nothing is silent, it is unknown, through every tier", () => {
	const nodes = [
		px("px-region", T0),
		px("px-site", T0, { via: "px-region" }),
		agent("web-01", "px-site", T0),
		px("px-2", T0 + 110_000),
		agent("db-01", "px-2", T0 + 110_000),
	];
	const verdicts = judgeSilence(nodes, { nowMs: T0 + 120_000, watchingSinceMs: T0 - 900_000, ...limits });
	assert.deepEqual(states(nodes, T0 + 120_000), {
		"px-region": "silent",
		"px-site": "unknown",
		"web-01": "unknown",
		"px-2": "alive",
		"db-01": "alive",
	});
	assert.equal(verdicts.get("web-01")?.hiddenBy, "px-region");
});

test("a proxy is judged before its agents' time has run out, so that a dead proxy never looks like dead agents", () => {
	// The agent's last beat came just before the proxy's own last one, ten seconds apart at most.
	for (let nowMs = T0; nowMs < T0 + 200_000; nowMs += 500)
		for (const agentLeadMs of [0, 2000, 9999])
			assert.notEqual(
				states([px("px-1", T0), agent("web-01", "px-1", T0 - agentLeadMs)], nowMs)["web-01"],
				"silent",
				`${nowMs - T0} ms after, ${agentLeadMs} ms before`,
			);
});

test("when a proxy returns its agents have their whole time again", () => {
	const nodes = (nowMs: number) => [px("px-1", nowMs, { upSinceMs: T0 + 300_000 }), agent("web-01", "px-1", T0)];
	assert.equal(states(nodes(T0 + 360_000), T0 + 360_000)["web-01"], "alive");
	assert.equal(states(nodes(T0 + 360_001), T0 + 360_001)["web-01"], "silent");
});

test("a watch that was away, and a clock that was set, accuse nobody", () => {
	const nodes = [px("px-1", T0), agent("web-01", "px-1", T0)];
	assert.deepEqual(states(nodes, T0 + 86_400_000, T0 + 86_400_000), { "px-1": "alive", "web-01": "alive" });
	const back = T0 - 86_400_000;
	assert.deepEqual(states(nodes, back + 40_000, back), { "px-1": "alive", "web-01": "alive" });
	assert.deepEqual(states([px("px-1", back + 60_000), agent("web-01", "px-1", T0)], back + 61_000, back), {
		"px-1": "alive",
		"web-01": "silent",
	});
});

test("proxies that name each other as parents end the path and hang nothing", () => {
	const nodes = [
		px("a", T0, { via: "b" }),
		px("b", T0, { via: "a" }),
		agent("web-01", "a", T0),
		agent("x", "gone", T0),
	];
	assert.equal(judgeSilence(nodes, { nowMs: T0, watchingSinceMs: T0 - 1e6, ...limits }).size, 4);
});
