/**
 * What an Uplink keeps on disk: the agents whose backlog must be found after a crash, the trust documents of the enclave, and the
 * proxies behind this one. Statements only.
 */
import type { AgentNews } from "./faces.ts";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS agents (
	agent TEXT PRIMARY KEY, proof BLOB NOT NULL, route BLOB NOT NULL, status BLOB, heard_at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trust (position INTEGER PRIMARY KEY, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS peers (peer TEXT PRIMARY KEY, joined_at_ms INTEGER NOT NULL) WITHOUT ROWID;
`;

/** Whether it is here is heard again after a start; its route is not: a proxy that starts again still has to show it. */
export type RegisteredAgent = Omit<AgentNews, "isUp">;

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

	replaceDocuments(documents: readonly Uint8Array[]): void {
		this.sql.exec("DELETE FROM trust");
		for (const [position, document] of documents.entries())
			this.sql.exec("INSERT INTO trust (position, document) VALUES (?, ?)", position, document);
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
				route: new Uint8Array(row.route as ArrayBuffer),
				status: row.status === null ? null : new Uint8Array(row.status as ArrayBuffer),
				heardAtMs: row.heard_at_ms as number,
			}));
	}

	register({ agent, proof, route, status, heardAtMs }: RegisteredAgent): void {
		this.sql.exec("INSERT OR REPLACE INTO agents VALUES (?, ?, ?, ?, ?)", agent, proof, route, status, heardAtMs);
	}

	/** An agent that went and left nothing behind. */
	forget(agent: string): void {
		this.sql.exec("DELETE FROM agents WHERE agent = ?", agent);
	}

	markHeard(agent: string, heardAtMs: number): void {
		this.sql.exec("UPDATE agents SET heard_at_ms = ? WHERE agent = ?", heardAtMs, agent);
	}
}
