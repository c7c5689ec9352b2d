/**
 * The yardstick of the way into the store: the rows a run has left, inserted again into a fresh sqld with nothing else in the way,
 * one statement per batch over `json_each`. Guarantees the same rows, the same table and the same indexes: all three are read from
 * the measured store. It leaves out batches, processes and proofs, which the real way stores too, so it is a ceiling.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createClient } from "@libsql/client/http";
import { fail, ok, type Result } from "#core/result.ts";
import { prepareSqld } from "../host/sqld/sqld.ts";
import { freeLoopbackPort } from "../host/supervisor/free-port.ts";
import { runSupervisor } from "../host/supervisor/supervisor.ts";
import { BENCH_LIMITS } from "./limits.ts";

/** What is inserted: statements that make the table, the insert, and its argument per batch. */
export interface StoredRows {
	readonly schema: readonly string[];
	readonly insert: string;
	readonly chunks: readonly string[];
	readonly rowCount: number;
}

/** Reads the events of a store that is not written to any more. Numbers never pass through JavaScript: SQLite makes the JSON. */
export function readStoredRows(file: string): StoredRows {
	const database = new DatabaseSync(file, { readOnly: true });
	try {
		const schema = database
			.prepare("SELECT sql FROM sqlite_master WHERE tbl_name = 'events' AND sql IS NOT NULL ORDER BY type DESC")
			.all()
			.map((row) => String(row.sql));
		const columns = database
			.prepare("SELECT name FROM pragma_table_info('events')")
			.all()
			.map((row) => String(row.name));
		const chunks = database
			.prepare(
				`SELECT json_group_array(json_array(${columns.join(", ")})) AS chunk FROM (SELECT * FROM events ORDER BY id)
				GROUP BY (id - 1) / ${BENCH_LIMITS.eventsPerBatch}`,
			)
			.all()
			.map((row) => String(row.chunk));
		const values = columns.map((_, index) => `j.value ->> ${index}`).join(", ");
		return {
			schema,
			insert: `INSERT INTO events (${columns.join(", ")}) SELECT ${values} FROM json_each(?1) j`,
			chunks,
			rowCount: Number(database.prepare("SELECT count(*) AS count FROM events").get()?.count),
		};
	} finally {
		database.close();
	}
}

/** Rows per second of a fresh sqld under `directory`, which is removed again. */
export async function measureStoreCeiling(directory: string, rows: StoredRows): Promise<Result<number, string>> {
	const dataDir = join(directory, "ceiling");
	mkdirSync(dataDir, { mode: 0o700 });
	const sqld = prepareSqld({ dataDir, httpPort: await freeLoopbackPort(), adminPort: await freeLoopbackPort() });
	if (!sqld.ok) return sqld;
	const box = await runSupervisor({ dataDir, processes: [sqld.value.process] });
	if (!box.ok) return box;
	const client = createClient({ url: sqld.value.url, authToken: sqld.value.readWriteToken });
	try {
		await client.batch([...rows.schema], "write");
		const startedAtMs = performance.now();
		for (const chunk of rows.chunks) await client.execute({ sql: rows.insert, args: [chunk] });
		const seconds = (performance.now() - startedAtMs) / 1000;
		const counted = await client.execute("SELECT count(*) AS count FROM events");
		const count = Number(counted.rows[0]?.count);
		if (count !== rows.rowCount)
			return fail("rows_missing", `${count} of ${rows.rowCount} rows are in the fresh store`);
		return ok(rows.rowCount / seconds);
	} finally {
		client.close();
		await box.value.stop();
		rmSync(dataDir, { recursive: true, force: true });
	}
}
