import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { bytesOfBase64, hexOf, utf8 } from "#core/bytes/bytes.ts";
import {
	appendLeaf,
	consistencyProof,
	emptyRoot,
	type HashReader,
	inclusionProof,
	leafHash,
	merkleRoot,
	nodeHash,
	readerOfLeaves,
	rootOf,
	verifyConsistency,
	verifyInclusion,
} from "./merkle.ts";

const VECTORS = new URL("../../../shared/vectors/merkle/testdata/", import.meta.url);
const skip = existsSync(VECTORS) ? false : "shared vectors absent";

const SIZE_MAX = 200;
const leaves = Array.from({ length: SIZE_MAX }, (_, i) => leafHash(utf8(`leaf ${i}`)));

/** A ledger's table: only what `appendLeaf` told to store, and a count of what is read. */
class StoredTree implements HashReader {
	readonly rows = new Map<string, Uint8Array>();
	reads = 0;
	size = 0;

	hash(level: number, index: number): Uint8Array {
		this.reads++;
		const hash = this.rows.get(`${level}/${index}`);
		assert.ok(hash, `subtree ${level}/${index} was never stored`);
		return hash;
	}

	append(hash: Uint8Array): void {
		for (const added of appendLeaf(hash, this.size, this)) this.rows.set(`${added.level}/${added.index}`, added.hash);
		this.size++;
	}
}

function flipped(hash: Uint8Array, bit: number): Uint8Array {
	const out = hash.slice();
	out[bit >> 3] = (out[bit >> 3] as number) ^ (1 << (bit & 7));
	return out;
}

function vectorFiles(folder: string): string[] {
	const files = readdirSync(new URL(folder, VECTORS), { recursive: true, withFileTypes: true });
	return files.filter((file) => file.isFile()).map((file) => `${file.parentPath}/${file.name}`);
}

interface Vector {
	readonly desc: string;
	readonly wantErr: boolean;
	readonly proof: readonly string[] | null;
	readonly leafIdx: number;
	readonly treeSize: number;
	readonly leafHash: string;
	readonly root: string;
	readonly size1: number;
	readonly size2: number;
	readonly root1: string;
	readonly root2: string;
}

function bytes(base64: string): Uint8Array {
	const out = bytesOfBase64(base64);
	assert.ok(out);
	return out;
}

test("every inclusion vector of transparency-dev/merkle gets its verdict", { skip }, () => {
	const files = vectorFiles("inclusion/");
	assert.ok(files.length >= 90, `${files.length} vectors`);
	for (const file of files) {
		const vector = JSON.parse(readFileSync(file, "utf8")) as Vector;
		const verdict = verifyInclusion({
			index: vector.leafIdx,
			size: vector.treeSize,
			leafHash: bytes(vector.leafHash),
			root: bytes(vector.root),
			proof: (vector.proof ?? []).map(bytes),
		});
		assert.equal(verdict.ok, !vector.wantErr, `${file}: ${vector.desc}`);
	}
});

test("every consistency vector of transparency-dev/merkle gets its verdict", { skip }, () => {
	const files = vectorFiles("consistency/");
	assert.ok(files.length >= 90, `${files.length} vectors`);
	for (const file of files) {
		const vector = JSON.parse(readFileSync(file, "utf8")) as Vector;
		const verdict = verifyConsistency({
			oldSize: vector.size1,
			newSize: vector.size2,
			oldRoot: bytes(vector.root1),
			newRoot: bytes(vector.root2),
			proof: (vector.proof ?? []).map(bytes),
		});
		assert.equal(verdict.ok, !vector.wantErr, `${file}: ${vector.desc}`);
	}
});

