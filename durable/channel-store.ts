/**
 * What an AgentChannel keeps on disk, one SQLite of its Durable Object: who the agent is, its streams, the write-ahead log of
 * batches that have not reached the next custody level, commands, refused items and alarms. Statements only; every decision is
 * the channel's. Whatever is written before an answer is on disk before the answer leaves (the runtime's output gate).
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { LANES, type Lane } from "#core/model/batch.ts";
import { EMPTY_STREAM, type StreamState, UNKNOWN_HASH } from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import { AheadRows, IN_ORDER } from "./ahead-rows.ts";
import type { LaneBytes } from "./box-disk.ts";
import type { ChannelAlarm, WalBatch } from "./drain.ts";
import type { LaneDepths, QueuedCommand } from "./faces.ts";
import { afterFill, afterTold, HOLE_MARKS, holeAlarm } from "./hole-marks.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { NAMED_GAPS_SCHEMA, NamedGaps } from "./named-gaps.ts";
import { QUARANTINE_SCHEMA, QUARANTINE_TABLES, QuarantineStore } from "./quarantine.ts";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS identity (
	one INTEGER PRIMARY KEY CHECK (one = 1), agent TEXT NOT NULL, proof BLOB NOT NULL, signing_key BLOB NOT NULL,
	not_after_ms INTEGER NOT NULL, status BLOB, via TEXT NOT NULL, link_id TEXT NOT NULL, is_up INTEGER NOT NULL,
	heard_at_ms INTEGER NOT NULL, route BLOB NOT NULL, route_times TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS streams (
	id INTEGER PRIMARY KEY AUTOINCREMENT, stream BLOB NOT NULL UNIQUE, lane INTEGER NOT NULL, received INTEGER NOT NULL,
	last_hash BLOB NOT NULL, a2 INTEGER NOT NULL DEFAULT 0, custody TEXT, hole_since_ms INTEGER, used INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS wal (
	id INTEGER PRIMARY KEY AUTOINCREMENT, stream BLOB NOT NULL, seq INTEGER NOT NULL, lane INTEGER NOT NULL, at_ms INTEGER NOT NULL,
	hash BLOB NOT NULL, signing_key BLOB NOT NULL, bytes BLOB NOT NULL, UNIQUE (stream, seq));
CREATE INDEX IF NOT EXISTS wal_lane ON wal (lane, id);
CREATE TABLE IF NOT EXISTS commands (
	id INTEGER PRIMARY KEY AUTOINCREMENT, command_id BLOB NOT NULL UNIQUE, envelope BLOB NOT NULL, expires_at_ms INTEGER NOT NULL,
	is_received INTEGER NOT NULL DEFAULT 0);
${QUARANTINE_SCHEMA}
${NAMED_GAPS_SCHEMA}
CREATE TABLE IF NOT EXISTS alarms (
	id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL, detail TEXT NOT NULL, evidence BLOB);
CREATE TABLE IF NOT EXISTS link_streams (stream BLOB PRIMARY KEY, lane INTEGER NOT NULL, held_back INTEGER);
CREATE TABLE IF NOT EXISTS brought_by (one INTEGER PRIMARY KEY CHECK (one = 1), via TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS high_mark (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL);
`;

/** Everything but the log itself: what a file that is made anew takes over. */
const KEPT_TABLES = [
	...["identity", "streams", "commands", "alarms", "link_streams", "brought_by", "named_gaps"],
	...QUARANTINE_TABLES,
] as const;

export interface ChannelIdentity extends ChannelPlace {
	readonly agent: string;
	/** `nodeProofShape`, encoded. */
	readonly proof: Uint8Array;
	readonly signingKey: Uint8Array;
	readonly notAfterMs: number;
	/** `agentStatusShape`, encoded; null when the agent said none. */
	readonly status: Uint8Array | null;
}

