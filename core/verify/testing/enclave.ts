/** A small enclave for tests of packages: real certificates, trust, batches, commands and a ledger, all in this process. */

import { hexOf, textOf } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { nodeProofShape, signBinding } from "#core/identity/binding.ts";
import {
	bodyHash,
	ed25519Signer,
	encodeLeaf,
	inclusionProof,
	type Leaf,
	leafHash,
	merkleRoot,
	signCheckpoint,
} from "#core/ledger/index.ts";
import { readBatch } from "#core/model/batch.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { exportActBody } from "#core/package/export-act.ts";
import { type LedgerPlace, type PackageInput, preparePackage, sealPackage } from "#core/package/layout.ts";
import { MANIFEST_NAME, makeManifest, type PackagePredicate } from "#core/package/manifest.ts";
import { bytesNamed, processNamed, type SealedTestBatch, TestAgent } from "#core/testing/test-agent.ts";
import { signTrustDocument, type TrustDocument, trustHash } from "#core/trust/trust-document.ts";
import { ed25519PublicKey, ed25519Sign, sha256 } from "#crypto";
import { type CertificateAuthority, createIssuingCa, createRoot, issueNode } from "../../../host/pki/certificates.ts";
import { createTlsKeys } from "../../../host/pki/keys.ts";

export const ENCLAVE = "lab";
export const TRACE_ID = "T-20261122-abc123";
export const NOW_MS = Date.UTC(2026, 10, 22, 12);
const ECDSA = { name: "ECDSA", hash: "SHA-256" } as const;
const ORIGIN = `sc.${ENCLAVE}/ledger`;

export const operatorSeed = (id: string): Uint8Array => bytesNamed(`operator ${id}`, 32);

async function proofOf(agent: TestAgent, issuer: CertificateAuthority, nowMs: number): Promise<Uint8Array> {
	const keys = await createTlsKeys();
	const leaf = await issueNode(issuer, {
		enclave: ENCLAVE,
		role: "agent",
		id: agent.id,
		publicKey: keys.publicKey,
		dnsNames: [],
		ips: [],
		nowMs,
	});
	const der = new Uint8Array(leaf.rawData);
	const uri = `spiffe://${ENCLAVE}/agent/${agent.id}`;
	const statement = { uri, certFingerprint: sha256(der), publicKey: agent.publicKey };
	const binding = await signBinding(statement, agent.seed, async (message) => {
		return new Uint8Array(await crypto.subtle.sign(ECDSA, keys.privateKey, new Uint8Array(message)));
	});
	return encodeAs(nodeProofShape, { chain: [der, new Uint8Array(issuer.certificate.rawData)], binding });
}

function trustDocuments(
	ledgerSeed: Uint8Array,
	change: Partial<TrustDocument>,
): { genesis: ReturnType<typeof signTrustDocument>; first: Uint8Array } {
	const genesisSeed = bytesNamed("genesis", 32);
	const document: TrustDocument = {
		version: 0,
		enclave: ENCLAVE,
		prevHash: new Uint8Array(32),
		mode: "two_person",
		operators: [],
		traceApprovals: 1,
		successorKeys: [ed25519PublicKey(genesisSeed)],
		successorThreshold: 1,
		ledgerOrigin: ORIGIN,
		ledgerKey: ed25519PublicKey(ledgerSeed),
		isMaskingRequired: true,
		traceDepthMax: 6,
		traceDurationSecsMax: 3600,
		...change,
	};
	const genesis = signTrustDocument(document, []);
	const operators = (["ana", "ben"] as const).map((id) => ({
		id,
		name: id,
		publicKey: ed25519PublicKey(operatorSeed(id)),
		roles: id === "ana" ? (["analyst", "exporter"] as const) : (["approver"] as const),
	}));
	const next = {
		...document,
		version: 1,
		prevHash: trustHash(genesis.payload),
		operators,
		successorKeys: operators.map(({ publicKey }) => publicKey),
		successorThreshold: 2,
	};
	const seeds = [{ publicKey: ed25519PublicKey(genesisSeed), seed: genesisSeed }];
	return { genesis, first: signTrustDocument(next, seeds).bytes };
}

export function signedCommand(
	over: Partial<TraceCommand> & Pick<TraceCommand, "targetAgent">,
	signers: readonly string[],
): Uint8Array {
	const payload = encodeAs(traceCommandShape, {
		traceId: TRACE_ID,
		targetPid: 10,
		depth: 3,
		collectCmdlines: true,
		collectNetwork: true,
		collectFileMeta: true,
		maxDurationSecs: 600,
		initiatedBy: "ana",
		timestampMs: NOW_MS,
		targetProcess: processNamed("shell"),
		commandId: bytesNamed(`command ${over.targetAgent}`, 16),
		expiresAtMs: NOW_MS + 60_000,
		reason: "web server spawned a shell",
		trustVersion: 1,
		act: "start",
		...over,
	});
	const message = preAuthEncoding(PAYLOAD_TYPES.traceCommand, payload);
	const signatures = signers.map((operator) => ({ operator, signature: ed25519Sign(operatorSeed(operator), message) }));
	return encodeAs(signedEnvelopeShape, { payload, signatures });
}

