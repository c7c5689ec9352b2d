/**
 * The lost tail of a stream: a heartbeat names the highest batch an agent has made, and when what lies between it and the last one
 * that came here neither comes nor waits anywhere on the way, somebody lost it. Guarantees that such a tail is an alarm `tail_missing`
 * within the hole's time of the heartbeat that names it, also when the agent is gone by then; that one which is only said to wait is the
 * same alarm when nothing of it came for its longer time, however the way is lost meanwhile; and that the alarm is cleared when the
 * batches come after all. Lives at the Security Center, where all paths meet; kept on disk, because a channel is evicted between beats.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { LANES, type Lane } from "#core/model/batch.ts";
import type { Health } from "#core/protocol/index.ts";
import type { ChannelAlarm } from "./drain.ts";
import { CHANNEL_LIMITS } from "./limits.ts";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS tails (
	stream BLOB PRIMARY KEY, lane INTEGER NOT NULL, received INTEGER NOT NULL, head INTEGER NOT NULL, since_ms INTEGER NOT NULL,
	is_alarmed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tail_waits (
	stream BLOB PRIMARY KEY, stuck_ms INTEGER NOT NULL, is_waiting INTEGER NOT NULL, lost_ms INTEGER NOT NULL) WITHOUT ROWID;
`;
/** What an earlier build wrote has no second row: it waited nowhere. */
const SELECT_TAILS = `SELECT t.*, coalesce(w.stuck_ms, t.since_ms) AS stuck_ms, coalesce(w.is_waiting, 0) AS is_waiting,
	coalesce(w.lost_ms, 0) AS lost_ms FROM tails t LEFT JOIN tail_waits w ON w.stream = t.stream`;

interface Tail {
	readonly stream: Uint8Array;
	readonly lane: Lane;
	/** The last batch that came before the missing ones. */
	readonly received: number;
	/** The highest batch that the agent said it had made. */
	readonly head: number;
	/** Since when it waits nowhere. */
	readonly sinceMs: number;
	/** Since when nothing of it came, wherever it is said to be. */
	readonly stuckMs: number;
	/** Somebody below says that it waits there, or nobody can say. */
	readonly isWaiting: boolean;
	/** When the way to the agent was lost; 0 while it stands. */
	readonly lostMs: number;
	readonly isAlarmed: boolean;
}

type Row = Record<string, SqlStorageValue>;

export interface TailParts {
	readonly sql: SqlStorage;
	/** The last batch of the stream that is here, 0 for one that never was. */
	readonly receivedOf: (stream: Uint8Array) => number;
	/** How long a tail may be missing before it is an alarm. */
	readonly missingMs: number;
	/** How long it may be said to wait without anything of it coming. */
	readonly waitMs: number;
}

export class TailWatch {
	readonly #parts: TailParts;
	readonly #missingMs: number;
	readonly #waitMs: number;
	readonly #tails: Map<string, Tail>;