/** Where the agent is, as far as this hop believes. */
export interface ChannelPlace {
	/** Proxy it is on; empty for a session of this hop's own. */
	readonly via: string;
	readonly linkId: string;
	readonly isUp: boolean;
	/** The latest word of the agent when this was written. */
	readonly heardAtMs: number;
	/** `routeShape`, encoded: how the agent came to `via`; empty list if nobody knows. */
	readonly route: Uint8Array;
	/** When each step of it was chosen, the one to this hop included. */
	readonly routeTimesMs: readonly number[];
}

export interface StreamRow {
	readonly stream: Uint8Array;
	readonly lane: Lane;
	/** What was taken, perhaps still waiting for its commit. */
	readonly state: StreamState;
	/** What is on disk. */
	readonly a1: number;
	readonly a2: number;
	/** The proof of custody of batch `a2`, as it goes to the agent. */
	readonly custody: string | null;
	/** When it was first refused for a hole, or a mark of the alarm. */
	readonly holeSinceMs: number | null;
}

/** A stream of which something came on the agent's link. */
export interface LinkStream {
	readonly stream: Uint8Array;
	readonly lane: Lane;
	/** The batch refused for want of room that is to come first; null once something was taken or judged. */
	readonly heldBack: number | null;
}

/** A WAL row with the key that was proved when it came. */
export interface StoredRow extends WalBatch {
	readonly row: number;
	readonly signingKey: Uint8Array;
}

type Row = Record<string, SqlStorageValue>;
const blob = (value: SqlStorageValue | undefined): Uint8Array => new Uint8Array(value as ArrayBuffer);
const laneOf = (value: SqlStorageValue | undefined): Lane => LANES[value as number] as Lane;

export class ChannelStore {
	readonly #sql: SqlStorage;
	readonly quarantine: QuarantineStore;
	readonly gaps: NamedGaps;
	readonly #streams = new Map<string, StreamRow>();
	/** Streams of which something waits beyond what was received without a hole: they were set back. */
	readonly #ahead: AheadRows;
	/** Batches and bytes waiting, by lane; kept beside the table because counting it costs a scan. */
	readonly #waiting: Record<Lane, { batches: number; bytes: number }>;
	readonly #onWaiting: (bytes: LaneBytes) => void;
	/** Largest size of the file. The runtime's SQLite never gives pages back, so a file is as large as it ever was. */
	#highBytes: number;
	#notedHighBytes: number;

