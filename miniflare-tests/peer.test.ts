import { deepEqual, equal, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { hexOf } from "#core/bytes/bytes.ts";
import { encodeAs } from "#core/codec/index.ts";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { carriedShape } from "#core/protocol/index.ts";
import { packCarrier } from "../durable/carrier.ts";
import { addNode } from "../host/pki/enclave.ts";
import { ENCLAVE, startTestEnclave, type TestEnclave, until } from "./harness.ts";
import { type Identity, identityOf, type Target, TestLink, TestStream } from "./test-agent.ts";

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
const stateOf = (identity: Identity, heardAtMs = Date.now()) => ({
	agent: identity.id,
	isUp: true,
	proof: identity.proof,
	heardAtMs,
});

test("a proxy cannot make the Security Center address an agent without that agent's proof", async () => {
	const link = await openPeer();
	const before = enclave.channelFiles("sc");
	link.sendRaw(packCarrier("alert", "none", [{ agent: "web-01", bytes: new TestStream(web01, "alert").next().bytes }]));
	equal((await link.expect("reject", (body) => body.code === "agent_unproved")).agent, "web-01");
	link.send("agent_state", { ...stateOf(web02), agent: "web-01" });
	await link.expect("reject", (body) => body.code === "proof_of_another");
	link.send("agent_state", { ...stateOf(px2), agent: "px-2" });
	await link.expect("reject", (body) => body.agent === "px-2" && body.code === "proof_of_another");
	link.send("agent_state", stateOf(web01, Date.now() + 3_600_000));
	await link.expect("reject", (body) => body.code === "state_from_future");
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
	deepEqual(alarms, [{ ...alarms[0], agent: "web-01", code: "forked", evidence: fork.bytes.length }]);
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
