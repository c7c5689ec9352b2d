/** How links are, as it comes up the tree on the real runtime: a proxy's own word, a nested one's, lost tails, and strangers. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { HELLO_HEADER, LINK_PATHS } from "#core/identity/challenge.ts";
import type { FrameBody, LinkHealth } from "#core/protocol/index.ts";
import type { ProxyState } from "../durable/faces.ts";
import { OwnWord } from "../durable/own-word.ts";
import { addNode } from "../host/pki/enclave.ts";
import { type ReadFamily, readOpenMetrics, seriesValue } from "../workers/edge/testing/open-metrics-reader.ts";
import { startTestEnclave, TEST_METRICS_TOKEN, type TestEnclave, until } from "./harness.ts";
import {
	ask,
	askNonce,
	helloOf,
	type Identity,
	identityOf,
	type Target,
	TestLink,
	TestStream,
	UPGRADE,
} from "./test-agent.ts";

interface Recorded {
	readonly proxies: readonly ProxyState[];
	readonly strangers: readonly { node: string; protocol: number }[];
	readonly states: readonly { agent: string; is_up: number; waiting: string | null; health: string | null }[];
	readonly alarms: readonly { agent: string; code: string; detail: string; cleared: number }[];
}

const TAIL_MISSING_MS = 1500;
let enclave: TestEnclave;
let proxy: Target;
let web01: Identity;
let web02: Identity;

before(async () => {
	enclave = await startTestEnclave({ fsync_interval_ms: 30 }, { watch: { tailMissingMs: TAIL_MISSING_MS } });
	proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
	web02 = identityOf("web-02", enclave.pathsOf("agent", "web-02"));
});
after(() => enclave?.stop());

const recorded = () => enclave.center<Recorded>("/recorded");
const proxiesNamed = async (name: string) => (await recorded()).proxies.filter(({ proxy }) => proxy === name);
const healthOf = (streams: FrameBody<"heartbeat">["health"]["streams"] = [], eventCount = 0) => ({
	...{ timeMs: Date.now(), streams, outboxBytes: 0, oldestUnackedMs: 0, rssBytes: 1, eventCount, gapCount: 0 },
});

test("a proxy says how its link is with the first word on it, and its clock is measured", async () => {
	const [first] = await until(
		"the proxy's word",
		() => proxiesNamed("px-1"),
		(states) => states.length > 0,
	);
	ok(first);
	deepEqual([first.via, first.broughtBy, first.isUp], ["", "px-1", true]);
	equal(first.link?.upstream, "spiffe://lab.test/sc/main");
	equal(first.link?.softwareVersion, "0.1.0-test");
	equal(first.link?.windowBytes, 8 * 1024 * 1024);
	deepEqual(first.link?.strangers, []);
	ok(Math.abs(first.clock?.offsetMs ?? 1e9) < 500, `one machine has one clock: ${first.clock?.offsetMs}`);
	const { uplink } = await enclave.health();
	deepEqual([uplink.isUp, uplink.reconnects, uplink.protocol], [true, 0, 1]);
});

const linkOf = (over: Partial<LinkHealth> = {}): LinkHealth => ({
	...{ timeMs: Date.now(), upstream: enclave.proxyUri, sinceMs: Date.now() - 5000, reconnects: 3 },
	...{ unackedBytes: 77, windowBytes: 100, agents: 2, agentsUp: 1, softwareVersion: "0.1.0", strangers: [] },
	lanes: [{ lane: "bulk", batches: 9, bytes: 900, oldestAgeMs: 12_000 }],
	...over,
});

/** What the proxy of that id signs. */
function ownWord(id: string): OwnWord {
	return new OwnWord({ uri: `spiffe://lab.test/px/${id}`, ...identityOf(id, enclave.pathsOf("px", id)) });
}

async function enrolledWord(id: string): Promise<OwnWord> {
	const added = await addNode(enclave.pkiDir, { role: "px", id }, Date.now());
	ok(added.ok, JSON.stringify(added));
	return ownWord(id);
}

async function openNested(id: string): Promise<TestLink> {
	await enrolledWord(id);
	const link = await TestLink.open(proxy, identityOf(id, enclave.pathsOf("px", id)), LINK_PATHS.peer);
	await link.expect("welcome");
	return link;
}