	/** `onWaiting` hears how much waits, at once and at every change. */
	constructor(sql: SqlStorage, onWaiting: (bytes: LaneBytes) => void = () => undefined) {
		this.#sql = sql;
		this.#onWaiting = onWaiting;
		this.quarantine = new QuarantineStore(sql);
		this.gaps = new NamedGaps(sql);
		this.#ahead = new AheadRows(sql);
		sql.exec(SCHEMA);
		const none = () => ({ batches: 0, bytes: 0 });
		this.#waiting = { trace: none(), alert: none(), bulk: none() };
		for (const row of this.#rows(
			"SELECT lane, count(*) AS batches, sum(length(bytes)) AS bytes FROM wal GROUP BY lane",
		))
			this.#waiting[laneOf(row.lane)] = { batches: row.batches as number, bytes: row.bytes as number };
		this.#tellWaiting();
		this.#notedHighBytes = (this.#rows("SELECT bytes FROM high_mark")[0]?.bytes ?? 0) as number;
		this.#highBytes = Math.max(this.#notedHighBytes, sql.databaseSize);
		for (const row of this.#rows("SELECT * FROM streams ORDER BY used, id")) {
			const stream = blob(row.stream);
			this.#streams.set(hexOf(stream), {
				stream,
				lane: laneOf(row.lane),
				state: { received: row.received as number, lastHash: blob(row.last_hash) },
				a1: row.received as number,
				a2: row.a2 as number,
				custody: row.custody as string | null,
				holeSinceMs: row.hole_since_ms as number | null,
			});
			this.#settleAhead(stream);
		}
	}

	#rows(query: string, ...bindings: unknown[]): Row[] {
		return this.#sql.exec<Row>(query, ...bindings).toArray();
	}

	identity(): ChannelIdentity | null {
		const row = this.#rows("SELECT * FROM identity")[0];
		if (row === undefined) return null;
		return {
			agent: row.agent as string,
			proof: blob(row.proof),
			signingKey: blob(row.signing_key),
			notAfterMs: row.not_after_ms as number,
			status: row.status === null ? null : blob(row.status),
			via: row.via as string,
			linkId: row.link_id as string,
			isUp: row.is_up === 1,
			heardAtMs: row.heard_at_ms as number,
			route: blob(row.route),
			routeTimesMs: JSON.parse(row.route_times as string) as number[],
		};
	}

	writeIdentity(identity: ChannelIdentity): void {
		const { agent, proof, signingKey, notAfterMs, status, via, linkId, isUp, heardAtMs } = identity;
		this.#sql.exec(
			"INSERT OR REPLACE INTO identity VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			agent,
			proof,
			signingKey,
			notAfterMs,
			status,
			via,
			linkId,
			isUp ? 1 : 0,
			heardAtMs,
			identity.route,
			JSON.stringify(identity.routeTimesMs),
		);
	}

	/** The proxy that showed the agent's proof last; empty when none has. */
	broughtBy(): string {
		return (this.#rows("SELECT via FROM brought_by")[0]?.via ?? "") as string;
	}

	noteBroughtBy(via: string): void {
		if (this.broughtBy() !== via) this.#sql.exec("INSERT OR REPLACE INTO brought_by VALUES (1, ?)", via);
	}

	/** Every stream, the one used last first. */
	streams(): StreamRow[] {
		return [...this.#streams.values()].reverse();
	}

	stream(stream: Uint8Array): StreamRow | undefined {
		return this.#streams.get(hexOf(stream));
	}

	/** What came on the link so far, oldest first. It outlives the object's memory, as the link does when the object sleeps. */
	linkStreams(): LinkStream[] {
		return this.#rows("SELECT stream, lane, held_back FROM link_streams ORDER BY rowid").map((row) => ({
			stream: blob(row.stream),
			lane: laneOf(row.lane),
			heldBack: row.held_back as number | null,
		}));
	}

	markLinkStream({ stream, lane, heldBack }: LinkStream): void {
		const { seenStreamsMax } = CHANNEL_LIMITS;
		this.#sql.exec("INSERT OR REPLACE INTO link_streams VALUES (?, ?, ?)", stream, LANES.indexOf(lane), heldBack);
		this.#sql.exec(
			"DELETE FROM link_streams WHERE rowid NOT IN (SELECT rowid FROM link_streams ORDER BY rowid DESC LIMIT ?)",
			seenStreamsMax,
		);
	}

	forgetLinkStreams(): void {
		this.#sql.exec("DELETE FROM link_streams");
	}

	/** Notes what was taken before it is on disk; `commit` makes it true. */
	stage(batch: WalBatch, state: StreamState): void {
		const key = hexOf(batch.stream);
		const known = this.#streams.get(key);
		this.#streams.delete(key);
		this.#streams.set(key, {
			...(known ?? { stream: batch.stream, lane: batch.lane, a1: 0, a2: 0, custody: null, holeSinceMs: null }),
			state,
		});
	}

	/** Writes staged batches and the states of their streams. Call inside one transaction; answers the new watermarks. */
	commit(batches: readonly WalBatch[], signingKey: Uint8Array, nowMs: number): { stream: Uint8Array; seq: number }[] {
		const touched = new Set<string>();
		const added: WalBatch[] = [];
		for (const batch of batches) {
			const { stream, seq, lane, bytes, hash } = batch;
			touched.add(hexOf(stream));
			// Held already: it takes its place behind the batches that came for the hole before it.
			const heldMs = this.#ahead.leave(stream, seq);
			if (heldMs === null) added.push(batch);
			this.#sql.exec(
				"INSERT INTO wal (stream, seq, lane, at_ms, hash, signing_key, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
				stream,
				seq,
				LANES.indexOf(lane),
				heldMs ?? nowMs,
				hash,
				signingKey,
				bytes,
			);
		}
		this.#noteHighMark();
		// Only now, when every insert went through: a throw above rolls the table back and must not leave these behind it.
		for (const { lane, bytes } of added) this.#count(lane, 1, bytes.length);
		return [...touched].map((key) => {
			const row = this.#streams.get(key) ?? missing();
			const committed = { ...row, a1: row.state.received, holeSinceMs: afterFill(row.holeSinceMs) };
			this.#streams.set(key, committed);
			this.#sql.exec(
				`INSERT INTO streams (stream, lane, received, last_hash, used, hole_since_ms) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (stream) DO UPDATE SET received = excluded.received, last_hash = excluded.last_hash,
					used = excluded.used, hole_since_ms = excluded.hole_since_ms`,
				row.stream,
				LANES.indexOf(row.lane),
				row.state.received,
				row.state.lastHash,
				nowMs,
				committed.holeSinceMs,
			);
			if (this.hasAhead(row.stream)) this.#settleAhead(row.stream);
			return { stream: row.stream, seq: committed.a1 };
		});
	}

	/** Whether something waits beyond what the stream has received without a hole. */
	hasAhead(stream: Uint8Array): boolean {
		return this.#ahead.has(stream);
	}

	/** The first of a stream's batches that wait here. */
	lowestHeld(stream: Uint8Array): number | null {
		return this.#ahead.lowest(stream);
	}

	#settleAhead(stream: Uint8Array): void {
		this.#ahead.settle(stream, this.stream(stream)?.a1 ?? 0);
	}

	/**
	 * Sets a stream back to `received`, for what follows that is not here and upstream does not have it either. What waits stays, and
	 * goes on when the hole before it is filled. Nothing of the stream may be staged.
	 */
	setBack(stream: Uint8Array, received: number): void {
		const row = this.stream(stream);
		if (row === undefined) return;
		assertInvariant(row.state.received === row.a1, "a stream was set back behind a batch that waits for its commit");
		this.#write(row, received);
		this.#settleAhead(stream);
	}

	/** A stream's new watermark, where the hash of its last batch is not known here. */
	#write(row: StreamRow, received: number): void {
		this.#streams.set(hexOf(row.stream), { ...row, a1: received, state: { received, lastHash: UNKNOWN_HASH } });
		const { stream } = row;
		this.#sql.exec("UPDATE streams SET received = ?, last_hash = ? WHERE stream = ?", received, UNKNOWN_HASH, stream);
	}

	#noteHighMark(): void {
		this.#highBytes = Math.max(this.#highBytes, this.#sql.databaseSize);
		if (this.#highBytes < this.#notedHighBytes + CHANNEL_LIMITS.highMarkStepBytes) return;
		this.#notedHighBytes = this.#highBytes;
		this.#sql.exec("INSERT OR REPLACE INTO high_mark VALUES (1, ?)", this.#highBytes);
	}

	/** What the file can take without growing. */
	reusableBytes(): number {
		return this.#highBytes - this.#sql.databaseSize;
	}

	/**
	 * Makes the file anew without the pages it no longer needs; `reset` empties it. Only for a channel whose log is empty and whose
	 * streams may be forgotten, because a crash in between leaves an empty file. Row numbers of the log go on, so that a reader's
	 * place stays behind them.
	 */
	remake(reset: () => void): void {
		assertInvariant(this.walBytes() === 0, "a file with waiting batches was made anew");
		const kept = KEPT_TABLES.map((table) => ({ table, rows: this.#rows(`SELECT * FROM ${table}`) }));
		const lastRow = this.#rows("SELECT seq FROM sqlite_sequence WHERE name = 'wal'")[0]?.seq ?? 0;
		reset();
		this.#sql.exec(SCHEMA);
		for (const { table, rows } of kept)
			for (const row of rows) {
				const places = Object.keys(row).map(() => "?");
				this.#sql.exec(`INSERT INTO ${table} VALUES (${places.join(", ")})`, ...Object.values(row));
			}
		this.#sql.exec("INSERT INTO wal VALUES (?, x'', 0, 0, 0, x'', x'', x'')", lastRow);
		this.#sql.exec("DELETE FROM wal");
		this.#highBytes = this.#sql.databaseSize;
		this.#notedHighBytes = 0;
	}

	/** Forgets the streams unused for longest, beyond the bound; one that still has batches here stays. */
	pruneStreams(): void {
		for (const [key, row] of this.#streams) {
			if (this.#streams.size <= CHANNEL_LIMITS.streamsMax) return;
			const isWaiting = this.#rows("SELECT 1 FROM wal WHERE stream = ? LIMIT 1", row.stream).length > 0;
			if (isWaiting || row.state.received !== row.a1) continue;
			this.#sql.exec("DELETE FROM streams WHERE stream = ?", row.stream);
			this.#streams.delete(key);
		}
	}

	heldHash(stream: Uint8Array, seq: number): Uint8Array | undefined {
		const row = this.#rows("SELECT hash FROM wal WHERE stream = ? AND seq = ?", stream, seq)[0];
		return row === undefined ? undefined : blob(row.hash);
	}

	/** A hole is an alarm now: `holeNews` tells it, and not again for the same one. */
	markHoleAlarmed(stream: Uint8Array): void {
		this.#setHole(stream, HOLE_MARKS.due);
	}

	/** Nothing of this stream is waited for any more. */
	endHole(stream: Uint8Array): void {
		const mark = this.stream(stream)?.holeSinceMs ?? null;
		if (mark !== afterFill(mark)) this.#setHole(stream, afterFill(mark));
	}

	#setHole(stream: Uint8Array, mark: number | null): void {
		const row = this.stream(stream);
		if (row === undefined) return;
		this.#streams.set(hexOf(stream), { ...row, holeSinceMs: mark });
		this.#sql.exec("UPDATE streams SET hole_since_ms = ? WHERE stream = ?", mark, stream);
	}

	/** Alarms of holes to raise or to clear now; `done` keeps that it was. */
	holeNews(): { alarm: Omit<ChannelAlarm, "agent">; done: () => void }[] {
		return [...this.#streams.values()].flatMap(({ stream, lane, a1: received, holeSinceMs }) => {
			const alarm = holeAlarm(holeSinceMs, { stream, lane, received });
			if (alarm === null) return [];
			const done = () => {
				const row = this.stream(stream);
				if (row !== undefined) this.#setHole(stream, afterTold(holeSinceMs as number, row.holeSinceMs));
			};
			return [{ alarm, done }];
		});
	}

	/** Persists that a stream is refused for a hole; answers since when: a mark of its alarm counts as the future. */
	markHole(stream: Uint8Array, lane: Lane, nowMs: number): number {
		const row = this.stream(stream) ?? {
			stream,
			lane,
			state: EMPTY_STREAM,
			a1: 0,
			a2: 0,
			custody: null,
			holeSinceMs: null,
		};
		if (row.holeSinceMs !== null) return row.holeSinceMs;
		this.#streams.set(hexOf(stream), { ...row, holeSinceMs: nowMs });
		this.#sql.exec(
			`INSERT INTO streams (stream, lane, received, last_hash, used, hole_since_ms) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (stream) DO UPDATE SET hole_since_ms = excluded.hole_since_ms`,
			stream,
			LANES.indexOf(lane),
			row.a1,
			EMPTY_STREAM.lastHash,
			nowMs,
			nowMs,
		);
		// A host that begins each stream in its middle must not fill the disk with what it is refused for.
		this.pruneStreams();
		return nowMs;
	}

	/**
	 * Waiting batches of a lane after a row; at least one if any waits, then up to so many bytes. Of a stream that was set back: what
	 * fills its hole, or while nothing does the first of what follows it, by which upstream says again that it waits.
	 */
	read(lane: Lane, afterRow: number, bounds: { bytesMax: number; batchesMax: number }): StoredRow[] {
		const out: StoredRow[] = [];
		let bytes = 0;
		const inOrder = this.#ahead.isEmpty ? "" : IN_ORDER;
		const cursor = this.#sql.exec<Row>(
			`SELECT * FROM wal WHERE lane = ? AND id > ? ${inOrder} ORDER BY id LIMIT ?`,
			LANES.indexOf(lane),
			afterRow,
			bounds.batchesMax,
		);
		for (const row of cursor) {
			const stored = {
				row: row.id as number,
				stream: blob(row.stream),
				seq: row.seq as number,
				lane,
				hash: blob(row.hash),
				signingKey: blob(row.signing_key),
				bytes: blob(row.bytes),
			};
			if (out.length > 0 && bytes + stored.bytes.length > bounds.bytesMax) break;
			bytes += stored.bytes.length;
			out.push(stored);
		}
		return out;
	}

	/** Frees what has reached the next custody level; answers how many batches of it were here. */
	free(stream: Uint8Array, seq: number): number {
		const freed = this.#rows(
			"DELETE FROM wal WHERE stream = ? AND seq <= ? RETURNING lane, seq, length(bytes) AS bytes",
			stream,
			seq,
		);
		for (const row of freed) this.#count(laneOf(row.lane), -1, -(row.bytes as number));
		const known = this.stream(stream);
		if (known === undefined || (known.state.lastHash.length > 0 && !this.hasAhead(stream))) return freed.length;
		// Upstream has the missing batches by another way. Its word goes no further than what was here: a made-up number would have this hop
		// call taken what it never saw.
		const highest = freed.reduce((most, row) => Math.max(most, row.seq as number), known.state.received);
		const received = this.#ahead.contiguous(stream, highest);
		if (received > known.state.received && known.state.received === known.a1) this.#write(known, received);
		this.#settleAhead(stream);
		return freed.length;
	}

	#count(lane: Lane, batches: number, bytes: number): void {
		const { batches: before, bytes: bytesBefore } = this.#waiting[lane];
		this.#waiting[lane] = { batches: before + batches, bytes: bytesBefore + bytes };
		this.#tellWaiting();
	}

	#tellWaiting(): void {
		const { trace, alert, bulk } = this.#waiting;
		this.#onWaiting({ trace: trace.bytes, alert: alert.bytes, bulk: bulk.bytes });
	}

	/** Takes one batch out of the WAL, to be kept elsewhere. */
	take(stream: Uint8Array, seq: number): Uint8Array | null {
		const row = this.#rows("DELETE FROM wal WHERE stream = ? AND seq = ? RETURNING lane, bytes", stream, seq)[0];
		if (row === undefined) return null;
		const bytes = blob(row.bytes);
		this.#count(laneOf(row.lane), -1, -bytes.length);
		if (this.hasAhead(stream)) {
			this.#settleAhead(stream);
			this.#ahead.moveFirst(stream);
		}
		return bytes;
	}

	/**
	 * Forgets that a batch and what follows it were taken: the same batch is the next one, whatever it is said to follow. Only for what
	 * the agent keeps until the Security Center proves that it has it.
	 */
	reopen(stream: Uint8Array, seq: number): void {
		const row = this.stream(stream);
		if (row === undefined || seq <= row.a2 || seq > row.state.received) return;
		const dropped = "DELETE FROM wal WHERE stream = ? AND seq >= ? RETURNING length(bytes) AS bytes";
		for (const { bytes } of this.#rows(dropped, stream, seq)) this.#count(row.lane, -1, -(bytes as number));
		this.#write(row, seq - 1);
		this.#settleAhead(stream);
	}

	/** Raises the A2 watermark; false when it already stood there. */
	raiseA2(stream: Uint8Array, seq: number, custody: string | null): boolean {
		const row = this.stream(stream);
		if (row === undefined || seq <= row.a2) return false;
		this.#streams.set(hexOf(stream), { ...row, a2: seq, custody });
		this.#sql.exec("UPDATE streams SET a2 = ?, custody = ? WHERE stream = ?", seq, custody, stream);
		return true;
	}

	depths(): LaneDepths {
		const depthOf = (lane: Lane) => {
			const oldest = this.#rows("SELECT at_ms FROM wal WHERE lane = ? ORDER BY id LIMIT 1", LANES.indexOf(lane))[0];
			return { ...this.#waiting[lane], oldestMs: (oldest?.at_ms ?? null) as number | null };
		};
		return { trace: depthOf("trace"), alert: depthOf("alert"), bulk: depthOf("bulk") };
	}

	/** Bytes waiting in all lanes. */
	walBytes(): number {
		return LANES.reduce((sum, lane) => sum + this.#waiting[lane].bytes, 0);
	}

	addCommand(command: QueuedCommand): void {
		this.#sql.exec(
			"INSERT OR IGNORE INTO commands (command_id, envelope, expires_at_ms) VALUES (?, ?, ?)",
			command.commandId,
			command.envelope,
			command.expiresAtMs,
		);
	}

	/** Waiting commands in the order they came, after expired ones are forgotten. A received one is remembered, but does not wait. */
	commands(nowMs: number): QueuedCommand[] {
		this.#sql.exec("DELETE FROM commands WHERE expires_at_ms < ?", nowMs);
		return this.#rows("SELECT * FROM commands WHERE is_received = 0 ORDER BY id").map((row) => ({
			commandId: blob(row.command_id),
			envelope: blob(row.envelope),
			expiresAtMs: row.expires_at_ms as number,
		}));
	}

	/** Remembered until it expires: a copy of it may still be on the way here. False for one that is not known here, or known to be. */
	markReceived(commandId: Uint8Array): boolean {
		const received = "UPDATE commands SET is_received = 1, envelope = x'' WHERE command_id = ? AND is_received = 0";
		return this.#rows(`${received} RETURNING 1`, commandId).length > 0;
	}

	isReceived(commandId: Uint8Array): boolean {
		return this.#rows("SELECT is_received FROM commands WHERE command_id = ?", commandId)[0]?.is_received === 1;
	}

	/** Keeps an alarm until the store takes it; beyond the bound the newest is not kept, its item still is in quarantine. */
	addAlarm(alarm: Omit<ChannelAlarm, "agent">): void {
		this.#sql.exec(
			"INSERT INTO alarms (code, detail, evidence) SELECT ?, ?, ? WHERE (SELECT count(*) FROM alarms) < ?",
			alarm.code,
			alarm.detail,
			alarm.evidence,
			CHANNEL_LIMITS.alarmsMax,
		);
	}

	alarms(): (Omit<ChannelAlarm, "agent"> & { row: number })[] {
		return this.#rows("SELECT * FROM alarms ORDER BY id").map((row) => ({
			row: row.id as number,
			code: row.code as string,
			detail: row.detail as string,
			evidence: row.evidence === null ? null : blob(row.evidence),
		}));
	}

	removeAlarm(row: number): void {
		this.#sql.exec("DELETE FROM alarms WHERE id = ?", row);
	}
}

function missing(): never {
	throw new Error("a committed batch was never staged");
}
