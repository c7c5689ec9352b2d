/**
 * The lost tail of a stream: a heartbeat names the highest batch an agent has made, and when what lies between it and the last one
 * that came here neither comes nor waits anywhere on the way, somebody lost it. Guarantees that such a tail is an alarm `tail_missing`
 * within the hole's time of the heartbeat that names it, also when the agent is gone by then, and that the alarm is cleared when the
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
`;

interface Tail {
	readonly stream: Uint8Array;
	readonly lane: Lane;
	/** The last batch that came before the missing ones. */
	readonly received: number;
	/** The highest batch that the agent said it had made. */
	readonly head: number;
	readonly sinceMs: number;
	readonly isAlarmed: boolean;
}

type Row = Record<string, SqlStorageValue>;

export interface TailParts {
	readonly sql: SqlStorage;
	/** The last batch of the stream that is here, 0 for one that never was. */
	readonly receivedOf: (stream: Uint8Array) => number;
	/** How long a tail may be missing before it is an alarm. */
	readonly missingMs: number;
}

export class TailWatch {
	readonly #parts: TailParts;
	readonly #missingMs: number;
	readonly #tails: Map<string, Tail>;

	constructor(parts: TailParts) {
		this.#parts = parts;
		this.#missingMs = parts.missingMs;
		parts.sql.exec(SCHEMA);
		const rows = parts.sql.exec<Row>("SELECT * FROM tails").toArray();
		this.#tails = new Map(
			rows.map((row) => {
				const stream = new Uint8Array(row.stream as ArrayBuffer);
				const lane = LANES[row.lane as number] as Lane;
				const { received, head, since_ms: sinceMs, is_alarmed } = row as Record<string, number>;
				return [hexOf(stream), { stream, lane, received, head, sinceMs, isAlarmed: is_alarmed === 1 } as Tail];
			}),
		);
	}

	/** What a heartbeat said, and in which lanes batches still wait below; undefined: not known. */
	heard(streams: Health["streams"], waiting: readonly Lane[] | undefined, nowMs: number): void {
		for (const { stream, lane, head } of streams) {
			const key = hexOf(stream);
			const known = this.#tails.get(key);
			const received = this.#parts.receivedOf(stream);
			const isOnItsWay = waiting === undefined || waiting.includes(lane);
			// The newest word counts, also where it is less: a stream may end before what was announced, and go on as another.
			if (known?.isAlarmed === true) this.#keep({ ...known, head });
			// A raised alarm stays until the batches come: that they wait somewhere again is no news of them.
			else if (received >= head || isOnItsWay) this.#settle(key);
			else if (known === undefined || known.received < received)
				this.#keep({ stream, lane, received, head, sinceMs: nowMs, isAlarmed: false });
			else if (known.head !== head) this.#keep({ ...known, head });
		}
	}

	/** What came is not missing. */
	#settle(key: string): void {
		const tail = this.#tails.get(key);
		if (tail === undefined || tail.isAlarmed) return;
		this.#tails.delete(key);
		this.#parts.sql.exec("DELETE FROM tails WHERE stream = ?", tail.stream);
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
	}

	/**
	 * A host that names new streams with every beat must not fill the disk: those that were named first go, the watched ones before the
	 * alarmed, whose alarm would then stand for ever.
	 */
	#forgetBeyondMax(): void {
		if (this.#tails.size <= CHANNEL_LIMITS.tailsMax) return;
		const tails = [...this.#tails.entries()];
		const [key, { stream }] = tails.find(([, { isAlarmed }]) => !isAlarmed) ?? (tails[0] as (typeof tails)[number]);
		this.#tails.delete(key);
		this.#parts.sql.exec("DELETE FROM tails WHERE stream = ?", stream);
	}

	/** What an alarm says is missing, each stream by the batch that is to come first. */
	missing(): { stream: Uint8Array; seq: number }[] {
		const alarmed = [...this.#tails.values()].filter(({ isAlarmed }) => isAlarmed);
		return alarmed.flatMap(({ stream, head }) => {
			const seq = this.#parts.receivedOf(stream) + 1;
			return seq <= head ? [{ stream, seq }] : [];
		});
	}

	/** The way to the agent's proxy was lost: what was on it is told of anew when it stands again. */
	lostSight(): void {
		for (const key of [...this.#tails.keys()]) this.#settle(key);
	}

	/** When to look again; null when nothing is missing. */
	get dueAtMs(): number | null {
		const waiting = [...this.#tails.values()].filter(({ isAlarmed }) => !isAlarmed);
		return waiting.length === 0 ? null : Math.min(...waiting.map(({ sinceMs }) => sinceMs)) + this.#missingMs;
	}

	/** Alarms to raise or to clear now; `done` keeps that it was. Asked again it answers the same until then. */
	news(nowMs: number): { alarm: Omit<ChannelAlarm, "agent">; done: () => void }[] {
		const out: { alarm: Omit<ChannelAlarm, "agent">; done: () => void }[] = [];
		for (const [key, tail] of this.#tails) {
			const received = this.#parts.receivedOf(tail.stream);
			if (received >= tail.head) {
				const clear = () => {
					this.#tails.delete(key);
					this.#parts.sql.exec("DELETE FROM tails WHERE stream = ?", tail.stream);
				};
				if (tail.isAlarmed) out.push({ alarm: { ...alarmOf(key, tail, received), isCleared: true }, done: clear });
				else clear();
			} else if (received > tail.received && !tail.isAlarmed) this.#keep({ ...tail, received, sinceMs: nowMs });
			else if (!tail.isAlarmed && nowMs - tail.sinceMs >= this.#missingMs)
				out.push({ alarm: alarmOf(key, tail, received), done: () => this.#keep({ ...tail, isAlarmed: true }) });
		}
		return out;
	}
}

/** A beat that says nothing new costs no write. */
function equalTails(a: Tail | undefined, b: Tail): boolean {
	return a?.head === b.head && a.received === b.received && a.sinceMs === b.sinceMs && a.isAlarmed === b.isAlarmed;
}

function alarmOf(key: string, { lane, head }: Tail, received: number): Omit<ChannelAlarm, "agent"> {
	const isOne = received + 1 === head;
	const range = isOne
		? `batch ${head} was made and never came, and waits`
		: `batches ${received + 1} to ${head} were made and never came, and wait`;
	const detail = `${lane} stream ${key}: ${range} nowhere on the way`;
	return { code: "tail_missing", detail, evidence: null, sameAs: key };
}
