/**
 * An agent without a collector, as a process of its own: the agent's own lanes, outbox and link, fed with made-up events. Guarantees
 * that whatever it attempts, holds and believes is told on its standard output before it goes on (faults/truth-line.ts), and that it
 * ends with its parent. Must never repair anything itself: what the outbox and the link do is what is tried.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";
import { hexOf } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { bindingShape } from "#core/identity/binding.ts";
import { LANES, type Lane, readBatch } from "#core/model/batch.ts";
import { decodeFrame } from "#core/protocol/index.ts";
import { assertInvariant, type Result } from "#core/result.ts";
import { readPinnedTrust } from "#core/trust/trust-document.ts";
import { sha256 } from "#crypto";
import { HostClock } from "../agent/clock.ts";
import { DISK_KEY_BYTES, DiskSeal } from "../agent/disk-key/disk-seal.ts";
import { SealedFiles } from "../agent/disk-key/sealed-files.ts";
import { AGENT_LIMITS } from "../agent/limits.ts";
import { LedgerMemory } from "../agent/link/ledger-memory.ts";
import { Link, type LinkIdentity } from "../agent/link/link.ts";
import { isFreed } from "../agent/outbox/chain.ts";
import { type AppendCode, type AppendedBatch, Outbox } from "../agent/outbox/outbox.ts";
import { DiskFailure, directoryStorage } from "../agent/outbox/storage.ts";
import { Lanes } from "../agent/stream/lanes.ts";
import { loadDrafts } from "../bench/load-events.ts";
import { derOfPemFile } from "../host/enclave/node-proof.ts";
import { nodePaths } from "../host/pki/layout.ts";
import { FAULT_LIMITS } from "./limits.ts";
import { withImage } from "./synced-image.ts";
import type { Feed, FeedingConfig, FeedingOrder, TruthLine, Wire } from "./truth-line.ts";

const config = JSON.parse(readFileSync(process.argv[2] as string, "utf8")) as FeedingConfig;

/** One blocking write: the parent has it even when this process is killed behind it. */
function tell(line: TruthLine): void {
	writeSync(1, `${JSON.stringify(line)}\n`);
}

const log = (code: string, fields: Readonly<Record<string, unknown>> = {}) => tell(["log", code, fields]);

function nowMs(): number {
	const isBack = config.isClockStrobing && Math.floor(performance.now() / 1000) % 2 === 1;
	return Date.now() + (isBack ? -config.clockOffsetMs : config.clockOffsetMs);
}

/** The agent's outbox, which tells what it is asked for. */
class TellingOutbox extends Outbox {
	override append(lane: Lane, batch: AppendedBatch): Result<true, AppendCode> {
		const chain = this.current(lane);
		tell(["attempt", lane, chain.id, chain.head + 1, hexOf(sha256(batch.bytes)), batch.eventCount]);
		return super.append(lane, batch);
	}

	override sync(): void {
		super.sync();
		for (const lane of LANES) {
			const chain = this.chains(lane).at(-1);
			if (chain !== undefined && chain.head > 0) tell(["held", chain.id, chain.head]);
		}
	}

	override acknowledge(id: string, level: "a1" | "a2", seq: number): boolean {
		const isNews = super.acknowledge(id, level, seq);
		if (isNews) tell(["ack", id, level, seq]);
		return isNews;
	}
}

function identity(): LinkIdentity {
	const paths = nodePaths(config.node);
	const binding = decodeAs(bindingShape, new Uint8Array(readFileSync(paths.binding)));
	const chain = derOfPemFile(paths.chain);
	const root = derOfPemFile(paths.ca)[0];
	assertInvariant(binding.ok && chain[0] !== undefined && root !== undefined, `${config.node} is a node's folder`);
	return {
		agent: config.agent,
		enclave: config.enclave,
		certFingerprint: sha256(chain[0]),
		chain,
		binding: binding.value,
		seed: new Uint8Array(readFileSync(paths.signingKey)),
		root,
		proxies: null,
	};
}

