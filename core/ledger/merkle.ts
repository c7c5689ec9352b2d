/**
 * The Merkle tree of RFC 6962 §2.1 over SHA-256 (0x00 before a leaf, 0x01 before a node): roots, proofs and their
 * verification. Serves the ledger and the per-batch trees alike. A tree is read through `HashReader`, which holds
 * only hashes of perfect subtrees, so appending to, proving in and taking the root of a tree of n leaves costs
 * O(log n) reads. Guarantees that a proof has exactly one accepted length and hash width. Must never see a leaf's
 * meaning, and never trust an index or size it was given.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { assertInvariant, type Failure, fail, ok, type Result } from "#core/result.ts";
import { sha256 } from "#crypto";

export const HASH_BYTES = 32;

const LEAF_PREFIX = Uint8Array.of(0x00);
const NODE_PREFIX = Uint8Array.of(0x01);

export type MerkleCode =
	/** An index or size is no integer in range, or the index lies outside the tree. */
	| "out_of_range"
	/** The proof has more or fewer hashes than this index and size need. */
	| "proof_length"
	/** A hash is not 32 bytes long. */
	| "hash_length"
	/** The older tree is empty: everything is consistent with it, so a proof would say nothing. */
	| "empty_tree"
	/** The hashes lead to another root than the claimed (new) one. */
	| "root_mismatch"
	/** The hashes lead to another root than the claimed old one. */
	| "old_root_mismatch";

/**
 * Hashes of perfect subtrees: `hash(level, index)` covers the 2^level leaves from `index * 2^level`. Duties: it is
 * asked only for subtrees that lie wholly within the tree, answers with what `appendLeaf` gave for that place, and
 * throws when it cannot.
 */
export interface HashReader {
	hash(level: number, index: number): Uint8Array;
}

/** One perfect-subtree hash to store, as `HashReader` will ask for it. */
export interface SubtreeHash {
	readonly level: number;
	readonly index: number;
	readonly hash: Uint8Array;
}

/** A stored tree, or all leaf hashes of one that fits in memory. */
export type HashSource = HashReader | readonly Uint8Array[];

/** SHA-256(0x00 ‖ leaf). */
export function leafHash(leaf: Uint8Array): Uint8Array {
	return sha256(LEAF_PREFIX, leaf);
}

/** SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
	return sha256(NODE_PREFIX, left, right);
}

/** The root of the tree without leaves: SHA-256 of nothing. */
export function emptyRoot(): Uint8Array {
	return sha256();
}

/** A reader over leaf hashes in memory; each level is hashed once, when first asked for. */
export function readerOfLeaves(leafHashes: readonly Uint8Array[]): HashReader {
	const levels: (readonly Uint8Array[])[] = [leafHashes];
	return {
		hash(level, index) {
			while (levels.length <= level) {
				const below = levels[levels.length - 1] as readonly Uint8Array[];
				const nodes: Uint8Array[] = [];
				for (let i = 0; i + 1 < below.length; i += 2) {
					nodes.push(nodeHash(below[i] as Uint8Array, below[i + 1] as Uint8Array));
				}
				levels.push(nodes);
			}
			const hash = levels[level]?.[index];
			assertInvariant(hash, `no subtree at level ${level}, index ${index}`);
			return hash;
		},
	};
}

function readerOf(source: HashSource): HashReader {
	return "hash" in source ? source : readerOfLeaves(source);
}

function isCount(value: number): boolean {
	return Number.isSafeInteger(value) && value >= 0;
}

/** The largest power of two below `size`, which RFC 6962 calls k; its exponent beside it. `size` is at least 2. */
function splitOf(size: number): { readonly width: number; readonly level: number } {
	let width = 1;
	let level = 0;
	while (width * 2 < size) {
		width *= 2;
		level++;
	}
	return { width, level };
}

/** Root of the leaves [begin, end), where `begin` is a multiple of the first power of two not below `end - begin`. */
function rangeHash(begin: number, end: number, reader: HashReader): Uint8Array {
	const subtrees: Uint8Array[] = [];
	let start = begin;
	while (end - start > 1) {
		const { width, level } = splitOf(end - start);
		// Two equal halves are one stored subtree; otherwise the left part is, and the rest is split again.
		if (start + 2 * width === end) {
			subtrees.push(reader.hash(level + 1, start / (2 * width)));
			start = end;
		} else {
			subtrees.push(reader.hash(level, start / width));
			start += width;
		}
	}
	if (end - start === 1) subtrees.push(reader.hash(0, start));
	return subtrees.reduceRight((right, left) => nodeHash(left, right));
}

