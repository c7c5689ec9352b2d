/**
 * The Security Center's drain of one channel: hands waiting batches to the store, most urgent lane first, and frees them when
 * the store says that a signed checkpoint covers them. Guarantees order within a stream and at-least-once; exactly-once is the
 * store's promise. While the store says no nothing is lost: rows stay, the wait doubles, and an alarm set before the first try
 * finds them after a crash.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { LANES } from "#core/model/batch.ts";
import { backoffMs } from "./backoff.ts";
import type { ChannelStore, StoredRow } from "./channel-store.ts";
import type { ChannelAlarm, Delivered, StoreDrain } from "./drain.ts";
import type { Acknowledged } from "./faces.ts";
import { noteGaps } from "./holes.ts";
import { CHANNEL_LIMITS, TURN_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import type { StoreTurns } from "./store-turns.ts";

const BACKOFF = { firstMs: CHANNEL_LIMITS.deliverBackoffMs, longestMs: CHANNEL_LIMITS.deliverBackoffMsMax };
const BOUNDS = { bytesMax: CHANNEL_LIMITS.deliverBytesMax, batchesMax: CHANNEL_LIMITS.deliverBatchesMax };

export interface PumpParts {
	readonly store: ChannelStore;
	readonly drain: StoreDrain;
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

export class StorePump {
	readonly #parts: PumpParts;
	#running: Promise<void> | null = null;
	#isKicked = false;
	#failures = 0;
	#notBeforeMs = 0;
	#isBacklogTold = false;
	/** Whether the turn that is asked for next was waited for. */
	#hasWaited = false;
	/** Ends the wait for a turn early. */
	#wake: () => void = () => undefined;

	constructor(parts: PumpParts) {
		this.#parts = parts;
	}

	/** Delivers whatever waits; at once, or when the current wait is over. */
	kick(agent: string): Promise<void> {
		this.#isKicked = true;
		this.#wake();
		const waitMs = this.#notBeforeMs - Date.now();
		// A wait longer than the longest was set by a clock that has been set back since.
		if (waitMs > 0 && waitMs <= CHANNEL_LIMITS.deliverBackoffMsMax) {
			this.#parts.wakeAt(this.#notBeforeMs);
			return Promise.resolve();
		}
		this.#running ??= this.#run(agent);
		return this.#running;
	}

	async #run(agent: string): Promise<void> {
		try {
			while (this.#isKicked) {
				this.#isKicked = false;
				await this.#deliverAlarms(agent);
				await this.#deliverBatches(agent);
			}
			this.#failures = 0;
		} catch (error) {
			this.#failures++;
			this.#notBeforeMs = Date.now() + backoffMs(BACKOFF, this.#failures, Math.random());
			this.#parts.wakeAt(this.#notBeforeMs);
			logLine("warning", "drain_unavailable", { agent, failures: this.#failures, detail: (error as Error).message });
			this.#tellBacklog(agent);
		} finally {
			this.#running = null;
			this.#hasWaited = false;
			this.#parts.turns.forget(this.#onFree);
		}
	}

	async #deliverBatches(agent: string): Promise<void> {
		for (;;) {
			const lane = LANES.find((each) => this.#parts.store.read(each, 0, { bytesMax: 0, batchesMax: 1 }).length > 0);
			if (lane === undefined) return;
			if (lane === "bulk") await this.#deliverBulk(agent);
			else await this.#deliver(agent, underOneKey(this.#parts.store.read(lane, 0, BOUNDS)));
			this.#tellBacklog(agent);
		}
	}

	async #deliver(agent: string, rows: readonly StoredRow[]): Promise<void> {
		const delivered = await this.#parts.drain.deliver(agent, (rows[0] as StoredRow).signingKey, rows);
		if (!delivered.ok) throw new Error(delivered.detail);
		this.#free(rows, delivered.value);
	}

	/** Delivers some bulk when it is this channel's turn; otherwise waits, until then or until something else has come. */
	async #deliverBulk(agent: string): Promise<void> {
		const turns = this.#parts.turns;
		const beganMs = Date.now();
		const turn = turns.take(beganMs, this.#hasWaited);
		this.#hasWaited = turn === null;
		if (turn === null) {
			await this.#waitForTurn();
			return;
		}
		turns.forget(this.#onFree);
		const rows = underOneKey(this.#parts.store.read("bulk", 0, { ...BOUNDS, bytesMax: turn.units }));
		const bytes = rows.reduce((sum, row) => sum + row.bytes.length, 0);
		turns.holds(turn, bytes);
		const isFull = bytes > turns.bytesMax / 2;
		try {
			await this.#deliver(agent, rows);
		} finally {
			turns.done(turn, { ms: Date.now() - beganMs, isFull });
		}
	}

	async #waitForTurn(): Promise<void> {
		const { promise, resolve } = Promise.withResolvers<void>();
		const timer = setTimeout(resolve, TURN_LIMITS.lookMs);
		this.#wake = resolve;
		this.#parts.turns.await(this.#onFree);
		await promise;
		// Here and not in the callback: that runs in another object's turn, whose timers are not ours.
		clearTimeout(timer);
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

	async #deliverAlarms(agent: string): Promise<void> {
		for (const { row, code, detail, evidence } of this.#parts.store.alarms()) {
			await this.#parts.drain.onAlarm({ agent, code, detail, evidence });
			this.#parts.store.removeAlarm(row);
		}
		for (const { alarm, done } of this.#parts.news()) {
			await this.#parts.drain.onAlarm({ agent, ...alarm });
			done();
		}
	}

	/** Says how much waits when that is worth saying, and once when nothing does any more. */
	#tellBacklog(agent: string): void {
		const depths = this.#parts.store.depths();
		const oldestMs = Math.min(...LANES.map((lane) => depths[lane].oldestMs ?? Number.POSITIVE_INFINITY));
		const isBehind = Date.now() - oldestMs > CHANNEL_LIMITS.backlogToldMs;
		const isEmpty = LANES.every((lane) => depths[lane].batches === 0);
		if (!isBehind && !(isEmpty && this.#isBacklogTold)) return;
		this.#isBacklogTold = !isEmpty;
		this.#parts.drain.onBacklog?.(agent, depths);
	}
}
