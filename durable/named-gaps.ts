/**
 * What an agent's stored gap records say of its streams: numbers that will not come. Kept by the Security Center's channel, so that
 * what waits behind such a hole somewhere below is answered for good and not asked to wait. Guarantees a bounded table; what is
 * forgotten is judged as any hole again. Must never hold what did not come under the agent's own signature.
 */
import type { NamedGap } from "./drain.ts";
import { CHANNEL_LIMITS } from "./limits.ts";

export const NAMED_GAPS_SCHEMA = `CREATE TABLE IF NOT EXISTS named_gaps (
	id INTEGER PRIMARY KEY AUTOINCREMENT, stream BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
	UNIQUE (stream, first, last));`;

export class NamedGaps {
	readonly #sql: SqlStorage;
	readonly #gapsMax: number;

	constructor(sql: SqlStorage, gapsMax: number = CHANNEL_LIMITS.namedGapsMax) {
		this.#sql = sql;
		this.#gapsMax = gapsMax;
	}

	note(gaps: readonly NamedGap[]): void {
		for (const { stream, first, last } of gaps)
			this.#sql.exec("INSERT OR IGNORE INTO named_gaps (stream, first, last) VALUES (?, ?, ?)", stream, first, last);
		if (gaps.length === 0) return;
		this.#sql.exec(
			"DELETE FROM named_gaps WHERE id NOT IN (SELECT id FROM named_gaps ORDER BY id DESC LIMIT ?)",
			this.#gapsMax,
		);
	}

	names(stream: Uint8Array, seq: number): boolean {
		const query = "SELECT 1 FROM named_gaps WHERE stream = ? AND first <= ? AND last >= ? LIMIT 1";
		return this.#sql.exec(query, stream, seq, seq).toArray().length > 0;
	}
}
