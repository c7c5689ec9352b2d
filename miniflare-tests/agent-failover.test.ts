import { deepEqual, equal, ok } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { LANES, readBatch, verifyBatchEvents } from "#core/model/batch.ts";
import { TestLedger } from "#core/testing/test-ledger.ts";
import { readPinnedTrust } from "#core/trust/trust-document.ts";
import { ed25519PublicKey, sha256 } from "#crypto";
import { HostClock } from "../agent/clock.ts";
import { SealedFiles } from "../agent/disk-key/sealed-files.ts";
import { LedgerMemory } from "../agent/link/ledger-memory.ts";
import { Link } from "../agent/link/link.ts";
import { Lanes } from "../agent/stream/lanes.ts";
import { DISK, draftOf, Rig } from "../agent/testing/rig.ts";
import { enclavePaths } from "../host/pki/layout.ts";
import { ENCLAVE, startTestEnclave, type TestEnclave, type TestProxy, until } from "./harness.ts";
import { identityOf } from "./test-agent.ts";

interface Recorded {
	readonly batches: readonly { stream: string; seq: number; bytes: string }[];
	readonly alarms: readonly { code: string }[];
}

const STABLE_MS = 1000;
const directory = mkdtempSync(join(tmpdir(), "daemoneye-failover-"));
let enclave: TestEnclave;
let first: TestProxy;
let second: TestProxy;

before(async () => {
	enclave = await startTestEnclave(
		{ fsync_interval_ms: 20 },
		{
			tree: [
				{ id: "px-1", upstream: "sc" },
				{ id: "px-2", upstream: "sc" },
			],
		},
	);
	first = enclave.proxies["px-1"] as TestProxy;
	second = enclave.proxies["px-2"] as TestProxy;
});
after(async () => {
	await enclave?.stop();
	rmSync(directory, { recursive: true });
});

/** The agent's own link, lanes and outbox, between the two proxies. */
function openAgent() {
	const { proof, seed, tls } = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
	const { chain, binding } = proof;
	const root = new Uint8Array(Buffer.from(tls.ca.toString().replace(/-----[^-]+-----|\s/g, ""), "base64"));
	const genesis = readPinnedTrust(new Uint8Array(readFileSync(enclavePaths(enclave.pkiDir).genesis)));
	ok(genesis.ok);
	const { log: ledgerLog } = new TestLedger();
	const ledgerKey = ledgerLog.keys[0]?.publicKey as Uint8Array;
	const trust = { ...genesis.value.document, ledgerOrigin: ledgerLog.origin, ledgerKey };
	const codes: string[] = [];
	const log = (code: string, fields = {}) => codes.push(`${code} ${JSON.stringify(fields)}`);
	const { outbox } = new Rig();
	const lanes: Lanes = new Lanes({
		...{ outbox, agent: "web-01", seed, log, batchMaxEvents: 2000, batchMaxMs: 250 },
		clock: new HostClock({ wallMs: Date.now, bootNs: () => 1n, monotonicMs: () => performance.now() }),
		schedule: (ms, task) => {
			const timer = setTimeout(task, ms);
			return () => clearTimeout(timer);
		},
		onHeld: () => link.pump(),
	});
	const link: Link = new Link({
		targets: [first, second].map(({ port }) => ({ host: "127.0.0.1", port })),
		parentTimes: { probeMs: 200, stableMs: STABLE_MS },
		tls: { ca: tls.ca.toString(), cert: tls.cert.toString(), key: tls.key.toString() },
		identity: {
			...{ agent: "web-01", enclave: ENCLAVE, chain, binding, seed, root, proxies: null },
			certFingerprint: sha256(chain[0] as Uint8Array),
		},
		...{ outbox, log, random: Math.random, nowMs: Date.now, monotonicMs: () => performance.now() },
		ledger: LedgerMemory.open(new SealedFiles(directory, DISK), log),
		trust: () => trust,
		status: () => ({
			...{ hostName: "h", tier: "ebpf", missing: "", siteTag: "lab", softwareVersion: "0", addresses: [], cause: "" },
		}),
		health: () => ({ timeMs: Date.now(), outboxBytes: 0, oldestUnackedMs: 0, rssBytes: 0, eventCount: 0, gapCount: 0 }),
		onTrust: () => {},
		onCommand: () => {},
		reseal: (chainOf, from, cause) => lanes.reseal(chainOf, from, cause),
		disown: (stream, from) => lanes.disown(stream, from),
		onFatal: (error) => {
			throw error;
		},
	});
	return { link, lanes, outbox, codes, publicKey: ed25519PublicKey(seed) };
}

