/**
 * Rows of a relay's log that lie beyond a hole: their stream was set back, because upstream waits for a batch before them that is not
 * here. Guarantees that a reader gets each stream in order: what fills the hole first, and meanwhile only the first of what follows
 * it, by which upstream says again that it waits. Must never let go of a row: only upstream's receipt or refusal does.
 */
import { hexOf } from "#core/bytes/bytes.ts";

/** What a reader of the log may have, where some streams were set back. */
export const IN_ORDER = `AND (seq <= (SELECT received FROM streams s WHERE s.stream = wal.stream)
	OR seq = (SELECT min(w.seq) FROM wal w WHERE w.stream = wal.stream))`;

const COLUMNS = "stream, seq, lane, at_ms, hash, signing_key, bytes";

export class AheadRows {
	readonly #sql: SqlStorage;
	/** Streams that have such rows. */
	readonly #streams = new Set<string>();

	constructor(sql: SqlStorage) {
		this.#sql = sql;
	}

	get isEmpty(): boolean {
		return this.#streams.size === 0;
	}

	has(stream: Uint8Array): boolean {
		return this.#streams.size > 0 && this.#streams.has(hexOf(stream));
	}

	/** Looks anew: the stream has received so much without a hole, or rows of it came or went. */
	settle(stream: Uint8Array, received: number): void {
		const query = "SELECT 1 FROM wal WHERE stream = ? AND seq > ? LIMIT 1";
		if (this.#sql.exec(query, stream, received).toArray().length > 0) this.#streams.add(hexOf(stream));
		else this.#streams.delete(hexOf(stream));
	}

	/** How far the batches that are held follow each other without a hole from behind a number. */
	contiguous(stream: Uint8Array, from: number): number {
		const query = `SELECT min(w.seq) AS last FROM wal w WHERE w.stream = ?1 AND w.seq > ?2
			AND NOT EXISTS (SELECT 1 FROM wal n WHERE n.stream = ?1 AND n.seq = w.seq + 1)
			AND EXISTS (SELECT 1 FROM wal f WHERE f.stream = ?1 AND f.seq = ?2 + 1)`;
		const [row] = this.#sql.exec(query, stream, from).toArray();
		return (row?.last ?? from) as number;
	}

	/** The first of a stream's batches that wait here. */
	lowest(stream: Uint8Array): number | null {
		const [row] = this.#sql.exec("SELECT min(seq) AS seq FROM wal WHERE stream = ?", stream).toArray();
		return (row?.seq ?? null) as number | null;
	}

	/** Takes a row that is held already out of its old place; answers since when it waits, or null when it is not held. */
	leave(stream: Uint8Array, seq: number): number | null {
		if (!this.has(stream)) return null;
		const query = "DELETE FROM wal WHERE stream = ? AND seq = ? RETURNING at_ms";
		return (this.#sql.exec(query, stream, seq).toArray()[0]?.at_ms ?? null) as number | null;
	}

	/** The first row went: the next one takes its place behind all others, where a reader has not been. */
	moveFirst(stream: Uint8Array): void {
		const query = `DELETE FROM wal WHERE stream = ? AND seq = ? RETURNING ${COLUMNS}`;
		const [row] = this.#sql.exec(query, stream, this.lowest(stream)).toArray();
		if (row !== undefined)
			this.#sql.exec(`INSERT INTO wal (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`, ...Object.values(row));
	}
}
