import { deepEqual, equal, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import { encodeAs } from "#core/codec/index.ts";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { HELLO_LIMITS } from "#core/identity/hello.ts";
import { carriedShape, LINK_LIMITS } from "#core/protocol/index.ts";
import { packCarrier } from "../durable/carrier.ts";
import { addNode } from "../host/pki/enclave.ts";
import { ENCLAVE, startTestEnclave, type TestEnclave, until } from "./harness.ts";
import { type Identity, identityOf, routeTo, type Target, TestLink, TestStream } from "./test-agent.ts";

let enclave: TestEnclave;
let center: Target;
let px2: Identity;
let web01: Identity;
let web02: Identity;

before(async () => {
	enclave = await startTestEnclave();
	center = { port: enclave.centerPort, name: enclave.centerName, uri: `spiffe://${ENCLAVE}/sc/main` };
	const added = await addNode(enclave.pkiDir, { role: "px", id: "px-2" }, Date.now());
	ok(added.ok);
	px2 = identityOf("px-2", added.value.paths);
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
	web02 = identityOf("web-02", enclave.pathsOf("agent", "web-02"));
});
after(() => enclave?.stop());

async function openPeer(): Promise<TestLink> {
	const link = await TestLink.open(center, px2, LINK_PATHS.peer);
	await link.expect("welcome");
	return link;
}
const PX2 = `spiffe://${ENCLAVE}/px/px-2`;
const stateOf = (identity: Identity, heardAtMs = Date.now()) => ({
	agent: identity.id,
	isUp: true,
	proof: identity.proof,
	heardAtMs,
	route: routeTo(PX2, identity, Math.min(heardAtMs, Date.now())),
});
type Stats = { via: string; isUp: boolean };
const statsOf = (agent: string) => enclave.center<Stats>("/stats", { agent });
const untilVia = (agent: string, via: string) =>
	until(
		`${agent} by ${JSON.stringify(via)}`,
		() => statsOf(agent),
		(stats) => stats.via === via,
	);
/** Resolves when everything that was sent before has been dealt with: news of one agent stays in order. */
async function settle(link: TestLink, agent: string): Promise<void> {
	link.send("agent_state", { ...stateOf(agent === "web-01" ? web02 : web01), agent });
	const count = link.frames.length;
	await until(
		"the refusal",
		() => link.frames.slice(count),
		(frames) => frames.some((frame) => frame.type === "reject" && frame.body.code === "proof_of_another"),
	);
}

test("a proxy cannot make the Security Center address an agent without that agent's proof", async () => {
	const link = await openPeer();
	const before = enclave.channelFiles("sc");
	link.sendRaw(packCarrier("alert", "none", [{ agent: "web-01", bytes: new TestStream(web01, "alert").next().bytes }]));
	equal((await link.expect("reject", (body) => body.code === "agent_unproved")).agent, "web-01");
	link.send("agent_state", { ...stateOf(web02), agent: "web-01" });
	await link.expect("reject", (body) => body.code === "proof_of_another");
	link.send("agent_state", { ...stateOf(px2), agent: "px-2" });
	await link.expect("reject", (body) => body.agent === "px-2" && body.code === "proof_of_another");
	link.send("agent_state", { ...stateOf(web01), proof: { ...web01.proof, binding: web02.proof.binding } });
	await link.expect("reject", (body) => body.code === "binding_mismatch");
	equal(enclave.channelFiles("sc"), before);
	link.close();
});

test("a proxy's own forgeries are refused one by one, and the agent's batches beside them are stored", async () => {
	const link = await openPeer();
	link.send("agent_state", stateOf(web01));
	const stream = new TestStream(web01, "alert");
	const good = stream.next();
	const forged = stream.next({ seed: px2.seed });
	const foreign = new TestStream(web02, "alert").next();
	const carried = [forged, good, foreign].map(({ bytes }) => ({ agent: "web-01", bytes }));
	link.sendRaw(packCarrier("alert", "zstd", carried));
	await link.expect("reject", (body) => body.code === "batch_signature_invalid");
	await link.expect("reject", (body) => body.code === "agent_mismatch");
	const receipt = await link.expect(
		"receipt",
		(body) => body.level === "a1" && hexOf(body.stream) === hexOf(stream.stream),
	);
	equal(receipt.seq, 1);
	const fork = stream.next({ seq: 1, text: "/bin/other" });
	link.sendRaw(packCarrier("alert", "none", [{ agent: "web-01", bytes: fork.bytes }]));
	await link.expect("reject", (body) => body.code === "forked");
	type Recorded = { alarms: { agent: string; code: string; evidence: number }[] };
	const { alarms } = await until(
		"the fork alarm",
		() => enclave.center<Recorded>("/recorded"),
		(recorded) => recorded.alarms.length > 0,
	);
	const { setAside } = await until(
		"what was refused",
		() => enclave.center<{ setAside: { cause: string; hop: string; lane?: string }[] }>("/recorded"),
		(recorded) => recorded.setAside.length >= 3,
	);
	deepEqual(
		setAside.map(({ cause, hop, lane }) => [cause, hop, lane]),
		[
			["batch_signature_invalid", "", "alert"],
			["agent_mismatch", "", "alert"],
			["forked", "", "alert"],
		],
	);
	deepEqual(alarms, [{ ...alarms[0], agent: "web-01", code: "forked", evidence: fork.bytes.length }]);
	link.close();
});

test("an agent whose route was made in the future is asked for again when it can be judged, and not before", async () => {
	const link = await openPeer();
	const heardAtMs = Date.now();
	const madeAtMs = heardAtMs + HELLO_LIMITS.clockSkewMsMax + 3000;
	const early = { ...stateOf(web01, heardAtMs), route: routeTo(PX2, web01, madeAtMs) };
	link.send("agent_state", early);
	await settle(link, "web-01");
	equal((await statsOf("web-01")).via, "", "nobody knows yet whether it leads there");
	await link.expect("reject", (body) => body.agent === "web-01" && body.code === "agent_unproved");
	ok(Date.now() >= heardAtMs + 3000);
	link.send("agent_state", early);
	await untilVia("web-01", "px-2");
	link.close();
	await untilVia("web-01", "");
});

test("an agent whose clock is behind its own certificate brings evidence, and has no route", async () => {
	const link = await openPeer();
	const dayAgoMs = Date.now() - 86_400_000;
	// Its proxy's clock is behind as well: it says that it heard the agent then.
	link.send("agent_state", { ...stateOf(web01), heardAtMs: dayAgoMs, route: routeTo(PX2, web01, dayAgoMs) });
	const stream = new TestStream(web01, "alert");
	link.sendRaw(packCarrier("alert", "none", [{ agent: "web-01", bytes: stream.next().bytes }]));
	await until(
		"its batch",
		() => enclave.center<{ batches: { stream: string }[] }>("/recorded"),
		({ batches }) => batches.some((batch) => batch.stream === hexOf(stream.stream)),
	);
	equal((await statsOf("web-01")).via, "", "nobody knows whether it leads there");
	link.close();
});

test("what a proxy says that it keeps is told under its own name, and only of agents proved on its link", async () => {
	const link = await openPeer();
	const kept = { hop: "px-1", bytes: 5, atMs: Date.now() };
	link.send("reject", { agent: "web-02", code: "batch_signature_invalid", detail: "made up", kept });
	await link.expect("reject", (body) => body.agent === "web-02" && body.code === "agent_unproved");
	link.send("agent_state", stateOf(web01));
	link.send("reject", { agent: "web-01", code: "batch_signature_invalid", detail: "made up", kept });
	link.send("reject", { agent: "web-01", code: "cbor_truncated", detail: "", kept: { ...kept, hop: "px-2/px-3" } });
	const { setAside } = await until(
		"both",
		async () => ({
			setAside: (await enclave.center<{ setAside: { agent: string; hop: string; bytesKept: number }[] }>("/recorded"))
				.setAside,
		}),
		(recorded) => recorded.setAside.filter(({ hop }) => hop !== "").length >= 2,
	);
	deepEqual(
		setAside.filter(({ hop }) => hop !== "").map(({ agent, hop, bytesKept }) => [agent, hop, bytesKept]),
		[
			["web-01", "px-2/?", 5],
			["web-01", "px-2/px-3", 5],
		],
	);
	link.close();
});

test("a hole is refused with the expected number until it is filled", async () => {
	const link = await openPeer();
	link.send("agent_state", stateOf(web02));
	const stream = new TestStream(web02, "bulk");
	const [first, second] = [stream.next(), stream.next()];
	const send = (bytes: Uint8Array) => link.sendRaw(packCarrier("bulk", "none", [{ agent: "web-02", bytes }]));
	send(second.bytes);
	equal((await link.expect("reject", (body) => body.code === "skipped")).seq, 1);
	send(first.bytes);
	send(second.bytes);
	await link.expect(
		"receipt",
		(body) => body.level === "a2" && body.seq === 2 && hexOf(body.stream) === hexOf(stream.stream),
	);
	link.close();
});

test("a carrier that inflates beyond what it names drops the link before it is inflated", async () => {
	const link = await openPeer();
	const carried = [{ agent: "web-01", bytes: new Uint8Array(1_000_000) }];
	const body = { lane: "bulk", compression: "zstd", rawBytes: 100 } as const;
	const { zstdCompressSync } = await import("node:zlib");
	link.send("carrier", { ...body, data: new Uint8Array(zstdCompressSync(encodeAs(carriedShape, carried))) });
	equal((await link.expect("bye")).code, "carrier_bomb");
	const torn = await openPeer();
	torn.send("carrier", { ...body, data: new Uint8Array(40) });
	equal((await torn.expect("bye")).code, "carrier_malformed");
	const nothing = new Uint8Array(zstdCompressSync(new Uint8Array(0)));
	const row = new Uint8Array(Math.floor(LINK_LIMITS.carrierRawBytesMax / nothing.length) * nothing.length);
	for (let offset = 0; offset < row.length; offset += nothing.length) row.set(nothing, offset);
	for (const [rawBytes, code] of [
		[0, "carrier_length"],
		[LINK_LIMITS.carrierRawBytesMax, "carrier_bomb"],
	] as const) {
		const empty = await openPeer();
		const sentMs = Date.now();
		empty.send("carrier", { ...body, rawBytes, data: row });
		equal((await empty.expect("bye")).code, code);
		// Half a million frames of nothing froze the process, with everyone in it, for seconds.
		ok(Date.now() - sentMs < 1500, `it took ${Date.now() - sentMs} ms`);
	}
	const wrong = await openPeer();
	wrong.send("welcome", { timeMs: 0, watermarks: [], trust: [] });
	equal((await wrong.expect("bye")).code, "frame_unexpected");
});

test("a backlog outlives the certificate it was taken under, when the proxy heard the agent in time", async () => {
	const added = await addNode(enclave.pkiDir, { role: "agent", id: "short-lived", lifetimeMs: 1500 }, Date.now());
	ok(added.ok);
	const shortLived = identityOf("short-lived", added.value.paths);
	const heardAtMs = Date.now();
	const batch = new TestStream(shortLived, "bulk").next();
	await new Promise((resolve) => setTimeout(resolve, 2600));
	const link = await openPeer();
	link.send("agent_state", stateOf(shortLived));
	await link.expect("reject", (body) => body.code === "chain_expired");
	link.send("agent_state", { ...stateOf(shortLived, heardAtMs), isUp: false });
	link.sendRaw(packCarrier("bulk", "none", [{ agent: "short-lived", bytes: batch.bytes }]));
	await link.expect("receipt", (body) => body.agent === "short-lived" && body.level === "a2");
	link.close();
});

test("a proxy to which an agent never came cannot take its route, and one to which it came gives it up to a later one", async () => {
	const rogue = await openPeer();
	const proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	const cameAtMs = Date.now() - 1000;
	const agent = await TestLink.open(proxy, web02);
	await untilVia("web-02", "px-1");
	const { route: _, ...proofOnly } = stateOf(web02);
	// The proof is public; what the rogue says of times is its own word.
	rogue.send("agent_state", proofOnly);
	rogue.send("agent_state", { agent: "web-02", isUp: true, heardAtMs: Date.now() + 11 * 60_000 });
	await settle(rogue, "web-02");
	deepEqual(await statsOf("web-02").then(({ via, isUp }) => [via, isUp]), ["px-1", true]);
	// A hello that the agent made for the other proxy, as a captured one may have seen it.
	rogue.send("agent_state", { ...stateOf(web02), route: routeTo(enclave.proxyUri, web02, Date.now() + 1000) });
	await rogue.expect("reject", (body) => body.code === "hello_wrong_server");
	// The agent was here once, before it went to the other.
	rogue.send("agent_state", { ...stateOf(web02), route: routeTo(PX2, web02, cameAtMs) });
	await settle(rogue, "web-02");
	deepEqual(await statsOf("web-02").then(({ via, isUp }) => [via, isUp]), ["px-1", true]);
	const stream = new TestStream(web02, "alert");
	agent.send("batch", { bytes: stream.next().bytes });
	await agent.expect("receipt", (body) => body.level === "a2" && hexOf(body.stream) === hexOf(stream.stream));
	// It comes here now: later than there. And when this link ends, the way is open again.
	rogue.send("agent_state", { ...stateOf(web02), route: routeTo(PX2, web02, Date.now() + 1000) });
	await untilVia("web-02", "px-2");
	rogue.close();
	const gone = await untilVia("web-02", "");
	equal(gone.isUp, false);
	await new Promise((resolve) => setTimeout(resolve, 1100));
	const back = await TestLink.open(proxy, web02);
	await untilVia("web-02", "px-1");
	const commandId = new Uint8Array(16).fill(5);
	await enclave.center("/command", {
		...{ agent: "web-02", commandId: base64Of(commandId), envelope: "AQ==" },
		expiresAtMs: String(Date.now() + 60_000),
	});
	await back.expect("command");
	back.send("command_received", { agent: "web-02", commandId });
	agent.close();
	back.close();
});

test("a route whose link is down gives way to any other that stands, though it was chosen earlier", async () => {
	const link = await openPeer();
	link.send("agent_state", { ...stateOf(web02), route: routeTo(PX2, web02, Date.now() + 5 * 60_000) });
	await untilVia("web-02", "px-2");
	// The Security Center forgets its links without their end being seen.
	await enclave.sc.kill();
	await enclave.sc.start();
	equal((await statsOf("web-02")).via, "px-2");
	const proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	const agent = await TestLink.open(proxy, web02);
	await untilVia("web-02", "px-1");
	agent.close();
});

test("an agent behind a proxy behind this one is believed by the hellos of both", async () => {
	const added = await addNode(enclave.pkiDir, { role: "px", id: "px-3" }, Date.now());
	ok(added.ok);
	const px3 = identityOf("px-3", added.value.paths);
	const PX3 = `spiffe://${ENCLAVE}/px/px-3`;
	const link = await openPeer();
	const timeMs = Date.now() + 6 * 60_000;
	link.send("agent_state", { ...stateOf(web01), route: routeTo(PX3, web01, timeMs) });
	await link.expect("reject", (body) => body.agent === "web-01" && body.code === "hello_wrong_server");
	const route = [...routeTo(PX3, web01, timeMs), ...routeTo(PX2, px3, timeMs)];
	link.send("agent_state", { ...stateOf(web01), route });
	await untilVia("web-01", "px-2");
	link.send("agent_state", { ...stateOf(web01), route: Array.from({ length: 8 }, () => route[0] as Uint8Array) });
	await link.expect("reject", (body) => body.code === "route_too_long");
	link.close();
});

test("a proxy that an agent's certificate does not name gets nothing of the agent's, though the agent signed a hello to it", async () => {
	const added = await addNode(enclave.pkiDir, { role: "agent", id: "assigned", proxies: ["px-1"] }, Date.now());
	ok(added.ok);
	const link = await openPeer();
	link.send("agent_state", stateOf(identityOf("assigned", added.value.paths)));
	await link.expect("reject", (body) => body.agent === "assigned" && body.code === "proxy_not_listed");
	link.close();
});

test("a proxy passes the route of an agent behind a lower proxy on, and the command comes back the same way", async () => {
	const added = await addNode(enclave.pkiDir, { role: "agent", id: "deep" }, Date.now());
	ok(added.ok);
	const deep = identityOf("deep", added.value.paths);
	const upper = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	const link = await TestLink.open(upper, px2, LINK_PATHS.peer);
	await link.expect("welcome");
	link.send("agent_state", stateOf(deep));
	await untilVia("deep", "px-1");
	const stream = new TestStream(deep, "alert");
	link.sendRaw(packCarrier("alert", "none", [{ agent: "deep", bytes: stream.next().bytes }]));
	await link.expect("receipt", (body) => body.agent === "deep" && body.level === "a2" && body.seq === 1);
	await enclave.center("/command", {
		...{ agent: "deep", commandId: base64Of(new Uint8Array(16).fill(6)), envelope: "AQ==" },
		expiresAtMs: String(Date.now() + 60_000),
	});
	equal((await link.expect("command")).agent, "deep");
	link.close();
	await until(
		"the departure",
		() => statsOf("deep"),
		(stats) => !stats.isUp,
	);
});

test("a link ends with the certificate of its proxy, whether it speaks or not", async () => {
	const lifetimeMs = 3000;
	const issuedAtMs = Date.now();
	const added = await addNode(enclave.pkiDir, { role: "px", id: "px-short", lifetimeMs }, issuedAtMs);
	ok(added.ok);
	const short = identityOf("px-short", added.value.paths);
	const link = await TestLink.open(center, short, LINK_PATHS.peer);
	await link.expect("welcome");
	equal((await link.expect("bye")).code, "certificate_expired");
	// A certificate counts whole seconds.
	const lateMs = Date.now() - issuedAtMs - lifetimeMs;
	ok(lateMs > -1000 && lateMs < 5000, `it ended ${lateMs} ms after its certificate`);
});

test("a newer link of a proxy replaces the older one", async () => {
	const first = await openPeer();
	const second = await openPeer();
	equal((await first.expect("bye")).code, "replaced");
	const health = {
		timeMs: 1,
		streams: [],
		outboxBytes: 0,
		oldestUnackedMs: 0,
		rssBytes: 0,
		eventCount: 0,
		gapCount: 0,
	};
	second.send("heartbeat", { health });
	equal((await second.expect("heartbeat")).health.timeMs, 1);
	second.close();
});
