/**
 * One transaction for what many objects of this isolate want to write at the same time. A commit costs the store some milliseconds
 * whatever it holds, and a thousand agents with a word each would be a thousand of them. Guarantees that whoever waits is written in
 * order, that a write which fails in company is tried alone, so that nobody fails for another, and that an object which died while it
 * wrote for others does not keep them for ever. Must only be given writes that may be repeated: who was not answered tries again.
 */
import { forgetOldest } from "../../../durable/forget-oldest.ts";
import { type Place, Places, untilWoken } from "../../../durable/places.ts";

export interface GroupLimits {
	/** One transaction: what comes behind it waits so long. */
	readonly groupItemsMax: number;
	/** By the items' own measure. A single larger one goes all the same. */
	readonly groupBytesMax: number;
	/**
	 * Whoever writes for so long is taken for gone: the next one writes, too, and those it wrote for write alone. Where it lives after
	 * all, something is written twice.
	 */
	readonly groupHoldMsMax: number;
	readonly waitingMax: number;
}

/** Writes the items in one transaction and answers for each, in order. Throws when none of them is written. */
export type WriteTogether<Item, Answer> = (items: readonly Item[]) => Promise<readonly Answer[]>;

type Settled<Answer> = { readonly answer: Answer } | "alone";

interface Entry<Item, Answer> {
	readonly item: Item;
	readonly bytes: number;
	/** Null while nobody has written it. */
	settled: Settled<Answer> | null;
	/** When another object began to write it; null before. */
	takenMs: number | null;
	/** Ends its owner's wait, in the owner's own turn. */
	wake: () => void;
	/** Its one place in the queue of those who may write next. */
	readonly onTurn: () => void;
}

export class GroupCommit<Item, Answer> {
	readonly #limits: GroupLimits;
	/** One writes at a time: the store does, too, and what comes meanwhile goes together. */
	readonly #writer: Places;
	readonly #waiting = new Set<Entry<Item, Answer>>();

	constructor(limits: GroupLimits) {
		this.#limits = limits;
		this.#writer = new Places({ atOnce: 1, holdMsMax: limits.groupHoldMsMax, waitingMax: limits.waitingMax });
	}

	/** Written when this settles, alone or with others. `write` runs in the turn of whoever writes. Throws as `write` does. */
	async add(item: Item, bytes: number, write: WriteTogether<Item, Answer>): Promise<Answer> {
		const entry: Entry<Item, Answer> = {
			...{ item, bytes, settled: null, takenMs: null },
			wake: () => undefined,
			onTurn: () => entry.wake(),
		};
		this.#waiting.add(entry);
		forgetOldest(this.#waiting, this.#limits.waitingMax);
		try {
			for (let hasWaited = false; entry.settled === null; hasWaited = true) {
				const nowMs = Date.now();
				const turn = entry.takenMs === null ? this.#writer.take(nowMs, hasWaited) : null;
				if (turn !== null) await this.#lead(entry, turn, write);
				else if (entry.takenMs !== null && Math.abs(nowMs - entry.takenMs) > this.#limits.groupHoldMsMax)
					entry.settled = "alone";
				else await this.#wait(entry);
			}
		} finally {
			this.#waiting.delete(entry);
			this.#writer.forget(entry.onTurn);
		}
		if (entry.settled !== "alone") return entry.settled.answer;
		const [answer] = await write([item]);
		return answer as Answer;
	}

	#group(first: Entry<Item, Answer>): Entry<Item, Answer>[] {
		const group = [first];
		let bytes = first.bytes;
		for (const entry of this.#waiting) {
			if (entry === first || entry.takenMs !== null) continue;
			bytes += entry.bytes;
			if (group.length >= this.#limits.groupItemsMax || bytes > this.#limits.groupBytesMax) break;
			group.push(entry);
		}
		return group;
	}

	async #lead(own: Entry<Item, Answer>, turn: Place, write: WriteTogether<Item, Answer>): Promise<void> {
		const group = this.#group(own);
		for (const entry of group) {
			entry.takenMs = turn.takenMs;
			this.#waiting.delete(entry);
			// Who is written for others is not to be woken in the place of one who waits.
			this.#writer.forget(entry.onTurn);
		}
		try {
			const answers = await write(group.map(({ item }) => item));
			for (const [i, entry] of group.entries()) entry.settled = { answer: answers[i] as Answer };
		} catch (error) {
			// Alone it would fail the same way.
			if (group.length === 1) throw error;
			for (const entry of group) entry.settled = "alone";
		} finally {
			this.#writer.leave(turn);
			for (const entry of group) if (entry !== own) entry.wake();
		}
	}

	#wait(entry: Entry<Item, Answer>): Promise<void> {
		return untilWoken((wake) => {
			entry.wake = wake;
			if (entry.takenMs === null) this.#writer.await(entry.onTurn);
		});
	}
}