test("the health of a proxy behind a proxy arrives too, with its parent's measure of its clock, and that it went", async () => {
	const link = await openNested("px-2");
	const px2 = ownWord("px-2");
	const said = linkOf({ timeMs: Date.now() + 60_000, roundTripMs: 4 });
	link.send("heartbeat", { health: healthOf(), link: said, word: px2.of(said) });
	await link.expect("heartbeat");
	const [state] = await until(
		"the nested proxy's word",
		() => proxiesNamed("px-2"),
		(states) => states.length > 0,
	);
	ok(state?.link);
	deepEqual([state.via, state.broughtBy, state.isUp], ["px-1", "px-1", true]);
	deepEqual(state.link.lanes, [{ lane: "bulk", batches: 9, bytes: 900, oldestAgeMs: 12_000 }]);
	deepEqual([state.link.unackedBytes, state.link.reconnects, state.clock?.boundMs], [77, 3, 4]);
	const offMs = (state.clock?.offsetMs ?? 0) - 60_000;
	ok(offMs <= 0 && offMs > -1000, `the clock is a minute ahead, less the delivery: ${offMs}`);
	const before = (await proxiesNamed("px-2")).length;
	link.send("heartbeat", { health: healthOf(), link: linkOf({ unackedBytes: 78 }) });
	const next = linkOf({ unackedBytes: 79 });
	link.send("heartbeat", { health: healthOf(), link: next, word: px2.of(next) });
	const [, ...after] = await until(
		"the next word that it signed",
		async () => (await proxiesNamed("px-2")).slice(before - 1),
		(states) => states.length > 1,
	);
	deepEqual(
		after.map((each) => each.link?.unackedBytes),
		[79],
		"what it did not sign stays here",
	);
	link.close();
	await until(
		"that it went",
		() => proxiesNamed("px-2"),
		(states) => states.at(-1)?.isUp === false,
	);
});

test("a proxy two tiers down is passed on with its own parent's name, and a proxy cannot speak of itself in another's name", async () => {
	const link = await openNested("px-3");
	const told = { isUp: true, ageMs: 1000, clockOffsetMs: -5, clockBoundMs: 2 };
	const word = (await enrolledWord("px-deep")).of(linkOf({ upstream: "spiffe://lab.test/px/px-3" }));
	link.send("proxy_state", { proxy: "px-3", via: "px-9", ...told, word: ownWord("px-3").of(linkOf()) });
	link.send("proxy_state", { proxy: "px-deep", via: "px-3", ...told, word });
	const [state] = await until(
		"the deep proxy's word",
		() => proxiesNamed("px-deep"),
		(states) => states.length > 0,
	);
	deepEqual([state?.via, state?.broughtBy, state?.clock], ["px-3", "px-1", { offsetMs: -5, boundMs: 2 }]);
	deepEqual(await proxiesNamed("px-3"), [], "its word of itself is its heartbeat");
	await until("the refusal", enclave.logs, (logs) => /proxy_word_refused.*proxy_word_of_itself/.test(logs));
	link.close();
});

