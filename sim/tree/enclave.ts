/**
 * The enclave that every world of a process shares: root, issuing CA, one identity per node, genesis. Made once, by the host's own
 * tools; keys that sign evidence are fixed, so batches are the same in every process. TLS keys are not, and nothing depends on them.
 */
import { base64Of } from "#core/bytes/bytes.ts";
import { encodeAs } from "#core/codec/index.ts";
import { type Binding, type NodeProof, nodeProofShape, proveNode, signBinding } from "#core/identity/binding.ts";
import { type PinnedTrust, signTrustDocument, type TrustDocument } from "#core/trust/trust-document.ts";
import { ed25519PublicKey, sha256 } from "#crypto";
import { certificateUri, createIssuingCa, createRoot, issueNode } from "../../host/pki/certificates.ts";
import { createTlsKeys } from "../../host/pki/keys.ts";
import { prepareCrypto } from "../runtime/prepared-crypto.ts";
import { WORLD_START_MS } from "../runtime/world.ts";

export const ENCLAVE = "sim";
export const LEDGER_ORIGIN = "sc.sim/ledger";
const DAY_MS = 86_400_000;
const seedOf = (name: string) => sha256(new TextEncoder().encode(`simulated ${name}`));
export const LEDGER_SEED = seedOf("ledger");

export interface Identity {
	readonly id: string;
	readonly uri: string;
	readonly seed: Uint8Array;
	readonly chain: readonly Uint8Array[];
	readonly certFingerprint: Uint8Array;
	readonly binding: Binding;
	readonly proof: NodeProof;
	/** `nodeProofShape`, base64: a worker's binding. */
	readonly proofText: string;
}

export interface Enclave {
	readonly root: Uint8Array;
	readonly rootText: string;
	readonly genesis: PinnedTrust;
	readonly identities: ReadonlyMap<string, Identity>;
}

/** Every node that any world has. */
export const AGENTS = ["ag-1", "ag-2", "ag-3"] as const;
export const PROXIES = ["px-1", "px-2"] as const;
export const CENTER = "sc-1";

function genesisOf(): PinnedTrust {
	const document: TrustDocument = {
		version: 0,
		enclave: ENCLAVE,
		prevHash: new Uint8Array(32),
		mode: "two_person",
		operators: [
			{ id: "ana", name: "Ana", publicKey: ed25519PublicKey(seedOf("ana")), roles: ["analyst"] },
			{ id: "bo", name: "Bo", publicKey: ed25519PublicKey(seedOf("bo")), roles: ["approver"] },
		],
		traceApprovals: 1,
		successorKeys: [ed25519PublicKey(seedOf("genesis"))],
		successorThreshold: 1,
		ledgerOrigin: LEDGER_ORIGIN,
		ledgerKey: ed25519PublicKey(LEDGER_SEED),
		isMaskingRequired: true,
		traceDepthMax: 10,
		traceDurationSecsMax: 3600,
	};
	return signTrustDocument(document, []);
}

/** Makes the enclave and asks every question about it that a world will ask WebCrypto. */
export async function createEnclave(): Promise<Enclave> {
	// Ten days before and after: no clock jump of a world leaves the certificates' time.
	const nowMs = WORLD_START_MS - 10 * DAY_MS;
	const root = await createRoot(ENCLAVE, nowMs);
	const issuer = await createIssuingCa(ENCLAVE, root, nowMs);
	const rootDer = new Uint8Array(root.certificate.rawData);
	const identities = new Map<string, Identity>();
	const make = async (role: "agent" | "px" | "sc", id: string) => {
		const tls = await createTlsKeys();
		const addresses = { dnsNames: [], ips: [] };
		const request = {
			enclave: ENCLAVE,
			role,
			id,
			publicKey: tls.publicKey,
			nowMs,
			lifetimeMs: 60 * DAY_MS,
			...addresses,
		};
		const leaf = await issueNode(issuer, request);
		const der = new Uint8Array(leaf.rawData);
		const uri = certificateUri(ENCLAVE, role, id);
		const seed = seedOf(id);
		const certFingerprint = sha256(der);
		const statement = { uri, certFingerprint, publicKey: ed25519PublicKey(seed) };
		const binding = await signBinding(statement, seed, async (message) => {
			const algorithm = { name: "ECDSA", hash: "SHA-256" };
			return new Uint8Array(await crypto.subtle.sign(algorithm, tls.privateKey, new Uint8Array(message)));
		});
		const chain = [der, new Uint8Array(issuer.certificate.rawData)];
		const proof = { chain, binding };
		const proofText = base64Of(encodeAs(nodeProofShape, proof));
		identities.set(id, { id, uri, seed, chain, certFingerprint, binding, proof, proofText });
	};
	for (const id of AGENTS) await make("agent", id);
	for (const id of PROXIES) await make("px", id);
	await make("sc", CENTER);
	await prepareCrypto(async () => {
		for (const { proof } of identities.values()) {
			const proved = await proveNode(proof, { root: rootDer, nowMs: WORLD_START_MS, usage: "client" });
			if (!proved.ok) throw new Error(`${proved.code}: ${proved.detail}`);
		}
	});
	return { root: rootDer, rootText: base64Of(rootDer), genesis: genesisOf(), identities };
}
