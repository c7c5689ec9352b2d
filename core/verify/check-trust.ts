/** root_given and trust_chain: from the reader's fingerprint to the operators and the ledger's key. */
import { bytesOfHex, equalBytes, hexOf } from "#core/bytes/bytes.ts";
import { verifyGenesis } from "#core/trust/genesis-anchor.ts";
import { type PinnedTrust, signTrustDocument, verifySuccession } from "#core/trust/trust-document.ts";
import { sha256 } from "#crypto";
import type { PackageParts } from "./package-parts.ts";
import { counted, failed, type Judged, pass } from "./verdict.ts";

/** Finds the root, or names the one that is there instead. */
export function checkRoot({ root }: PackageParts, rootFingerprint: string): Judged<Uint8Array> {
	const wanted = bytesOfHex(rootFingerprint);
	if (wanted?.length !== 32) return failed("root_fingerprint_malformed", "The fingerprint given is not 64 hex digits.");
	const found = sha256(root);
	if (!equalBytes(found, wanted))
		return failed("root_is_another", `The package's root is ${hexOf(found)}, not the one you gave.`);
	return pass(root, "pki/root.der is the root certificate whose fingerprint you gave.");
}

/** Every version of the trust document, each believed because its predecessor's quorum signed it, genesis because the root did. */
export async function checkTrust(parts: PackageParts, root: Uint8Array): Promise<Judged<readonly PinnedTrust[]>> {
	const [first, ...later] = parts.trust as [Uint8Array, ...Uint8Array[]];
	const genesis = await verifyGenesis(root, first, parts.genesisSignature);
	if (!genesis.ok) return failed(genesis.code, `trust/0.cbor: ${genesis.detail}.`);
	// Genesis bears no signatures of its own; a list that nobody checks would be room for bytes that nobody signed.
	if (!equalBytes(signTrustDocument(genesis.value.document, []).bytes, first))
		return failed("shape_mismatch", "trust/0.cbor holds more than genesis.");
	const chain = [genesis.value];
	for (const [i, bytes] of later.entries()) {
		const next = verifySuccession(chain[i] as PinnedTrust, bytes);
		if (!next.ok) return failed(next.code, `trust/${i + 1}.cbor: ${next.detail}.`);
		chain.push(next.value);
	}
	const { version, operators } = (chain.at(-1) as PinnedTrust).document;
	const names = operators.map(({ id, roles }) => `${id} (${roles.join(", ")})`).join(", ");
	return pass(
		chain,
		`The root signed genesis, and each of ${counted(later.length, "later version")} has its predecessor's quorum. ` +
			`Version ${version} names ${names || "nobody"}.`,
	);
}
