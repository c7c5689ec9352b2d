/**
 * What goes upstream next: strict lane priority with a small floor for the lowest lane, and a window of bytes sent but not yet
 * acknowledged. Pure. Guarantees that a trace batch never waits for bulk receipts (the window keeps a reserve that only higher
 * lanes may use) and that bulk gets at least one carrier in `floorEvery` when it waits.
 */
import type { Lane } from "#core/model/batch.ts";

export class LaneScheduler {
	readonly #priorities: readonly Lane[];
	readonly #floorEvery: number;
	#sinceFloor = 0;

	constructor(priorities: readonly Lane[], floorEvery: number) {
		this.#priorities = priorities;
		this.#floorEvery = floorEvery;
	}

	/** The lane of the next carrier, or null when none waits. Counts the carrier as sent. */
	next(isWaiting: (lane: Lane) => boolean): Lane | null {
		const waiting = this.#priorities.filter(isWaiting);
		const first = waiting[0];
		if (first === undefined) return null;
		const last = waiting.at(-1) as Lane;
		if (last !== first && this.#sinceFloor >= this.#floorEvery - 1) {
			this.#sinceFloor = 0;
			return last;
		}
		this.#sinceFloor = last === first ? 0 : this.#sinceFloor + 1;
		return first;
	}
}

/** One batch on its way; `atMs` by the wall clock. */
export interface Sent {
	readonly seq: number;
	readonly bytes: number;
	readonly atMs: number;
}

export class SendWindow {
	readonly #bytesMax: number;
	readonly #reserveBytes: number;
	readonly #sent = new Map<string, Sent[]>();
	#unackedBytes = 0;

	constructor(bytesMax: number, reserveBytes: number) {
		this.#bytesMax = bytesMax;
		this.#reserveBytes = reserveBytes;
	}

	get unackedBytes(): number {
		return this.#unackedBytes;
	}

	/** Whether a carrier of this lane may go now. The lowest lane may not use the reserve. */
	hasRoom(isLowestLane: boolean): boolean {
		return this.#unackedBytes < (isLowestLane ? this.#bytesMax - this.#reserveBytes : this.#bytesMax);
	}

	/** `key` names one stream of one agent. */
	add(key: string, sentBatch: Sent): void {
		const { bytes } = sentBatch;
		const sent = this.#sent.get(key) ?? [];
		sent.push(sentBatch);
		this.#sent.set(key, sent);
		this.#unackedBytes += bytes;
	}

	/** Streams whose oldest batch was sent outside of the last `afterMs`; a clock that was set back counts as long ago. */
	overdue(nowMs: number, afterMs: number): string[] {
		const isOverdue = ({ atMs }: Sent) => nowMs - atMs > afterMs || atMs > nowMs;
		return [...this.#sent].flatMap(([key, [oldest]]) => (oldest !== undefined && isOverdue(oldest) ? [key] : []));
	}

	/** Frees everything of the stream up to `seq`; answers when the newest of it was sent. */
	acknowledge(key: string, seq: number): number | null {
		const sent = this.#sent.get(key);
		if (sent === undefined) return null;
		const left = sent.filter((each) => each.seq > seq);
		for (const each of sent) if (each.seq <= seq) this.#unackedBytes -= each.bytes;
		if (left.length === 0) this.#sent.delete(key);
		else this.#sent.set(key, left);
		return sent.findLast((each) => each.seq <= seq)?.atMs ?? null;
	}

	/** Frees one batch that was refused. */
	forget(key: string, seq: number): void {
		const sent = this.#sent.get(key) ?? [];
		const left = sent.filter((each) => each.seq !== seq);
		for (const each of sent) if (each.seq === seq) this.#unackedBytes -= each.bytes;
		if (left.length === 0) this.#sent.delete(key);
		else this.#sent.set(key, left);
	}

	/** Frees every stream whose key begins so. */
	forgetOwner(prefix: string): void {
		for (const key of [...this.#sent.keys()]) if (key.startsWith(prefix)) this.forgetStream(key);
	}

	/** Frees a whole stream: it will be sent again. */
	forgetStream(key: string): void {
		this.acknowledge(key, Number.MAX_SAFE_INTEGER);
	}
}