/** The story: a shell traced on web-01 connects to db-01, whose accept lies in a single bulk batch. */
function story(web: TestAgent, db: TestAgent): SealedTestBatch[] {
	const shell = processNamed("shell");
	const traceId = TRACE_ID;
	const commandId = bytesNamed("command web-01", 16);
	const batches = [
		web.batch("alert", [
			{ kind: "command_answer", traceId, payload: { commandId, isAccepted: true, processCount: 1 } },
		]),
		web.batch("trace", [
			{
				kind: "exec",
				process: shell,
				traceId,
				payload: { pid: 10, ppid: 9, name: "bash", exe: "/usr/bin/bash", cmdline: ["bash"] },
			},
			{
				kind: "connect",
				process: shell,
				traceId,
				payload: {
					pid: 10,
					localAddress: Uint8Array.of(10, 0, 0, 1),
					localPort: 40_000,
					remoteAddress: Uint8Array.of(10, 0, 0, 2),
					remotePort: 22,
				},
			},
		]),
		web.batch("trace", [{ kind: "exit", process: shell, traceId, payload: { pid: 10, exitCode: 0 } }]),
	];
	db.batch("bulk", [{ kind: "exec", process: processNamed("sshd") }]);
	batches.push(
		db.batch("bulk", [
			{
				kind: "accept",
				process: processNamed("sshd"),
				payload: {
					pid: 20,
					localAddress: Uint8Array.of(10, 0, 0, 2),
					localPort: 22,
					remoteAddress: Uint8Array.of(10, 0, 0, 1),
					remotePort: 40_000,
				},
			},
		]),
		web.batch("alert", [{ kind: "trace_seal", traceId, payload: { cause: "stopped", eventCount: 3, gapCount: 0 } }]),
	);
	return batches;
}

export interface TestPackage {
	readonly input: PackageInput;
	readonly rootFingerprint: string;
}

export type PendingLeaf = Pick<Leaf, "kind" | "actor" | "subject" | "traceId"> & { readonly body: Uint8Array };

/** What a test may change before the package is made; everything else stays true and consistent. */
export interface Variation {
	readonly batches?: (batches: readonly SealedTestBatch[], web: TestAgent) => readonly SealedTestBatch[];
	readonly command?: Uint8Array;
	/** Sent beside `command`: in the ledger and in the package. */
	readonly moreCommands?: readonly Uint8Array[];
	readonly trust?: Partial<TrustDocument>;
	readonly exporter?: string;
	/** The ledger's acts as they are to be. */
	readonly acts?: (acts: readonly PendingLeaf[]) => readonly PendingLeaf[];
	/** Signs the checkpoint instead of the ledger's own key. */
	readonly checkpointSeed?: Uint8Array;
	/** Certifies the hosts instead of the enclave's own issuing CA. */
	readonly isForeignPki?: boolean;
	/** When the hosts were certified, for 30 days. */
	readonly certifiedAtMs?: number;
}

function pendingLeaves(batches: readonly SealedTestBatch[], acts: readonly PendingLeaf[]): PendingLeaf[] {
	const ofBatches = batches.map(({ header, bytes, stream, seq }): PendingLeaf => {
		const read = readBatch(bytes);
		if (!read.ok) throw new Error(read.detail);
		const actor = `spiffe://${ENCLAVE}/agent/${header.agent}`;
		return { kind: "batch", actor, subject: `${hexOf(stream)}/${seq}`, body: read.value.headerBytes };
	});
	// The export is the last act before the checkpoint.
	return [...acts.slice(0, -1), ...ofBatches, ...acts.slice(-1)];
}

function placesOf(pending: readonly PendingLeaf[]): { places: LedgerPlace[]; root: Uint8Array } {
	const leaves = pending.map(({ body, ...leaf }, i) => {
		const salt = bytesNamed(`salt ${i}`, 16);
		return { salt, leaf: encodeLeaf({ ...leaf, tsMs: NOW_MS + 1000, bodyHash: bodyHash(salt, body) }) };
	});
	const hashes = leaves.map(({ leaf }) => leafHash(leaf));
	const places = leaves.map((each, index) => ({ ...each, index, path: inclusionProof(hashes, index, hashes.length) }));
	return { places, root: merkleRoot(hashes) };
}

