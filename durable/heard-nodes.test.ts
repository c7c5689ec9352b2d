/** Who was heard, in memory: what counts as a sign of life, and how it meets what the store knows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProxyState } from "./faces.ts";
import { HeardNodes } from "./heard-nodes.ts";
import { WATCH_LIMITS } from "./limits.ts";
import type { WatchedNode } from "./silence.ts";

const SILENT = 45_000;
const stored = (over: Partial<WatchedNode> = {}): WatchedNode => {
	return { id: "px-2", role: "px", via: "", heardMs: 1000, upSinceMs: 500, isUp: true, ...over };
};
const said = (heardHereMs: number, over: Partial<ProxyState> = {}): ProxyState => {
	return { proxy: "px-2", via: "", isUp: true, heardHereMs, broughtBy: "px-2", ...over };
};
const nested = (heardHereMs: number, number: number, over: Partial<ProxyState> = {}) =>
	said(heardHereMs, { via: "px-1", broughtBy: "px-1", word: { bytes: new Uint8Array(), number }, ...over });

test("an agent is heard before the store knows it, never later than now, and not by a clock that was set back", () => {
	const heard = new HeardNodes();
	const agent = stored({ id: "web-01", role: "agent" });
	assert.equal(heard.freshened(agent, 9000).heardMs, 1000);
	heard.agentHeard("web-01", 9500);
	assert.equal(heard.freshened(agent, 10_000).heardMs, 9500);
	assert.equal(heard.freshened(agent, 9000).heardMs, 9000);
	assert.equal(heard.freshened(agent, 2000).heardMs, 1000);
	assert.equal(heard.freshened({ ...agent, heardMs: 9900 }, 10_000).heardMs, 9900);
	heard.begin();
	assert.equal(heard.freshened(agent, 10_000).heardMs, 1000);
});

test("a proxy below another is heard by a newer word only, also than the store has", () => {
	const heard = new HeardNodes();
	const at = (nowMs: number, wordNumber = 0) => heard.freshened(stored({ wordNumber }), nowMs).heardMs;
	const hear = (state: ProxyState, nowMs: number) => heard.proxyHeard(state, { nowMs, silentMs: SILENT });
	hear(nested(5000, 7), 5000);
	assert.equal(at(9000), 5000);
	for (const state of [nested(8000, 7), nested(8000, 6), { ...nested(8000, 8), word: undefined } as never])
		assert.equal(hear(state, 8000), null);
	assert.equal(at(9000), 5000);
	assert.equal(at(9000, 8), 1000, "what a start finds in others' hands was taken before");
	hear(said(8500), 8500);
	assert.equal(at(9000, 8), 8500, "a link of its own needs no word");
});

test("it is heard without a silence since it came, went or was silent; who did not bring it cannot say that it went", () => {
	const heard = new HeardNodes();
	const hear = (state: ProxyState, nowMs: number) => heard.proxyHeard(state, { nowMs, silentMs: SILENT });
	assert.equal(hear(nested(5000, 1), 5000), 5000);
	assert.equal(hear(nested(5000 + SILENT, 2), 5000 + SILENT), 5000);
	hear(nested(60_000, 2, { isUp: false, broughtBy: "px-rogue" }), 60_000);
	assert.equal(hear(nested(60_000, 3), 60_000), 5000);
	hear(nested(61_000, 3, { isUp: false }), 61_000);
	assert.equal(hear(nested(62_000, 4), 62_000), 62_000);
	assert.equal(hear(nested(62_001 + SILENT, 5), 62_001 + SILENT), 62_001 + SILENT);
	assert.equal(heard.freshened(stored(), 200_000).upSinceMs, 62_001 + SILENT);
});

test("so many nodes are remembered, and the ones heard last", () => {
	const heard = new HeardNodes();
	for (let index = 0; index <= WATCH_LIMITS.heardMax; index++) heard.agentHeard(`a${index}`, 5000);
	assert.equal(heard.freshened(stored({ id: "a0", role: "agent" }), 9000).heardMs, 1000);
	assert.equal(heard.freshened(stored({ id: "a1", role: "agent" }), 9000).heardMs, 5000);
});
