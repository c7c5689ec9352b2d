/**
 * The binding: one statement that a node's TLS certificate (P-256) and its Ed25519 signing key belong together, signed by both
 * keys. Guarantees that neither key alone can claim the other. Async because P-256 is WebCrypto in every runtime.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import {
	bytes,
	decodeAs,
	encodeAs,
	field,
	list,
	record,
	type ShapeCode,
	type TypeOf,
	text,
} from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { hashShape, publicKeyShape, signatureShape } from "#core/model/ids.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { ed25519Sign, ed25519Verify } from "#crypto";
import { type CertifiedNode, type ChainCode, type ChainContext, validateChain } from "./chain.ts";

const statementShape = record({
	uri: field(1, text(200)),
	certFingerprint: field(2, hashShape),
	publicKey: field(3, publicKeyShape),
});

export const bindingShape = record({
	statement: field(1, bytes(512)),
	nodeSignature: field(2, signatureShape),
	/** ECDSA P-256 with SHA-256, r‖s (IEEE P1363). */
	tlsSignature: field(3, signatureShape),
});
export type Binding = TypeOf<typeof bindingShape>;

/** What a node shows of itself: its chain, leaf first and without the root, and the binding. */
export const nodeProofShape = record({
	chain: field(1, list(bytes(8192), 2)),
	binding: field(2, bindingShape),
});
export type NodeProof = TypeOf<typeof nodeProofShape>;

export type IdentityCode = ChainCode | ShapeCode | "binding_mismatch" | "binding_signature_invalid";

/** A node whose certificate and signing key are both proved. */
export interface ProvenNode extends CertifiedNode {
	/** Ed25519 public key: what its batches and hellos are checked with. */
	readonly signingKey: Uint8Array;
}

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** Makes the binding at enrolment. `signTls` signs bytes by the certificate's key: ECDSA P-256, SHA-256, r‖s. */
export async function signBinding(
	statement: TypeOf<typeof statementShape>,
	seed: Uint8Array,
	signTls: (message: Uint8Array) => Promise<Uint8Array>,
): Promise<Binding> {
	const encoded = encodeAs(statementShape, statement);
	const message = preAuthEncoding(PAYLOAD_TYPES.binding, encoded);
	return { statement: encoded, nodeSignature: ed25519Sign(seed, message), tlsSignature: await signTls(message) };
}

/** Proves a node from its chain and binding against the reader's root. */
export async function proveNode(proof: NodeProof, context: ChainContext): Promise<Result<ProvenNode, IdentityCode>> {
	const node = await validateChain(proof.chain, context);
	if (!node.ok) return node;
	const statement = decodeAs(statementShape, proof.binding.statement);
	if (!statement.ok) return statement;
	const { uri, certFingerprint, publicKey } = statement.value;
	if (uri !== node.value.uri || !equalBytes(certFingerprint, node.value.certFingerprint))
		return fail("binding_mismatch", `the binding is for ${uri} and another certificate`);
	const message = preAuthEncoding(PAYLOAD_TYPES.binding, proof.binding.statement) as Uint8Array<ArrayBuffer>;
	if (!ed25519Verify(publicKey, message, proof.binding.nodeSignature))
		return fail("binding_signature_invalid", "the signing key did not sign the binding");
	const spki = node.value.publicKeySpki as Uint8Array<ArrayBuffer>;
	const tlsSignature = proof.binding.tlsSignature as Uint8Array<ArrayBuffer>;
	try {
		const key = await crypto.subtle.importKey("spki", spki, ECDSA, false, ["verify"]);
		if (!(await crypto.subtle.verify(ECDSA, key, tlsSignature, message)))
			return fail("binding_signature_invalid", "the certificate's key did not sign the binding");
	} catch (error) {
		return fail("chain_malformed", `the certificate's key is not P-256: ${(error as Error).message}`);
	}
	return ok({ ...node.value, signingKey: publicKey });
}

/**
 * Proves a node at a time that another clock named, give or take how far the two may differ: a certificate that has just begun or
 * just ended by that clock is no reason to doubt who spoke.
 */
export async function proveNodeNear(
	proof: NodeProof,
	context: ChainContext,
	clockSkewMsMax: number,
): Promise<Result<ProvenNode, IdentityCode>> {
	const { nowMs } = context;
	const node = await proveNode(proof, context);
	if (!node.ok && node.code === "chain_not_yet_valid")
		return proveNode(proof, { ...context, nowMs: nowMs + clockSkewMsMax });
	if (!node.ok && node.code === "chain_expired") return proveNode(proof, { ...context, nowMs: nowMs - clockSkewMsMax });
	return node;
}