test("the roots of RFC 6962's reference tree are the published ones", () => {
	const data = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
	const hashes = data.map((hex) => leafHash(Buffer.from(hex, "hex")));
	const roots = Array.from({ length: 9 }, (_, size) => hexOf(merkleRoot(hashes.slice(0, size))));
	assert.deepEqual(roots.slice(0, 4), [
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	]);
	assert.equal(roots[8], "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
});

test("a stored tree has the root of RFC 6962's own recursion at every size up to 200", () => {
	const recursive = (from: number, to: number): Uint8Array => {
		if (to - from === 1) return leaves[from] as Uint8Array;
		let k = 1;
		while (2 * k < to - from) k *= 2;
		return nodeHash(recursive(from, from + k), recursive(from + k, to));
	};
	const tree = new StoredTree();
	assert.deepEqual(rootOf(0, tree), emptyRoot());
	for (const [i, leaf] of leaves.entries()) {
		tree.append(leaf);
		assert.deepEqual(rootOf(i + 1, tree), recursive(0, i + 1));
	}
	assert.deepEqual(rootOf(77, tree), merkleRoot(leaves.slice(0, 77)), "a larger tree still knows its earlier root");
});

test("every inclusion proof of every size up to 200 verifies and refuses each mutation", () => {
	const reader = readerOfLeaves(leaves);
	for (let size = 1; size <= SIZE_MAX; size++) {
		const root = rootOf(size, reader);
		for (let index = 0; index < size; index++) {
			const proof = inclusionProof(reader, index, size);
			const claim = { index, size, leafHash: leaves[index] as Uint8Array, proof, root };
			assert.deepEqual(verifyInclusion(claim), { ok: true, value: true });
			if (index !== (size * 7) % 13 && index !== size - 1) continue;
			const bit = (size * 31 + index) % 256;
			const codes = [
				verifyInclusion({ ...claim, leafHash: flipped(claim.leafHash, bit) }),
				verifyInclusion({ ...claim, root: flipped(root, bit) }),
				verifyInclusion({ ...claim, root: root.slice(1) }),
				verifyInclusion({ ...claim, proof: [...proof, root] }),
				verifyInclusion({ ...claim, index: size }),
				verifyInclusion({ ...claim, index: index + 0.5 }),
				verifyInclusion({ ...claim, index: -1 }),
				...proof.map((_, i) => verifyInclusion({ ...claim, proof: proof.toSpliced(i, 1) })),
				...proof.map((hash, i) => verifyInclusion({ ...claim, proof: proof.with(i, flipped(hash, bit)) })),
				...proof.map((hash, i) => verifyInclusion({ ...claim, proof: proof.with(i, hash.slice(1)) })),
				...(size > 1 ? [verifyInclusion({ ...claim, index: index === 0 ? 1 : index - 1 })] : []),
			];
			for (const verdict of codes) assert.equal(verdict.ok, false, `size ${size}, index ${index}`);
		}
	}
});

test("every consistency proof between sizes up to 200 verifies and refuses each mutation", () => {
	const reader = readerOfLeaves(leaves);
	const roots = Array.from({ length: SIZE_MAX + 1 }, (_, size) => rootOf(size, reader));
	for (let newSize = 1; newSize <= SIZE_MAX; newSize++) {
		for (let oldSize = 1; oldSize <= newSize; oldSize++) {
			const [oldRoot, newRoot] = [roots[oldSize] as Uint8Array, roots[newSize] as Uint8Array];
			const proof = consistencyProof(reader, oldSize, newSize);
			const claim = { oldSize, newSize, oldRoot, newRoot, proof };
			assert.deepEqual(verifyConsistency(claim), { ok: true, value: true });
			if (oldSize !== (newSize * 5) % 11 && oldSize < newSize - 1) continue;
			const bit = (newSize * 31 + oldSize) % 256;
			const verdicts = [
				verifyConsistency({ ...claim, oldRoot: flipped(oldRoot, bit) }),
				verifyConsistency({ ...claim, newRoot: flipped(newRoot, bit) }),
				verifyConsistency({ ...claim, proof: [...proof, newRoot] }),
				verifyConsistency({ ...claim, oldSize: newSize + 1 }),
				verifyConsistency({ ...claim, oldSize: 0 }),
				verifyConsistency({ ...claim, oldSize: oldSize - 0.5 }),
				...proof.map((_, i) => verifyConsistency({ ...claim, proof: proof.toSpliced(i, 1) })),
				...proof.map((hash, i) => verifyConsistency({ ...claim, proof: proof.with(i, flipped(hash, bit)) })),
				...proof.map((hash, i) => verifyConsistency({ ...claim, proof: proof.with(i, hash.slice(1)) })),
			];
			for (const verdict of verdicts) assert.equal(verdict.ok, false, `${oldSize} to ${newSize}`);
		}
	}
});

test("a ledger that dropped or changed an old leaf gets no consistency proof past its old root", () => {
	const oldRoot = merkleRoot(leaves.slice(0, 100));
	const rewritten = leaves.with(42, leafHash(utf8("other")));
	const shifted = leaves.toSpliced(42, 1);
	for (const forged of [rewritten, shifted]) {
		const newRoot = merkleRoot(forged.slice(0, 150));
		const proof = consistencyProof(forged, 100, 150);
		const verdict = verifyConsistency({ oldSize: 100, newSize: 150, oldRoot, newRoot, proof });
		assert.equal(!verdict.ok && verdict.code, "old_root_mismatch");
	}
});

test("each refusal has its own code", () => {
	const root = merkleRoot(leaves.slice(0, 6));
	const leaf = leaves[2] as Uint8Array;
	const proof = inclusionProof(leaves, 2, 6);
	const claim = { index: 2, size: 6, leafHash: leaf, proof, root };
	const codeOf = (change: Partial<typeof claim>) => {
		const verdict = verifyInclusion({ ...claim, ...change });
		return verdict.ok ? "ok" : verdict.code;
	};
	assert.equal(codeOf({ index: 6 }), "out_of_range");
	assert.equal(codeOf({ size: 2 ** 60 }), "out_of_range");
	assert.equal(codeOf({ proof: proof.slice(1) }), "proof_length");
	assert.equal(codeOf({ proof: [...proof, root] }), "proof_length");
	assert.equal(codeOf({ leafHash: leaf.slice(1) }), "hash_length");
	assert.equal(codeOf({ root: leaf }), "root_mismatch");
	const empty = { oldSize: 0, newSize: 0, oldRoot: emptyRoot(), newRoot: emptyRoot(), proof: [] };
	const fromEmpty = verifyConsistency(empty);
	assert.equal(!fromEmpty.ok && fromEmpty.code, "empty_tree");
});

test("appending to and proving in a tree of a million leaves reads some twenty hashes", () => {
	const tree = new StoredTree();
	const leaf = leaves[0] as Uint8Array;
	// A tree of equal leaves: each level has one hash, so a million of them need no million appends.
	const levels = [leaf];
	for (let level = 1; level <= 20; level++) {
		const below = levels[level - 1] as Uint8Array;
		levels.push(nodeHash(below, below));
	}
	const counted: HashReader = {
		hash(level) {
			tree.reads++;
			return levels[level] as Uint8Array;
		},
	};
	const size = 1_000_000;
	const root = rootOf(size, counted);
	assert.ok(tree.reads <= 20);
	tree.reads = 0;
	const proof = inclusionProof(counted, 654_321, size);
	assert.ok(tree.reads <= 40, `${tree.reads} reads`);
	assert.equal(verifyInclusion({ index: 654_321, size, leafHash: leaf, proof, root }).ok, true);
	tree.reads = 0;
	assert.equal(appendLeaf(leaf, 2 ** 20 - 1, counted).length, 21);
	assert.equal(tree.reads, 20);
});

test("a proof in a tree of more than 2^32 leaves is walked with exact numbers", () => {
	const levels = [leaves[0] as Uint8Array];
	for (let level = 1; level <= 52; level++) {
		const below = levels[level - 1] as Uint8Array;
		levels.push(nodeHash(below, below));
	}
	const reader: HashReader = { hash: (level) => levels[level] as Uint8Array };
	const [oldSize, newSize] = [2 ** 40 + 2 ** 33 + 5, 2 ** 52 + 2 ** 31 + 3];
	const [oldRoot, newRoot] = [rootOf(oldSize, reader), rootOf(newSize, reader)];
	for (const index of [0, 2 ** 32, 2 ** 52 - 1, 2 ** 52, newSize - 1]) {
		const proof = inclusionProof(reader, index, newSize);
		const claim = { index, size: newSize, leafHash: levels[0] as Uint8Array, proof, root: newRoot };
		assert.equal(verifyInclusion(claim).ok, true, `index ${index}`);
	}
	const proof = consistencyProof(reader, oldSize, newSize);
	assert.equal(verifyConsistency({ oldSize, newSize, oldRoot, newRoot, proof }).ok, true);
});
