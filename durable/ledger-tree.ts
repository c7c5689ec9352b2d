/**
 * The ledger's tree on a Durable Object's SQLite: leaves, hashes of perfect subtrees, signed checkpoints. Guarantees that a leaf
 * and the hashes it completes are written together, that nothing is ever changed or removed, and that what was signed is still
 * what the tree hashes to when it is opened. Must never sign: it only says what is to be signed.
 */
import { equalBytes, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { appendLeaf, type HashReader, type LogIdentity, leafHash, openCheckpoint, rootOf } from "#core/ledger/index.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";

/** What of a Durable Object's storage the tree uses. */
export interface TreeStorage {
	readonly sql: {
		exec(query: string, ...bindings: (string | number | ArrayBuffer)[]): { toArray(): Record<string, unknown>[] };
	};
	transactionSync<T>(closure: () => T): T;
}

export interface SignedCheckpoint {
	readonly size: number;
	readonly note: string;
	readonly signedAtMs: number;
}

/** A leaf that a caller appends again after a lost answer is found among this many newest ones and not doubled. */
const RECENT_LEAVES_MAX = 8192;

const buffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;

export class LedgerTree implements HashReader {
	readonly #storage: TreeStorage;
	readonly #recent = new Map<string, number>();
	#size = 0;

	constructor(storage: TreeStorage) {
		this.#storage = storage;
		storage.sql.exec("CREATE TABLE IF NOT EXISTS leaves (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL)");
		storage.sql.exec(
			"CREATE TABLE IF NOT EXISTS subtrees (level INTEGER, idx INTEGER, hash BLOB NOT NULL, PRIMARY KEY (level, idx)) WITHOUT ROWID",
		);
		storage.sql.exec(
			"CREATE TABLE IF NOT EXISTS checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL, signed_ms INTEGER NOT NULL)",
		);
		this.#size = Number(this.#one("SELECT count(*) AS n FROM leaves").n);
		const recent = storage.sql.exec(
			"SELECT idx, hash FROM subtrees WHERE level = 0 AND idx >= ?",
			this.#size - RECENT_LEAVES_MAX,
		);
		for (const row of recent.toArray()) this.#remember(new Uint8Array(row.hash as ArrayBuffer), Number(row.idx));
	}

	get size(): number {
		return this.#size;
	}

	#one(query: string, ...bindings: (string | number)[]): Record<string, unknown> {
		const [row] = this.#storage.sql.exec(query, ...bindings).toArray();
		assertInvariant(row, "the ledger's own row is missing");
		return row;
	}

	#remember(hash: Uint8Array, index: number): void {
		this.#recent.set(hexOf(hash), index);
		if (this.#recent.size <= RECENT_LEAVES_MAX) return;
		const [oldest] = this.#recent.keys();
		if (oldest !== undefined) this.#recent.delete(oldest);
	}

	hash(level: number, index: number): Uint8Array {
		return new Uint8Array(
			this.#one("SELECT hash FROM subtrees WHERE level = ? AND idx = ?", level, index).hash as ArrayBuffer,
		);
	}

	root(size: number = this.#size): Uint8Array {
		return rootOf(size, this);
	}

	/** Writes the leaves behind the others, in one transaction; answers where each stands. */
	append(leaves: readonly Uint8Array[]): number[] {
		const sizeBefore = this.#size;
		try {
			return this.#storage.transactionSync(() => leaves.map((leaf) => this.#appendOne(leaf)));
		} catch (error) {
			this.#size = sizeBefore;
			for (const [hash, index] of this.#recent) if (index >= sizeBefore) this.#recent.delete(hash);
			throw error;
		}
	}

	#appendOne(leaf: Uint8Array): number {
		const hash = leafHash(leaf);
		const known = this.#recent.get(hexOf(hash));
		if (known !== undefined) return known;
		const index = this.#size;
		this.#storage.sql.exec("INSERT INTO leaves (idx, leaf) VALUES (?, ?)", index, buffer(leaf));
		for (const subtree of appendLeaf(hash, index, this)) {
			const { level, index: at } = subtree;
			this.#storage.sql.exec(
				"INSERT INTO subtrees (level, idx, hash) VALUES (?, ?, ?)",
				level,
				at,
				buffer(subtree.hash),
			);
		}
		this.#size = index + 1;
		this.#remember(hash, index);
		return index;
	}

	leaf(index: number): Uint8Array | null {
		const [row] = this.#storage.sql.exec("SELECT leaf FROM leaves WHERE idx = ?", index).toArray();
		return row === undefined ? null : new Uint8Array(row.leaf as ArrayBuffer);
	}

	/** The newest signed checkpoint, or the newest of at most that size. */
	signed(sizeMax: number = Number.MAX_SAFE_INTEGER): SignedCheckpoint | null {
		const [row] = this.#storage.sql
			.exec("SELECT size, note, signed_ms FROM checkpoints WHERE size <= ? ORDER BY size DESC LIMIT 1", sizeMax)
			.toArray();
		if (row === undefined) return null;
		return { size: Number(row.size), note: String(row.note), signedAtMs: Number(row.signed_ms) };
	}

	storeSigned(checkpoint: SignedCheckpoint): void {
		const { size, note, signedAtMs } = checkpoint;
		this.#storage.sql.exec("INSERT INTO checkpoints (size, note, signed_ms) VALUES (?, ?, ?)", size, note, signedAtMs);
	}

	/** Whether a signed note is one of this very tree: the log's signature, a size it has, the root it hashes to. */
	believe(note: string, log: LogIdentity): Result<{ size: number }, "ledger_diverged"> {
		const opened = openCheckpoint(utf8(note), log);
		if (!opened.ok) return fail("ledger_diverged", `a checkpoint is not the log's: ${opened.detail}`);
		const { size, root } = opened.value;
		if (size > this.#size) return fail("ledger_diverged", `size ${size} was signed and ${this.#size} leaves are here`);
		if (!equalBytes(root, this.root(size))) return fail("ledger_diverged", `another root was signed for size ${size}`);
		return ok({ size });
	}
}
