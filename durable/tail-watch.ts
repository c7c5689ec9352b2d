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
			// A raised alarm stays until the batches come: that they wait somewhere again is no news of them.
			if (received >= head || (isOnItsWay && known?.isAlarmed !== true)) this.#settle(key);
			else if (known === undefined || (known.received < received && !known.isAlarmed))
				this.#keep({ stream, lane, received, head, sinceMs: nowMs, isAlarmed: false });
			else if (known.head < head) this.#keep({ ...known, head });
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
		this.#tails.set(hexOf(tail.stream), tail);
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

function alarmOf(key: string, { lane, head }: Tail, received: number): Omit<ChannelAlarm, "agent"> {
	const isOne = received + 1 === head;
	const range = isOne
		? `batch ${head} was made and never came, and waits`
		: `batches ${received + 1} to ${head} were made and never came, and wait`;
	const detail = `${lane} stream ${key}: ${range} nowhere on the way`;
	return { code: "tail_missing", detail, evidence: null, sameAs: key };
}
