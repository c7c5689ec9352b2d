/**
 * Where each thing lies in a data directory. One place, because the signer, the PKI, the workers' configuration and people with a
 * backup plan must mean the same files. Everything here is private (0600 in 0700).
 */
import { join } from "node:path";
import type { CertificateRole } from "./certificates.ts";

/** Files of one node. The folder holds all that the node needs, so it can be carried to another machine whole. */
export interface NodePaths {
	readonly directory: string;
	/** Leaf, then issuing CA; PEM. */
	readonly chain: string;
	/** P-256, PKCS#8 PEM. */
	readonly tlsKey: string;
	/** Ed25519 seed, 32 raw bytes. */
	readonly signingKey: string;
	/** `bindingShape` of core/identity. */
	readonly binding: string;
	/** The root certificate, PEM. */
	readonly ca: string;
	/** Trust document version 0. */
	readonly genesis: string;
}

export function nodePaths(directory: string): NodePaths {
	return {
		directory,
		chain: join(directory, "node.crt"),
		tlsKey: join(directory, "node.key"),
		signingKey: join(directory, "signing.key"),
		binding: join(directory, "binding.cbor"),
		ca: join(directory, "ca.pem"),
		genesis: join(directory, "genesis.cbor"),
	};
}

export interface SignerPaths {
	readonly directory: string;
	readonly issuingCaCertificate: string;
	readonly issuingCaKey: string;
	/** Ed25519 seed, 32 raw bytes. */
	readonly ledgerKey: string;
	/** Ed25519 seed, 32 raw bytes; gone once trust document version 1 is signed. */
	readonly genesisKey: string;
	readonly invitations: string;
	/** The last checkpoint signed; a signed note. */
	readonly checkpoint: string;
	/** The signed trust document version 1, once there is one. */
	readonly firstTrust: string;
	readonly socket: string;
}

export function signerPaths(dataDir: string): SignerPaths {
	const directory = join(dataDir, "signer");
	return {
		directory,
		issuingCaCertificate: join(directory, "issuing-ca.crt"),
		issuingCaKey: join(directory, "issuing-ca.key"),
		ledgerKey: join(directory, "ledger.key"),
		genesisKey: join(directory, "genesis.key"),
		invitations: join(directory, "invitations.json"),
		checkpoint: join(directory, "checkpoint.note"),
		firstTrust: join(directory, "trust-1.cbor"),
		socket: join(directory, "signer.sock"),
	};
}

export interface EnclavePaths {
	readonly pki: string;
	readonly rootCertificate: string;
	/** Meant to be moved to offline media: nothing here needs it after the issuing CA is made. */
	readonly rootKey: string;
	/** The root certificate again, where TLS clients look for it. */
	readonly ca: string;
	readonly genesis: string;
	/** The root key's signature over genesis, so that one root fingerprint is all a reader of a package needs. */
	readonly genesisSignature: string;
	readonly nodes: string;
	readonly signer: SignerPaths;
}

export function enclavePaths(dataDir: string): EnclavePaths {
	return {
		pki: join(dataDir, "pki"),
		rootCertificate: join(dataDir, "pki", "root.crt"),
		rootKey: join(dataDir, "pki", "root.key"),
		ca: join(dataDir, "ca.pem"),
		genesis: join(dataDir, "trust", "genesis.cbor"),
		genesisSignature: join(dataDir, "trust", "genesis.sig"),
		nodes: join(dataDir, "nodes"),
		signer: signerPaths(dataDir),
	};
}

export function nodeDirectory(dataDir: string, role: CertificateRole, id: string): string {
	return join(dataDir, "nodes", `${role}-${id}`);
}
