import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import { ENCLAVE, startTestEnclave, type TestEnclave, type TestProxy, until } from "./harness.ts";
import { type Identity, identityOf, type SealedBatch, TestLink, TestStream } from "./test-agent.ts";

interface Recorded {
	readonly batches: readonly { stream: string; seq: number; bytes: string }[];
	readonly alarms: readonly { code: string }[];
}

const STABLE_MS = 1500;
let enclave: TestEnclave;
let site: TestProxy;
let first: TestProxy;
let top: TestProxy;
let web01: Identity;

before(async () => {
	enclave = await startTestEnclave(
		{ fsync_interval_ms: 20, failover: { probe_secs: 0.2, stable_secs: 1.5 } },
		{
			tree: [
				{ id: "px-top", upstream: "sc" },
				{ id: "px-r1", upstream: "px-top" },
				{ id: "px-r2", upstream: "sc" },
				{ id: "px-site", upstream: ["px-r1", "px-r2"] },
			],
		},
	);
	site = enclave.proxies["px-site"] as TestProxy;
	first = enclave.proxies["px-r1"] as TestProxy;
	top = enclave.proxies["px-top"] as TestProxy;
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
});
after(() => enclave?.stop());

const px = (id: string) => `spiffe://${ENCLAVE}/px/${id}`;
const storedOf = async (stream: TestStream) =>
	(await enclave.center<Recorded>("/recorded")).batches.filter((batch) => batch.stream === hexOf(stream.stream));
const untilBy = (id: string) =>
	until(
		`the way by ${id}`,
		async () => (await site.health()).uplink as unknown as { upstream: string; isForwarding: boolean },
		({ upstream, isForwarding }) => isForwarding && upstream === px(id),
		40_000,
	);

/** Sends a batch of every lane every few milliseconds until it is stopped. */
function steadyLoad(link: TestLink) {
	const streams = (["trace", "alert", "bulk"] as const).map((lane) => new TestStream(web01, lane));
	const sent = new Map<TestStream, SealedBatch[]>(streams.map((stream) => [stream, []]));
	const timer = setInterval(() => {
		for (const stream of streams) {
			const batch = stream.next();
			sent.get(stream)?.push(batch);
			link.send("batch", { bytes: batch.bytes });
		}
	}, 20);
	timer.unref();
	return { sent, stop: () => clearInterval(timer) };
}

test("a dead upstream is passed over within ten seconds, taken back when it is well, and no batch is lost or doubled", async () => {
	await untilBy("px-r1");
	const link = await TestLink.open(site, web01);
	await link.expect("welcome");
	const load = steadyLoad(link);
	await sleep(300);
	const diedAtMs = Date.now();
	await first.box.kill();
	await untilBy("px-r2");
	ok(Date.now() - diedAtMs < 10_000, `${Date.now() - diedAtMs} ms`);
	await sleep(300);
	const backAtMs = Date.now();
	await first.box.start();
	await untilBy("px-r1");
	ok(Date.now() - backAtMs >= STABLE_MS, "it was taken back before it had been well for long enough");
	await sleep(300);
	load.stop();
	for (const [stream, batches] of load.sent) {
		const last = batches.at(-1)?.seq ?? 0;
		await link.expect(
			"receipt",
			(body) => hexOf(body.stream) === hexOf(stream.stream) && body.level === "a2" && body.seq === last,
			20_000,
		);
		const stored = await storedOf(stream);
		deepEqual(
			stored.map(({ seq }) => seq),
			batches.map(({ seq }) => seq),
		);
		deepEqual(
			stored.map(({ bytes }) => bytes),
			batches.map(({ bytes }) => base64Of(bytes)),
		);
	}
	deepEqual((await enclave.center<Recorded>("/recorded")).alarms, []);
	link.close();
});

test("commands follow the agent to the other upstream", async () => {
	await untilBy("px-r1");
	const link = await TestLink.open(site, web01);
	await link.expect("welcome");
	await first.box.kill();
	await untilBy("px-r2");
	const command = {
		agent: "web-01",
		commandId: base64Of(new Uint8Array(16).fill(9)),
		envelope: "AQ==",
		expiresAtMs: String(Date.now() + 60_000),
	};
	await until(
		"the route",
		() => enclave.center<{ via: string }>("/stats", { agent: "web-01" }),
		({ via }) => via === "px-r2",
	);
	await enclave.center("/command", command);
	const { commandId } = await link.expect("command");
	link.send("command_received", { agent: "web-01", commandId });
	await until(
		"the receipt above",
		() => enclave.center<{ commands: number }>("/stats", { agent: "web-01" }),
		({ commands }) => commands === 0,
	);
	await first.box.start();
	await untilBy("px-r1");
	link.close();
});

test("an upstream that is alive and cut off is left for one that leads to the center, and taken back when it does", async () => {
	await untilBy("px-r1");
	await top.box.kill();
	await untilBy("px-r2");
	equal((await first.health()).uplink.isForwarding, false);
	await top.box.start();
	await untilBy("px-r1");
});

test("an upstream whose links stand and say nothing is noticed within 30 seconds, and so is a proxy below", async () => {
	await untilBy("px-r1");
	const frozenAtMs = Date.now();
	first.box.freeze();
	try {
		await until(
			"the notice",
			async () => (await site.health()).uplink.lastError as string | null,
			(lastError) => lastError?.startsWith("silent") === true,
			35_000,
		);
		ok(Date.now() - frozenAtMs <= 31_000, `${Date.now() - frozenAtMs} ms`);
		await untilBy("px-r2");
		// What stands above the frozen one notices it too.
		await until(
			"the notice above",
			() => readFileSync(top.box.logPath, "utf8"),
			(log) => /peer_dropped.*px-r1.*silent/.test(log),
			Math.max(1, frozenAtMs + 31_000 - Date.now()),
		);
	} finally {
		first.box.thaw();
	}
	await untilBy("px-r1");
});

test("while the center is away a proxy keeps what it has, so that an upstream which then dies takes nothing with it", async () => {
	await untilBy("px-r1");
	await enclave.sc.kill();
	await until("the news", site.health, ({ uplink }) => uplink.isForwarding === false);
	const link = await TestLink.open(site, web01);
	await link.expect("welcome");
	const stream = new TestStream(web01, "bulk");
	const batches = Array.from({ length: 20 }, () => stream.next());
	for (const batch of batches) link.send("batch", { bytes: batch.bytes });
	await link.expect("receipt", (body) => hexOf(body.stream) === hexOf(stream.stream) && body.seq === 20);
	const held = async () => [(await site.health()).uplink.walBytes > 0, (await first.health()).uplink.walBytes > 0];
	deepEqual(await held(), [true, false]);
	await first.box.kill();
	await enclave.sc.start();
	const stored = await until(
		"all, by the other",
		() => storedOf(stream),
		(each) => each.length >= 20,
		30_000,
	);
	deepEqual(
		stored.map(({ seq, bytes }) => [seq, bytes]),
		batches.map(({ seq, bytes }) => [seq, base64Of(bytes)]),
	);
	equal((await enclave.center<Recorded>("/recorded")).alarms.length, 0);
	link.close();
});
