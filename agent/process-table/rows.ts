/**
 * The process table's memory: one buffer of fixed rows, outside the heap that is collected, and beside it what stays an object
 * because every event tells it (texts, cgroups). Guarantees that a row costs the same whatever it holds, that the kernel gives
 * pages only for rows that were used, and that who keeps a row's number notices when the row was given to another process. Must
 * never know what a process is: the rooms beside it do.
 */
import { assertInvariant } from "#core/result.ts";
import type { Cgroup } from "./cgroups.ts";

/** No row: rows are numbered from 1. */
export const NONE = 0;

/** 32-bit words of a row; those of 64 bits lie on even ones. */
export const ROW_WORDS = 40;
const KEY_BYTES = 16;

export const WORD = {
	tgid: 0,
	flags: 1,
	startTicks: 2,
	key: 4,
	creatorKey: 8,
	creatorTicks: 12,
	creatorTgid: 14,
	parentTgid: 15,
	parentKey: 16,
	execCount: 20,
	sid: 21,
	uid: 22,
	gid: 23,
	euid: 24,
	/** Grows when the row is given back: an old number with another generation names nobody. */
	generation: 25,
	/** Links to other rows; 0 = none. */
	ancestor: 26,
	ancestorSteps: 27,
	childCount: 28,
	firstChild: 29,
	nextSibling: 30,
	previousSibling: 31,
	/** The next older process of the same pid. */
	olderOfTgid: 32,
	/** Neighbours among the dead that can be forgotten, by age; of a free row the next free one. */
	nextDead: 33,
	previousDead: 34,
} as const;
export type Word = (typeof WORD)[keyof typeof WORD];

/** Bits of `WORD.flags`. The first say which numbers are known. */
export const FLAG = {
	execCount: 1 << 0,
	sid: 1 << 1,
	uid: 1 << 2,
	gid: 1 << 3,
	euid: 1 << 4,
	creator: 1 << 5,
	parent: 1 << 6,
	alive: 1 << 7,
	inferred: 1 << 8,
	keyShared: 1 << 9,
	dead: 1 << 10,
} as const;
/** Above the flags. */
const PARTIAL_SHIFT = 16;
const FLAGS_MASK = (1 << PARTIAL_SHIFT) - 1;

export type KeyWord = typeof WORD.key | typeof WORD.creatorKey | typeof WORD.parentKey;
export type TicksWord = typeof WORD.startTicks | typeof WORD.creatorTicks;

export class Rows {
	readonly capacity: number;
	readonly #bytes: Uint8Array;
	readonly #words: Uint32Array;
	readonly #ticks: BigUint64Array;
	/** Rows that were ever used: 1 to this. */
	#used = 0;
	#free = NONE;
	#size = 0;
	/** By row; shared texts are one string each (TextPool). */
	readonly exes: (string | null)[] = [null];
	readonly names: (string | null)[] = [null];
	readonly ttys: (string | null)[] = [null];
	readonly cgroups: (Cgroup | null)[] = [null];

	/** Takes address space for all rows at once; a page becomes memory when its first row is used. */
	constructor(capacity: number) {
		this.capacity = capacity;
		const buffer = new ArrayBuffer((capacity + 1) * ROW_WORDS * 4);
		this.#bytes = new Uint8Array(buffer);
		this.#words = new Uint32Array(buffer);
		this.#ticks = new BigUint64Array(buffer);
	}

	/** Rows in use. */
	get size(): number {
		return this.#size;
	}

	/** Rows that may be in use: none lies above. */
	get lastUsed(): number {
		return this.#used;
	}

	/** An empty row; the caller has seen that `size` is below `capacity`. */
	take(): number {
		assertInvariant(this.#size < this.capacity, "a full table takes no row");
		this.#size++;
		const row = this.#free === NONE ? ++this.#used : this.#free;
		if (row === this.#free) this.#free = this.get(row, WORD.nextDead);
		const generation = this.get(row, WORD.generation);
		this.#words.fill(0, row * ROW_WORDS, (row + 1) * ROW_WORDS);
		this.set(row, WORD.generation, generation);
		this.#dropObjects(row);
		return row;
	}

	/** Gives a row back; nothing may link to it any more. */
	release(row: number): void {
		this.#words.fill(0, row * ROW_WORDS, row * ROW_WORDS + WORD.generation);
		this.set(row, WORD.generation, this.get(row, WORD.generation) + 1);
		this.set(row, WORD.nextDead, this.#free);
		this.#dropObjects(row);
		this.#free = row;
		this.#size--;
	}

	#dropObjects(row: number): void {
		this.exes[row] = null;
		this.names[row] = null;
		this.ttys[row] = null;
		this.cgroups[row] = null;
	}

	get(row: number, word: Word): number {
		return this.#words[row * ROW_WORDS + word] as number;
	}

	set(row: number, word: Word, value: number): void {
		this.#words[row * ROW_WORDS + word] = value;
	}

	/** Adds to a word, up to what 32 bits hold. */
	add(row: number, word: Word, value: number): void {
		this.set(row, word, Math.min(this.get(row, word) + value, 0xffff_ffff));
	}

	has(row: number, flag: number): boolean {
		return (this.get(row, WORD.flags) & flag) !== 0;
	}

	/** A free row has no flag. */
	mark(row: number, flag: number, isSet: boolean): void {
		const flags = this.get(row, WORD.flags);
		this.set(row, WORD.flags, isSet ? flags | flag : flags & ~flag);
	}

	partialBits(row: number): number {
		return this.get(row, WORD.flags) >>> PARTIAL_SHIFT;
	}

	setPartialBits(row: number, bits: number): void {
		this.set(row, WORD.flags, (this.get(row, WORD.flags) & FLAGS_MASK) | (bits << PARTIAL_SHIFT));
	}

	ticks(row: number, word: TicksWord): bigint {
		return this.#ticks[(row * ROW_WORDS + word) >> 1] as bigint;
	}

	setTicks(row: number, word: TicksWord, ticks: bigint): void {
		this.#ticks[(row * ROW_WORDS + word) >> 1] = ticks;
	}

	/** A copy: events outlive rows. */
	key(row: number, word: KeyWord): Uint8Array {
		const at = (row * ROW_WORDS + word) * 4;
		const key = new Uint8Array(KEY_BYTES);
		// Three keys an event: the platform's `slice` costs several times this loop.
		for (let i = 0; i < KEY_BYTES; i++) key[i] = this.#bytes[at + i] as number;
		return key;
	}

	setKey(row: number, word: KeyWord, key: Uint8Array): void {
		this.#bytes.set(key, (row * ROW_WORDS + word) * 4);
	}

	copyKey(row: number, word: KeyWord, fromRow: number, fromWord: KeyWord): void {
		const at = (fromRow * ROW_WORDS + fromWord) * 4;
		this.#bytes.copyWithin((row * ROW_WORDS + word) * 4, at, at + KEY_BYTES);
	}

	/** Rows of its own that hold a copy of one row, without its links. */
	copyOf(row: number): Rows {
		const copy = new Rows(1);
		const own = copy.take();
		const at = row * ROW_WORDS;
		copy.#words.set(this.#words.subarray(at, at + WORD.generation), own * ROW_WORDS);
		copy.exes[own] = this.exes[row] ?? null;
		copy.names[own] = this.names[row] ?? null;
		copy.ttys[own] = this.ttys[row] ?? null;
		copy.cgroups[own] = this.cgroups[row] ?? null;
		return copy;
	}
}
