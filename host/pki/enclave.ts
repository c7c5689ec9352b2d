/**
 * The birth of an enclave: root, issuing CA, ledger key, genesis trust document, invitations and the first nodes, as one data
 * directory. Guarantees that the directory is complete or absent: it is made beside its place and renamed, so an interrupted
 * creation leaves nothing a start could mistake for an enclave. Must never overwrite an enclave, nor keep a token in the clear.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { X509Certificate } from "@peculiar/x509";
import { readAs } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { ed25519Signer, ed25519Verifier, emptyRoot, formatVerifierKey, signCheckpoint } from "#core/ledger/index.ts";
import { operatorIdShape } from "#core/model/command.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { PROPOSED_CAPTURE_POLICY } from "#core/trust/capture-policy.ts";
import {
	type PinnedTrust,
	readPinnedTrust,
	signTrustDocument,
	type TrustDocument,
} from "#core/trust/trust-document.ts";
import { ed25519PublicKey } from "#crypto";
import { makePrivateDirectory, syncDirectory, writeFileDurably } from "../durable-files.ts";
import { HOST_LIMITS } from "../limits.ts";
import { createInvitation, type Invitation, type Invitee, storeInvitations } from "../signer/invitations.ts";
import { certificatePem, createIssuingCa, createRoot, fingerprintOf } from "./certificates.ts";
import { createSeed, privateKeyPem, type TlsKey, tlsKeysOfPem } from "./keys.ts";
import { enclavePaths, nodeDirectory } from "./layout.ts";
import {
	checkDates,
	checkNodeOptions,
	createNodeFiles,
	type IssuingContext,
	type NodeFileCode,
	type NodeFiles,
	type NodeOptionCode,
	type NodeOptions,
	openNodeFiles,
	readCertificates,
} from "./node-files.ts";

/** What the creator of an enclave decides for its trust document; the rest follows. */
export type GenesisPolicy = Pick<
	TrustDocument,
	"mode" | "traceApprovals" | "isMaskingRequired" | "traceDepthMax" | "traceDurationSecsMax" | "capturePolicy"
>;

export interface EnclaveOptions {
	readonly enclave: string;
	readonly policy: GenesisPolicy;
	readonly nodes: readonly NodeOptions[];
	/** The first operators; each gets one invitation. */
	readonly invitees: readonly Invitee[];
	readonly nowMs: number;
}

export interface CreatedEnclave {
	/** SHA-256 of the root certificate, hex: compare it by voice before trusting a copy of it. */
	readonly rootFingerprint: string;
	/** Shown once; only their hashes are kept. */
	readonly invitations: readonly Invitation[];
}

export type CreateCode =
	| NodeOptionCode
	| "enclave_exists"
	| "data_dir_not_replaceable"
	| "invitees_invalid"
	/** The mode asks for two people and the policy for no approval. */
	| "trust_mode_unmet";
export type AddNodeCode = NodeOptionCode | NodeFileCode;

/** The origin of an enclave's ledger: its log's name in every checkpoint. */
export function ledgerOriginOf(enclave: string): string {
	return `sc.${enclave}/ledger`;
}

function checkOptions(dataDir: string, options: EnclaveOptions): Result<void, CreateCode> {
	for (const node of options.nodes) {
		const checked = checkNodeOptions(options.enclave, node);
		if (!checked.ok) return checked;
	}
	if (!options.nodes.some(({ role }) => role === "sc"))
		return fail("name_invalid", "An enclave needs a Security Center.");
	const { invitees } = options;
	const ids = new Set(invitees.map(({ operatorId }) => operatorId));
	const areNames = invitees.every(({ operatorId }) => readAs(operatorIdShape, operatorId).ok);
	const isCounted = invitees.length >= 1 && invitees.length <= HOST_LIMITS.invitationsMax;
	if (!areNames || !isCounted || ids.size !== invitees.length)
		return fail(
			"invitees_invalid",
			`One to ${HOST_LIMITS.invitationsMax} first operators with distinct ids are needed.`,
		);
	if (options.policy.mode === "two_person" && invitees.length < 2)
		return fail("invitees_invalid", "The two-person mode needs at least two first operators.");
	if (options.policy.mode === "two_person" && options.policy.traceApprovals < 1)
		return fail("trust_mode_unmet", "The two-person mode needs at least one approval of a trace.");
	if (existsSync(dataDir) && readdirSync(dataDir).length > 0)
		return fail("enclave_exists", `${dataDir} is not empty; nothing in it was changed.`);
	return ok(undefined);
}

