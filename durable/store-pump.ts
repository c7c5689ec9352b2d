/**
 * The Security Center's drain of one channel: hands waiting batches to the store, trace and alert beside bulk, and frees them when
 * the store says that a signed checkpoint covers them. Guarantees order within a stream and at-least-once; exactly-once is the
 * store's promise. While the store says no nothing is lost: rows stay, the wait doubles, and an alarm set before the first try
 * finds them after a crash.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { LANES, type Lane } from "#core/model/batch.ts";
import type { ChannelStore, StoredRow } from "./channel-store.ts";
import type { ChannelAlarm, Delivered, StoreDrain } from "./drain.ts";
import type { Acknowledged } from "./faces.ts";
import { noteGaps } from "./holes.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { untilWoken } from "./places.ts";
import { RetryLoop } from "./retry-loop.ts";
import type { StoreTurns } from "./store-turns.ts";

const BOUNDS = { bytesMax: CHANNEL_LIMITS.deliverBytesMax, batchesMax: CHANNEL_LIMITS.deliverBatchesMax };

export interface PumpParts {
	readonly store: ChannelStore;
	readonly drain: Pick<StoreDrain, "deliver" | "onAlarm" | "onBacklog">;
	readonly turns: StoreTurns;
	/** Alarms that are kept elsewhere, each with what marks it as told. */
	readonly news: () => readonly { alarm: Omit<ChannelAlarm, "agent">; done: () => void }[];
	readonly transaction: <T>(write: () => T) => T;
	/** Asks to be kicked again at a time, also after a crash. */
	readonly wakeAt: (atMs: number) => void;
	readonly onDelivered: (receipts: readonly Acknowledged[]) => void;
}

/** Rows of one delivery: a prefix under one signing key. */
function underOneKey(rows: readonly StoredRow[]): readonly StoredRow[] {
	const key = rows[0]?.signingKey;
	const end = rows.findIndex((row) => key !== undefined && !equalBytes(row.signingKey, key));
	return end < 0 ? rows : rows.slice(0, end);
}

/** A delivery whose batches are rows. */
interface Handed {
	readonly rows: readonly StoredRow[];
	/** They are in custody. */
	readonly delivered: Promise<Delivered>;
}

/** Lanes that are delivered one delivery after the other. */
class LaneDrain {
	/** Makes the next delivery of a lane from behind a row; null: it only waited. */
	readonly hand: (lane: Lane, afterRow: number) => Promise<Handed | null>;
	readonly lanes: readonly Lane[];
	/** Something has come. */
	wake: () => void = () => undefined;

	constructor(lanes: readonly Lane[], hand: LaneDrain["hand"]) {
		this.lanes = lanes;
		this.hand = hand;
	}

	untilWoken(): Promise<void> {
		return new Promise((resolve) => {
			this.wake = resolve;
		});
	}
}

export class StorePump {
	readonly #agent: string;
	readonly #parts: PumpParts;
	readonly #urgent = new LaneDrain(["trace", "alert"], (lane, afterRow) => this.#handUrgent(lane, afterRow));
	readonly #bulk = new LaneDrain(["bulk"], (_lane, afterRow) => this.#handBulk(afterRow));
	readonly #urgentLoop: RetryLoop;
	readonly #bulkLoop: RetryLoop;
	#isBacklogTold = false;
	/** Whether the turn that is asked for next was waited for. */
	#hasWaited = false;
	/** Ends the wait for a turn early. */
	#wake: () => void = () => undefined;

	constructor(agent: string, parts: PumpParts) {
		this.#agent = agent;
		this.#parts = parts;
		const { wakeAt } = parts;
		const onFailed = (error: Error, failures: number) => {
			logLine("warning", "drain_unavailable", { agent, failures, detail: error.message });
			this.#tellBacklog();
		};
		const deliverUrgent = async () => {
			await this.#deliverAlarms();
			await this.#deliver(this.#urgent);
		};
		// Beside each other: a trace does not wait for bulk of its own agent either.
		this.#urgentLoop = new RetryLoop({ work: deliverUrgent, wakeAt, onFailed });
		this.#bulkLoop = new RetryLoop({ work: () => this.#deliverBulk(), wakeAt, onFailed });
	}

