import { deepEqual, equal, ok } from "node:assert/strict";

import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import { startTestEnclave, type TestEnclave, until } from "./harness.ts";
import { type Identity, identityOf, type SealedBatch, type Target, TestLink, TestStream } from "./test-agent.ts";

const MIB = 1024 * 1024;
let enclave: TestEnclave;
let proxy: Target;
let web01: Identity;

async function start(...options: Parameters<typeof startTestEnclave>): Promise<void> {
	enclave = await startTestEnclave(...options);
	proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
}
afterEach(() => enclave?.stop());

const isOf = (stream: TestStream) => (body: { stream?: Uint8Array }) =>
	hexOf(body.stream ?? new Uint8Array()) === hexOf(stream.stream);
const sendAll = (link: TestLink, batches: readonly SealedBatch[]) => {
	for (const { bytes } of batches) link.send("batch", { bytes });
};
const acked = (link: TestLink, stream: TestStream, seq: number, timeoutMs = 10_000) =>
	link.expect("receipt", (body) => isOf(stream)(body) && body.seq >= seq, timeoutMs);
const storedOf = async (stream: TestStream) => {
	const { batches } = await enclave.center<{ batches: { stream: string; seq: number; bytes: string }[] }>("/recorded");
	return batches.filter((batch) => batch.stream === hexOf(stream.stream));
};
const usedPercent = (percent: number) => ({ freeBytes: (100 - percent) * 1e8, totalBytes: 10e9 });

/** Says how full the disk is, and waits until the proxy has heard it. */
async function setDisk(link: TestLink, asking: TestStream, percent: number): Promise<void> {
	enclave.setDisk(usedPercent(percent));
	await until(
		`${percent} % heard`,
		() => {
			// The proxy asks while batches come.
			link.send("batch", { bytes: asking.next().bytes });
			return enclave.health();
		},
		({ disk }) => Math.round(disk.usedPercent ?? -1) === percent,
	);
}

test("at each watermark a lane is refused by name and kept by its sender; below it the same batch is taken", async () => {
	await start({ fsync_interval_ms: 20 });
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	// Another agent's, so that its many small batches leave no room in the file of the one that is judged.
	const web02 = identityOf("web-02", enclave.pathsOf("agent", "web-02"));
	const askingLink = await TestLink.open(proxy, web02);
	const asking = new TestStream(web02, "trace");
	const streams = (["bulk", "alert", "trace"] as const).map((lane) => new TestStream(web01, lane));
	// What is to be refused is larger than all that the file has held before: what fits into free pages is not refused for the disk.
	const rounds = [
		{ percent: 86, padBytes: 20_000 },
		{ percent: 91, padBytes: 100_000 },
		{ percent: 96, padBytes: 500_000 },
	];
	for (const [index, { percent, padBytes }] of rounds.entries()) {
		await setDisk(askingLink, asking, percent);
		const batches = streams.map((stream, lane) => stream.next({ padBytes: lane <= index ? padBytes : 0 }));
		sendAll(link, batches);
		for (const [lane, stream] of streams.entries()) {
			const { seq } = batches[lane] as SealedBatch;
			if (lane <= index) {
				const refusal = await link.expect("reject", (body) => isOf(stream)(body) && body.seq === seq);
				equal(refusal.code, "disk_low");
				// Many more of them do not make the sender a bad one.
				sendAll(link, Array(20).fill(batches[lane]));
			} else await acked(link, stream, seq);
		}
		const refusedLanes = (["bulk", "alert", "trace"] as const).slice(0, index + 1);
		await until(
			"a refusal of each",
			async () => (await enclave.health()).disk.refusedBatches,
			(refused) => refusedLanes.every((lane, at) => refused[lane] >= 21 * (index + 1 - at)),
		);
		equal(link.isClosed, false);
		await setDisk(askingLink, asking, 50);
		sendAll(link, batches);
		for (const [lane, stream] of streams.entries()) await acked(link, stream, (batches[lane] as SealedBatch).seq);
	}
	for (const stream of streams)
		await until(
			"everything, once",
			() => storedOf(stream),
			(stored) => stored.map(({ seq }) => seq).join() === "1,2,3",
		);
	const { disk } = await enclave.health();
	deepEqual(disk.refusing, []);
	askingLink.close();
	link.close();
});

