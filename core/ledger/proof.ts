/**
 * Offline inclusion proofs (C2SP tlog-proof v1): index, path and checkpoint in one text file. Guarantees one
 * spelling of each proof and that the checkpoint's bytes are those the log signed. `parseProof` shows what is
 * claimed; only `verifyProof`, with a log identity the reader supplies, says whether it holds. The extra data is
 * signed by nobody and must never be trusted.
 */
import { base64Of, bytesOfBase64, concatBytes, textOf, utf8 } from "#core/bytes/bytes.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import {
	type CheckpointCode,
	type LogIdentity,
	type OpenedCheckpoint,
	openCheckpoint,
	parseCheckpoint,
} from "./checkpoint.ts";
import { parseDecimal } from "./decimal.ts";
import { LEDGER_LIMITS } from "./limits.ts";
import { HASH_BYTES, type MerkleCode, verifyInclusion } from "./merkle.ts";
import { type NoteCode, parseNote } from "./note.ts";

const HEADER = "c2sp.org/tlog-proof@v1";
const EXTRA_PREFIX = "extra ";
const INDEX_PREFIX = "index ";

export type ProofCode =
	/** Larger than `LEDGER_LIMITS` allows, as a whole, in its path or in its extra data. */
	| "proof_too_large"
	/** Not UTF-8, another header, or no blank line before the checkpoint. */
	| "proof_malformed"
	/** The extra line is not canonical base64 of at least one byte. */
	| "proof_bad_extra"
	/** The index line is missing or not plain decimal. */
	| "proof_bad_index"
	/** A line of the path is not canonical base64 of 32 bytes. */
	| "proof_bad_hash";

export interface TlogProof {
	/** Zero-based index of the leaf. */
	readonly index: number;
	/** Siblings from the leaf's up to the root's child. */
	readonly path: readonly Uint8Array[];
	/** The signed note, verbatim. */
	readonly checkpoint: Uint8Array;
	/** Opaque and unauthenticated. */
	readonly extra?: Uint8Array;
}

/** The text of a `.tlog-proof` file. */
export function formatProof(proof: TlogProof): Uint8Array {
	const { index, path, checkpoint, extra } = proof;
	assertInvariant(Number.isSafeInteger(index) && index >= 0, `${index} is no index of a leaf`);
	assertInvariant(path.length <= LEDGER_LIMITS.proofHashesMax, `a path has no ${path.length} hashes`);
	assertInvariant(!extra || extra.length <= LEDGER_LIMITS.proofExtraBytesMax, "the extra data is too large");
	const lines = [HEADER];
	if (extra && extra.length > 0) lines.push(EXTRA_PREFIX + base64Of(extra));
	lines.push(`${INDEX_PREFIX}${index}`);
	for (const hash of path) {
		assertInvariant(hash.length === HASH_BYTES, `a hash is ${HASH_BYTES} bytes, not ${hash.length}`);
		lines.push(base64Of(hash));
	}
	return concatBytes(utf8(`${lines.join("\n")}\n\n`), checkpoint);
}

/** Length of the longest file that `formatProof` writes around the largest note. */
const PROOF_BYTES_MAX = LEDGER_LIMITS.noteBytesMax + 2 * LEDGER_LIMITS.proofExtraBytesMax + 4_096;

function parseHeader(header: string): Result<Omit<TlogProof, "checkpoint">, ProofCode> {
	const lines = header.split("\n");
	if (lines.shift() !== HEADER) return fail("proof_malformed", `The first line is not ${HEADER}.`);
	let extra: Uint8Array | null = null;
	if (lines[0]?.startsWith(EXTRA_PREFIX)) {
		extra = bytesOfBase64((lines.shift() as string).slice(EXTRA_PREFIX.length));
		if (!extra || extra.length === 0) return fail("proof_bad_extra", "The extra line is not base64 of some bytes.");
		if (extra.length > LEDGER_LIMITS.proofExtraBytesMax) return fail("proof_too_large", "The extra data is too large.");
	}
	const indexLine = lines.shift() ?? "";
	const index = indexLine.startsWith(INDEX_PREFIX) ? parseDecimal(indexLine.slice(INDEX_PREFIX.length)) : null;
	if (index === null) return fail("proof_bad_index", "The index line is missing or not plain decimal.");
	if (lines.length > LEDGER_LIMITS.proofHashesMax) {
		return fail("proof_too_large", `A path has at most ${LEDGER_LIMITS.proofHashesMax} hashes.`);
	}
	const path: Uint8Array[] = [];
	for (const line of lines) {
		const hash = bytesOfBase64(line);
		if (hash?.length !== HASH_BYTES) return fail("proof_bad_hash", `Hash ${path.length} is not base64 of 32 bytes.`);
		path.push(hash);
	}
	return ok(extra ? { index, path, extra } : { index, path });
}

/** Reads a proof and checks the form of the checkpoint in it, but no signature and no hash. */
export function parseProof(bytes: Uint8Array): Result<TlogProof, ProofCode | NoteCode | CheckpointCode> {
	if (bytes.length > PROOF_BYTES_MAX) return fail("proof_too_large", `A proof has at most ${PROOF_BYTES_MAX} bytes.`);
	const text = textOf(bytes);
	if (text === null) return fail("proof_malformed", "A proof is UTF-8.");
	// Neither the lines before the checkpoint nor its own first three are empty: the first blank line separates.
	const separator = text.indexOf("\n\n");
	if (separator < 0) return fail("proof_malformed", "No blank line precedes the checkpoint.");
	const header = parseHeader(text.slice(0, separator));
	if (!header.ok) return header;
	const checkpoint = utf8(text.slice(separator + 2));
	const note = parseNote(checkpoint);
	if (!note.ok) return note;
	const parsed = parseCheckpoint(note.value.text);
	if (!parsed.ok) return parsed;
	return ok({ ...header.value, checkpoint });
}

/** Who must have signed, and the hash of the leaf the proof is about. */
export interface ProofClaim {
	readonly log: LogIdentity;
	readonly leafHash: Uint8Array;
}

export interface VerifiedProof {
	readonly index: number;
	readonly checkpoint: OpenedCheckpoint;
}

/** Whether the log signed a tree in which that leaf stands at the index the proof names. */
export function verifyProof(
	bytes: Uint8Array,
	claim: ProofClaim,
): Result<VerifiedProof, ProofCode | NoteCode | CheckpointCode | MerkleCode> {
	const proof = parseProof(bytes);
	if (!proof.ok) return proof;
	const { index, path } = proof.value;
	const checkpoint = openCheckpoint(proof.value.checkpoint, claim.log);
	if (!checkpoint.ok) return checkpoint;
	const { size, root } = checkpoint.value;
	const included = verifyInclusion({ index, size, leafHash: claim.leafHash, proof: path, root });
	if (!included.ok) return included;
	return ok({ index, checkpoint: checkpoint.value });
}
