/**
 * Which rows a pid has: open addressing from the pid to the row of its newest process, the older ones behind it by their start.
 * Guarantees that every row that was added is found until it is removed, and one probe or two for a pid whatever has come and
 * gone (no tombstones). Must never be asked for more pids than it was made for.
 */
import { NONE, type Rows, WORD } from "./rows.ts";

/** 2^32 divided by the golden ratio: neighbouring pids land far apart. */
const SPREAD = 0x9e37_79b1;

export class TgidIndex {
	readonly #rows: Rows;
	/** The newest row of a pid, or none. At most half of the slots are used. */
	readonly #slots: Uint32Array;
	readonly #shift: number;

	constructor(rows: Rows) {
		this.#rows = rows;
		const bits = Math.max(2, Math.ceil(Math.log2(2 * rows.capacity)));
		this.#slots = new Uint32Array(2 ** bits);
		this.#shift = 32 - bits;
	}

	#homeOf(tgid: number): number {
		return Math.imul(tgid, SPREAD) >>> this.#shift;
	}

	/** The slot that holds the pid, or the empty one where it would stand. */
	#slotOf(tgid: number): number {
		const mask = this.#slots.length - 1;
		let slot = this.#homeOf(tgid);
		for (;;) {
			const row = this.#slots[slot] as number;
			if (row === NONE || this.#rows.get(row, WORD.tgid) === tgid) return slot;
			slot = (slot + 1) & mask;
		}
	}

	/** The newest process of a pid, or none. */
	newest(tgid: number): number {
		return this.#slots[this.#slotOf(tgid)] as number;
	}

	find(tgid: number, startTicks: bigint): number {
		let row = this.newest(tgid);
		while (row !== NONE && this.#rows.ticks(row, WORD.startTicks) !== startTicks)
			row = this.#rows.get(row, WORD.olderOfTgid);
		return row;
	}

	/** Adds a row, which has its pid and start already. */
	add(row: number): void {
		const rows = this.#rows;
		const slot = this.#slotOf(rows.get(row, WORD.tgid));
		const ticks = rows.ticks(row, WORD.startTicks);
		let newer = NONE;
		let older = this.#slots[slot] as number;
		while (older !== NONE && rows.ticks(older, WORD.startTicks) > ticks) {
			newer = older;
			older = rows.get(older, WORD.olderOfTgid);
		}
		rows.set(row, WORD.olderOfTgid, older);
		if (newer === NONE) this.#slots[slot] = row;
		else rows.set(newer, WORD.olderOfTgid, row);
	}

	remove(row: number): void {
		const rows = this.#rows;
		const slot = this.#slotOf(rows.get(row, WORD.tgid));
		const older = rows.get(row, WORD.olderOfTgid);
		let at = this.#slots[slot] as number;
		if (at === row) {
			this.#slots[slot] = older;
			if (older === NONE) this.#closeGap(slot);
			return;
		}
		while (rows.get(at, WORD.olderOfTgid) !== row) at = rows.get(at, WORD.olderOfTgid);
		rows.set(at, WORD.olderOfTgid, older);
	}

	/** Moves up what would not be found any more across the slot that became empty. */
	#closeGap(empty: number): void {
		const mask = this.#slots.length - 1;
		let gap = empty;
		let slot = (gap + 1) & mask;
		for (let row = this.#slots[slot] as number; row !== NONE; row = this.#slots[slot] as number) {
			const home = this.#homeOf(this.#rows.get(row, WORD.tgid));
			// Its home lies at or before the gap: it may stand there.
			if (((slot - home) & mask) >= ((slot - gap) & mask)) {
				this.#slots[gap] = row;
				this.#slots[slot] = NONE;
				gap = slot;
			}
			slot = (slot + 1) & mask;
		}
	}
}
