/**
 * The dead with at most one row below them, oldest first: they can go without a distance being lost. A list through the rows
 * themselves; every step costs the same however long it is.
 */
import { FLAG, NONE, type Rows, WORD } from "./rows.ts";

export class Remainder {
	readonly #rows: Rows;
	#oldest = NONE;
	#newest = NONE;
	#size = 0;

	constructor(rows: Rows) {
		this.#rows = rows;
	}

	get size(): number {
		return this.#size;
	}

	/** Who goes first, or none. */
	get oldest(): number {
		return this.#oldest;
	}

	has(row: number): boolean {
		return this.#rows.has(row, FLAG.dead);
	}

	add(row: number): void {
		const rows = this.#rows;
		rows.mark(row, FLAG.dead, true);
		rows.set(row, WORD.nextDead, NONE);
		rows.set(row, WORD.previousDead, this.#newest);
		if (this.#newest === NONE) this.#oldest = row;
		else rows.set(this.#newest, WORD.nextDead, row);
		this.#newest = row;
		this.#size++;
	}

	/** Takes a row out, when it is in. */
	delete(row: number): void {
		const rows = this.#rows;
		if (!this.has(row)) return;
		const next = rows.get(row, WORD.nextDead);
		const previous = rows.get(row, WORD.previousDead);
		if (next === NONE) this.#newest = previous;
		else rows.set(next, WORD.previousDead, previous);
		if (previous === NONE) this.#oldest = next;
		else rows.set(previous, WORD.nextDead, next);
		rows.mark(row, FLAG.dead, false);
		this.#size--;
	}
}