/** Root of the first `size` leaves; a reader that holds more gives the root the tree had then. */
export function rootOf(size: number, reader: HashReader): Uint8Array {
	assertInvariant(isCount(size), `no tree has ${size} leaves`);
	return size === 0 ? emptyRoot() : rangeHash(0, size, reader);
}

/** Root over all leaf hashes given, as they come: kept are only the roots of whole subtrees, one a level. */
export function merkleRoot(leafHashes: Iterable<Uint8Array>): Uint8Array {
	const subtrees: Uint8Array[] = [];
	let size = 0;
	for (const hash of leafHashes) {
		let subtree = hash;
		// Every trailing one bit of the size is a left half that this leaf completes.
		for (let rest = size; rest % 2 === 1; rest = (rest - 1) / 2)
			subtree = nodeHash(subtrees.pop() as Uint8Array, subtree);
		subtrees.push(subtree);
		size++;
	}
	return size === 0 ? emptyRoot() : subtrees.reduceRight((right, left) => nodeHash(left, right));
}

/**
 * The subtree hashes that leaf number `size` (counted from 0) completes, lowest first: itself, then one for each
 * trailing one bit of `size`. The caller stores all of them in the transaction that stores the leaf.
 */
export function appendLeaf(hash: Uint8Array, size: number, reader: HashReader): SubtreeHash[] {
	assertInvariant(isCount(size) && isCount(size + 1), `no leaf fits behind ${size} others`);
	assertInvariant(hash.length === HASH_BYTES, `a leaf hash is ${HASH_BYTES} bytes, not ${hash.length}`);
	const added: SubtreeHash[] = [{ level: 0, index: size, hash }];
	let subtree = hash;
	let level = 0;
	let index = size;
	while (index % 2 === 1) {
		subtree = nodeHash(reader.hash(level, index - 1), subtree);
		index = (index - 1) / 2;
		level++;
		added.push({ level, index, hash: subtree });
	}
	return added;
}

/** PATH(index, D[size]) of RFC 6962 §2.1.1: siblings from the leaf's up to the root's child. */
export function inclusionProof(source: HashSource, index: number, size: number): Uint8Array[] {
	assertInvariant(isCount(index) && isCount(size) && index < size, `no leaf ${index} in a tree of ${size}`);
	const reader = readerOf(source);
	const path: Uint8Array[] = [];
	let begin = 0;
	let end = size;
	while (end - begin > 1) {
		const middle = begin + splitOf(end - begin).width;
		if (index < middle) {
			path.push(rangeHash(middle, end, reader));
			end = middle;
		} else {
			path.push(rangeHash(begin, middle, reader));
			begin = middle;
		}
	}
	return path.reverse();
}

/** PROOF(oldSize, D[newSize]) of RFC 6962 §2.1.2; empty when the sizes are equal. `oldSize` is at least 1. */
export function consistencyProof(source: HashSource, oldSize: number, newSize: number): Uint8Array[] {
	assertInvariant(
		isCount(oldSize) && isCount(newSize) && oldSize >= 1 && oldSize <= newSize,
		`no consistency proof leads from ${oldSize} to ${newSize} leaves`,
	);
	const reader = readerOf(source);
	const path: Uint8Array[] = [];
	let begin = 0;
	let end = newSize;
	while (oldSize !== end) {
		const middle = begin + splitOf(end - begin).width;
		if (oldSize <= middle) {
			path.push(rangeHash(middle, end, reader));
			end = middle;
		} else {
			path.push(rangeHash(begin, middle, reader));
			begin = middle;
		}
	}
	// A walk that never went right ends at the whole old tree, whose root the verifier has.
	if (begin > 0) path.push(rangeHash(begin, end, reader));
	return path.reverse();
}

function hashLengthFailure(hashes: readonly Uint8Array[]): Failure<MerkleCode> | null {
	const wrong = hashes.find((hash) => hash.length !== HASH_BYTES);
	return wrong ? fail("hash_length", `A hash is ${wrong.length} bytes long, not ${HASH_BYTES}.`) : null;
}

const PROOF_TOO_LONG = "The proof has more hashes than this place in the tree needs.";
const PROOF_TOO_SHORT = "The proof has fewer hashes than this place in the tree needs.";

