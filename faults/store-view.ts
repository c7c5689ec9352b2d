/**
 * What the Security Center holds, read beside it: the store by SQLite's own reader on sqld's file, the ledger's size from the
 * signer's last checkpoint. Read only; a store that is being restarted is "not yet".
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { storeFile } from "../bench/store-reader.ts";
import { signerPaths } from "../host/pki/layout.ts";
import type { StoredBatch, StoreView } from "./ledger-of-truth.ts";

/** Hashes of batches already read: their bytes never change, and if they did the count of their rows would not. */
type HashCache = Map<number, { stream: string; seq: number; lane: string; sha256: string; agent: string }>;

export class StoreReader {
	readonly #dataDir: string;
	readonly #cache: HashCache = new Map();

	constructor(dataDir: string) {
		this.#dataDir = dataDir;
	}

	#open(): DatabaseSync {
		return new DatabaseSync(storeFile(this.#dataDir), { readOnly: true, timeout: 2000 });
	}

	/**
	 * What is stored of an agent, or null while the store cannot be read. `isWhole` reads every batch's bytes again and counts its
	 * events, which takes as long as the store is large; else their counts are 0.
	 */
	view(agent: string, isWhole = false): StoreView | null {
		let database: DatabaseSync | null = null;
		try {
			database = this.#open();
			if (isWhole) this.#cache.clear();
			this.#readBatches(database);
			return this.#viewOf(database, agent, isWhole);
		} catch {
			// No table yet, or sqld is being replaced: the caller asks again until its time is over.
			return null;
		} finally {
			database?.close();
		}
	}

	/** Every place in the ledger that a stored batch claims. */
	places(): number[] {
		const database = this.#open();
		try {
			const rows = database.prepare("SELECT ledger_index AS place FROM batches WHERE ledger_index IS NOT NULL").all();
			return rows.map((row) => Number(row.place));
		} finally {
			database.close();
		}
	}

	#readBatches(database: DatabaseSync): void {
		const after = Math.max(0, ...this.#cache.keys());
		const rows = database
			.prepare(
				`SELECT b.id, lower(hex(b.stream)) AS stream, b.seq, b.lane, b.bytes, n.node_id AS agent
				FROM batches b JOIN nodes n ON n.id = b.agent_row WHERE b.id > ? ORDER BY b.id`,
			)
			.iterate(after);
		for (const row of rows)
			this.#cache.set(Number(row.id), {
				stream: String(row.stream),
				seq: Number(row.seq),
				lane: String(row.lane),
				sha256: createHash("sha256")
					.update(row.bytes as Uint8Array)
					.digest("hex"),
				agent: String(row.agent),
			});
	}

	#viewOf(database: DatabaseSync, agent: string, isWhole: boolean): StoreView {
		const counted = isWhole
			? `SELECT b.id, b.ledger_index AS place, count(e.id) AS events, count(DISTINCT e.batch_index) AS different
				FROM batches b LEFT JOIN events e ON e.batch_row = b.id GROUP BY b.id`
			: "SELECT id, ledger_index AS place, 0 AS events, 0 AS different FROM batches";
		const rows = database.prepare(counted).all();
		const counts = new Map(rows.map((row) => [Number(row.id), row]));
		const batches: StoredBatch[] = [];
		for (const [id, { stream, seq, lane, sha256, agent: owner }] of this.#cache) {
			const row = counts.get(id);
			if (owner !== agent || row === undefined) continue;
			const ledgerIndex = row.place === null ? null : Number(row.place);
			const [events, distinctEvents] = [Number(row.events), Number(row.different)];
			batches.push({ stream, seq, lane, sha256, events, distinctEvents, ledgerIndex });
		}
		const gaps = database
			.prepare("SELECT lower(hex(stream)) AS stream, first, last FROM gaps WHERE scope = 'stream'")
			.all()
			.map((row) => ({ stream: String(row.stream), first: Number(row.first), last: Number(row.last) }));
		const alarms = database
			.prepare("SELECT code, detail FROM alarms WHERE agent = ?")
			.all(agent)
			.map((row) => ({ code: String(row.code), detail: String(row.detail) }));
		return { batches, gaps, alarms };
	}
}

/** Leaves under the signer's last checkpoint. */
export function signedSize(dataDir: string): number {
	return Number(readFileSync(signerPaths(dataDir).checkpoint, "utf8").split("\n")[1]);
}
