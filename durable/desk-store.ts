/**
 * What the TraceDesk keeps, on its Durable Object's SQLite: trust documents, redeemed invitations, sessions, traces with their
 * commands and seals, and every act with the salt and body behind its ledger leaf. Rows in, rows out; the desk decides. Must never
 * keep a session's secret, only its hash; nor a row that a stranger can cause at will.
 */

export interface DeskSql {
	exec(query: string, ...bindings: (string | number | null | ArrayBuffer)[]): { toArray(): Record<string, unknown>[] };
}

const TABLES = [
	"CREATE TABLE IF NOT EXISTS trust (version INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
	`CREATE TABLE IF NOT EXISTS redemptions (operator TEXT PRIMARY KEY, public_key BLOB NOT NULL, roles TEXT NOT NULL,
		token TEXT NOT NULL, at_ms INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS sessions (token_hash TEXT PRIMARY KEY, operator TEXT NOT NULL, public_key TEXT NOT NULL,
		created_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS commands (seq INTEGER PRIMARY KEY, command_id TEXT NOT NULL UNIQUE, trace_id TEXT NOT NULL,
		act TEXT NOT NULL, agent TEXT NOT NULL, envelope BLOB NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL DEFAULT '',
		sent_ms INTEGER, answered_ms INTEGER, expires_ms INTEGER NOT NULL, hit_id INTEGER, created_ms INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS seals (trace_id TEXT NOT NULL, agent TEXT NOT NULL, cause TEXT NOT NULL,
		event_count INTEGER NOT NULL, gap_count INTEGER NOT NULL, time_ms INTEGER NOT NULL, PRIMARY KEY (trace_id, agent, time_ms))`,
	`CREATE TABLE IF NOT EXISTS acts (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, trace_id TEXT, actor TEXT NOT NULL,
		subject TEXT NOT NULL, leaf BLOB NOT NULL, salt BLOB NOT NULL, body BLOB NOT NULL, ledger_index INTEGER)`,
	"CREATE INDEX IF NOT EXISTS acts_by_trace ON acts (trace_id) WHERE trace_id IS NOT NULL",
	"CREATE INDEX IF NOT EXISTS commands_by_trace ON commands (trace_id)",
];

export type CommandState = "awaiting_approval" | "sent" | "accepted" | "refused" | "expired";

export interface CommandRow {
	readonly commandId: string;
	readonly traceId: string;
	readonly act: "start" | "stop";
	readonly agent: string;
	/** `signedEnvelopeShape` with the signatures gathered so far. */
	readonly envelope: Uint8Array;
	readonly state: CommandState;
	readonly cause: string;
	readonly sentMs: number | null;
	readonly answeredMs: number | null;
	readonly expiresMs: number;
	readonly hitId: number | null;
	readonly createdMs: number;
}

export interface SealRow {
	readonly traceId: string;
	readonly agent: string;
	readonly cause: string;
	readonly eventCount: number;
	readonly gapCount: number;
	readonly timeMs: number;
}

export interface StoredSession {
	readonly operator: string;
	readonly publicKey: string;
	readonly createdMs: number;
	readonly seenMs: number;
}

/** One control act with what its ledger leaf hides. */
export interface ActRow {
	readonly kind: string;
	readonly traceId: string | null;
	readonly leaf: Uint8Array;
	readonly salt: Uint8Array;
	readonly body: Uint8Array;
	readonly ledgerIndex: number | null;
}

const buffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;
const bytesIn = (value: unknown): Uint8Array => new Uint8Array(value as ArrayBuffer);
const numberOrNull = (value: unknown): number | null => (value === null ? null : Number(value));

function commandOf(row: Record<string, unknown>): CommandRow {
	return {
		commandId: String(row.command_id),
		traceId: String(row.trace_id),
		act: String(row.act) as CommandRow["act"],
		agent: String(row.agent),
		envelope: bytesIn(row.envelope),
		state: String(row.state) as CommandState,
		cause: String(row.cause),
		sentMs: numberOrNull(row.sent_ms),
		answeredMs: numberOrNull(row.answered_ms),
		expiresMs: Number(row.expires_ms),
		hitId: numberOrNull(row.hit_id),
		createdMs: Number(row.created_ms),
	};
}

export class DeskStore {
	readonly #sql: DeskSql;

	constructor(sql: DeskSql) {
		this.#sql = sql;
		for (const table of TABLES) sql.exec(table);
	}

