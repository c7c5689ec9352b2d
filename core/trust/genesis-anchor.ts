/**
 * What ties the trust document to the PKI: the customer's root key signs genesis once, when the enclave is made. So a reader who
 * knows one fingerprint, the root's, can believe both who the nodes are and who the operators are. Must never be taken from a
 * root that the reader did not supply.
 */
import "reflect-metadata";
import { X509Certificate } from "@peculiar/x509";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { fail, type Result } from "#core/result.ts";
import { type PinnedTrust, readPinnedTrust, type TrustCode } from "./trust-document.ts";

export type AnchorCode = TrustCode | "anchor_root_malformed" | "anchor_signature_invalid";

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** Believes genesis because the root signed it: ECDSA P-256 with SHA-256 over PAE(trustDocument, payload), r‖s. */
export async function verifyGenesis(
	rootDer: Uint8Array,
	genesis: Uint8Array,
	signature: Uint8Array,
): Promise<Result<PinnedTrust, AnchorCode>> {
	const pinned = readPinnedTrust(genesis);
	if (!pinned.ok) return pinned;
	if (pinned.value.document.version !== 0)
		return fail("trust_version_not_next", `genesis is version 0, not ${pinned.value.document.version}`);
	const message = new Uint8Array(preAuthEncoding(PAYLOAD_TYPES.trustDocument, pinned.value.payload));
	try {
		const spki = new X509Certificate(new Uint8Array(rootDer)).publicKey.rawData;
		const key = await crypto.subtle.importKey("spki", spki, ECDSA, false, ["verify"]);
		if (await crypto.subtle.verify(ECDSA, key, new Uint8Array(signature), message)) return pinned;
	} catch (error) {
		return fail("anchor_root_malformed", `the root is no P-256 certificate: ${(error as Error).message}`);
	}
	return fail("anchor_signature_invalid", "the root key did not sign this genesis");
}