export interface InclusionClaim {
	readonly index: number;
	readonly size: number;
	readonly leafHash: Uint8Array;
	readonly proof: readonly Uint8Array[];
	readonly root: Uint8Array;
}

/** Whether the leaf stands at that index of the tree with that size and root (RFC 9162 §2.1.3.2). */
export function verifyInclusion(claim: InclusionClaim): Result<true, MerkleCode> {
	const { index, size, proof } = claim;
	if (!isCount(index) || !isCount(size) || index >= size) {
		return fail("out_of_range", `No leaf ${index} is in a tree of ${size}.`);
	}
	const badHash = hashLengthFailure([claim.leafHash, ...proof]);
	if (badHash) return badHash;
	let node = index;
	let last = size - 1;
	let hash = claim.leafHash;
	for (const sibling of proof) {
		if (last === 0) return fail("proof_length", PROOF_TOO_LONG);
		if (node % 2 === 1 || node === last) {
			hash = nodeHash(sibling, hash);
			// The last node of an odd level rises unchanged until it has a left sibling.
			while (node % 2 === 0 && node !== 0) {
				node = node / 2;
				last = Math.floor(last / 2);
			}
		} else {
			hash = nodeHash(hash, sibling);
		}
		node = Math.floor(node / 2);
		last = Math.floor(last / 2);
	}
	if (last !== 0) return fail("proof_length", PROOF_TOO_SHORT);
	if (!equalBytes(hash, claim.root)) return fail("root_mismatch", "The proof leads from the leaf to another root.");
	return ok(true);
}

export interface ConsistencyClaim {
	readonly oldSize: number;
	readonly newSize: number;
	readonly oldRoot: Uint8Array;
	readonly newRoot: Uint8Array;
	readonly proof: readonly Uint8Array[];
}

/**
 * Whether the new tree begins with all leaves of the old one (RFC 9162 §2.1.4.2). An empty old tree is refused,
 * also beside an empty new one: whoever starts from nothing must say so himself and not call that verified.
 */
export function verifyConsistency(claim: ConsistencyClaim): Result<true, MerkleCode> {
	const { oldSize, newSize, oldRoot, newRoot, proof } = claim;
	if (!isCount(oldSize) || !isCount(newSize) || oldSize > newSize) {
		return fail("out_of_range", `A tree of ${oldSize} leaves is no beginning of a tree of ${newSize}.`);
	}
	if (oldSize === 0) return fail("empty_tree", "Every tree is consistent with the empty one.");
	if (oldSize === newSize) {
		if (proof.length !== 0) return fail("proof_length", PROOF_TOO_LONG);
		if (!equalBytes(oldRoot, newRoot)) return fail("root_mismatch", "Two roots are claimed for one size.");
		return ok(true);
	}
	const badHash = hashLengthFailure([oldRoot, newRoot, ...proof]);
	if (badHash) return badHash;
	return climbBothTrees(claim);
}

function climbBothTrees(claim: ConsistencyClaim): Result<true, MerkleCode> {
	let node = claim.oldSize - 1;
	let last = claim.newSize - 1;
	while (node % 2 === 1) {
		node = (node - 1) / 2;
		last = Math.floor(last / 2);
	}
	// A power of two is one subtree of the new tree: its root is the start, and the proof omits it.
	const path = node === 0 ? [claim.oldRoot, ...claim.proof] : claim.proof;
	const [start, ...siblings] = path;
	if (!start) return fail("proof_length", PROOF_TOO_SHORT);
	let oldHash = start;
	let newHash = start;
	for (const sibling of siblings) {
		if (last === 0) return fail("proof_length", PROOF_TOO_LONG);
		if (node % 2 === 1 || node === last) {
			oldHash = nodeHash(sibling, oldHash);
			newHash = nodeHash(sibling, newHash);
			while (node % 2 === 0 && node !== 0) {
				node = node / 2;
				last = Math.floor(last / 2);
			}
		} else {
			newHash = nodeHash(newHash, sibling);
		}
		node = Math.floor(node / 2);
		last = Math.floor(last / 2);
	}
	if (last !== 0) return fail("proof_length", PROOF_TOO_SHORT);
	if (!equalBytes(oldHash, claim.oldRoot)) return fail("old_root_mismatch", "The proof leads to another old root.");
	if (!equalBytes(newHash, claim.newRoot)) return fail("root_mismatch", "The proof leads to another new root.");
	return ok(true);
}
