import { deepEqual, equal, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import { verifyCustody } from "#core/ledger/index.ts";
import { readBatch } from "#core/model/batch.ts";
import type { FrameBody } from "#core/protocol/index.ts";
import { TestLedger } from "#core/testing/test-ledger.ts";
import { firstTrustVersion, startTestEnclave, type TestEnclave, type TestProxy, until } from "./harness.ts";
import { type Identity, identityOf, type SealedBatch, TestLink, TestStream } from "./test-agent.ts";

interface Recorded {
	readonly batches: readonly { stream: string; seq: number; lane: string; bytes: string }[];
	readonly states: readonly { agent: string; via: string; is_up: number }[];
	readonly alarms: readonly { code: string }[];
}

let enclave: TestEnclave;
let region: TestProxy;
let site: TestProxy;
let web01: Identity;

before(async () => {
	enclave = await startTestEnclave(
		{ fsync_interval_ms: 20 },
		{
			tree: [
				{ id: "px-region", upstream: "sc" },
				{ id: "px-site", upstream: "px-region" },
			],
		},
	);
	region = enclave.proxies["px-region"] as TestProxy;
	site = enclave.proxies["px-site"] as TestProxy;
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
});
after(() => enclave?.stop());

const recorded = () => enclave.center<Recorded>("/recorded");
const storedOf = async (stream: TestStream) =>
	(await recorded()).batches.filter((batch) => batch.stream === hexOf(stream.stream));
const isOf = (stream: TestStream, level: "a1" | "a2", seq: number) => (body: FrameBody<"receipt">) =>
	hexOf(body.stream) === hexOf(stream.stream) && body.level === level && body.seq >= seq;
const command = (id: string, lifetimeMs: number) => ({
	agent: "web-01",
	commandId: base64Of(new Uint8Array(Buffer.from(id.padEnd(16, ".")))),
	envelope: "AQ==",
	expiresAtMs: String(Date.now() + lifetimeMs),
});
const commandIds = (link: TestLink) =>
	link.frames.flatMap((frame) => (frame.type === "command" ? [Buffer.from(frame.body.commandId).toString()] : []));

function isCustodyOf(batch: SealedBatch, { stream, seq, custody }: FrameBody<"receipt">): boolean {
	const read = readBatch(batch.bytes);
	ok(read.ok);
	const { headerBytes } = read.value;
	const { log } = new TestLedger();
	return verifyCustody(custody ?? "", { log, agentUri: "spiffe://lab.test/agent/web-01", stream, seq, headerBytes }).ok;
}

test("a batch of every lane goes through two proxies verbatim, and its receipts with the proof come back down", async () => {
	const link = await TestLink.open(site, web01);
	await link.expect("welcome");
	for (const lane of ["trace", "alert", "bulk"] as const) {
		const stream = new TestStream(web01, lane);
		const batch = stream.next();
		link.send("batch", { bytes: batch.bytes });
		await link.expect("receipt", isOf(stream, "a1", 1));
		const a2 = await link.expect("receipt", isOf(stream, "a2", 1));
		ok(isCustodyOf(batch, a2));
		deepEqual(
			(await storedOf(stream)).map((each) => [each.lane, each.bytes]),
			[[lane, base64Of(batch.bytes)]],
		);
	}
	const stats = await enclave.center<{ via: string; isUp: boolean }>("/stats", { agent: "web-01" });
	deepEqual([stats.via, stats.isUp], ["px-region", true]);
	link.close();
	await until(
		"the departure, told through both",
		() => enclave.center<{ isUp: boolean }>("/stats", { agent: "web-01" }),
		(now) => !now.isUp,
	);
});

test("a command goes down two tiers once, its receipt goes up, and one that expired meanwhile never arrives", async () => {
	const first = await TestLink.open(site, web01);
	await first.expect("welcome");
	await until(
		"the arrival",
		() => enclave.center<{ isUp: boolean }>("/stats", { agent: "web-01" }),
		(stats) => stats.isUp,
	);
	const live = command("live", 60_000);
	await enclave.center("/command", live);
	const { commandId } = await first.expect("command");
	first.send("command_received", { agent: "web-01", commandId });
	await until(
		"the receipt above",
		() => enclave.center<{ commands: number }>("/stats", { agent: "web-01" }),
		(stats) => stats.commands === 0,
	);
	first.close();
	await until(
		"the departure",
		() => enclave.center<{ isUp: boolean }>("/stats", { agent: "web-01" }),
		(stats) => !stats.isUp,
	);
	await enclave.center("/command", command("late", 400));
	await enclave.center("/command", command("waits", 60_000));
	await new Promise((resolve) => setTimeout(resolve, 600));
	const second = await TestLink.open(site, web01);
	await second.expect("command");
	await new Promise((resolve) => setTimeout(resolve, 300));
	deepEqual(commandIds(second), ["waits...........".slice(0, 16)]);
	second.close();
});

test("a trust document reaches an agent below two proxies, and one that comes later finds it in its welcome", async () => {
	const link = await TestLink.open(site, web01);
	equal((await link.expect("welcome")).trust.length, 0);
	const document = firstTrustVersion(enclave.pkiDir);
	await enclave.center("/trust", { document: base64Of(document) });
	deepEqual((await link.expect("trust")).documents, [document]);
	link.close();
	const later = await TestLink.open(site, web01);
	deepEqual((await later.expect("welcome")).trust, [document]);
	later.close();
});

test("the middle proxy killed under load, and killed again before the center has it all, loses and doubles nothing", async () => {
	const streams = (["trace", "alert", "bulk"] as const).map((lane) => new TestStream(web01, lane));
	const link = await TestLink.open(site, web01);
	await link.expect("welcome");
	const sent = new Map(streams.map((stream) => [stream, [] as string[]]));
	const send = (count: number) => {
		for (let index = 0; index < count; index++)
			for (const stream of streams) {
				const batch = stream.next();
				sent.get(stream)?.push(base64Of(batch.bytes));
				link.send("batch", { bytes: batch.bytes });
			}
	};
	send(10);
	await region.box.kill();
	send(10);
	for (const stream of streams) await link.expect("receipt", isOf(stream, "a1", 20));
	await enclave.sc.kill();
	await region.box.start();
	send(5);
	for (const stream of streams) await link.expect("receipt", isOf(stream, "a1", 25));
	await region.box.kill();
	await Promise.all([region.box.start(), enclave.sc.start()]);
	for (const stream of streams) {
		await link.expect("receipt", isOf(stream, "a2", 25), 30_000);
		const stored = await storedOf(stream);
		// A kill between the store's answer and the channel's note repeats a delivery: the store's key absorbs it.
		const once = new Map(stored.map((batch) => [batch.seq, batch.bytes]));
		deepEqual([...once.values()], sent.get(stream));
	}
	deepEqual((await recorded()).alarms, []);
	for (const proxy of [region, site])
		await until("an empty log", proxy.health, ({ uplink }) => uplink.isUp && uplink.walBytes === 0);
	link.close();
});
