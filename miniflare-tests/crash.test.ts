import { deepEqual, equal, ok } from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import { startTestEnclave, type TestEnclave, until } from "./harness.ts";
import { type Identity, identityOf, type Target, TestLink, TestStream } from "./test-agent.ts";

interface Recorded {
	readonly batches: readonly { stream: string; seq: number; bytes: string }[];
}

let enclave: TestEnclave;
let proxy: Target;
let web01: Identity;

beforeEach(async () => {
	enclave = await startTestEnclave({ fsync_interval_ms: 20 });
	proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
});
afterEach(() => enclave?.stop());

const storedOf = async (stream: TestStream) =>
	(await enclave.center<Recorded>("/recorded")).batches.filter((batch) => batch.stream === hexOf(stream.stream));

test("a proxy killed between its acknowledgement and forwarding loses nothing, and forwards it when it is back", async () => {
	await enclave.sc.kill();
	const streams = (["trace", "alert", "bulk"] as const).map((lane) => new TestStream(web01, lane));
	const link = await TestLink.open(proxy, web01);
	const sent = new Map<TestStream, string[]>();
	for (const stream of streams) {
		const batches = Array.from({ length: 12 }, () => stream.next());
		sent.set(
			stream,
			batches.map((batch) => base64Of(batch.bytes)),
		);
		for (const batch of batches) link.send("batch", { bytes: batch.bytes });
	}
	for (const stream of streams)
		await link.expect(
			"receipt",
			(body) => hexOf(body.stream) === hexOf(stream.stream) && body.level === "a1" && body.seq === 12,
		);
	await enclave.px.kill();
	await Promise.all([enclave.px.start(), enclave.sc.start()]);
	for (const stream of streams) {
		const stored = await until(
			`12 of ${stream.lane}`,
			() => storedOf(stream),
			(batches) => batches.length >= 12,
			20_000,
		);
		deepEqual(
			stored.map((batch) => batch.bytes),
			sent.get(stream),
		);
	}
	// The agent is told on its return what reached custody while it was away.
	const back = await until(
		"the watermark",
		async () => {
			const again = await TestLink.open(proxy, web01);
			const welcome = await again.expect("welcome");
			again.close();
			return welcome.watermarks.map(({ a1, a2 }) => [a1, a2]);
		},
		(marks) => marks.length === 3 && marks.every(([a1, a2]) => a1 === 12 && a2 === 12),
	);
	equal(back.length, 3);
});

test("through random kills of proxy and center, what was acknowledged is stored once, in order, as it was sent", async () => {
	const stream = new TestStream(web01, "bulk");
	const sent: { seq: number; bytes: Uint8Array }[] = [];
	let acked = 0;
	for (let round = 0; round < 4; round++) {
		const link = await until(
			"a link",
			() => TestLink.open(proxy, web01).catch(() => null),
			(opened) => opened !== null,
		);
		ok(link !== null);
		const welcome = await link.expect("welcome");
		const mark = welcome.watermarks.find((each) => hexOf(each.stream) === hexOf(stream.stream))?.a1 ?? 0;
		ok(mark >= acked, `the proxy forgot: acked ${acked}, it knows ${mark}`);
		for (const batch of sent.slice(mark)) link.send("batch", { bytes: batch.bytes });
		const killAtMs = Date.now() + 60 + Math.random() * 250;
		while (Date.now() < killAtMs && !link.isClosed) {
			const batch = stream.next();
			sent.push(batch);
			link.send("batch", { bytes: batch.bytes });
			await sleep(1);
		}
		const box = round % 2 === 0 ? enclave.px : enclave.sc;
		await box.kill();
		for (const frame of link.frames) if (frame.type === "receipt") acked = Math.max(acked, frame.body.seq);
		link.close();
		await box.start();
	}
	const stored = await until(
		"everything acknowledged",
		() => storedOf(stream),
		(batches) => new Set(batches.map((batch) => batch.seq)).size >= acked,
		20_000,
	);
	ok(acked > 0);
	const count = new Map<number, number>();
	for (const { seq, bytes } of stored) {
		equal(bytes, base64Of(sent[seq - 1]?.bytes ?? new Uint8Array()));
		count.set(seq, (count.get(seq) ?? 0) + 1);
	}
	for (let seq = 1; seq <= acked; seq++) ok(count.has(seq), `batch ${seq} of ${acked} is missing`);
	// A kill between the store's answer and the channel's note repeats a delivery: the store's key absorbs it.
	deepEqual(
		[...new Set(stored.map((batch) => batch.seq))],
		[...count.keys()].sort((a, b) => a - b),
	);
});

test("a session that slept for longer than the runtime keeps objects in memory is still the same session", async () => {
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	const stream = new TestStream(web01, "trace");
	link.send("batch", { bytes: stream.next().bytes });
	await link.expect("receipt", (body) => body.level === "a2" && hexOf(body.stream) === hexOf(stream.stream));
	await sleep(12_000);
	const command = {
		commandId: base64Of(new Uint8Array(16)),
		envelope: "AQ==",
		expiresAtMs: String(Date.now() + 60_000),
	};
	await enclave.center("/command", { agent: "web-01", ...command });
	await link.expect("command");
	link.send("batch", { bytes: stream.next().bytes });
	await link.expect("receipt", (body) => body.level === "a2" && body.seq === 2);
	link.close();
	await until(
		"the departure",
		() => enclave.center<{ isUp: boolean }>("/stats", { agent: "web-01" }),
		(stats) => !stats.isUp,
	);
});

test("a center killed before its store answered delivers what it acknowledged when it is back, though no proxy comes", async () => {
	await enclave.center("/store", { available: "no" });
	const link = await TestLink.open(proxy, web01);
	const stream = new TestStream(web01, "alert");
	link.send("batch", { bytes: stream.next().bytes });
	await link.expect("receipt", (body) => body.level === "a1");
	await until("the center's acknowledgement", enclave.health, ({ uplink }) => uplink.walBytes === 0);
	await Promise.all([enclave.px.kill(), enclave.sc.kill()]);
	await enclave.sc.start();
	await until(
		"the stored batch",
		() => storedOf(stream),
		(batches) => batches.length === 1,
		20_000,
	);
});