function diskSeal(): DiskSeal {
	const path = join(config.directory, "disk.key");
	if (!existsSync(path)) writeFileSync(path, randomBytes(DISK_KEY_BYTES), { mode: 0o600 });
	return new DiskSeal(new Uint8Array(readFileSync(path)));
}

/** The socket's own, before any wire was spoiled. */
const plainSend = Object.getOwnPropertyDescriptor(WebSocket.prototype, "send")?.value as (data: Uint8Array) => void;

/** A wire that drops and shuffles batches, put under the link's own socket: inside TLS nothing else could. */
function spoilWire(wire: Wire): void {
	let state = wire.seed >>> 0 || 1;
	const random = (below: number) => {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
		return Math.floor((state / 2 ** 32) * below);
	};
	const waiting: { socket: WebSocket; frame: Uint8Array }[] = [];
	const flush = () => {
		while (waiting.length > 0) {
			const [next] = waiting.splice(random(waiting.length), 1);
			if (next?.socket.readyState === WebSocket.OPEN) plainSend.call(next.socket, next.frame);
		}
	};
	const begun = new WeakMap<WebSocket, Set<string>>();
	/** A relay takes the first batch of a stream on a link as its beginning, and TCP loses no first one: it passes. */
	const isFirst = (socket: WebSocket, bytes: Uint8Array) => {
		const batch = readBatch(bytes);
		const streams = begun.get(socket) ?? new Set<string>();
		begun.set(socket, streams);
		const id = batch.ok ? hexOf(batch.value.header.stream) : "";
		const isNew = !streams.has(id);
		streams.add(id);
		return isNew;
	};
	WebSocket.prototype.send = function (this: WebSocket, data: Uint8Array) {
		const frame = decodeFrame(data);
		if (!frame.ok || frame.value.type !== "batch") return plainSend.call(this, data);
		if (isFirst(this, frame.value.body.bytes)) return plainSend.call(this, data);
		if (wire.dropOneIn > 0 && random(wire.dropOneIn) === 0) return;
		if (wire.reorderWindow <= 1) return plainSend.call(this, data);
		waiting.push({ socket: this, frame: data });
		if (waiting.length >= wire.reorderWindow) flush();
		else if (waiting.length === 1) setTimeout(flush, FAULT_LIMITS.reorderHoldMs);
	} as WebSocket["send"];
}

function end(status: number, sentence?: string): never {
	if (sentence !== undefined) log("ended", { status, sentence });
	process.exit(status);
}

/** Whatever breaks ends the process, as it does in the agent: a failed disk by the agent's own code 6. */
function onFatal(error: unknown): never {
	end(error instanceof DiskFailure ? 6 : 1, String((error as Error).message));
}

function guard(task: () => void): void {
	try {
		task();
	} catch (error) {
		onFatal(error);
	}
}