test("what waits in a lane on the whole box stays below its quota, and the other lanes go on", async () => {
	await start({ fsync_interval_ms: 0, disk: { waiting_bytes_max: { bulk: 3 * MIB } } });
	await enclave.sc.kill();
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	const bulk = new TestStream(web01, "bulk");
	const batches = Array.from({ length: 5 }, () => bulk.next({ padBytes: 1_000_000 }));
	sendAll(link, batches);
	const refusal = await link.expect("reject", (body) => isOf(bulk)(body) && body.code === "lane_full");
	const trace = new TestStream(web01, "trace");
	sendAll(link, [trace.next()]);
	await acked(link, trace, 1);
	const { disk } = await enclave.health();
	ok(disk.waitingBytes.bulk <= 3 * MIB && disk.waitingBytes.bulk > 2_000_000, JSON.stringify(disk));
	await enclave.sc.start();
	await until("a drained log", enclave.health, ({ uplink }) => uplink.walBytes === 0, 20_000);
	sendAll(link, batches.slice((refusal.seq ?? 1) - 1));
	await acked(link, bulk, 5);
	link.close();
});

test("a proxy's drained backlog gives its disk back, through a kill too, and its streams go on", async () => {
	await start({ fsync_interval_ms: 20 });
	await enclave.sc.kill();
	const link = await TestLink.open(proxy, web01);
	const stream = new TestStream(web01, "bulk");
	const sent: SealedBatch[] = [];
	for (let round = 0; round < 5; round++) {
		const batches = Array.from({ length: 4 }, () => stream.next({ padBytes: 1_000_000 }));
		sent.push(...batches);
		sendAll(link, batches);
		await acked(link, stream, sent.length);
	}
	const full = enclave.channelBytes();
	ok(full > 19 * MIB, `${full} bytes`);
	await enclave.sc.start();
	const drained = await until("the disk", enclave.channelBytes, (bytes) => bytes < 2 * MIB, 20_000);
	ok(drained < full / 10);
	sendAll(link, [stream.next()]);
	await acked(link, stream, 21);
	await enclave.px.kill();
	await enclave.px.start();
	const again = await TestLink.open(proxy, web01);
	const welcome = await again.expect("welcome");
	equal(welcome.watermarks.find(isOf(stream))?.a1, 21);
	sendAll(again, [stream.next()]);
	await acked(again, stream, 22);
	const stored = await until(
		"all",
		() => storedOf(stream),
		(batches) => batches.length >= 22,
		20_000,
	);
	deepEqual(
		stored.slice(0, 20).map(({ bytes }) => bytes),
		sent.map(({ bytes }) => base64Of(bytes)),
	);
	again.close();
});

test("a proxy whose disk fills up in mid-batch acknowledges nothing it does not hold, and goes on by itself, in order", {
	skip: process.getuid?.() === 0 ? false : "needs root to mount a small file system",
}, async () => {
	await start({ fsync_interval_ms: 20 }, { proxyDiskMiB: 64 });
	await enclave.sc.kill();
	// Somebody else's file takes the disk: 12 MiB are left.
	const filler = join(enclave.proxyDataPath, "filler");
	writeFileSync(filler, new Uint8Array(52 * MIB));
	const stream = new TestStream(web01, "bulk");
	const batches = Array.from({ length: 20 }, () => stream.next({ padBytes: 1_000_000 }));
	let held = 0;
	/** As an agent does it: from where the hop says on, again and again. */
	const push = async () => {
		const link = await TestLink.open(proxy, web01).catch(() => null);
		if (link === null) return;
		const welcome = await link.expect("welcome").catch(() => null);
		const acked = () =>
			link.frames.reduce(
				(most, { type, body }) => (type === "receipt" && isOf(stream)(body) ? Math.max(most, body.seq) : most),
				held,
			);
		if (welcome !== null) {
			const mark = welcome.watermarks.find(isOf(stream))?.a1 ?? 0;
			ok(mark >= held, `the proxy had acknowledged ${held} and holds ${mark}`);
			for (const { bytes } of batches.slice(mark)) {
				if (link.isClosed) break;
				link.send("batch", { bytes });
				await sleep(5);
			}
			// Until all is answered, or nothing more comes.
			for (let before = -1; acked() < 20 && acked() > before && !link.isClosed; ) {
				before = acked();
				await sleep(1000);
			}
		}
		held = acked();
		link.close();
	};
	// A start checkpoints SQLite's own log and makes a little room again: full is when a round brings nothing.
	for (let before = -1; before < held; ) {
		before = held;
		await push();
	}
	ok(held > 3 && held < 20, `${held} are held on 12 MiB`);
	rmSync(filler);
	await until(
		"all twenty",
		async () => {
			await push();
			return held;
		},
		(count) => count === 20,
		60_000,
	);
	await enclave.sc.start();
	const stored = await until(
		"all in the store",
		() => storedOf(stream),
		(found) => new Set(found.map(({ seq }) => seq)).size === 20,
		20_000,
	);
	const seqs = stored.map(({ seq }) => seq);
	deepEqual(
		[...new Set(seqs)],
		Array.from({ length: 20 }, (_, i) => i + 1),
	);
	for (const { seq, bytes } of stored) equal(bytes, base64Of((batches[seq - 1] as SealedBatch).bytes));
});

