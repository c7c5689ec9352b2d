import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { textOf, utf8 } from "#core/bytes/bytes.ts";
import {
	consistencyProof,
	ed25519Signer,
	ed25519Verifier,
	leafHash,
	merkleRoot,
	signCheckpoint,
	verifyConsistency,
} from "#core/ledger/index.ts";
import { ed25519PublicKey, sha256 } from "#crypto";
import { LedgerTree, type TreeStorage } from "./ledger-tree.ts";

/** Node's SQLite with the face of a Durable Object's storage. */
function storageOf(db: DatabaseSync): TreeStorage {
	return {
		sql: {
			exec(query, ...bindings) {
				const values = bindings.map((value) => (value instanceof ArrayBuffer ? new Uint8Array(value) : value));
				const rows = db.prepare(query).all(...values) as Record<string, unknown>[];
				const plain = (value: unknown) => (value instanceof Uint8Array ? new Uint8Array(value).buffer : value);
				const entries = (row: Record<string, unknown>) =>
					Object.entries(row).map(([name, value]) => [name, plain(value)]);
				return { toArray: () => rows.map((row) => Object.fromEntries(entries(row))) };
			},
		},
		transactionSync(closure) {
			db.exec("SAVEPOINT t");
			try {
				const value = closure();
				db.exec("RELEASE t");
				return value;
			} catch (error) {
				db.exec("ROLLBACK TO t; RELEASE t");
				throw error;
			}
		},
	};
}

const leaves = Array.from({ length: 37 }, (_, i) => utf8(`leaf ${i}`));
const rootsBySize = (size: number) => merkleRoot(leaves.slice(0, size).map(leafHash));
const seed = sha256(utf8("log"));
const log = { origin: "sc.lab/ledger", keys: [ed25519Verifier("sc.lab/ledger", ed25519PublicKey(seed))] };
const noteOf = (size: number, root: Uint8Array, by = seed) =>
	textOf(signCheckpoint({ origin: log.origin, size, root }, ed25519Signer(log.origin, by))) ?? "";

test("the stored tree has RFC 6962's root at every size, whatever the appends were", () => {
	const tree = new LedgerTree(storageOf(new DatabaseSync(":memory:")));
	for (let at = 0, step = 1; at < leaves.length; at += step, step = (step % 4) + 1)
		tree.append(leaves.slice(at, at + step));
	equal(tree.size, leaves.length);
	for (let size = 0; size <= leaves.length; size++) deepEqual(tree.root(size), rootsBySize(size), `size ${size}`);
	const proof = consistencyProof(tree, 11, 37);
	const claim = { oldSize: 11, newSize: 37, oldRoot: tree.root(11), newRoot: tree.root(), proof };
	ok(verifyConsistency(claim).ok);
});

test("a leaf appended again after a lost answer keeps its place, also after a restart", () => {
	const db = new DatabaseSync(":memory:");
	const tree = new LedgerTree(storageOf(db));
	deepEqual(tree.append(leaves.slice(0, 3)), [0, 1, 2]);
	deepEqual(tree.append([leaves[1] as Uint8Array, leaves[3] as Uint8Array, leaves[3] as Uint8Array]), [1, 3, 3]);
	const again = new LedgerTree(storageOf(db));
	deepEqual(again.append([leaves[0] as Uint8Array, leaves[4] as Uint8Array]), [0, 4]);
	deepEqual([again.size, again.leaf(4), again.leaf(5)], [5, leaves[4], null]);
});

test("an append that fails half way leaves nothing of itself", () => {
	const db = new DatabaseSync(":memory:");
	const storage = storageOf(db);
	const tree = new LedgerTree(storage);
	tree.append(leaves.slice(0, 2));
	let writes = 0;
	const exec = storage.sql.exec;
	storage.sql.exec = (query, ...bindings) => {
		if (query.startsWith("INSERT INTO subtrees") && ++writes === 2) throw new Error("disk full");
		return exec(query, ...bindings);
	};
	throws(() => tree.append(leaves.slice(2, 4)), /disk full/);
	storage.sql.exec = exec;
	equal(tree.size, 2);
	deepEqual(tree.append(leaves.slice(2, 4)), [2, 3]);
	deepEqual(tree.root(), rootsBySize(4));
});

test("a signed checkpoint is believed only for this very tree by the log's key", () => {
	const tree = new LedgerTree(storageOf(new DatabaseSync(":memory:")));
	tree.append(leaves.slice(0, 5));
	const verdict = (note: string) => {
		const believed = tree.believe(note, log);
		return believed.ok ? believed.value.size : believed.code;
	};
	equal(verdict(noteOf(5, tree.root())), 5);
	equal(verdict(noteOf(3, tree.root(3))), 3);
	equal(verdict(noteOf(5, tree.root(4))), "ledger_diverged");
	equal(verdict(noteOf(6, tree.root())), "ledger_diverged");
	equal(verdict(noteOf(5, tree.root(), sha256(utf8("other")))), "ledger_diverged");
});

test("for one size there is one signed checkpoint", () => {
	const tree = new LedgerTree(storageOf(new DatabaseSync(":memory:")));
	tree.append(leaves.slice(0, 2));
	const checkpoint = { size: 2, note: noteOf(2, tree.root()), signedAtMs: 1 };
	tree.storeSigned(checkpoint);
	throws(() => tree.storeSigned({ ...checkpoint, signedAtMs: 2 }));
	deepEqual(tree.signed(), checkpoint);
	equal(tree.signed(1), null);
});