test("the agent's own link leaves a dead proxy within ten seconds and returns; every batch is stored once, none is missing", async () => {
	const { link, lanes, outbox, codes, publicKey } = openAgent();
	let pid = 0;
	const put = (lane: (typeof LANES)[number]) => {
		lanes.add(lane, draftOf(pid));
		lanes.flush([lane]);
	};
	let isLoading = true;
	const load = setInterval(() => {
		if (isLoading) {
			pid++;
			for (const lane of LANES) put(lane);
		}
		// Goes on behind the load, as the agent's does: a stream that rests is taken up again with it.
		link.heartbeat();
		// The ledger of the tests proves each batch over all before it: ten times as many would be a test of that.
	}, 100);
	const agentsUp = async (proxy: TestProxy) => Number((await proxy.health()).uplink.agentsUp);
	// A proxy on its way up or down does not answer yet, or not any more.
	const isAt = async (proxy: TestProxy) => link.isUp && (await agentsUp(proxy).catch(() => 0)) === 1;
	try {
		link.start();
		await until("the first", () => isAt(first), Boolean, 20_000);
		await sleep(500);
		const diedAtMs = Date.now();
		await first.box.kill();
		await until("the second", () => isAt(second), Boolean, 20_000);
		ok(Date.now() - diedAtMs < 10_000, `${Date.now() - diedAtMs} ms`);
		await sleep(500);
		const backAtMs = Date.now();
		await first.box.start();
		await until("the return", () => isAt(first), Boolean, 40_000);
		ok(Date.now() - backAtMs >= STABLE_MS);
		await sleep(500);
		isLoading = false;
		lanes.flush();
		await until("custody of everything", () => outbox.victim() === null, Boolean, 30_000);
		const pids = async () => {
			const { batches } = await enclave.center<Recorded>("/recorded");
			equal(
				new Set(batches.map(({ stream, seq }) => `${stream}/${seq}`)).size,
				batches.length,
				"a batch was stored twice",
			);
			const events = batches.flatMap(({ bytes }) => {
				const batch = readBatch(new Uint8Array(Buffer.from(bytes, "base64")));
				ok(batch.ok);
				const read = verifyBatchEvents(batch.value, publicKey);
				ok(read.ok, hexOf(batch.value.header.stream));
				return read.value.map((event) => ({ ...event, lane: batch.value.header.lane }));
			});
			equal(events.filter(({ kind }) => kind === "gap").length, 0);
			return events.map(({ lane, payload }) => `${lane}/${payload.pid}`);
		};
		const wanted = LANES.flatMap((lane) => Array.from({ length: pid }, (_, index) => `${lane}/${index + 1}`)).sort();
		const stored = await until("everything stored", pids, (each) => each.length >= wanted.length, 30_000);
		deepEqual(stored.sort(), wanted);
		deepEqual((await enclave.center<Recorded>("/recorded")).alarms, []);
		equal(codes.filter((line) => line.startsWith("link_moves")).length, 1);
	} catch (error) {
		throw new Error(`${(error as Error).message}; the agent's log ends: ${codes.slice(-12).join("; ")}`, {
			cause: error,
		});
	} finally {
		// Whatever failed: a link that goes on trying keeps the process for ever.
		clearInterval(load);
		link.stop();
		lanes.stop();
		outbox.stop();
	}
});
