/** A node's own proof (chain and binding) as its Worker needs it: read from the node's folder, encoded once. */
import { readFileSync } from "node:fs";
import { base64Of } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { bindingShape, nodeProofShape } from "#core/identity/binding.ts";
import { assertInvariant } from "#core/result.ts";
import { certificatesOfPem } from "../pki/certificates.ts";
import type { NodePaths } from "../pki/layout.ts";

/** DER of every certificate in a PEM file, in order. */
export function derOfPemFile(path: string): Uint8Array[] {
	return certificatesOfPem(readFileSync(path, "utf8")).map(({ rawData }) => new Uint8Array(rawData));
}

/** Base64 of `nodeProofShape`. The folder was opened and checked before. */
export function nodeProofOf(paths: NodePaths): string {
	const binding = decodeAs(bindingShape, new Uint8Array(readFileSync(paths.binding)));
	assertInvariant(binding.ok, `${paths.binding} is no binding`);
	const chain = derOfPemFile(paths.chain);
	return base64Of(encodeAs(nodeProofShape, { chain, binding: binding.value }));
}

/** Base64 of the root's DER. */
export function rootOf(paths: NodePaths): string {
	const root = derOfPemFile(paths.ca)[0];
	assertInvariant(root !== undefined, `${paths.ca} holds no certificate`);
	return base64Of(root);
}
