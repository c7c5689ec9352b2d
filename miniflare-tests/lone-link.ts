/**
 * The agent's own link with an empty outbox, and nothing else of the agent: what it says of its hop is what is tested. A file of its own
 * because a test also bundles it, as a build that differs by a line (`test-builds.ts`). Must never be given evidence.
 */
import { readFileSync } from "node:fs";
import { readPinnedTrust } from "#core/trust/trust-document.ts";
import { sha256 } from "#crypto";
import { SealedFiles } from "../agent/disk-key/sealed-files.ts";
import { LedgerMemory } from "../agent/link/ledger-memory.ts";
import { Link } from "../agent/link/link.ts";
import { DISK, Rig } from "../agent/testing/rig.ts";
import type { Identity } from "./test-agent.ts";

export interface LoneLinkOptions {
	readonly identity: Identity;
	readonly enclave: string;
	/** Of its one proxy. */
	readonly port: number;
	/** Path of the genesis document. */
	readonly genesis: string;
	/** For what the link keeps. */
	readonly directory: string;
	readonly log: (code: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** A link that has begun to connect. */
export function openLoneLink(options: LoneLinkOptions): Link {
	const { log, directory, enclave, port } = options;
	const { id, proof, seed, tls } = options.identity;
	const { chain, binding } = proof;
	const genesis = readPinnedTrust(new Uint8Array(readFileSync(options.genesis)));
	if (!genesis.ok) throw new Error(genesis.detail);
	const root = new Uint8Array(Buffer.from(tls.ca.toString().replace(/-----[^-]+-----|\s/g, ""), "base64"));
	const link = new Link({
		targets: [{ host: "127.0.0.1", port }],
		parentTimes: { probeMs: 200, stableMs: 1000 },
		tls: { ca: tls.ca.toString(), cert: tls.cert.toString(), key: tls.key.toString() },
		identity: {
			...{ agent: id, enclave, chain, binding, seed, root, proxies: null },
			certFingerprint: sha256(chain[0] as Uint8Array),
		},
		...{ outbox: new Rig().outbox, log, random: Math.random, nowMs: Date.now, monotonicMs: () => performance.now() },
		ledger: LedgerMemory.open(new SealedFiles(directory, DISK), log),
		trust: () => genesis.value.document,
		status: () => ({
			...{ hostName: "h", tier: "ebpf", missing: "", siteTag: "lab", softwareVersion: "0", addresses: [], cause: "" },
		}),
		health: () => ({ timeMs: Date.now(), outboxBytes: 0, oldestUnackedMs: 0, rssBytes: 0, eventCount: 0, gapCount: 0 }),
		onTrust: () => {},
		onCommand: () => {},
		reseal: () => {},
		disown: () => {},
		onFatal: (error) => {
			throw error;
		},
	});
	link.start();
	return link;
}
