/** A node's own proof (chain and binding) as its Worker needs it: read from the node's folder, encoded once. */
import { readFileSync } from "node:fs";
import { base64Of } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { bindingShape, nodeProofShape } from "#core/identity/binding.ts";
import { assertInvariant } from "#core/result.ts";
import type { NodePaths } from "../pki/layout.ts";

/** DER blocks of a PEM file, in order. */
export function derOfPem(pem: string): Uint8Array[] {
	const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([\s\S]*?)-----END CERTIFICATE-----/g);
	return [...blocks].map((block) => new Uint8Array(Buffer.from((block[1] as string).replace(/\s/g, ""), "base64")));
}

/** Base64 of `nodeProofShape`. The folder was opened and checked before. */
export function nodeProofOf(paths: NodePaths): string {
	const binding = decodeAs(bindingShape, new Uint8Array(readFileSync(paths.binding)));
	assertInvariant(binding.ok, `${paths.binding} is no binding`);
	const chain = derOfPem(readFileSync(paths.chain, "utf8"));
	return base64Of(encodeAs(nodeProofShape, { chain, binding: binding.value }));
}

/** Base64 of the root's DER. */
export function rootOf(paths: NodePaths): string {
	const root = derOfPem(readFileSync(paths.ca, "utf8"))[0];
	assertInvariant(root !== undefined, `${paths.ca} holds no certificate`);
	return base64Of(root);
}