function genesisOf(options: EnclaveOptions, keys: { genesis: Uint8Array; ledger: Uint8Array }): PinnedTrust {
	return signTrustDocument(
		{
			version: 0,
			enclave: options.enclave,
			prevHash: new Uint8Array(32),
			operators: [],
			successorKeys: [ed25519PublicKey(keys.genesis)],
			successorThreshold: 1,
			ledgerOrigin: ledgerOriginOf(options.enclave),
			ledgerKey: ed25519PublicKey(keys.ledger),
			capturePolicy: PROPOSED_CAPTURE_POLICY,
			...options.policy,
		},
		[],
	);
}

/** The root key's word for genesis: ECDSA P-256 with SHA-256 over PAE(trustDocument, payload), r‖s (IEEE P1363). */
async function signGenesis(genesis: PinnedTrust, rootKey: TlsKey): Promise<Uint8Array> {
	const message = new Uint8Array(preAuthEncoding(PAYLOAD_TYPES.trustDocument, genesis.payload));
	return new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, rootKey, message));
}

/** Fills a new directory; returns what `createEnclavePki` returns. */
async function fill(directory: string, options: EnclaveOptions): Promise<Result<CreatedEnclave, CreateCode>> {
	const { enclave, nowMs } = options;
	const paths = enclavePaths(directory);
	for (const each of [paths.pki, paths.signer.directory, paths.nodes, dirname(paths.genesis)])
		makePrivateDirectory(each);
	const root = await createRoot(enclave, nowMs);
	const issuer = await createIssuingCa(enclave, root, nowMs);
	const rootPem = certificatePem(root.certificate);
	writeFileDurably(paths.rootCertificate, rootPem);
	writeFileDurably(paths.ca, rootPem);
	writeFileDurably(paths.rootKey, await privateKeyPem(root.keys.privateKey));
	writeFileDurably(paths.signer.issuingCaCertificate, certificatePem(issuer.certificate));
	writeFileDurably(paths.signer.issuingCaKey, await privateKeyPem(issuer.keys.privateKey));
	const keys = { genesis: createSeed(), ledger: createSeed() };
	writeFileDurably(paths.signer.genesisKey, keys.genesis);
	writeFileDurably(paths.signer.ledgerKey, keys.ledger);
	const genesis = genesisOf(options, keys);
	writeFileDurably(paths.genesis, genesis.bytes);
	writeFileDurably(paths.genesisSignature, await signGenesis(genesis, root.keys.privateKey));
	// The signer starts from a checkpoint of the empty tree: a missing file later means a lost memory, never a fresh log.
	const origin = ledgerOriginOf(enclave);
	const empty = { origin, size: 0, root: emptyRoot() };
	writeFileDurably(paths.signer.checkpoint, signCheckpoint(empty, ed25519Signer(origin, keys.ledger)));
	const invitations = options.invitees.map(createInvitation);
	storeInvitations(paths.signer.invitations, invitations);
	const context: IssuingContext = { enclave, issuer, rootPem, genesis: genesis.bytes, nowMs };
	for (const node of options.nodes) {
		const made = await createNodeFiles(nodeDirectory(directory, node.role, node.id), node, context);
		if (!made.ok) return made;
	}
	return ok({ rootFingerprint: fingerprintOf(root.certificate), invitations });
}

/** Creates the enclave's data directory, which must be absent or empty. */
export async function createEnclavePki(
	dataDir: string,
	options: EnclaveOptions,
): Promise<Result<CreatedEnclave, CreateCode>> {
	const target = resolve(dataDir);
	const checked = checkOptions(target, options);
	if (!checked.ok) return checked;
	makePrivateDirectory(dirname(target));
	const temporary = join(dirname(target), `.${basename(target)}.creating`);
	rmSync(temporary, { recursive: true, force: true });
	makePrivateDirectory(temporary);
	try {
		const filled = await fill(temporary, options);
		if (!filled.ok) return filled;
		syncTree(temporary);
		try {
			renameSync(temporary, target);
		} catch (error) {
			return fail(
				"data_dir_not_replaceable",
				`${target} cannot be put in place (${(error as Error).message}). If it is a mount point, name a folder inside it.`,
			);
		}
		syncDirectory(dirname(target));
		return filled;
	} finally {
		rmSync(temporary, { recursive: true, force: true });
	}
}

