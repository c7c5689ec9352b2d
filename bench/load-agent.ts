/**
 * An agent without a collector: the agent's own outbox filled beforehand with sealed batches, and the agent's own link that sends
 * them. Guarantees that sealing and fsync are over before the clock starts, so that what is measured begins in the outbox. Must
 * never seal anything again: a refused batch fails the run.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { decodeAs } from "#core/codec/index.ts";
import { splitHostPort } from "#core/config/strict-tree.ts";
import { bindingShape } from "#core/identity/binding.ts";
import { sealBatch, sealEvent } from "#core/model/batch.ts";
import { DEFAULT_PARENT_TIMES } from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import { sha256 } from "#crypto";
import { DISK_KEY_BYTES, DiskSeal } from "../agent/disk-key/disk-seal.ts";
import { SealedFiles } from "../agent/disk-key/sealed-files.ts";
import { AGENT_LIMITS } from "../agent/limits.ts";
import { LedgerMemory } from "../agent/link/ledger-memory.ts";
import { Link, type LinkIdentity } from "../agent/link/link.ts";
import { Outbox } from "../agent/outbox/outbox.ts";
import { directoryStorage } from "../agent/outbox/storage.ts";
import { derOfPemFile } from "../host/enclave/node-proof.ts";
import type { NodeFiles } from "../host/pki/node-files.ts";
import type { Box } from "./box.ts";
import { BENCH_LIMITS } from "./limits.ts";
import { loadDrafts } from "./load-events.ts";

const AGENT_ID = "load-01";
const OUTBOX_BYTES_MAX = 256 * 1024 * 1024;
/** Codes of the agent's log after which the run says nothing about speed. */
const SPOILING_CODES: ReadonlySet<string> = new Set(["link_failed", "link_down", "link_error", "batch_refused"]);

export interface LoadAgent {
	readonly id: string;
	readonly eventCount: number;
	/** Bytes of the sealed batches. */
	readonly outboxBytes: number;
	/** Starts the link; settles with `performance.now()` at the moment the hop has let it in and the first batch leaves. */
	send(): Promise<number>;
	/** What spoiled the run, or null. */
	trouble(): string | null;
	stop(): void;
}

export const LOAD_AGENT_ID = AGENT_ID;

function identityOf(box: Box, node: NodeFiles): LinkIdentity {
	const { paths } = node;
	const binding = decodeAs(bindingShape, new Uint8Array(readFileSync(paths.binding)));
	assertInvariant(binding.ok, `${paths.binding} is no binding`);
	const chain = derOfPemFile(paths.chain);
	const root = derOfPemFile(paths.ca)[0];
	assertInvariant(root !== undefined && chain[0] !== undefined, "a node's folder holds its chain and its root");
	return {
		agent: AGENT_ID,
		enclave: box.enclave.pki.enclave,
		certFingerprint: sha256(chain[0]),
		chain,
		binding: binding.value,
		seed: new Uint8Array(readFileSync(paths.signingKey)),
		root,
		proxies: null,
	};
}

/** Seals the load into the bulk lane, numbered as the outbox asks, and syncs it. */
function fill(outbox: Outbox, seed: Uint8Array): number {
	const { batchesPerRun, eventsPerBatch } = BENCH_LIMITS;
	const drafts = loadDrafts(batchesPerRun * eventsPerBatch, Date.now());
	for (let at = 0; at < drafts.length; at += eventsPerBatch) {
		const chain = outbox.current("bulk");
		const part = drafts.slice(at, at + eventsPerBatch);
		const events = part.map((draft, index) => sealEvent({ ...draft, seq: chain.nextEvent + index }, null));
		const header = {
			agent: AGENT_ID,
			stream: chain.stream,
			seq: chain.head + 1,
			prevHash: chain.lastHash,
			startMs: part[0]?.wallTimeMs ?? 0,
			endMs: part.at(-1)?.wallTimeMs ?? 0,
			lane: "bulk" as const,
			firstEvent: chain.nextEvent,
		};
		const appended = outbox.append("bulk", { ...sealBatch(header, events, seed), eventCount: events.length });
		assertInvariant(appended.ok, "the outbox is larger than the load");
	}
	outbox.sync();
	return drafts.length;
}

const STATUS = {
	hostName: AGENT_ID,
	tier: "ebpf",
	missing: "",
	siteTag: "bench",
	softwareVersion: "bench",
	addresses: [],
	cause: "",
};

export function makeLoadAgent(box: Box, node: NodeFiles): LoadAgent {
	const identity = identityOf(box, node);
	const directory = `${box.directory}/load-outbox`;
	mkdirSync(directory, { mode: 0o700 });
	const troubles: string[] = [];
	const started = Promise.withResolvers<number>();
	const log = (code: string, fields: Readonly<Record<string, unknown>> = {}) => {
		if (code === "link_up") started.resolve(performance.now());
		if (SPOILING_CODES.has(code)) troubles.push(`${code} ${JSON.stringify(fields)}`);
	};
	const disk = new DiskSeal(new Uint8Array(randomBytes(DISK_KEY_BYTES)));
	const outbox = new Outbox(directoryStorage(directory), {
		bytesMax: OUTBOX_BYTES_MAX,
		disk,
		randomBytes: (length) => new Uint8Array(randomBytes(length)),
		nowMs: Date.now,
		log,
	});
	const eventCount = fill(outbox, identity.seed);
	const outboxBytes = outbox.bytes;
	const read = (path: string) => readFileSync(path, "utf8");
	const health = () => ({
		timeMs: Date.now(),
		outboxBytes: outbox.bytes,
		oldestUnackedMs: 0,
		rssBytes: process.memoryUsage.rss(),
		eventCount,
		gapCount: 0,
	});
	const link = new Link({
		targets: [splitHostPort(box.enclave.proxy.listen)],
		parentTimes: DEFAULT_PARENT_TIMES,
		tls: { ca: read(node.paths.ca), cert: read(node.paths.chain), key: read(node.paths.tlsKey) },
		identity,
		outbox,
		ledger: LedgerMemory.open(new SealedFiles(directory, disk), log),
		log,
		nowMs: Date.now,
		monotonicMs: () => performance.now(),
		random: Math.random,
		trust: () => box.enclave.pki.genesis.document,
		status: () => STATUS,
		health,
		onTrust: () => undefined,
		onCommand: () => troubles.push("a command came"),
		reseal: (_chain, from, cause) => troubles.push(`batch ${from} would be sealed again: ${cause ?? "ahead"}`),
		disown: (_stream, from) => troubles.push(`batch ${from} of a stream that is gone was asked for`),
		onFatal: (error) => troubles.push(String(error)),
	});
	let heartbeat: NodeJS.Timeout | null = null;
	return {
		id: AGENT_ID,
		eventCount,
		outboxBytes,
		send() {
			heartbeat = setInterval(() => link.heartbeat(), AGENT_LIMITS.heartbeatMs);
			link.start();
			return started.promise;
		},
		trouble: () => troubles[0] ?? null,
		stop() {
			if (heartbeat !== null) clearInterval(heartbeat);
			link.stop();
			outbox.stop();
		},
	};
}