export async function makeTestPackage(variation: Variation = {}): Promise<TestPackage> {
	const certifiedAtMs = variation.certifiedAtMs ?? NOW_MS;
	const root = await createRoot(ENCLAVE, certifiedAtMs);
	const signingRoot = variation.isForeignPki === true ? await createRoot(ENCLAVE, certifiedAtMs) : root;
	const issuer = await createIssuingCa(ENCLAVE, signingRoot, certifiedAtMs);
	const [web, db] = [new TestAgent("web-01", NOW_MS), new TestAgent("db-01", NOW_MS)];
	const ledgerSeed = bytesNamed("ledger", 32);
	const { genesis, first } = trustDocuments(ledgerSeed, variation.trust ?? {});
	const told = story(web, db);
	const batches = variation.batches?.(told, web) ?? told;
	const command = variation.command ?? signedCommand({ targetAgent: "web-01" }, ["ana", "ben"]);
	const commands = [command, ...(variation.moreCommands ?? [])];
	const exporter = variation.exporter ?? "ana";
	const facts = { exporter, reason: "case 7", commands, batches: batches.map(({ bytes }) => bytes) };
	const traceId = TRACE_ID;
	const acts: readonly PendingLeaf[] = [
		{ kind: "trust_document", actor: "sc", subject: "trust/1", body: first },
		...commands.map(
			(body): PendingLeaf => ({
				kind: "trace_start",
				actor: "ben",
				subject: commandOf(body).targetAgent,
				body,
				traceId,
			}),
		),
		{ kind: "export", actor: exporter, subject: traceId, body: exportActBody({ traceId, ...facts }), traceId },
	];
	const pending = pendingLeaves(batches, variation.acts?.(acts) ?? acts);
	const tree = placesOf(pending);
	const message = new Uint8Array(preAuthEncoding(PAYLOAD_TYPES.trustDocument, genesis.payload));
	const rootDer = new Uint8Array(root.certificate.rawData);
	const numbered = pending.map(({ kind, body }, i) => ({ kind, body, place: tree.places[i] as LedgerPlace }));
	const agents = [db, web].filter(({ id }) => batches.some(({ header }) => header.agent === id));
	const proofs = await Promise.all(agents.map((agent) => proofOf(agent, issuer, certifiedAtMs)));
	const checkpoint = { origin: ORIGIN, size: pending.length, root: tree.root };
	return {
		rootFingerprint: hexOf(sha256(rootDer)),
		input: {
			traceId,
			exporter: { operator: exporter, reason: facts.reason },
			preparedAtMs: NOW_MS + 2000,
			toolVersion: "test",
			root: rootDer,
			genesisSignature: new Uint8Array(await crypto.subtle.sign(ECDSA, root.keys.privateKey, message)),
			trust: [genesis.bytes, first],
			hosts: agents.map(({ id }, i) => ({
				agent: id,
				hostName: id,
				clockOffsetMs: 0,
				clockSource: "heartbeats",
				proofs: [proofs[i] as Uint8Array],
			})),
			batches: numbered
				.filter(({ kind }) => kind === "batch")
				.map(({ place }, i) => ({ bytes: (batches[i] as SealedTestBatch).bytes, place })),
			acts: numbered.filter(({ kind }) => kind !== "batch").map(({ body, place }) => ({ body, place })),
			commands: commands.map((envelope) => ({ commandId: hexOf(commandOf(envelope).commandId), envelope })),
			checkpoint: signCheckpoint(checkpoint, ed25519Signer(ORIGIN, variation.checkpointSeed ?? ledgerSeed)),
		},
	};
}

function commandOf(envelope: Uint8Array): TraceCommand {
	const read = decodeAs(signedEnvelopeShape, envelope);
	const command = read.ok ? decodeAs(traceCommandShape, read.value.payload) : read;
	if (!command.ok) throw new Error(command.detail);
	return command.value;
}

/** Signs whatever files these are: for an exporter who lies. `predicate` is changed before it is signed. */
export function sealFiles(
	files: ReadonlyMap<string, Uint8Array>,
	operator = "ana",
	change: (predicate: PackagePredicate) => PackagePredicate = (predicate) => predicate,
): Uint8Array {
	const old = JSON.parse(textOf(files.get(MANIFEST_NAME) as Uint8Array) as string) as { predicate: PackagePredicate };
	const others = new Map(files);
	others.delete(MANIFEST_NAME);
	const manifest = makeManifest(others, change(old.predicate));
	const message = preAuthEncoding(PAYLOAD_TYPES.packageManifest, manifest);
	const prepared = { files: new Map([...others, [MANIFEST_NAME, manifest]]), manifest };
	return sealPackage(prepared, operator, ed25519Sign(operatorSeed(operator), message));
}

/** The archive, signed by an operator (the exporter unless told otherwise). */
export function sealTestPackage(input: PackageInput, operator = "ana"): Uint8Array {
	const prepared = preparePackage(input);
	if (!prepared.ok) throw new Error(prepared.detail);
	const message = preAuthEncoding(PAYLOAD_TYPES.packageManifest, prepared.value.manifest);
	return sealPackage(prepared.value, operator, ed25519Sign(operatorSeed(operator), message));
}