function syncTree(directory: string): void {
	for (const entry of readdirSync(directory, { withFileTypes: true })) {
		if (entry.isDirectory()) syncTree(join(directory, entry.name));
	}
	syncDirectory(directory);
}

export interface EnclavePki {
	readonly dataDir: string;
	readonly enclave: string;
	readonly rootFingerprint: string;
	readonly genesis: PinnedTrust;
	/** The ledger's key as other people's tools read it: `name+hash+base64`. */
	readonly ledgerVerifierKey: string;
	readonly nodes: readonly NodeFiles[];
}

/** Opens an enclave at start: complete, and every certificate in force. Root and issuing keys are not read. */
export function openEnclavePki(dataDir: string, nowMs: number): Result<EnclavePki, NodeFileCode> {
	const authority = openAuthority(dataDir, nowMs);
	if (!authority.ok) return authority;
	const nodes: NodeFiles[] = [];
	const directory = enclavePaths(dataDir).nodes;
	for (const name of readdirSync(directory).filter((each) => !each.startsWith("."))) {
		const node = openNodeFiles(join(directory, name), nowMs);
		if (!node.ok) return node;
		nodes.push(node.value);
	}
	return ok({ ...authority.value, nodes });
}

/** The enclave without its nodes: one expired node must not keep another from being issued. */
function openAuthority(dataDir: string, nowMs: number): Result<Omit<EnclavePki, "nodes">, NodeFileCode> {
	const paths = enclavePaths(dataDir);
	const { signer } = paths;
	const needed = [
		paths.genesis,
		paths.genesisSignature,
		paths.nodes,
		signer.ledgerKey,
		signer.issuingCaKey,
		signer.invitations,
		signer.checkpoint,
	];
	const missing = needed.find((path) => !existsSync(path));
	if (missing !== undefined) return fail("pki_incomplete", `${missing} is missing.`);
	const ca = readCertificates(paths.ca);
	if (!ca.ok) return ca;
	const issuing = readCertificates(signer.issuingCaCertificate);
	if (!issuing.ok) return issuing;
	const dates = checkDates([...ca.value, ...issuing.value], nowMs);
	if (!dates.ok) return dates;
	const genesis = readPinnedTrust(readFileSync(paths.genesis));
	if (!genesis.ok) return fail("pki_incomplete", `${paths.genesis} is no trust document: ${genesis.detail}`);
	const { enclave, ledgerKey, ledgerOrigin } = genesis.value.document;
	return ok({
		dataDir,
		enclave,
		rootFingerprint: fingerprintOf(ca.value[0] as X509Certificate),
		genesis: genesis.value,
		ledgerVerifierKey: formatVerifierKey(ed25519Verifier(ledgerOrigin, ledgerKey)),
	});
}

/** Issues one more node by the enclave's issuing CA. */
export async function addNode(
	dataDir: string,
	node: NodeOptions,
	nowMs: number,
): Promise<Result<NodeFiles, AddNodeCode>> {
	const enclave = openAuthority(dataDir, nowMs);
	if (!enclave.ok) return enclave;
	const paths = enclavePaths(dataDir);
	const issuing = readCertificates(paths.signer.issuingCaCertificate);
	if (!issuing.ok) return issuing;
	const keys = await tlsKeysOfPem(readFileSync(paths.signer.issuingCaKey, "utf8"));
	if (keys === null) return fail("pki_incomplete", `${paths.signer.issuingCaKey} holds no P-256 key.`);
	const directory = nodeDirectory(dataDir, node.role, node.id);
	const made = await createNodeFiles(directory, node, {
		enclave: enclave.value.enclave,
		issuer: { certificate: issuing.value[0] as X509Certificate, keys },
		rootPem: readFileSync(paths.ca, "utf8"),
		genesis: enclave.value.genesis.bytes,
		nowMs,
	});
	return made.ok ? openNodeFiles(directory, nowMs) : made;
}