	/** Delivers whatever waits, at once or when the current wait is over; resolves when nothing is under way. */
	async kick(): Promise<void> {
		const delivered = Promise.all([this.#urgentLoop.kick(), this.#bulkLoop.kick()]);
		for (const drain of [this.#urgent, this.#bulk]) drain.wake();
		this.#wake();
		await delivered;
	}

	/**
	 * The next delivery begins when the last one's batches are rows, not when they are signed for. They are freed in order, because
	 * freeing one frees what lies before it; when one fails, all from there on are delivered again.
	 */
	async #deliver(drain: LaneDrain): Promise<void> {
		const { store } = this.#parts;
		const handedTo = { trace: 0, alert: 0, bulk: 0 };
		const deliveries = new Set<Promise<unknown>>();
		let freed: Promise<void> = Promise.resolve();
		try {
			for (;;) {
				const isWaiting = (lane: Lane) => store.read(lane, handedTo[lane], { bytesMax: 0, batchesMax: 1 }).length > 0;
				const lane = drain.lanes.find(isWaiting);
				if (lane === undefined && deliveries.size === 0) return;
				if (lane === undefined) await Promise.race([freed, drain.untilWoken()]);
				else if (deliveries.size >= CHANNEL_LIMITS.deliveriesAtOnce) await freed;
				else {
					const handed = await drain.hand(lane, handedTo[lane]);
					if (handed === null) continue;
					handedTo[lane] = (handed.rows.at(-1) as StoredRow).row;
					deliveries.add(handed.delivered);
					const before = freed;
					freed = this.#freeAfter(before, handed).then(() => {
						deliveries.delete(handed.delivered);
					});
					// Whoever waits for it hears of a failure; nobody may.
					freed.catch(() => undefined);
				}
			}
		} finally {
			// None is still under way when they are tried again.
			await Promise.allSettled([freed, ...deliveries]);
		}
	}

	async #freeAfter(before: Promise<void>, { rows, delivered }: Handed): Promise<void> {
		await before;
		this.#free(rows, await delivered);
		this.#tellBacklog();
	}

	/** Resolves when the batches are rows. */
	async #hand(rows: readonly StoredRow[]): Promise<Handed> {
		const { promise: stored, resolve: onStored } = Promise.withResolvers<void>();
		const { signingKey } = rows[0] as StoredRow;
		const delivered = this.#parts.drain.deliver(this.#agent, { signingKey, batches: rows, onStored }).then((answer) => {
			if (!answer.ok) throw new Error(answer.detail);
			return answer.value;
		});
		await Promise.race([stored, delivered]);
		return { rows, delivered };
	}

	#handUrgent(lane: Lane, afterRow: number): Promise<Handed> {
		return this.#hand(underOneKey(this.#parts.store.read(lane, afterRow, BOUNDS)));
	}

	async #deliverBulk(): Promise<void> {
		try {
			await this.#deliver(this.#bulk);
		} finally {
			this.#hasWaited = false;
			this.#parts.turns.forget(this.#onFree);
		}
	}

	/** Hands over some bulk when it is this channel's turn; otherwise waits, until then or until something else has come. */
	async #handBulk(afterRow: number): Promise<Handed | null> {
		const turns = this.#parts.turns;
		const beganMs = Date.now();
		const turn = turns.take(beganMs, this.#hasWaited);
		this.#hasWaited = turn === null;
		if (turn === null) {
			await this.#waitForTurn();
			return null;
		}
		turns.forget(this.#onFree);
		const rows = underOneKey(this.#parts.store.read("bulk", afterRow, { ...BOUNDS, bytesMax: turn.units }));
		const bytes = rows.reduce((sum, row) => sum + row.bytes.length, 0);
		turns.holds(turn, bytes);
		const isFull = bytes > turns.bytesMax / 2;
		try {
			return await this.#hand(rows);
		} finally {
			turns.done(turn, { ms: Date.now() - beganMs, isFull });
		}
	}

	#waitForTurn(): Promise<void> {
		return untilWoken((wake) => {
			this.#wake = wake;
			this.#parts.turns.await(this.#onFree);
		});
	}

	/** One function for the life of this pump: it has one place in the queue. */
	readonly #onFree = (): void => this.#wake();

	/** All of a delivery is stored, so all of it goes; A2 rises where the store can prove it to the agent. */
	#free(rows: readonly StoredRow[], { custody, gaps }: Delivered): void {
		const highest = new Map(rows.map((row) => [row.stream.join(), row]));
		const receipts = this.#parts.transaction(() => {
			for (const { stream, seq } of highest.values()) this.#parts.store.free(stream, seq);
			const nowMs = Date.now();
			if (noteGaps(this.#parts.store, gaps, nowMs)) this.#parts.wakeAt(nowMs + CHANNEL_LIMITS.holeAlarmMs + 1);
			return custody.map(({ stream, seq, proof }): Acknowledged => {
				this.#parts.store.raiseA2(stream, seq, proof);
				return { stream, level: "a2", seq, custody: proof };
			});
		});
		this.#parts.onDelivered(receipts);
	}

	async #deliverAlarms(): Promise<void> {
		for (const { row, code, detail, evidence } of this.#parts.store.alarms()) {
			await this.#parts.drain.onAlarm({ agent: this.#agent, code, detail, evidence });
			this.#parts.store.removeAlarm(row);
		}
		for (const { alarm, done } of this.#parts.news()) {
			await this.#parts.drain.onAlarm({ agent: this.#agent, ...alarm });
			done();
		}
	}

	/** Says how much waits when that is worth saying, and once when nothing does any more. */
	#tellBacklog(): void {
		const depths = this.#parts.store.depths();
		const oldestMs = Math.min(...LANES.map((lane) => depths[lane].oldestMs ?? Number.POSITIVE_INFINITY));
		const isBehind = Date.now() - oldestMs > CHANNEL_LIMITS.backlogToldMs;
		const isEmpty = LANES.every((lane) => depths[lane].batches === 0);
		if (!isBehind && !(isEmpty && this.#isBacklogTold)) return;
		this.#isBacklogTold = !isEmpty;
		this.#parts.drain.onBacklog?.(this.#agent, depths);
	}
}
