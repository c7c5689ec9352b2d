import { deepEqual, equal, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import { verifyCustody } from "#core/ledger/index.ts";
import { readBatch } from "#core/model/batch.ts";
import type { FrameBody } from "#core/protocol/index.ts";
import { TestLedger } from "#core/testing/test-ledger.ts";
import { CHANNEL_LIMITS } from "../durable/limits.ts";
import { addNode } from "../host/pki/enclave.ts";
import { firstTrustVersion, startTestEnclave, type TestEnclave, until } from "./harness.ts";
import { type Identity, identityOf, type SealedBatch, type Target, TestLink, TestStream } from "./test-agent.ts";

interface Recorded {
	readonly batches: readonly { agent: string; stream: string; seq: number; lane: string; bytes: string }[];
	readonly states: readonly { agent: string; via: string; is_up: number }[];
	readonly alarms: readonly { agent: string; code: string; evidence: number }[];
}

let enclave: TestEnclave;
let proxy: Target;
let web01: Identity;
let web02: Identity;

before(async () => {
	enclave = await startTestEnclave({ fsync_interval_ms: 30 });
	proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
	web02 = identityOf("web-02", enclave.pathsOf("agent", "web-02"));
});
after(() => enclave?.stop());

const recorded = () => enclave.center<Recorded>("/recorded");
const storedOf = async (stream: TestStream) =>
	(await recorded()).batches.filter((batch) => batch.stream === hexOf(stream.stream));
const untilStored = (stream: TestStream, count: number) =>
	until(
		`${count} batches`,
		() => storedOf(stream),
		(batches) => batches.length >= count,
	);
const sendBatch = (link: TestLink, batch: SealedBatch) => link.send("batch", { bytes: batch.bytes });

/** As web-01 judges it: the proof came through every hop as it was made. */
function isCustodyOf(batch: SealedBatch, { stream, seq, custody }: FrameBody<"receipt">): boolean {
	const read = readBatch(batch.bytes);
	ok(read.ok);
	const { headerBytes } = read.value;
	const { log } = new TestLedger();
	return verifyCustody(custody ?? "", { log, agentUri: "spiffe://lab.test/agent/web-01", stream, seq, headerBytes }).ok;
}

test("a batch of every lane is acknowledged by the proxy, stored verbatim and receipted with a proof of custody", async () => {
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	for (const lane of ["trace", "alert", "bulk"] as const) {
		const stream = new TestStream(web01, lane);
		const batch = stream.next();
		sendBatch(link, batch);
		const a1 = await link.expect(
			"receipt",
			(body) => body.level === "a1" && hexOf(body.stream) === hexOf(stream.stream),
		);
		equal(a1.seq, 1);
		const a2 = await link.expect(
			"receipt",
			(body) => body.level === "a2" && hexOf(body.stream) === hexOf(stream.stream),
		);
		equal(a2.seq, 1);
		ok(isCustodyOf(batch, a2));
		const [stored] = await storedOf(stream);
		deepEqual([stored?.agent, stored?.lane, stored?.bytes], ["web-01", lane, base64Of(batch.bytes)]);
	}
	link.close();
});

test("a node enrolled while the enclave runs is admitted at once and its evidence is stored", async () => {
	const added = await addNode(enclave.pkiDir, { role: "agent", id: "newcomer" }, Date.now());
	ok(added.ok, JSON.stringify(added));
	const newcomer = identityOf("newcomer", added.value.paths);
	const link = await TestLink.open(proxy, newcomer);
	await link.expect("welcome");
	const stream = new TestStream(newcomer, "alert");
	sendBatch(link, stream.next());
	await link.expect("receipt", (body) => body.level === "a2" && hexOf(body.stream) === hexOf(stream.stream));
	equal((await storedOf(stream))[0]?.agent, "newcomer");
	link.close();
});

test("an agent that was away when the proof of custody came gets it with its next link", async () => {
	const stream = new TestStream(web01, "trace");
	const batch = stream.next();
	const link = await TestLink.open(proxy, web01);
	sendBatch(link, batch);
	const isOurs = (body: { stream: Uint8Array; level: string }, level: string) =>
		hexOf(body.stream) === hexOf(stream.stream) && body.level === level;
	await link.expect("receipt", (body) => isOurs(body, "a1"));
	link.close();
	await untilStored(stream, 1);
	const next = await TestLink.open(proxy, web01);
	const a2 = await next.expect("receipt", (body) => isOurs(body, "a2"));
	ok(isCustodyOf(batch, a2));
	next.close();
});

test("a batch sent twice is receipted twice and stored once", async () => {
	const link = await TestLink.open(proxy, web01);
	const stream = new TestStream(web01, "alert");
	const batch = stream.next();
	const isOurs = (body: { stream: Uint8Array; level: string }) => hexOf(body.stream) === hexOf(stream.stream);
	sendBatch(link, batch);
	await link.expect("receipt", (body) => isOurs(body) && body.level === "a2");
	const before = link.frames.length;
	sendBatch(link, batch);
	await until(
		"a second receipt",
		() => link.frames.slice(before),
		(frames) => frames.some((frame) => frame.type === "receipt"),
	);
	sendBatch(link, stream.next());
	equal((await untilStored(stream, 2)).length, 2);
	equal(link.frames.filter((frame) => frame.type === "reject").length, 0);
	link.close();
});

interface SetAside {
	readonly cause: string;
	readonly hop: string;
	readonly seq?: number;
	readonly bytesKept: number;
}

/** What the Security Center was told that hops keep for a person. */
const untilSetAside = async (count: number) =>
	(
		await until(
			`${count} items set aside`,
			() => enclave.center<{ setAside: SetAside[] }>("/recorded"),
			({ setAside }) => setAside.length >= count,
		)
	).setAside;

test("forged, foreign and torn batches are refused by name and the good ones around them are stored", async () => {
	const link = await TestLink.open(proxy, web01);
	const stream = new TestStream(web01, "alert");
	sendBatch(link, stream.next());
	sendBatch(link, stream.next({ seed: web02.seed }));
	await link.expect("reject", (body) => body.code === "batch_signature_invalid" && body.seq === 2);
	sendBatch(link, stream.next({ agent: "web-02" }));
	await link.expect("reject", (body) => body.code === "agent_mismatch");
	const torn = stream.next({ seq: 2 });
	sendBatch(link, { ...torn, bytes: torn.bytes.slice(0, -1) });
	await link.expect("reject", (body) => body.code.startsWith("cbor") || body.code.includes("truncated"));
	const changed = torn.bytes.slice();
	changed[changed.length - 2] = (changed[changed.length - 2] as number) ^ 1;
	sendBatch(link, { ...torn, bytes: changed });
	await link.expect("reject", (body) => body.code === "batch_root_mismatch");
	// A frame type and a body of one byte string that is too long for a batch.
	const tooBig = new Uint8Array(1_500_010);
	tooBig.set([0x82, 0x01, 0xa1, 0x01, 0x5a]);
	new DataView(tooBig.buffer).setUint32(5, 1_500_001);
	link.sendRaw(tooBig);
	await link.expect("reject", (body) => body.code === "shape_mismatch");
	sendBatch(link, stream.next());
	const stored = await untilStored(stream, 2);
	deepEqual(
		stored.map((batch) => batch.seq),
		[1, 2],
	);
	const setAside = await untilSetAside(5);
	deepEqual(
		setAside.map(({ cause, hop, seq }) => [cause.replace(/^cbor_truncated$/, "unreadable"), hop, seq ?? null]),
		[
			["batch_signature_invalid", "px-1", 2],
			["agent_mismatch", "px-1", 2],
			["unreadable", "px-1", null],
			["batch_root_mismatch", "px-1", 2],
			["shape_mismatch", "px-1", null],
		],
		"the facts went up, the bytes stayed",
	);
	ok((setAside[4]?.bytesKept ?? 0) > 1_500_000);
	link.close();
});

test("a batch with a hole before it is refused with the number that is expected, and the stream goes on from there", async () => {
	const link = await TestLink.open(proxy, web01);
	const stream = new TestStream(web01, "alert");
	sendBatch(link, stream.next());
	const second = stream.next();
	sendBatch(link, stream.next());
	const refusal = await link.expect("reject", (body) => body.code === "skipped");
	equal(refusal.seq, 2);
	sendBatch(link, second);
	await untilStored(stream, 2);
	link.close();
});

test("two histories of one stream are a fork: refused, and the first stays", async () => {
	const link = await TestLink.open(proxy, web01);
	const stream = new TestStream(web01, "alert");
	const other = stream.next({ seq: 1, text: "/bin/other" });
	const first = stream.next();
	sendBatch(link, first);
	await link.expect("receipt", (body) => body.level === "a1");
	sendBatch(link, other);
	equal((await link.expect("reject", (body) => body.code === "forked")).seq, 1);
	deepEqual(
		(await untilStored(stream, 1)).map((batch) => batch.bytes),
		[base64Of(first.bytes)],
	);
	link.close();
});

test("malformed and unknown frames are refused by name and the link goes on", async () => {
	const link = await TestLink.open(proxy, web01);
	link.sendRaw(Uint8Array.of(0x82, 0x01));
	await link.expect("reject", (body) => /truncated|cbor/.test(body.code));
	link.sendRaw(Uint8Array.of(0x82, 0x18, 99, 0xa0));
	await link.expect("reject", (body) => body.code === "frame_type_unknown");
	link.send("trust", { documents: [] });
	await link.expect("reject", (body) => body.code === "frame_unexpected");
	const stream = new TestStream(web01, "trace");
	sendBatch(link, stream.next());
	await untilStored(stream, 1);
	link.close();
});

test("a frame beyond the limit closes the link with its reason", async () => {
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	link.sendRaw(new Uint8Array(1_500_000 + 65_537));
	equal((await link.expect("bye")).code, "frame_too_large");
	await until(
		"the frame set aside",
		() => untilSetAside(1),
		(setAside) => setAside.some((item) => item.cause === "frame_too_large" && item.bytesKept === 1_500_000 + 65_537),
	);
	await until(
		"the close",
		() => link.isClosed,
		(isClosed) => isClosed,
	);
});

test("sixteen refusals in a row close the link", async () => {
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	for (let count = 0; count < 16; count++) link.sendRaw(Uint8Array.of(0xff));
	equal((await link.expect("bye")).code, "refusals_in_row");
});

test("garbage without end, with good batches between, goes up in a few words", async () => {
	const link = await TestLink.open(proxy, web02);
	await link.expect("welcome");
	const stream = new TestStream(web02, "bulk");
	for (let round = 1; round <= 10; round++) {
		for (let count = 0; count < 15; count++) link.sendRaw(Uint8Array.of(0x82, 0x18, 99, 0xa0));
		sendBatch(link, stream.next());
		await link.expect("receipt", (body) => body.seq === round && body.level === "a1");
	}
	await untilStored(stream, 10);
	const told = async () => {
		const { setAside } = await enclave.center<{ setAside: (SetAside & { agent: string })[] }>("/recorded");
		return setAside.filter((item) => item.agent === "web-02" && item.cause === "frame_type_unknown").length;
	};
	const { quarantineToldEachMax } = CHANNEL_LIMITS;
	await until("the first few", told, (count) => count >= quarantineToldEachMax);
	equal(await told(), quarantineToldEachMax, "the rest comes in one count, a minute later");
	link.close();
});

test("batches that are repeated between refusals do not keep the link open", async () => {
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	const known = new TestStream(web01, "bulk").next();
	sendBatch(link, known);
	for (let count = 0; count < 16; count++) {
		link.sendRaw(Uint8Array.of(0xff));
		sendBatch(link, known);
	}
	equal((await link.expect("bye")).code, "refusals_in_row");
});

test("large bulk batches of two agents pass through compressed carriers unchanged", async () => {
	const links = await Promise.all([TestLink.open(proxy, web01), TestLink.open(proxy, web02)]);
	const streams = [new TestStream(web01, "bulk"), new TestStream(web02, "bulk")] as const;
	const sent = new Map<TestStream, string[]>(streams.map((stream) => [stream, []]));
	for (let round = 0; round < 6; round++)
		for (const [index, stream] of streams.entries()) {
			const batch = stream.next({ padBytes: 1_000_000 });
			sent.get(stream)?.push(base64Of(batch.bytes));
			sendBatch(links[index] as TestLink, batch);
		}
	for (const stream of streams)
		deepEqual(
			(await untilStored(stream, 6)).map((batch) => batch.bytes),
			sent.get(stream),
		);
	await until("an empty log", enclave.health, ({ uplink }) => uplink.walBytes === 0);
	for (const link of links) link.close();
});

test("while the store says no, receipts stop at the proxy; when it says yes, all is stored once and receipted", async () => {
	const link = await TestLink.open(proxy, web01);
	await enclave.center("/store", { available: "no" });
	const stream = new TestStream(web01, "trace");
	for (let count = 0; count < 5; count++) sendBatch(link, stream.next());
	const isOurs = (body: { stream: Uint8Array }) => hexOf(body.stream) === hexOf(stream.stream);
	await link.expect("receipt", (body) => isOurs(body) && body.level === "a1" && body.seq === 5);
	equal(
		link.frames.some((frame) => frame.type === "receipt" && isOurs(frame.body) && frame.body.level === "a2"),
		false,
	);
	await enclave.center("/store", { available: "yes" });
	await link.expect("receipt", (body) => isOurs(body) && body.level === "a2" && body.seq === 5);
	equal((await storedOf(stream)).length, 5);
	link.close();
});

test("a new session replaces the old one and is told how far each stream is in custody", async () => {
	const first = await TestLink.open(proxy, web01);
	const stream = new TestStream(web01, "trace");
	sendBatch(first, stream.next());
	await first.expect("receipt", (body) => body.level === "a2" && hexOf(body.stream) === hexOf(stream.stream));
	const second = await TestLink.open(proxy, web01);
	equal((await first.expect("bye")).code, "replaced");
	const welcome = await second.expect("welcome");
	const mark = welcome.watermarks.find((each) => hexOf(each.stream) === hexOf(stream.stream));
	deepEqual([mark?.a1, mark?.a2], [1, 1]);
	second.close();
});

const commandOf = (name: number, expiresInMs: number) => ({
	agent: "web-01",
	commandId: base64Of(new Uint8Array(16).fill(name)),
	envelope: base64Of(Uint8Array.of(name, 2, 3)),
	expiresAtMs: String(Date.now() + expiresInMs),
});

test("a command reaches the agent, is repeated until the agent has it, and is then forgotten at every hop", async () => {
	const first = await TestLink.open(proxy, web01);
	await first.expect("welcome");
	await until(
		"the agent's arrival",
		() => enclave.center<{ isUp: boolean }>("/stats", { agent: "web-01" }),
		(stats) => stats.isUp,
	);
	deepEqual(await enclave.center("/command", commandOf(1, 60_000)), { ok: true, value: true });
	const command = await first.expect("command");
	deepEqual([...command.envelope], [1, 2, 3]);
	first.close();
	const second = await TestLink.open(proxy, web01);
	const again = await second.expect("command");
	second.send("command_received", { agent: "web-01", commandId: again.commandId });
	await until(
		"an empty queue",
		() => enclave.center<{ commands: number }>("/stats", { agent: "web-01" }),
		(stats) => stats.commands === 0,
	);
	const third = await TestLink.open(proxy, web01);
	await third.expect("welcome");
	const stream = new TestStream(web01, "alert");
	sendBatch(third, stream.next());
	await third.expect("receipt", (body) => body.level === "a2" && hexOf(body.stream) === hexOf(stream.stream));
	equal(
		third.frames.some((frame) => frame.type === "command"),
		false,
	);
	third.close();
});

test("a command that expires while the agent is away is never delivered, and one for a stranger is refused", async () => {
	await until(
		"the agent's departure",
		() => enclave.center<{ isUp: boolean }>("/stats", { agent: "web-01" }),
		(stats) => !stats.isUp,
	);
	await enclave.center("/command", commandOf(2, 400));
	const late = await enclave.center<{ code: string }>("/command", commandOf(3, -1));
	equal(late.code, "command_expired");
	const stranger = await enclave.center<{ code: string }>("/command", { ...commandOf(4, 60_000), agent: "nobody" });
	equal(stranger.code, "agent_unknown");
	await new Promise((resolve) => setTimeout(resolve, 450));
	const link = await TestLink.open(proxy, web01);
	const stream = new TestStream(web01, "alert");
	sendBatch(link, stream.next());
	await link.expect("receipt", (body) => body.level === "a2" && hexOf(body.stream) === hexOf(stream.stream));
	equal(
		link.frames.some((frame) => frame.type === "command"),
		false,
	);
	link.close();
});

test("a trust document reaches live agents by push and later ones by their welcome; junk reaches nobody", async () => {
	const live = await TestLink.open(proxy, web01);
	await live.expect("welcome");
	const document = firstTrustVersion(enclave.pkiDir);
	await enclave.center("/trust", { document: base64Of(document) });
	deepEqual([...(await live.expect("trust")).documents], [document]);
	await enclave.center("/trust", { document: base64Of(document), more: base64Of(Uint8Array.of(7, 7, 7)) });
	await until("the refusal", enclave.logs, (logs) => logs.includes("trust_refused"));
	equal(live.frames.filter((frame) => frame.type === "trust").length, 1);
	const later = await TestLink.open(proxy, web02);
	deepEqual([...(await later.expect("welcome")).trust], [document]);
	live.close();
	later.close();
});

test("the Security Center hears of arrivals, heartbeats and departures", async () => {
	const link = await TestLink.open(proxy, web02);
	await link.expect("welcome");
	const health = {
		timeMs: Date.now(),
		streams: [],
		outboxBytes: 0,
		oldestUnackedMs: 0,
		rssBytes: 1,
		eventCount: 9,
		gapCount: 0,
	};
	link.send("heartbeat", { health });
	const statesOf = async () =>
		(await recorded()).states.filter((state) => state.agent === "web-02" && state.via === "px-1");
	const before = (await statesOf()).length;
	await until("a heartbeat", statesOf, (states) => states.length > before);
	link.close();
	await until("the departure", statesOf, (states) => states.at(-1)?.is_up === 0);
});
