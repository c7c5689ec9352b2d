/**
 * Identities of simulated agents: real certificates of the enclave's issuing CA, real bindings, kept in memory. Guarantees that a
 * proxy takes them for what they say; leaves out the files (and their fsyncs) that an enrolled agent has. Must never be used
 * outside a throw-away enclave.
 */
import { readFileSync } from "node:fs";
import type { X509Certificate } from "@peculiar/x509";
import { signBinding } from "#core/identity/binding.ts";
import { assertInvariant } from "#core/result.ts";
import { ed25519PublicKey, sha256 } from "#crypto";
import { certificatePem, certificateUri, issueNode } from "../../host/pki/certificates.ts";
import { createSeed, createTlsKeys, privateKeyPem, tlsKeysOfPem } from "../../host/pki/keys.ts";
import { enclavePaths } from "../../host/pki/layout.ts";
import { readCertificates } from "../../host/pki/node-files.ts";

/** What one simulated agent proves of itself; goes to the generator as it stands. */
export interface SimulatedAgent {
	readonly id: string;
	/** Ed25519. */
	readonly seed: Uint8Array;
	/** DER, leaf first. */
	readonly chain: readonly Uint8Array[];
	readonly binding: Awaited<ReturnType<typeof signBinding>>;
	/** PEM. */
	readonly tlsKey: string;
	readonly tlsChain: string;
}

const derOf = (certificate: X509Certificate) => new Uint8Array(certificate.rawData);

/** `sim-0000` and on. */
export async function makeAgents(dataDir: string, enclave: string, count: number): Promise<SimulatedAgent[]> {
	const { signer } = enclavePaths(dataDir);
	const issuing = readCertificates(signer.issuingCaCertificate);
	const caKeys = await tlsKeysOfPem(readFileSync(signer.issuingCaKey, "utf8"));
	const certificate = issuing.ok ? issuing.value[0] : undefined;
	assertInvariant(certificate !== undefined && caKeys !== null, "a fresh enclave has its issuing CA");
	const issuer = { certificate, keys: caKeys };
	const agents: SimulatedAgent[] = [];
	for (let index = 0; index < count; index++) {
		const id = `sim-${String(index).padStart(4, "0")}`;
		const tls = await createTlsKeys();
		const seed = createSeed();
		const { publicKey } = tls;
		const place = { enclave, role: "agent", id, publicKey, dnsNames: [], ips: [], nowMs: Date.now() } as const;
		const leaf = await issueNode(issuer, place);
		const statement = {
			uri: certificateUri(enclave, "agent", id),
			certFingerprint: sha256(derOf(leaf)),
			publicKey: ed25519PublicKey(seed),
		};
		const binding = await signBinding(statement, seed, async (message) => {
			const signed = crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, tls.privateKey, new Uint8Array(message));
			return new Uint8Array(await signed);
		});
		agents.push({
			...{ id, seed, binding, chain: [derOf(leaf), derOf(certificate)], tlsKey: await privateKeyPem(tls.privateKey) },
			tlsChain: certificatePem(leaf) + certificatePem(certificate),
		});
	}
	return agents;
}
