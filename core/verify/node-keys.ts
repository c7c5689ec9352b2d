/**
 * One agent's proof out of a package: its certificate chain, the time that chain holds, and the Ed25519 key bound to it. Guarantees
 * that a chain is validated once, at a time within all its certificates. Must never throw on any bytes.
 */
import "reflect-metadata";
import { X509Certificate } from "@peculiar/x509";
import { decodeAs, type ShapeCode } from "#core/codec/index.ts";
import { type IdentityCode, nodeProofShape, proveNode } from "#core/identity/binding.ts";
import { fail, InvariantError, ok, type Result } from "#core/result.ts";

export interface NodeKey {
	readonly uri: string;
	/** Ed25519. */
	readonly signingKey: Uint8Array;
	/** When every certificate of the chain is in force, both ends included. */
	readonly fromMs: number;
	readonly toMs: number;
}

async function prove(bytes: Uint8Array, root: Uint8Array): Promise<Result<NodeKey, IdentityCode | ShapeCode>> {
	const proof = decodeAs(nodeProofShape, bytes);
	if (!proof.ok) return proof;
	const certificates = [...proof.value.chain, root].map((der) => new X509Certificate(new Uint8Array(der)));
	const fromMs = Math.max(...certificates.map(({ notBefore }) => notBefore.getTime()));
	const toMs = Math.min(...certificates.map(({ notAfter }) => notAfter.getTime()));
	// An empty or unreadable stretch is refused by the dates' own check.
	const node = await proveNode(proof.value, { root, nowMs: fromMs, usage: "client" });
	return node.ok ? ok({ uri: node.value.uri, signingKey: node.value.signingKey, fromMs, toMs }) : node;
}

/** Proves the file pki/nodes/AGENT/N.cbor under the reader's root. */
export async function proveNodeFile(
	bytes: Uint8Array,
	root: Uint8Array,
): Promise<Result<NodeKey, IdentityCode | ShapeCode>> {
	try {
		const key = await prove(bytes, root);
		if (key.ok && !(key.value.fromMs <= key.value.toMs))
			return fail("chain_expired", "its certificates are never in force together");
		return key;
	} catch (error) {
		// The X.509 parser reads lazily and throws where it meets what it does not know; to us that is one more bad certificate.
		if (error instanceof InvariantError) throw error;
		return fail("chain_malformed", `a certificate does not parse: ${(error as Error).message}`);
	}
}
