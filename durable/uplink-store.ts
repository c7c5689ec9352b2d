/**
 * What an Uplink keeps on disk: the agents whose backlog must be found after a crash, the trust documents of the enclave, and the
 * proxies behind this one. Statements only.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { LINK_LIMITS } from "#core/protocol/index.ts";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS agents (
	agent TEXT PRIMARY KEY, proof BLOB NOT NULL, status BLOB, heard_at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trust (position INTEGER PRIMARY KEY, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS peers (peer TEXT PRIMARY KEY, joined_at_ms INTEGER NOT NULL) WITHOUT ROWID;
`;

export interface RegisteredAgent {
	readonly agent: string;
	readonly proof: Uint8Array;
	readonly status: Uint8Array | null;
	readonly heardAtMs: number;
}

type Row = Record<string, SqlStorageValue>;

/** Peers and trust documents: what a hop needs to hand the trust down. Shared by Uplink and PeerDirectory. */
export class TrustStore {
	protected readonly sql: SqlStorage;

	constructor(sql: SqlStorage) {
		this.sql = sql;
		sql.exec(SCHEMA);
	}

	documents(): Uint8Array[] {
		const rows = this.sql.exec<Row>("SELECT document FROM trust ORDER BY position").toArray();
		return rows.map((row) => new Uint8Array(row.document as ArrayBuffer));
	}

	/**
	 * Replaces the documents; false when nothing is new. A shorter list is older news and changes nothing. Whether the documents
	 * are to be believed is the agents' question: a hop only hands them on.
	 */
	replaceDocuments(documents: readonly Uint8Array[]): boolean {
		const before = this.documents();
		const isSame =
			before.length === documents.length && before.every((each, i) => equalBytes(each, documents[i] ?? each));
		if (isSame || documents.length < before.length || documents.length > LINK_LIMITS.trustDocumentsMax) return false;
		this.sql.exec("DELETE FROM trust");
		for (const [position, document] of documents.entries())
			this.sql.exec("INSERT INTO trust (position, document) VALUES (?, ?)", position, document);
		return true;
	}

	joinPeer(peer: string, nowMs: number): void {
		this.sql.exec("INSERT OR REPLACE INTO peers (peer, joined_at_ms) VALUES (?, ?)", peer, nowMs);
	}

	peers(): { id: string; joinedAtMs: number }[] {
		const rows = this.sql.exec<Row>("SELECT * FROM peers ORDER BY peer").toArray();
		return rows.map((row) => ({ id: row.peer as string, joinedAtMs: row.joined_at_ms as number }));
	}
}

export class UplinkStore extends TrustStore {
	agents(): RegisteredAgent[] {
		return this.sql
			.exec<Row>("SELECT * FROM agents ORDER BY agent")
			.toArray()
			.map((row) => ({
				agent: row.agent as string,
				proof: new Uint8Array(row.proof as ArrayBuffer),
				status: row.status === null ? null : new Uint8Array(row.status as ArrayBuffer),
				heardAtMs: row.heard_at_ms as number,
			}));
	}

	register({ agent, proof, status, heardAtMs }: RegisteredAgent): void {
		this.sql.exec("INSERT OR REPLACE INTO agents VALUES (?, ?, ?, ?)", agent, proof, status, heardAtMs);
	}

	/** An agent that went and left nothing behind. */
	forget(agent: string): void {
		this.sql.exec("DELETE FROM agents WHERE agent = ?", agent);
	}

	markHeard(agent: string, heardAtMs: number): void {
		this.sql.exec("UPDATE agents SET heard_at_ms = ? WHERE agent = ?", heardAtMs, agent);
	}
}
