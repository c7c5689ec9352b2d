/**
 * An enclave in a temporary directory for tests: root, issuing CA, an agent's and a proxy's files as the host tools make them,
 * operators and a genesis document. Must never be used outside tests.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeAs } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { type PinnedTrust, signTrustDocument, type TrustDocument, trustHash } from "#core/trust/trust-document.ts";
import { ed25519PublicKey, ed25519Sign } from "#crypto";
import { certificatePem, createIssuingCa, createRoot } from "../../host/pki/certificates.ts";
import { nodePaths } from "../../host/pki/layout.ts";
import { createNodeFiles } from "../../host/pki/node-files.ts";

export const ENCLAVE = "lab";
export const LEDGER_ORIGIN = "sc.lab/ledger";
const seedOf = (byte: number) => new Uint8Array(32).fill(byte);
export const LEDGER_SEED = seedOf(40);
export const GENESIS_SEED = seedOf(41);
export const OPERATORS = {
	ana: seedOf(50),
	bo: seedOf(51),
	/** Of a later version: ids that no other bytes hold by chance, for tests that search for them. */
	"marguerite.oyelaran": seedOf(52),
	"ottokar.szabo": seedOf(53),
} as const;

const GENESIS: TrustDocument = {
	version: 0,
	enclave: ENCLAVE,
	prevHash: new Uint8Array(32),
	mode: "two_person",
	operators: [
		{ id: "ana", name: "Ana", publicKey: ed25519PublicKey(OPERATORS.ana), roles: ["analyst"] },
		{ id: "bo", name: "Bo", publicKey: ed25519PublicKey(OPERATORS.bo), roles: ["approver"] },
	],
	traceApprovals: 1,
	successorKeys: [ed25519PublicKey(GENESIS_SEED)],
	successorThreshold: 1,
	ledgerOrigin: LEDGER_ORIGIN,
	ledgerKey: ed25519PublicKey(LEDGER_SEED),
	isMaskingRequired: true,
	traceDepthMax: 10,
	traceDurationSecsMax: 3600,
};

export const genesis: PinnedTrust = signTrustDocument(GENESIS, []);

/** Version 1: its operators are the next quorum. Signed by genesis' key, or by a stranger. */
export function nextTrust(before: PinnedTrust, change: Partial<TrustDocument>, seed = GENESIS_SEED): PinnedTrust {
	const document = {
		...before.document,
		version: before.document.version + 1,
		prevHash: trustHash(before.payload),
		successorKeys: before.document.operators.map(({ publicKey }) => publicKey),
		successorThreshold: 2,
		...change,
	};
	return signTrustDocument(document, [{ publicKey: ed25519PublicKey(seed), seed }]);
}

let commandNumber = 0;

/** A start of 60 seconds for the lab's agent; every call has its own command id. */
export function commandOf(change: Partial<TraceCommand>): TraceCommand {
	const commandId = new Uint8Array(16);
	new DataView(commandId.buffer).setUint32(12, ++commandNumber);
	const nowMs = Date.now();
	return {
		traceId: "T-20261122-abc123",
		targetAgent: "web-01",
		targetPid: 0,
		depth: 5,
		collectCmdlines: true,
		collectNetwork: true,
		collectFileMeta: true,
		maxDurationSecs: 60,
		initiatedBy: "ana",
		timestampMs: nowMs,
		targetProcess: new Uint8Array(16),
		commandId,
		expiresAtMs: nowMs + 60_000,
		reason: "a test",
		trustVersion: 0,
		act: "start",
		...change,
	};
}

export function signCommand(
	command: TraceCommand,
	signers: readonly (keyof typeof OPERATORS)[] = ["ana", "bo"],
): Uint8Array {
	const payload = encodeAs(traceCommandShape, command);
	const message = preAuthEncoding(PAYLOAD_TYPES.traceCommand, payload);
	const signatures = signers.map((operator) => ({ operator, signature: ed25519Sign(OPERATORS[operator], message) }));
	return encodeAs(signedEnvelopeShape, { payload, signatures });
}

export interface Lab {
	readonly directory: string;
	readonly agent: ReturnType<typeof nodePaths>;
	readonly proxy: ReturnType<typeof nodePaths>;
	readonly dataDir: string;
	/** Writes an agent configuration for a hop on this port and returns its path. */
	config(port: number, extra?: string): string;
	/** A node of the lab or of another enclave under the same root. */
	issue(
		name: string,
		node: { role: "agent" | "px" | "sc"; id: string; enclave?: string; proxies?: readonly string[] },
	): Promise<ReturnType<typeof nodePaths>>;
	remove(): void;
}

/** `proxies`: what the agent's certificate names; absent: every proxy. */
export async function createLab(proxies?: readonly string[]): Promise<Lab> {
	const directory = mkdtempSync(join(tmpdir(), "agent-lab-"));
	const nowMs = Date.now();
	const root = await createRoot(ENCLAVE, nowMs);
	const issuer = await createIssuingCa(ENCLAVE, root, nowMs);
	const rootPem = certificatePem(root.certificate);
	const issue: Lab["issue"] = async (name, { role, id, enclave, proxies }) => {
		const context = { enclave: enclave ?? ENCLAVE, issuer, rootPem, genesis: genesis.bytes, nowMs };
		const addresses = role === "agent" ? {} : { dnsNames: ["localhost"], ips: ["127.0.0.1"] };
		const made = await createNodeFiles(
			join(directory, name),
			{ role, id, ...addresses, ...(proxies === undefined ? {} : { proxies }) },
			context,
		);
		if (!made.ok) throw new Error(made.detail);
		return nodePaths(join(directory, name));
	};
	const agent = await issue("agent", { role: "agent", id: "web-01", ...(proxies === undefined ? {} : { proxies }) });
	const proxy = await issue("proxy", { role: "px", id: "edge-1" });
	const dataDir = join(directory, "state");
	mkdirSync(dataDir);
	const config = (port: number, extra = "") => {
		const path = join(directory, "agent.yaml");
		writeFileSync(
			path,
			`agent:
  proxy_hint: 127.0.0.1:${port}
  site_tag: lab
  tls: {cert: ${agent.chain}, key: ${agent.tlsKey}, ca: ${agent.ca}}
  identity: {signing_key: ${agent.signingKey}, binding: ${agent.binding}, genesis: ${agent.genesis}, root: ${agent.ca}}
  data_dir: ${dataDir}
${extra}`,
		);
		return path;
	};
	const remove = () => rmSync(directory, { recursive: true, force: true });
	return { directory, agent, proxy, dataDir, config, issue, remove };
}

export const fileText = (path: string): string => readFileSync(path, "utf8");
