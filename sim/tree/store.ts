/**
 * The Security Center's store: the real schema and the real statements on SQLite in memory, a request being one transaction as at
 * sqld with `durability_mode=strong`. An answered one survives every kill.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { MIGRATIONS } from "../../migrations/index.ts";
import { bufferOf } from "../runtime/object-disk.ts";
import type { StoreRequest, StoreResult } from "../runtime/store-client.ts";

/** An empty store at the newest migration, as its file would be. */
let migrated: Uint8Array | null = null;

function migrate(): Uint8Array {
	const database = new DatabaseSync(":memory:");
	database.exec("CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_ms INTEGER NOT NULL)");
	for (const { name, statements } of MIGRATIONS) {
		for (const statement of statements) database.exec(statement);
		database.prepare("INSERT INTO migrations VALUES (?, 0)").run(name);
	}
	const bytes = database.serialize();
	database.close();
	return bytes;
}

export class Store {
	readonly #database = new DatabaseSync(":memory:");
	readonly #statements = new Map<string, StatementSync>();

	constructor() {
		migrated ??= migrate();
		this.#database.deserialize(migrated);
	}

	/** One transaction. Throws as SQLite does, and then nothing of it is there. */
	run({ statements }: StoreRequest): StoreResult[] {
		this.#database.exec("BEGIN IMMEDIATE");
		try {
			const results = statements.map(({ sql, args }) => ({ rows: this.query(sql, args) }));
			this.#database.exec("COMMIT");
			return results;
		} catch (error) {
			this.#database.exec("ROLLBACK");
			throw error;
		}
	}

	query(sql: string, args: readonly unknown[] = []): Record<string, unknown>[] {
		let statement = this.#statements.get(sql);
		if (statement === undefined) {
			// `?1` is a name to node:sqlite, so it gets one that can be bound.
			statement = this.#database.prepare(sql.replace(/\?(\d+)/g, ":p$1"));
			statement.setAllowUnknownNamedParameters(true);
			this.#statements.set(sql, statement);
		}
		const values = args.map((value) => (typeof value === "boolean" ? Number(value) : (value ?? null)) as SQLInputValue);
		const isNumbered = /\?\d/.test(sql);
		const rows = isNumbered
			? statement.all(Object.fromEntries(values.map((value, at) => [`p${at + 1}`, value])))
			: statement.all(...values);
		for (const row of rows as Record<string, unknown>[])
			for (const [name, value] of Object.entries(row)) if (value instanceof Uint8Array) row[name] = bufferOf(value);
		return rows as Record<string, unknown>[];
	}

	close(): void {
		this.#database.close();
	}
}
