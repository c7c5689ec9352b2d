/**
 * Workers replaced under load, in a whole enclave with the real store and signer: agents send, others connect all the while. Nobody is
 * refused, nothing is lost or doubled, and what a worker holds when it is told to go it acknowledges first. That the counter of refusals
 * counts is shown in `host/workerd/workerd.test.ts`, by a worker that opens its own sockets.
 */
import { equal, match, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import type { BoxPorts } from "../host/config/box-config.ts";
import { type RunningEnclave, startEnclave } from "../host/enclave/enclave.ts";
import { boxPaths } from "../host/enclave/layout.ts";
import { centerHealth, proxyHealth } from "../host/enclave/readiness.ts";
import { HOST_LIMITS } from "../host/limits.ts";
import { addNode } from "../host/pki/enclave.ts";
import { freeLoopbackPort } from "../host/supervisor/free-port.ts";
import { until } from "./harness.ts";
import { type Identity, identityOf, type SealedBatch, type Target, TestLink, TestStream } from "./test-agent.ts";

const AGENTS = ["web-01", "web-02", "web-03"];
const options = { skip: existsSync("dist/workers/px/index.js") ? (false as const) : "nothing is built" };
const directory = mkdtempSync(join(tmpdir(), "daemoneye-handover-"));
const dataDir = join(directory, "data");
let enclave: RunningEnclave;
let identities: Identity[];
let proxy: Target;

async function freePorts(): Promise<BoxPorts> {
	const [console, centerLinks, proxyLinks, proxyHealth, storeHttp, storeAdmin] = await Promise.all(
		Array.from({ length: 6 }, freeLoopbackPort),
	);
	return { console, centerLinks, proxyLinks, proxyHealth, storeHttp, storeAdmin } as BoxPorts;
}

/** In the order they began to stop. */
const stopped: string[] = [];

async function start(ports: BoxPorts): Promise<RunningEnclave> {
	const limits = { isMaskingRequired: true, traceDepthMax: 64, traceDurationSecsMax: 3600 };
	const started = await startEnclave({
		...{ dataDir, enclave: "lab.test", ports, agents: [] },
		policy: { mode: "solo", traceApprovals: 0, ...limits },
		invitees: [{ operatorId: "operator", roles: ["analyst"] }],
		onState: ({ name, state }) => {
			if (state === "stopping") stopped.push(name);
		},
	});
	if (!started.ok) throw new Error(started.detail);
	return started.value;
}

before(async () => {
	if (options.skip !== false) return;
	const ports = await freePorts();
	enclave = await start(ports);
	identities = [];
	for (const id of AGENTS) {
		const node = await addNode(dataDir, { role: "agent", id }, Date.now());
		if (!node.ok) throw new Error(node.detail);
		identities.push(identityOf(id, node.value.paths));
	}
	const name = enclave.pki.nodes.find(({ uri }) => uri.includes("/px/"));
	proxy = { port: ports.proxyLinks, name: "localhost", uri: name?.uri ?? "" };
});
after(async () => {
	await enclave?.supervisor.stop();
	rmSync(directory, { recursive: true, force: true });
});

/** How often an address was asked for a connection, and how often nobody was there. */
interface Knocks {
	asked: number;
	refused: number;
	longestMs: number;
}

/** Connects again and again until the signal; a connection that stands is given up at once. */
async function knock(address: string, signal: AbortSignal): Promise<Knocks> {
	const at = address.lastIndexOf(":");
	const knocks = { asked: 0, refused: 0, longestMs: 0 };
	while (!signal.aborted) {
		const beganMs = performance.now();
		await new Promise<void>((resolve) => {
			const socket = connect({ host: address.slice(0, at), port: Number(address.slice(at + 1)) });
			socket.on("connect", () => socket.destroy());
			socket.on("error", () => knocks.refused++);
			socket.on("close", () => resolve());
		});
		knocks.asked++;
		knocks.longestMs = Math.max(knocks.longestMs, performance.now() - beganMs);
		await sleep(3);
	}
	return knocks;
}

interface Lane {
	readonly stream: TestStream;
	/** Made and not acknowledged. */
	kept: SealedBatch[];
	made: number;
	a1: number;
}

interface Sent {
	readonly lanes: readonly Lane[];
	links: number;
	refused: number;
}

/** Takes what the link says about the lanes from frame number `from` on; answers the number of the next. */
function readReceipts(link: TestLink, lanes: readonly Lane[], from: number): number {
	for (const frame of link.frames.slice(from)) {
		if (frame.type !== "receipt") continue;
		const { stream, seq } = frame.body;
		const lane = lanes.find((each) => hexOf(each.stream.stream) === hexOf(stream));
		if (lane === undefined) continue;
		lane.a1 = Math.max(lane.a1, seq);
		lane.kept = lane.kept.filter((batch) => batch.seq > lane.a1);
	}
	return link.frames.length;
}

/** One agent: sends until the signal, then goes on until everything is acknowledged. Shows again what was not on every new link. */
async function load(identity: Identity, signal: AbortSignal): Promise<Sent> {
	const lanes: Lane[] = (["trace", "bulk"] as const).map((lane) => ({
		...{ stream: new TestStream(identity, lane), kept: [], made: 0, a1: 0 },
	}));
	const sent: Sent = { lanes, links: 0, refused: 0 };
	const isDone = () => signal.aborted && lanes.every(({ kept }) => kept.length === 0);
	while (!isDone()) {
		const link = await TestLink.open(proxy, identity).catch((error: NodeJS.ErrnoException) => {
			if (error.code === "ECONNREFUSED") sent.refused++;
			return null;
		});
		if (link === null) {
			await sleep(50);
			continue;
		}
		sent.links++;
		const welcome = await link.expect("welcome").catch(() => null);
		for (const { stream, a1 } of welcome?.watermarks ?? []) {
			const lane = lanes.find((each) => hexOf(each.stream.stream) === hexOf(stream));
			if (lane !== undefined) lane.kept = lane.kept.filter(({ seq }) => seq > a1);
		}
		for (const { kept } of lanes) for (const { bytes } of kept) link.send("batch", { bytes });
		for (let frame = 0; !link.isClosed && !isDone(); ) {
			frame = readReceipts(link, lanes, frame);
			for (const lane of signal.aborted ? [] : lanes) {
				const batch = lane.stream.next();
				lane.made++;
				lane.kept.push(batch);
				link.send("batch", { bytes: batch.bytes });
			}
			await sleep(15);
		}
		link.close();
	}
	return sent;
}

interface Restarted {
	readonly ok: boolean;
	readonly replaced: readonly { name: string; stopMs: number; awayMs: number }[];
	readonly code?: string;
	readonly detail?: string;
}

async function restart(...names: string[]): Promise<Restarted> {
	const child = spawn(process.execPath, ["cli/main.ts", "restart", ...names, "--data", dataDir, "--json"], {
		stdio: ["ignore", "pipe", "ignore"],
	});
	return JSON.parse(Buffer.concat(await child.stdout.toArray()).toString());
}

/** Every batch that an agent made is stored once, and nothing else. */
async function assertStored(sent: readonly Sent[], before: number): Promise<void> {
	const made = sent.flatMap(({ lanes }) => lanes).reduce((sum, lane) => sum + lane.made, 0);
	ok(made > 50, `${made} batches are a load`);
	const held = await until(
		"all that was made",
		() => centerHealth(enclave.center),
		(health) => (health?.storedBatches ?? 0) >= before + made,
		20_000,
	);
	equal(held?.storedBatches, before + made, "each batch once");
}

const addresses = () => [
	enclave.proxy.listen,
	enclave.proxy.health,
	enclave.center.listen,
	enclave.center.console.listen,
];

test("workers are replaced under load: no connection is refused, nothing is lost or doubled", options, async () => {
	const ending = new AbortController();
	const knocking = addresses().map((address) => knock(address, ending.signal));
	const sending = identities.map((identity) => load(identity, ending.signal));
	await sleep(500);
	const pids = enclave.supervisor.pids();
	const restarted = await restart();
	equal(restarted.ok, true, restarted.detail);
	equal(restarted.replaced.map(({ name }) => name).join(), "sc,px-1");
	const now = enclave.supervisor.pids();
	ok(["sc", "px-1"].every((name) => now.get(name) !== pids.get(name)));
	ok(["sqld", "signer"].every((name) => now.get(name) === pids.get(name)));
	await sleep(500);
	ending.abort();
	const sent = await Promise.all(sending);
	const knocks = await Promise.all(knocking);
	equal(knocks.map(({ refused }) => refused).join(), "0,0,0,0");
	ok(
		knocks.every(({ asked }) => asked > 100),
		JSON.stringify(knocks),
	);
	for (const { links, refused } of sent) {
		equal(refused, 0);
		ok(links >= 2, "each agent was on both sides of the replacement");
	}
	await assertStored(sent, 0);
});

test(
	"a stop under load goes from the proxy to the store in its time, and what was acknowledged is there afterwards",
	options,
	async () => {
		const before = (await centerHealth(enclave.center))?.storedBatches ?? 0;
		const ending = new AbortController();
		const sending = identities.map((identity) => load(identity, ending.signal));
		await sleep(500);
		stopped.length = 0;
		const beganMs = performance.now();
		await enclave.supervisor.stop();
		const tookMs = performance.now() - beganMs;
		equal(stopped.join(), "px-1,sc,signer,sqld");
		const { workerdStopGraceMs, stopGraceMs } = HOST_LIMITS;
		ok(tookMs < 2 * workerdStopGraceMs + 2 * stopGraceMs, `${tookMs} ms`);
		enclave = await start(await freePorts());
		ending.abort();
		await assertStored(await Promise.all(sending), before);
	},
);

test("what a proxy holds when it is told to go it acknowledges first", options, async () => {
	const path = boxPaths(dataDir).proxyConfig("px-1");
	const text = readFileSync(path, "utf8");
	writeFileSync(path, text.replace("fsync_interval_ms: 100", "fsync_interval_ms: 1000"));
	equal((await restart("px-1")).ok, true);
	const link = await TestLink.open(proxy, identities[0] as Identity);
	await link.expect("welcome");
	const stream = new TestStream(identities[0] as Identity, "bulk");
	for (let i = 0; i < 5; i++) link.send("batch", { bytes: stream.next().bytes });
	// The commit that these wait for is a second away when the proxy is told to go.
	await sleep(50);
	const isOurs = (name: Uint8Array) => hexOf(name) === hexOf(stream.stream);
	ok(!link.frames.some((frame) => frame.type === "receipt" && isOurs(frame.body.stream)));
	const replacing = enclave.supervisor.replace("px-1");
	await link.expect("receipt", (body) => isOurs(body.stream) && body.seq === 5 && body.level === "a1");
	equal((await replacing).ok, true);
	await until("the end of the old link", async () => link.isClosed, Boolean);
	writeFileSync(path, text);
});

test("a configuration that cannot run leaves the former one running, by name", options, async () => {
	const path = boxPaths(dataDir).proxyConfig("px-1");
	const text = readFileSync(path, "utf8");
	const pid = enclave.supervisor.pids().get("px-1");
	writeFileSync(path, text.replace("fsync_interval_ms: 100", "fsync_interval_ms: 5000"));
	const unread = await restart("px-1");
	match(String(unread.detail), /fsync_interval_ms/);
	writeFileSync(path, text.replace(/wal_path: .*/, `wal_path: ${JSON.stringify(join(directory, "elsewhere"))}`));
	equal((await restart("px-1")).code, "needs_stop");
	const { listen } = enclave.center;
	writeFileSync(path, text.replace(/listen: .*/, `listen: ${listen}`));
	equal((await restart("px-1")).code, "listen_failed");
	equal(enclave.supervisor.pids().get("px-1"), pid, "none of these touched it");
	writeFileSync(path, text);
	equal((await restart("nobody")).code, "process_unknown");
	ok((await proxyHealth(enclave.proxy))?.isUp);
});