function main(): void {
	mkdirSync(join(config.directory, "outbox"), { recursive: true, mode: 0o700 });
	const disk = diskSeal();
	const link = identity();
	const clock = new HostClock({
		wallMs: nowMs,
		bootNs: () => process.hrtime.bigint(),
		monotonicMs: () => performance.now(),
	});
	const trust = readPinnedTrust(new Uint8Array(readFileSync(nodePaths(config.node).genesis)));
	assertInvariant(trust.ok, "genesis reads");
	const directory = join(config.directory, "outbox");
	const storage = directoryStorage(directory);
	const outbox = new TellingOutbox(config.image === null ? storage : withImage(storage, directory, config.image), {
		bytesMax: config.outboxBytesMax,
		disk,
		randomBytes: (length) => new Uint8Array(randomBytes(length)),
		nowMs,
		log,
	});
	const ledger = LedgerMemory.open(new SealedFiles(config.directory, disk), log);
	const lanes = new Lanes({
		...{ outbox, agent: config.agent, seed: link.seed, clock, log, batchMaxEvents: 2000, batchMaxMs: 50 },
		schedule: (ms, task) => {
			const timer = setTimeout(() => guard(task), ms);
			return () => clearTimeout(timer);
		},
		onHeld: () => sender.pump(),
	});
	const read = (path: string) => readFileSync(path, "utf8");
	const paths = nodePaths(config.node);
	const sender = new Link({
		...{
			targets: config.hops,
			parentTimes: config.parentTimes,
			identity: link,
			outbox,
			ledger,
			log,
			nowMs,
			random: Math.random,
		},
		tls: { ca: read(paths.ca), cert: read(paths.chain), key: read(paths.tlsKey) },
		monotonicMs: () => performance.now(),
		trust: () => trust.value.document,
		status: () => ({
			...{ hostName: config.agent, tier: "ebpf", missing: "", siteTag: "faults", softwareVersion: "faults", cause: "" },
			addresses: [],
		}),
		health: () => ({
			...{ timeMs: nowMs(), outboxBytes: outbox.bytes, oldestUnackedMs: 0, rssBytes: process.memoryUsage.rss() },
			...{ eventCount: lanes.eventCount, gapCount: lanes.gapCount },
		}),
		onTrust: () => undefined,
		onCommand: () => log("command_came"),
		reseal: (chain, from, cause) => guard(() => lanes.reseal(chain, from, cause)),
		disown: (stream, from) => guard(() => lanes.disown(stream, from)),
		onFatal,
	});
	lanes.repair();
	outbox.prepare();
	lanes.flush();
	tell(["ready", process.pid, Math.round(performance.now())]);
	sender.start();
	run({ lanes, outbox, ledger, link: sender });
}

interface Running {
	readonly lanes: Lanes;
	readonly outbox: Outbox;
	readonly ledger: LedgerMemory;
	readonly link: Link;
}

/** Feeds in rounds; the next one begins when the last has been sealed. */
function feed({ lanes }: Running, order: Feed, onFed: () => void): void {
	let round = 0;
	const next = () => {
		if (round++ >= order.rounds) {
			tell(["fed"]);
			onFed();
			return;
		}
		guard(() => {
			for (const lane of order.lanes) {
				const events = lane === "bulk" ? order.events : (order.urgentEvents ?? order.events);
				for (const draft of loadDrafts(events, nowMs())) lanes.add(lane, draft);
			}
			lanes.flush();
		});
		setTimeout(next, order.everyMs);
	};
	next();
}

function run(running: Running): void {
	const { lanes, outbox, ledger, link } = running;
	let isFed = config.feed === null;
	const onFed = () => {
		isFed = true;
		if (config.until === "held") end(0);
	};
	setInterval(() => guard(() => link.heartbeat()), AGENT_LIMITS.heartbeatMs);
	const persist = () => {
		outbox.persistMarks();
		ledger.persist();
	};
	setInterval(() => guard(persist), AGENT_LIMITS.ackPersistMs);
	let wasFreed = false;
	setInterval(() => {
		const areFreed = isFed && outbox.chains().every(isFreed);
		if (areFreed && !wasFreed) tell(["freed"]);
		wasFreed = areFreed;
		if (areFreed && config.until === "freed") {
			guard(() => {
				ledger.persist();
				outbox.stop();
			});
			end(0);
		}
	}, 50);
	const orders = createInterface({ input: process.stdin });
	orders.on("line", (line) => {
		const order = JSON.parse(line) as FeedingOrder;
		if (order.order === "feed") {
			isFed = false;
			feed(running, order.feed, onFed);
		} else if (order.order === "wire") spoilWire(order.wire);
		else {
			link.stop();
			guard(() => {
				lanes.flush();
				outbox.stop();
			});
			setTimeout(() => end(0), AGENT_LIMITS.stopGraceMs);
		}
	});
	// Without its parent it has no reason to be.
	orders.on("close", () => end(0));
	if (config.feed !== null) feed(running, config.feed, onFed);
}

guard(main);
