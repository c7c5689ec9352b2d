/** The small parts that keep how links are: meter, strangers, nested proxies, and the rate at which agents' beats go up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Health } from "#core/protocol/index.ts";
import { LINK_LIMITS } from "#core/protocol/index.ts";
import { AgentRegistry } from "./agent-registry.ts";
import type { ProxyState } from "./faces.ts";
import { PEER_LIMITS } from "./limits.ts";
import { LinkMeter } from "./link-meter.ts";
import { NestedProxies } from "./nested-proxies.ts";
import { STRANGER_AGE_MS_MAX, Strangers } from "./strangers.ts";

test("a link made anew is counted, its first one is not", () => {
	const meter = new LinkMeter();
	assert.equal(meter.reconnects, 0);
	meter.welcomed();
	assert.equal(meter.reconnects, 0);
	meter.welcomed();
	assert.equal(meter.reconnects, 1);
});

test("the fastest of the newest answers bounds the clock, and a new link measures anew", () => {
	const meter = new LinkMeter();
	meter.welcomed();
	assert.equal(meter.roundTripMs, null);
	for (const [askedMs, tripMs] of [
		[100, 40],
		[200, 4],
		[300, 90],
	] as const) {
		meter.asked(askedMs);
		meter.answered(askedMs + tripMs);
	}
	meter.answered(9000);
	assert.equal(meter.roundTripMs, 4, "an answer nobody asked for is none");
	for (let beat = 0; beat < 8; beat++) {
		meter.asked(1000);
		meter.answered(1030);
	}
	assert.equal(meter.roundTripMs, 30);
	meter.welcomed();
	assert.equal(meter.roundTripMs, null);
});

test("strangers are bounded, one entry each, and are forgotten when they come in or stop trying", () => {
	const strangers = new Strangers();
	for (let index = 0; index <= LINK_LIMITS.strangersMax; index++)
		strangers.came({ node: `n${index}`, protocol: 2, atMs: index });
	strangers.came({ node: "n8", protocol: 3, atMs: 100 });
	const names = () => strangers.list(100).map(({ node }) => node);
	assert.deepEqual(names(), ["n8", "n7", "n6", "n5", "n4", "n3", "n2", "n1"]);
	strangers.admitted("n7");
	assert.equal(names().includes("n7"), false);
	assert.deepEqual(
		strangers.list(STRANGER_AGE_MS_MAX + 50).map(({ node }) => node),
		["n8"],
	);
});

const wordOf = (number: number) => ({ word: { bytes: Uint8Array.of(number), number } });
const stateOf = (proxy: string, over: Partial<ProxyState> = {}): ProxyState => {
	return { proxy, via: "px-1", isUp: true, heardHereMs: 1000, broughtBy: proxy, ...over };
};

test("a nested proxy's newest word goes up once a link, verbatim, with its age; one that went is told once", () => {
	const nested = new NestedProxies();
	nested.note(stateOf("px-2", { clock: { offsetMs: 9e12, boundMs: null }, ...wordOf(1) }));
	nested.note(stateOf("px-2", { heardHereMs: 1500, ...wordOf(2) }));
	assert.deepEqual(nested.take(1700), [{ proxy: "px-2", via: "px-1", isUp: true, ageMs: 200, word: Uint8Array.of(2) }]);
	nested.note(stateOf("px-2", { via: "px-old", ...wordOf(2) }));
	nested.note(stateOf("px-2", { via: "px-old", ...wordOf(1) }));
	nested.note(stateOf("px-2", { via: "px-old" }));
	assert.deepEqual(nested.take(1800), [], "an older word, the same one and an unsigned one are no news");
	nested.resend();
	assert.equal(nested.take(1900)[0]?.ageMs, 400);
	nested.note(stateOf("px-2", { isUp: false, broughtBy: "px-other" }));
	assert.deepEqual(nested.take(1950), [], "who did not bring it cannot say that it went");
	nested.note(stateOf("px-2", { isUp: false, clock: { offsetMs: -9e12, boundMs: 4 } }));
	const [gone] = nested.take(2000);
	assert.deepEqual([gone?.isUp, gone?.clockOffsetMs, gone?.clockBoundMs], [false, -0x7fff_ffff, 4]);
	assert.equal(gone?.word, undefined);
	nested.resend();
	assert.deepEqual(nested.take(2100), []);
});

test("a proxy passes on as many others as the limit and no more, and forgets whom nobody hears", () => {
	const nested = new NestedProxies();
	const note = (id: string, number: number, heardHereMs = 1000) =>
		nested.note(stateOf(id, { heardHereMs, ...wordOf(number) }));
	for (let index = 0; index < PEER_LIMITS.nestedMax; index++) assert.ok(note(`px-${index}`, 1));
	assert.equal(note("px-more", 1), false);
	assert.ok(note("px-0", 2), "one that is known stays known");
	assert.ok(note("px-more", 1, 1000 + PEER_LIMITS.nestedAgeMsMax + 1), "the places of the others are free");
	assert.deepEqual(
		nested.take(1000 + PEER_LIMITS.nestedAgeMsMax + 1).map(({ proxy }) => proxy),
		["px-more"],
	);
});

const health = (eventCount: number): Health => {
	return { ...{ timeMs: 1, streams: [], outboxBytes: 0, oldestUnackedMs: 0, rssBytes: 0, gapCount: 0 }, eventCount };
};
const known = { proof: new Uint8Array(), route: new Uint8Array(), status: null, heardAtMs: 0 };

test("an agent's beats go up once an interval and the newest one, its going at once", () => {
	const registry = new AgentRegistry([{ agent: "a", ...known }]);
	const beat = (eventCount: number, isUp = true) =>
		registry.note({ agent: "a", isUp, heardAtMs: 1, health: health(eventCount), waiting: [] });
	const counts = (nowMs: number) =>
		registry.takeNoted(nowMs, 9000).map((state) => [state.isUp, state.health?.eventCount]);
	beat(1);
	assert.deepEqual(counts(100_000), [[true, 1]]);
	beat(2);
	beat(3);
	assert.deepEqual(counts(108_999), []);
	assert.ok(registry.hasNoted);
	assert.deepEqual(counts(109_000), [[true, 3]]);
	assert.equal(registry.hasNoted, false);
	beat(4);
	registry.note({ agent: "a", isUp: false, heardAtMs: 2, waiting: [] });
	assert.deepEqual(counts(109_001), [[false, 4]]);
	beat(5);
	assert.deepEqual(counts(50_000), [[true, 5]], "it came back, and a clock that was set back holds nothing up");
});

test("what waits is the union of what is told below and what is here; not known stays not known", () => {
	const registry = new AgentRegistry([{ agent: "a", ...known }]);
	const none = { batches: 0, bytes: 0, oldestMs: null };
	const waiting = (below?: ("trace" | "alert" | "bulk")[]) => {
		registry.note({ agent: "a", isUp: true, heardAtMs: 1, ...(below === undefined ? {} : { waiting: below }) });
		return registry.takeNoted(1e6, 0)[0]?.waiting;
	};
	assert.equal(waiting([]), undefined, "its channel has not said");
	registry.setDepths("a", { trace: none, alert: none, bulk: { batches: 1, bytes: 5, oldestMs: 1 } });
	assert.deepEqual(waiting([]), ["bulk"]);
	assert.deepEqual(waiting(["trace", "bulk"]), ["trace", "bulk"]);
	assert.equal(waiting(), undefined);
});