test("a center that stands still costs the proxy disk and not memory, and everything arrives when it goes on", async () => {
	await start({ fsync_interval_ms: 20 });
	const link = await TestLink.open(proxy, web01);
	const [bulk, trace] = [new TestStream(web01, "bulk"), new TestStream(web01, "trace")];
	sendAll(link, [bulk.next({ padBytes: 500_000 }), trace.next()]);
	await acked(link, bulk, 1);
	await acked(link, trace, 1);
	enclave.sc.freeze();
	try {
		const sent = [];
		// More than a whole window of the uplink, so that what is read for it is on the way.
		for (let round = 0; round < 4; round++) {
			const batches = Array.from({ length: 10 }, () => bulk.next({ padBytes: 500_000 }));
			sent.push(...batches);
			sendAll(link, batches);
			await acked(link, bulk, sent.length + 1);
		}
		const before = enclave.px.rssBytes().now;
		for (let round = 0; round < 8; round++) {
			const batches = Array.from({ length: 10 }, () => bulk.next({ padBytes: 500_000 }));
			sent.push(...batches);
			sendAll(link, batches);
			await acked(link, bulk, sent.length + 1);
		}
		sendAll(link, [trace.next()]);
		await acked(link, trace, 2);
		const grown = enclave.px.rssBytes().now - before;
		const { uplink } = await enclave.health();
		ok(uplink.walBytes > 50 * MIB, `${uplink.walBytes} bytes wait`);
		ok((uplink.unackedBytes as number) <= 9 * MIB, `${uplink.unackedBytes} bytes are on the way`);
		ok(grown < 40 * MIB, `40 MB more waiting made the proxy grow by ${grown} bytes`);
	} finally {
		enclave.sc.thaw();
	}
	await until("a drained log", enclave.health, ({ uplink }) => uplink.walBytes === 0, 60_000);
	const stats = await enclave.center<{ streams: { stream: unknown; lane: string; a1: number; a2: number }[] }>(
		"/stats",
		{ agent: "web-01" },
	);
	deepEqual(stats.streams.map(({ lane, a1 }) => [lane, a1]).sort(), [
		["bulk", 121],
		["trace", 2],
	]);
	link.close();
});

test("a slow store costs the center disk and not memory, a trace does not wait behind its backlog, and all is stored once", async () => {
	await start({ fsync_interval_ms: 20 });
	const link = await TestLink.open(proxy, web01);
	const [bulk, trace] = [new TestStream(web01, "bulk"), new TestStream(web01, "trace")];
	const send = async (stream: TestStream, count: number) => {
		const batches = Array.from({ length: count }, () => stream.next({ padBytes: stream === bulk ? 200_000 : 0 }));
		sendAll(link, batches);
		await acked(link, stream, batches.at(-1)?.seq ?? 0);
	};
	const inCustody = (stream: TestStream, seq: number, timeoutMs: number) =>
		link.expect("receipt", (body) => isOf(stream)(body) && body.level === "a2" && body.seq >= seq, timeoutMs);
	await send(bulk, 10);
	await inCustody(bulk, 10, 20_000);
	await enclave.center("/store", { available: "yes", delayMs: "300" });
	const before = enclave.sc.rssBytes().now;
	for (let round = 0; round < 6; round++) await send(bulk, 10);
	const sentAtMs = performance.now();
	await send(trace, 1);
	await inCustody(trace, 1, 20_000);
	const waitedMs = performance.now() - sentAtMs;
	const bulkInCustody = async () => {
		const { streams } = await enclave.center<{ streams: { lane: string; a2: number }[] }>("/stats", {
			agent: "web-01",
		});
		return streams.find(({ lane }) => lane === "bulk")?.a2 ?? 0;
	};
	ok((await bulkInCustody()) < 70, "everything was stored before the trace: nothing waited, so nothing was shown");
	// Asked of the center, because a session that says nothing meanwhile is closed.
	await until("custody of all", bulkInCustody, (seq) => seq === 70, 60_000);
	const grown = enclave.sc.rssBytes().now - before;
	const bulkSeqs = (await storedOf(bulk)).map(({ seq }) => seq);
	deepEqual(
		bulkSeqs,
		Array.from({ length: 70 }, (_, i) => i + 1),
	);
	// One delivery that is under way, its own, and what a busy machine adds.
	ok(waitedMs < 6000, `the trace waited ${Math.round(waitedMs)} ms`);
	ok(grown < 100 * MIB, `12 MB that waited made the center grow by ${grown} bytes`);
	link.close();
});
