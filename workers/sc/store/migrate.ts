/**
 * Brings the store to the newest migration. Guarantees that each migration is applied once and whole: its statements and its mark
 * are one transaction. Safe to call at every start and by two callers at once: the second finds the mark.
 */

import type { Migration } from "../../../migrations/index.ts";
import type { Client, InStatement } from "./client.ts";

export async function applyMigrations(client: Client, migrations: readonly Migration[]): Promise<void> {
	await client.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_ms INTEGER NOT NULL)");
	for (const { name, statements } of migrations) {
		const done = await client.execute({ sql: "SELECT 1 FROM migrations WHERE name = ?", args: [name] });
		if (done.rows.length > 0) continue;
		const mark: InStatement = { sql: "INSERT INTO migrations VALUES (?, unixepoch() * 1000)", args: [name] };
		try {
			await client.batch([mark, ...statements], "write");
		} catch (error) {
			// Another caller may have been first: then its mark is there, and the failure was the doubled one.
			const again = await client.execute({ sql: "SELECT 1 FROM migrations WHERE name = ?", args: [name] });
			if (again.rows.length === 0) throw error;
		}
	}
}
