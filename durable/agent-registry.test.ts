import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { AgentRegistry } from "./agent-registry.ts";

const newsOf = (agent: string) => ({
	...{ agent, proof: new Uint8Array(), route: new Uint8Array(), status: null, heardAtMs: 1, isUp: true },
});

test("a full registry takes no new agent and every one it knows", () => {
	const registry = new AgentRegistry([newsOf("a")], 2);
	equal(registry.hasRoomFor("b"), true);
	registry.arrived(newsOf("b"));
	deepEqual([registry.hasRoomFor("c"), registry.hasRoomFor("a"), registry.hasRoomFor("b")], [false, true, true]);
	registry.forget("a");
	equal(registry.hasRoomFor("c"), true);
});
