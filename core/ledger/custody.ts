/**
 * Proof of custody: what the Security Center says to an agent of a batch it has stored (DESIGN §6, A2). A tlog-proof whose extra
 * data is the batch's leaf and the salt of its body, so that the agent, who still holds the batch, can see that a signed tree
 * commits to these very header bytes; the header's `prevHash` chain covers every earlier batch of the stream. Guarantees that no
 * proof of another batch, agent or log verifies. Must never be taken for more: it says what the log committed to, not that a
 * disk still holds it.
 */
import { equalBytes, hexOf, textOf, utf8 } from "#core/bytes/bytes.ts";
import { bytes, decodeAs, encodeAs, field, fixedBytes, record } from "#core/codec/index.ts";
import { assertInvariant, fail, type Result } from "#core/result.ts";
import type { LogIdentity } from "./checkpoint.ts";
import { bodyHash, decodeLeaf, SALT_BYTES } from "./leaf.ts";
import { LEDGER_LIMITS } from "./limits.ts";
import { leafHash } from "./merkle.ts";
import { formatProof, parseProof, type VerifiedProof, verifyProof } from "./proof.ts";

export type CustodyCode =
	/** Too long, no tlog-proof, or no leaf and salt in its extra data. */
	| "custody_malformed"
	/** The leaf is of another kind, agent, stream or number. */
	| "custody_leaf_foreign"
	/** The leaf is of this place, and another header was stored there. */
	| "custody_body_mismatch"
	/** No checkpoint of this log covers the leaf. */
	| "custody_unproven";

const custodyShape = record({
	leaf: field(1, bytes(LEDGER_LIMITS.leafBytesMax)),
	salt: field(2, fixedBytes(SALT_BYTES)),
});

/** The subject of a batch's leaf: `<stream hex>/<seq>`. */
export function batchSubject(stream: Uint8Array, seq: number): string {
	return `${hexOf(stream)}/${seq}`;
}

export interface CustodyParts {
	/** The leaf's bytes as they stand in the tree. */
	readonly leaf: Uint8Array;
	/** Of the leaf's body hash. */
	readonly salt: Uint8Array;
	readonly index: number;
	/** Inclusion path in the tree of the checkpoint's size. */
	readonly hashes: readonly Uint8Array[];
	/** The signed note. */
	readonly checkpoint: string;
}

/** The text that a receipt carries. */
export function formatCustody(parts: CustodyParts): string {
	const { leaf, salt, index, hashes, checkpoint } = parts;
	const extra = encodeAs(custodyShape, { leaf, salt });
	const text = textOf(formatProof({ index, path: hashes, checkpoint: utf8(checkpoint), extra }));
	assertInvariant(text !== null && text.length <= LEDGER_LIMITS.custodyCharsMax, "a proof of custody is too long");
	return text;
}

/** The batch that a proof must be about, by the reader's own copy. */
export interface CustodyClaim {
	readonly log: LogIdentity;
	/** `spiffe://<enclave>/agent/<id>`. */
	readonly agentUri: string;
	readonly stream: Uint8Array;
	readonly seq: number;
	/** The batch's header as it was sealed. */
	readonly headerBytes: Uint8Array;
}

/** Whether the log's signed tree holds the leaf of that batch; answers the checkpoint that says so. */
export function verifyCustody(text: string, claim: CustodyClaim): Result<VerifiedProof, CustodyCode> {
	if (text.length > LEDGER_LIMITS.custodyCharsMax)
		return fail("custody_malformed", `a proof of custody has at most ${LEDGER_LIMITS.custodyCharsMax} characters`);
	const proofBytes = utf8(text);
	const proof = parseProof(proofBytes);
	if (!proof.ok) return fail("custody_malformed", `${proof.code}: ${proof.detail}`);
	const extra = decodeAs(custodyShape, proof.value.extra ?? new Uint8Array());
	if (!extra.ok) return fail("custody_malformed", `the extra data is no leaf and salt: ${extra.detail}`);
	const leaf = decodeLeaf(extra.value.leaf);
	if (!leaf.ok) return fail("custody_malformed", `${leaf.code}: ${leaf.detail}`);
	const { kind, actor, subject } = leaf.value;
	if (kind !== "batch" || actor !== claim.agentUri || subject !== batchSubject(claim.stream, claim.seq))
		return fail("custody_leaf_foreign", `the leaf is of ${kind} ${subject} by ${actor}`);
	const proven = verifyProof(proofBytes, { log: claim.log, leafHash: leafHash(extra.value.leaf) });
	if (!proven.ok) return fail("custody_unproven", `${proven.code}: ${proven.detail}`);
	// Last, so that it means what it says: the ledger holds another batch under this number.
	if (!equalBytes(leaf.value.bodyHash, bodyHash(extra.value.salt, claim.headerBytes)))
		return fail("custody_body_mismatch", `the leaf of ${subject} is of another batch than the one held here`);
	return proven;
}
