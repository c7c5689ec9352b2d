/**
 * What the readers of ledger text and leaves accept at most, each with its reason. Sizes and indexes of trees are
 * JavaScript numbers and end at 2^53 - 1: at 10,000 leaves a second that is 28,000 years.
 */
export const LEDGER_LIMITS = {
	/**
	 * signed-note asks for at least 16 signatures; a rotation doubles the log's, and a large enclave has some 50
	 * witnesses.
	 */
	noteSignaturesMax: 64,
	/** 16 post-quantum signatures of 7 kB of base64 are 112 kB; twice that leaves room for text. */
	noteBytesMax: 262_144,
	/** The longest path in a tree of 2^53 leaves is 53 hashes; the specification's trees end at 2^63. */
	proofHashesMax: 63,
	/** Opaque data beside a proof; our own proofs carry a salt and a body hash, under 100 bytes. */
	proofExtraBytesMax: 65_536,
	/**
	 * A proof of custody in a receipt, in UTF-16 units: 53 hashes of a tree of 2^53 leaves are 2,385, a batch's leaf and salt at
	 * most 600, and 9,000 are left for a note with the signatures of an enclave's 50 witnesses.
	 */
	custodyCharsMax: 12_000,
	/** tlog-tiles stores an entry behind a 16-bit length. */
	leafBytesMax: 65_535,
	/**
	 * Names and identities in a leaf, in UTF-16 units; a SPIFFE id is at most 2,048 bytes. Three such texts fit
	 * any leaf.
	 */
	leafTextCharsMax: 2_048,
} as const;