test("an agent's beats go up at a bounded rate, its going at once", async () => {
	const link = await TestLink.open(proxy, web02);
	await link.expect("welcome");
	for (let beat = 1; beat <= 30; beat++) {
		link.send("heartbeat", { health: healthOf([], beat) });
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
	const beatsOf = async () =>
		(await recorded()).states.filter(({ agent, health }) => agent === "web-02" && health !== null);
	const beats = await beatsOf();
	equal(beats.length, 1, "one in nine seconds");
	link.close();
	await until(
		"that it went, with its last word",
		recorded,
		({ states }) => {
			const last = states.filter(({ agent }) => agent === "web-02").at(-1);
			return last?.is_up === 0 && last.health !== null && JSON.parse(last.health).eventCount === 30;
		},
		3000,
	);
});

/** What a scraper on the proxy's box reads. */
async function metrics(): Promise<ReadFamily[]> {
	const answer = await fetch(`${enclave.healthUrl}/metrics`, {
		headers: { authorization: `Bearer ${TEST_METRICS_TOKEN}` },
	});
	equal(answer.status, 200);
	return readOpenMetrics(await answer.text());
}

test("a proxy's metrics need its token, and are not on the socket of the links", async () => {
	equal((await fetch(`${enclave.healthUrl}/metrics`)).status, 401);
	const families = await metrics();
	ok(families.length >= 14);
	equal(seriesValue(families, "daemoneye_window_bytes"), 8 * 1024 * 1024);
	equal((await ask(proxy, web01, "/metrics", { authorization: `Bearer ${TEST_METRICS_TOKEN}` })).status, 404);
});

const tailsOf = async () => (await recorded()).alarms.filter(({ code }) => code === "tail_missing");

test("a tail that an agent has made and that comes nowhere is an alarm in its time, and is over when it comes", async () => {
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	const stream = new TestStream(web01, "alert");
	const head = (seq: number) => healthOf([{ lane: "alert", stream: stream.stream, head: seq }]);
	link.send("batch", { bytes: stream.next().bytes });
	await link.expect("receipt", (body) => body.level === "a2");
	const lost = [stream.next(), stream.next()];
	const saidMs = Date.now();
	link.send("heartbeat", { health: head(3) });
	await until("its word at the Security Center", recorded, ({ states }) =>
		states.some(({ agent, health }) => agent === "web-01" && health !== null),
	);
	// The agent itself goes: what it has said stays said.
	link.close();
	const [alarm] = await until("the alarm", tailsOf, (alarms) => alarms.length > 0, 20_000);
	const tookMs = Date.now() - saidMs;
	ok(tookMs >= TAIL_MISSING_MS && tookMs < TAIL_MISSING_MS + 12_000, `it took ${tookMs} ms`);
	deepEqual([alarm?.agent, alarm?.cleared], ["web-01", 0]);
	match(alarm?.detail ?? "", /batches 2 to 3 were made and never came/);
	const again = await TestLink.open(proxy, web01);
	await again.expect("welcome");
	for (const { bytes } of lost) again.send("batch", { bytes });
	await again.expect("receipt", (body) => body.level === "a2" && body.seq === 3);
	again.send("heartbeat", { health: head(3) });
	await until("its end", tailsOf, (alarms) => alarms.at(-1)?.cleared === 1, 20_000);
	equal((await tailsOf()).length, 2, "once raised, once cleared");
	again.close();
});

test("what waits at the proxy is late, not lost", async () => {
	const link = await TestLink.open(proxy, web02);
	await link.expect("welcome");
	const stream = new TestStream(web02, "alert");
	link.send("batch", { bytes: stream.next().bytes });
	await link.expect("receipt", (body) => body.level === "a2");
	const before = (await tailsOf()).length;
	await enclave.sc.kill();
	link.send("batch", { bytes: stream.next().bytes });
	await link.expect("receipt", (body) => body.level === "a1" && body.seq === 2);
	link.send("heartbeat", { health: healthOf([{ lane: "alert", stream: stream.stream, head: 2 }]) });
	await new Promise((resolve) => setTimeout(resolve, TAIL_MISSING_MS));
	const { uplink } = await until("the loss of the link", enclave.health, ({ uplink }) => !uplink.isUp);
	const down = await metrics();
	equal(seriesValue(down, "daemoneye_upstream_links"), 0);
	ok(seriesValue(down, "daemoneye_lane_waiting_batches", { lane: "alert" }) >= 1);
	ok(seriesValue(down, "daemoneye_lane_waiting_bytes", { lane: "alert" }) > 0);
	equal(seriesValue(down, "daemoneye_lane_waiting_bytes", { lane: "trace" }), 0);
	ok(seriesValue(down, "daemoneye_lane_oldest_seconds", { lane: "alert" }) >= TAIL_MISSING_MS / 2000);
	ok(seriesValue(down, "daemoneye_lag_seconds") >= TAIL_MISSING_MS / 2000);
	ok(seriesValue(down, "daemoneye_wal_bytes") > 0);
	equal(seriesValue(down, "daemoneye_connected_agents"), 1);
	ok(uplink.lanes.alert.batches >= 1 && uplink.lanes.alert.bytes > 0 && uplink.lagMs >= TAIL_MISSING_MS / 2);
	ok(uplink.lastError !== null && uplink.walBytes > 0);
	await enclave.sc.start();
	await link.expect("receipt", (body) => body.level === "a2" && body.seq === 2, 40_000);
	equal((await tailsOf()).length, before);
	const back = await until("the link", enclave.health, ({ uplink }) => uplink.isUp && uplink.walBytes === 0);
	equal(back.uplink.reconnects, 1);
	const up = await metrics();
	equal(seriesValue(up, "daemoneye_upstream_links"), 1);
	equal(seriesValue(up, "daemoneye_upstream_reconnects_total"), 1);
	equal(seriesValue(up, "daemoneye_wal_bytes"), 0);
	equal(seriesValue(up, "daemoneye_lag_seconds"), 0);
	link.close();
});

test("what a proxy without room leaves at the agent is late, not lost", async () => {
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	const bulk = new TestStream(web01, "bulk");
	const before = (await tailsOf()).length;
	link.send("batch", { bytes: bulk.next().bytes });
	await link.expect("receipt", (body) => body.seq === 1);
	enclave.setDisk({ freeBytes: 1.4e9, totalBytes: 10e9 });
	const asking = new TestStream(web01, "trace");
	await until(
		"a disk heard of",
		() => {
			// The proxy asks while batches come.
			link.send("batch", { bytes: asking.next().bytes });
			return enclave.health();
		},
		({ disk }) => Math.round(disk.usedPercent ?? 0) === 86,
	);
	// Larger than the pages the file may have to spare: what fits into them is taken on a full disk too.
	const held = bulk.next({ padBytes: 100_000 });
	link.send("batch", { bytes: held.bytes });
	await link.expect("reject", (body) => body.code === "disk_low" && body.seq === 2);
	const since = (await recorded()).states.length;
	link.send("heartbeat", { health: healthOf([{ lane: "bulk", stream: bulk.stream, head: 2 }]) });
	const { states } = await until("its word at the Security Center", recorded, ({ states }) =>
		states.slice(since).some(({ agent, health }) => agent === "web-01" && health !== null),
	);
	match(states.at(-1)?.waiting ?? "", /bulk/);
	await new Promise((resolve) => setTimeout(resolve, 2 * TAIL_MISSING_MS));
	equal((await tailsOf()).length, before, JSON.stringify(await tailsOf()));
	enclave.setDisk({ freeBytes: 5e9, totalBytes: 10e9 });
	await until(
		"room again",
		() => {
			link.send("batch", { bytes: asking.next().bytes });
			return enclave.health();
		},
		({ disk }) => Math.round(disk.usedPercent ?? 0) === 50,
	);
	equal(seriesValue(await metrics(), "daemoneye_disk_free_bytes") > 4.9e9, true);
	link.send("batch", { bytes: held.bytes });
	await link.expect("receipt", (body) => body.seq === 2 && Buffer.from(body.stream).equals(bulk.stream));
	link.close();
});

test("an agent of the next protocol is refused by name, and its proxy's health names it", async () => {
	const nonce = await askNonce(proxy, web01);
	const hello = helloOf(web01, nonce, { serverUri: proxy.uri, protocol: 2 });
	const refused = await ask(proxy, web01, LINK_PATHS.agent, { ...UPGRADE, [HELLO_HEADER]: hello });
	equal(refused.status, 403);
	match(refused.body, /hello_protocol.*protocol 2, this node 1/s);
	const { uplink } = await enclave.health();
	deepEqual(
		uplink.strangers.map(({ node, protocol }) => [node, protocol]),
		[["spiffe://lab.test/agent/web-01", 2]],
	);
	equal(seriesValue(await metrics(), "daemoneye_refused_protocol_nodes"), 1);
	match(readFileSync(enclave.px.logPath, "utf8"), /protocol_differs.*agent\/web-01.*"theirs":2,"ours":1/);
	// Whoever is not who it says is refused as well, and named to nobody.
	const forged = helloOf({ ...web02, seed: web01.seed }, await askNonce(proxy, web02), {
		serverUri: proxy.uri,
		protocol: 2,
	});
	equal((await ask(proxy, web02, LINK_PATHS.agent, { ...UPGRADE, [HELLO_HEADER]: forged })).status, 403);
	equal((await enclave.health()).uplink.strangers.length, 1);
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	deepEqual((await enclave.health()).uplink.strangers, [], "it came in after all");
	link.close();
});
