/**
 * `@libsql/client/http` over the world: a client hands its statements to the store's service as they are, and the store runs them on
 * SQLite. The statements are the real ones; only the encoding on the wire is left out.
 */

export interface StoreStatement {
	readonly sql: string;
	readonly args: readonly unknown[];
}

export interface StoreRequest {
	readonly statements: readonly StoreStatement[];
}

export interface StoreResult {
	readonly rows: Record<string, unknown>[];
}

type Statement = string | { sql: string; args?: readonly unknown[] };

const statementOf = (each: Statement): StoreStatement =>
	typeof each === "string" ? { sql: each, args: [] } : { sql: each.sql, args: each.args ?? [] };

export function createClient({ fetch }: { fetch: (request: StoreRequest) => Promise<StoreResult[]> }) {
	return {
		/** One transaction. */
		batch: (statements: readonly Statement[]) => fetch({ statements: statements.map(statementOf) }),
		async execute(statement: Statement) {
			const results = await fetch({ statements: [statementOf(statement)] });
			return results[0] as StoreResult;
		},
		close: () => undefined,
	};
}