	#first(query: string, ...bindings: (string | number)[]): Record<string, unknown> | null {
		return this.#sql.exec(query, ...bindings).toArray()[0] ?? null;
	}

	/** Documents after genesis, oldest first. */
	trust(): Uint8Array[] {
		return this.#sql
			.exec("SELECT bytes FROM trust ORDER BY version")
			.toArray()
			.map((row) => bytesIn(row.bytes));
	}
	addTrust(version: number, bytes: Uint8Array): void {
		this.#sql.exec("INSERT OR IGNORE INTO trust VALUES (?, ?)", version, buffer(bytes));
	}

	redemptions(): { operator: string; publicKey: Uint8Array; roles: string[]; token: string }[] {
		return this.#sql
			.exec("SELECT * FROM redemptions ORDER BY operator")
			.toArray()
			.map((row) => ({
				operator: String(row.operator),
				publicKey: bytesIn(row.public_key),
				roles: JSON.parse(String(row.roles)) as string[],
				token: String(row.token),
			}));
	}
	addRedemption(row: {
		operator: string;
		publicKey: Uint8Array;
		roles: readonly string[];
		token: string;
		atMs: number;
	}): void {
		const { operator, publicKey, roles, token, atMs } = row;
		this.#sql.exec(
			"INSERT INTO redemptions VALUES (?, ?, ?, ?, ?)",
			operator,
			buffer(publicKey),
			JSON.stringify(roles),
			token,
			atMs,
		);
	}
	/** The tokens are of no more use once version 1 exists. */
	forgetTokens(): void {
		this.#sql.exec("UPDATE redemptions SET token = ''");
	}

	addSession(tokenHash: string, operator: string, publicKey: string, nowMs: number): void {
		this.#sql.exec("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", tokenHash, operator, publicKey, nowMs, nowMs);
	}
	session(tokenHash: string): StoredSession | null {
		const row = this.#first("SELECT * FROM sessions WHERE token_hash = ?", tokenHash);
		if (row === null) return null;
		const [createdMs, seenMs] = [Number(row.created_ms), Number(row.seen_ms)];
		return { operator: String(row.operator), publicKey: String(row.public_key), createdMs, seenMs };
	}
	touchSession(tokenHash: string, nowMs: number): void {
		this.#sql.exec("UPDATE sessions SET seen_ms = ? WHERE token_hash = ?", nowMs, tokenHash);
	}
	endSession(tokenHash: string): void {
		this.#sql.exec("DELETE FROM sessions WHERE token_hash = ?", tokenHash);
	}
	endSessionsBefore(seenMs: number, createdMs: number): void {
		this.#sql.exec("DELETE FROM sessions WHERE seen_ms < ? OR created_ms < ?", seenMs, createdMs);
	}

	addCommand(row: Omit<CommandRow, "cause" | "sentMs" | "answeredMs">): void {
		this.#sql.exec(
			`INSERT INTO commands (command_id, trace_id, act, agent, envelope, state, expires_ms, hit_id, created_ms)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			row.commandId,
			row.traceId,
			row.act,
			row.agent,
			buffer(row.envelope),
			row.state,
			row.expiresMs,
			row.hitId,
			row.createdMs,
		);
	}
	command(commandId: string): CommandRow | null {
		const row = this.#first("SELECT * FROM commands WHERE command_id = ?", commandId);
		return row === null ? null : commandOf(row);
	}
	/** Newest first. */
	commands(limit: number): CommandRow[] {
		return this.#sql.exec("SELECT * FROM commands ORDER BY seq DESC LIMIT ?", limit).toArray().map(commandOf);
	}
	commandsOfTrace(traceId: string): CommandRow[] {
		return this.#sql.exec("SELECT * FROM commands WHERE trace_id = ? ORDER BY seq", traceId).toArray().map(commandOf);
	}
	setEnvelope(commandId: string, envelope: Uint8Array): void {
		this.#sql.exec("UPDATE commands SET envelope = ? WHERE command_id = ?", buffer(envelope), commandId);
	}
	setSent(commandId: string, nowMs: number): void {
		this.#sql.exec("UPDATE commands SET state = 'sent', sent_ms = ? WHERE command_id = ?", nowMs, commandId);
	}
	/** It could not be handed to the agent's channel: the agent never has it. */
	setUnsent(commandId: string, cause: string, nowMs: number): void {
		this.#sql.exec(
			`UPDATE commands SET state = 'refused', cause = ?, answered_ms = ?, sent_ms = NULL
			WHERE command_id = ? AND answered_ms IS NULL`,
			cause,
			nowMs,
			commandId,
		);
	}
	/**
	 * What the agent says of a command that was sent to it; false when that changes nothing. An answer may come again, and the first
	 * one stands; but an agent that was first handed an altered copy refuses that one, and then what it accepts is what runs there.
	 */
	setAnswered(commandId: string, outcome: { state: "accepted" | "refused"; cause: string; nowMs: number }): boolean {
		const { state, cause, nowMs } = outcome;
		const changed = this.#sql.exec(
			`UPDATE commands SET state = ?1, cause = ?2, answered_ms = ?3 WHERE command_id = ?4 AND sent_ms IS NOT NULL
				AND (answered_ms IS NULL OR (state = 'refused' AND ?1 = 'accepted')) RETURNING seq`,
			state,
			cause,
			nowMs,
			commandId,
		);
		return changed.toArray().length > 0;
	}
	/** Of the traces those that the agent was sent a start for, with how many. */
	startsSent(agent: string, traceIds: readonly string[]): Map<string, number> {
		const rows = this.#sql
			.exec(
				`SELECT trace_id, count(*) AS n FROM commands WHERE agent = ? AND act = 'start' AND sent_ms IS NOT NULL
					AND trace_id IN (SELECT value FROM json_each(?)) GROUP BY trace_id`,
				agent,
				JSON.stringify(traceIds),
			)
			.toArray();
		return new Map(rows.map((row) => [String(row.trace_id), Number(row.n)]));
	}
	/** Commands past their expiry by `graceMs` without an answer become expired; answers their trace ids. */
	expireCommands(nowMs: number, graceMs: number): string[] {
		const rows = this.#sql
			.exec(
				`UPDATE commands SET state = 'expired' WHERE (state = 'awaiting_approval' AND expires_ms < ?)
				OR (state = 'sent' AND expires_ms < ?) RETURNING trace_id`,
				nowMs,
				nowMs - graceMs,
			)
			.toArray();
		return rows.map((row) => String(row.trace_id));
	}
	nextExpiryMs(): number | null {
		return numberOrNull(
			this.#first("SELECT min(expires_ms) AS at FROM commands WHERE state IN ('awaiting_approval', 'sent')")?.at ??
				null,
		);
	}

	addSeal(seal: SealRow): void {
		const { traceId, agent, cause, eventCount, gapCount, timeMs } = seal;
		this.#sql.exec(
			"INSERT OR IGNORE INTO seals VALUES (?, ?, ?, ?, ?, ?)",
			traceId,
			agent,
			cause,
			eventCount,
			gapCount,
			timeMs,
		);
	}
	seals(traceId: string): SealRow[] {
		return this.#sql
			.exec("SELECT * FROM seals WHERE trace_id = ? ORDER BY time_ms", traceId)
			.toArray()
			.map((row) => ({
				traceId,
				agent: String(row.agent),
				cause: String(row.cause),
				eventCount: Number(row.event_count),
				gapCount: Number(row.gap_count),
				timeMs: Number(row.time_ms),
			}));
	}

	/** Answers the act's own number. */
	addAct(act: Omit<ActRow, "ledgerIndex"> & { actor: string; subject: string }): number {
		const rows = this.#sql
			.exec(
				"INSERT INTO acts (kind, trace_id, actor, subject, leaf, salt, body) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING seq",
				act.kind,
				act.traceId,
				act.actor,
				act.subject,
				buffer(act.leaf),
				buffer(act.salt),
				buffer(act.body),
			)
			.toArray();
		return Number(rows[0]?.seq);
	}
	setActIndex(seq: number, ledgerIndex: number): void {
		this.#sql.exec("UPDATE acts SET ledger_index = ? WHERE seq = ?", ledgerIndex, seq);
	}
	/** Acts about a trace, and those about no trace that its proof needs (trust documents). */
	actsOfTrace(traceId: string): ActRow[] {
		return this.#sql
			.exec("SELECT * FROM acts WHERE trace_id = ? OR kind = 'trust_document' ORDER BY seq", traceId)
			.toArray()
			.map((row) => ({
				kind: String(row.kind),
				traceId: row.trace_id === null ? null : String(row.trace_id),
				leaf: bytesIn(row.leaf),
				salt: bytesIn(row.salt),
				body: bytesIn(row.body),
				ledgerIndex: numberOrNull(row.ledger_index),
			}));
	}
}