	constructor(parts: TailParts) {
		this.#parts = parts;
		this.#missingMs = parts.missingMs;
		this.#waitMs = parts.waitMs;
		parts.sql.exec(SCHEMA);
		const rows = parts.sql.exec<Row>(SELECT_TAILS).toArray();
		this.#tails = new Map(
			rows.map((row) => {
				const stream = new Uint8Array(row.stream as ArrayBuffer);
				const lane = LANES[row.lane as number] as Lane;
				const { received, head, since_ms, stuck_ms, lost_ms, ...flags } = row as Record<string, number>;
				const times = { sinceMs: since_ms, stuckMs: stuck_ms, lostMs: lost_ms };
				const is = { isAlarmed: flags.is_alarmed === 1, isWaiting: flags.is_waiting === 1 };
				return [hexOf(stream), { stream, lane, received, head, ...times, ...is } as Tail];
			}),
		);
	}

	/** What a heartbeat said, and in which lanes batches still wait below; undefined: not known. */
	heard(streams: Health["streams"], waiting: readonly Lane[] | undefined, nowMs: number): void {
		for (const { stream, lane, head } of streams) {
			const key = hexOf(stream);
			const known = this.#tails.get(key);
			const received = this.#parts.receivedOf(stream);
			const isWaiting = waiting === undefined || waiting.includes(lane);
			// The newest word counts, also where it is less: a stream may end before what was announced, and go on as another.
			// A raised alarm stays until the batches come: that they wait somewhere again is no news of them.
			if (known?.isAlarmed === true) this.#keep({ ...known, head, isWaiting });
			else if (received >= head) this.#settle(key);
			else if (known === undefined || known.received < received)
				this.#keep({ ...BEGUN, stream, lane, received, head, sinceMs: nowMs, stuckMs: nowMs, isWaiting });
			else this.#keep({ ...inSight(known, nowMs), head, isWaiting });
		}
	}

	/** What came is not missing. */
	#settle(key: string): void {
		const tail = this.#tails.get(key);
		if (tail === undefined || tail.isAlarmed) return;
		this.#forget(key, tail.stream);
	}

	#forget(key: string, stream: Uint8Array): void {
		this.#tails.delete(key);
		this.#parts.sql.exec("DELETE FROM tails WHERE stream = ?", stream);
		this.#parts.sql.exec("DELETE FROM tail_waits WHERE stream = ?", stream);
	}

	#keep(tail: Tail): void {
		const key = hexOf(tail.stream);
		if (equalTails(this.#tails.get(key), tail)) return;
		this.#tails.set(key, tail);
		this.#forgetBeyondMax();
		this.#parts.sql.exec(
			"INSERT OR REPLACE INTO tails VALUES (?, ?, ?, ?, ?, ?)",
			tail.stream,
			LANES.indexOf(tail.lane),
			tail.received,
			tail.head,
			tail.sinceMs,
			tail.isAlarmed ? 1 : 0,
		);
		this.#parts.sql.exec(
			"INSERT OR REPLACE INTO tail_waits VALUES (?, ?, ?, ?)",
			tail.stream,
			tail.stuckMs,
			tail.isWaiting ? 1 : 0,
			tail.lostMs,
		);
	}

	/**
	 * A host that names new streams with every beat must not fill the disk: those that were named first go, the watched ones before the
	 * alarmed, whose alarm would then stand for ever.
	 */
	#forgetBeyondMax(): void {
		if (this.#tails.size <= CHANNEL_LIMITS.tailsMax) return;
		const tails = [...this.#tails.entries()];
		const [key, { stream }] = tails.find(([, { isAlarmed }]) => !isAlarmed) ?? (tails[0] as (typeof tails)[number]);
		this.#forget(key, stream);
	}

	/** What an alarm says is missing and nobody says he has, each stream by the batch that is to come first. */
	missing(): { stream: Uint8Array; seq: number }[] {
		const lost = [...this.#tails.values()].filter(({ isAlarmed, isWaiting }) => isAlarmed && !isWaiting);
		return lost.flatMap(({ stream, head }) => {
			const seq = this.#parts.receivedOf(stream) + 1;
			return seq <= head ? [{ stream, seq }] : [];
		});
	}

	/** The way to the agent's proxy was lost: what was on it is told of anew when it stands again, and is no younger for that. */
	lostSight(nowMs: number): void {
		for (const tail of [...this.#tails.values()])
			if (!tail.isAlarmed && tail.lostMs === 0) this.#keep({ ...tail, isWaiting: true, lostMs: nowMs });
	}

	/** When the tail is an alarm; never while its way is lost. */
	#dueAtMs({ isAlarmed, isWaiting, lostMs, sinceMs, stuckMs }: Tail): number {
		if (isAlarmed || lostMs !== 0) return Number.POSITIVE_INFINITY;
		return Math.min(stuckMs + this.#waitMs, isWaiting ? Number.POSITIVE_INFINITY : sinceMs + this.#missingMs);
	}

	/** When to look again; null when nothing is missing. */
	get dueAtMs(): number | null {
		const dueAtMs = Math.min(...[...this.#tails.values()].map((tail) => this.#dueAtMs(tail)));
		return Number.isFinite(dueAtMs) ? dueAtMs : null;
	}

	/** Alarms to raise or to clear now; `done` keeps that it was. Asked again it answers the same until then. */
	news(nowMs: number): { alarm: Omit<ChannelAlarm, "agent">; done: () => void }[] {
		const out: { alarm: Omit<ChannelAlarm, "agent">; done: () => void }[] = [];
		for (const [key, tail] of this.#tails) {
			const received = this.#parts.receivedOf(tail.stream);
			if (received >= tail.head) {
				const clear = () => this.#forget(key, tail.stream);
				if (tail.isAlarmed) out.push({ alarm: { ...alarmOf(key, tail, received), isCleared: true }, done: clear });
				else clear();
			} else if (received > tail.received && !tail.isAlarmed)
				this.#keep({ ...tail, received, sinceMs: nowMs, stuckMs: nowMs });
			else if (nowMs >= this.#dueAtMs(tail))
				out.push({ alarm: alarmOf(key, tail, received), done: () => this.#keep({ ...tail, isAlarmed: true }) });
		}
		return out;
	}
}

const BEGUN = { lostMs: 0, isAlarmed: false } as const;

/** The tail as it is known where the way to it stands: its times went on, but for what a person was told was an outage. */
function inSight(tail: Tail, nowMs: number): Tail {
	const outMs = tail.lostMs === 0 ? 0 : Math.max(0, nowMs - tail.lostMs - CHANNEL_LIMITS.lostSightMsMax);
	// While it waited it was not missing; whether it is now, the next word says.
	const sinceMs = tail.isWaiting ? nowMs : tail.sinceMs;
	return { ...tail, lostMs: 0, sinceMs, stuckMs: tail.stuckMs + outMs };
}

/** A beat that says nothing new costs no write; since when it was not missing is written when it is. */
function equalTails(a: Tail | undefined, b: Tail): boolean {
	if (a === undefined || a.head !== b.head || a.received !== b.received || a.isAlarmed !== b.isAlarmed) return false;
	if (a.stuckMs !== b.stuckMs || a.isWaiting !== b.isWaiting || a.lostMs !== b.lostMs) return false;
	return b.isWaiting || a.sinceMs === b.sinceMs;
}

function alarmOf(key: string, { lane, head, isWaiting }: Tail, received: number): Omit<ChannelAlarm, "agent"> {
	const isOne = received + 1 === head;
	const range = isOne ? `batch ${head} was` : `batches ${received + 1} to ${head} were`;
	const where = isWaiting
		? `said to wait on the way, and nothing of ${isOne ? "it" : "them"} comes`
		: `never came, and ${isOne ? "waits" : "wait"} nowhere on the way`;
	const detail = `${lane} stream ${key}: ${range} made and ${where}`;
	return { code: "tail_missing", detail, evidence: null, sameAs: key };
}
