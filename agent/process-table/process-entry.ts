/**
 * One process as the rest of the agent sees it: a handle on a row of the table, made when it is asked for. Guarantees that it
 * tells of its own process or throws: a handle is for the work on one event, and who keeps it longer than the table keeps the
 * process is stopped, not lied to. Must never be compared by identity: two handles may name one process; `id` says which.
 */
import { assertInvariant } from "#core/result.ts";
import type { Cgroup } from "./cgroups.ts";
import { FLAG, NONE, type Rows, WORD } from "./rows.ts";

/** A process by name, which may have been forgotten. */
export interface ProcessReference {
	/** `tgid:ticks`. */
	readonly id: string;
	readonly tgid: number;
	readonly key: Uint8Array;
}

type NumberField = "execCount" | "sid" | "uid" | "gid" | "euid";

export class ProcessEntry {
	#rows: Rows;
	#row: number;
	#generation: number;

	constructor(rows: Rows, row: number) {
		this.#rows = rows;
		this.#row = row;
		this.#generation = rows.get(row, WORD.generation);
	}

	/** Its row in these rows, or none when the table does not keep it. */
	rowIn(rows: Rows): number {
		return this.#rows === rows && rows.get(this.#row, WORD.generation) === this.#generation ? this.#row : NONE;
	}

	/** The table is about to forget the process: the handle keeps a copy of what was known. */
	keepCopy(): void {
		this.#rows = this.#rows.copyOf(this.#at);
		this.#row = 1;
		this.#generation = this.#rows.get(1, WORD.generation);
	}

	get #at(): number {
		const isOwn = this.#rows.get(this.#row, WORD.generation) === this.#generation;
		assertInvariant(isOwn, "a handle outlived its process in the table");
		return this.#row;
	}

	#number(field: NumberField): number | null {
		const row = this.#at;
		return this.#rows.has(row, FLAG[field]) ? this.#rows.get(row, WORD[field]) : null;
	}

	#setNumber(field: NumberField, value: number | null): void {
		const row = this.#at;
		this.#rows.mark(row, FLAG[field], value !== null);
		this.#rows.set(row, WORD[field], value ?? 0);
	}

	/** `tgid:ticks`. */
	get id(): string {
		return `${this.tgid}:${this.startTicks}`;
	}

	get tgid(): number {
		return this.#rows.get(this.#at, WORD.tgid);
	}

	get startTicks(): bigint {
		return this.#rows.ticks(this.#at, WORD.startTicks);
	}

	/** The 16-byte process key. */
	get key(): Uint8Array {
		return this.#rows.key(this.#at, WORD.key);
	}

	/** Who forked it, when the fork was seen; it stays when the table forgets that process. */
	get creator(): ProcessReference | null {
		const row = this.#at;
		if (!this.#rows.has(row, FLAG.creator)) return null;
		const tgid = this.#rows.get(row, WORD.creatorTgid);
		const id = `${tgid}:${this.#rows.ticks(row, WORD.creatorTicks)}`;
		return { id, tgid, key: this.#rows.key(row, WORD.creatorKey) };
	}

	/** The creator's key alone, which every event tells. */
	get creatorKey(): Uint8Array | null {
		const row = this.#at;
		return this.#rows.has(row, FLAG.creator) ? this.#rows.key(row, WORD.creatorKey) : null;
	}

	get hasCreator(): boolean {
		return this.#rows.has(this.#at, FLAG.creator);
	}

	/** Names its creator, who is its parent then. */
	setCreator(creator: ProcessEntry): void {
		const row = this.#at;
		const rows = this.#rows;
		const { tgid, startTicks, key } = creator;
		rows.set(row, WORD.creatorTgid, tgid);
		rows.setTicks(row, WORD.creatorTicks, startTicks);
		rows.setKey(row, WORD.creatorKey, key);
		rows.mark(row, FLAG.creator, true);
		this.setParent(tgid, key);
	}

	/** The current parent by the last event that named it. */
	get parent(): { readonly tgid: number; readonly key: Uint8Array } | null {
		const row = this.#at;
		if (!this.#rows.has(row, FLAG.parent)) return null;
		return { tgid: this.#rows.get(row, WORD.parentTgid), key: this.#rows.key(row, WORD.parentKey) };
	}

	setParent(tgid: number, key: Uint8Array): void {
		const row = this.#at;
		this.#rows.set(row, WORD.parentTgid, tgid);
		this.#rows.setKey(row, WORD.parentKey, key);
		this.#rows.mark(row, FLAG.parent, true);
	}

	/** Execs since its fork; null when the fork was not seen. */
	get execCount(): number | null {
		return this.#number("execCount");
	}

	set execCount(count: number | null) {
		this.#setNumber("execCount", count);
	}

	/** Session and terminal by the last exec or snapshot of it or of who forked it; null when unknown or without one. */
	get sid(): number | null {
		return this.#number("sid");
	}

	set sid(sid: number | null) {
		this.#setNumber("sid", sid);
	}

	get tty(): string | null {
		return this.#rows.ttys[this.#at] ?? null;
	}

	set tty(tty: string | null) {
		this.#rows.ttys[this.#at] = tty;
	}

	get exe(): string | null {
		return this.#rows.exes[this.#at] ?? null;
	}

	set exe(exe: string | null) {
		this.#rows.exes[this.#at] = exe;
	}

	get name(): string | null {
		return this.#rows.names[this.#at] ?? null;
	}

	set name(name: string | null) {
		this.#rows.names[this.#at] = name;
	}

	/** By the last event; null when the tier cannot tell. */
	get uid(): number | null {
		return this.#number("uid");
	}

	set uid(uid: number | null) {
		this.#setNumber("uid", uid);
	}

	get gid(): number | null {
		return this.#number("gid");
	}

	set gid(gid: number | null) {
		this.#setNumber("gid", gid);
	}

	get euid(): number | null {
		return this.#number("euid");
	}

	set euid(euid: number | null) {
		this.#setNumber("euid", euid);
	}

	get cgroup(): Cgroup | null {
		return this.#rows.cgroups[this.#at] ?? null;
	}

	set cgroup(cgroup: Cgroup | null) {
		this.#rows.cgroups[this.#at] = cgroup;
	}

	/** Why its view may be partial, inherited over forks: bits of `PARTIAL_CAUSES`; 0 = nothing is known to be missing. */
	get partialBits(): number {
		return this.#rows.partialBits(this.#at);
	}

	set partialBits(bits: number) {
		this.#rows.setPartialBits(this.#at, bits);
	}

	/** Two processes of one pid started in one tick: both have this entry and this key. */
	get isKeyShared(): boolean {
		return this.#rows.has(this.#at, FLAG.keyShared);
	}

	set isKeyShared(isShared: boolean) {
		this.#rows.mark(this.#at, FLAG.keyShared, isShared);
	}

	get isAlive(): boolean {
		return this.#rows.has(this.#at, FLAG.alive);
	}

	set isAlive(isAlive: boolean) {
		this.#rows.mark(this.#at, FLAG.alive, isAlive);
	}

	/** Named as a parent only, never seen itself. */
	get isInferred(): boolean {
		return this.#rows.has(this.#at, FLAG.inferred);
	}

	set isInferred(isInferred: boolean) {
		this.#rows.mark(this.#at, FLAG.inferred, isInferred);
	}

	/** Who holds its ancestry in the table: the creator, the parent it had when first seen, or the nearest above that is left. */
	get ancestor(): ProcessEntry | null {
		const ancestor = this.#rows.get(this.#at, WORD.ancestor);
		return ancestor === NONE ? null : new ProcessEntry(this.#rows, ancestor);
	}

	get hasAncestor(): boolean {
		return this.#rows.get(this.#at, WORD.ancestor) !== NONE;
	}

	/** Forks between it and its ancestor: 1, and one more for each that was taken out between them. */
	get ancestorSteps(): number {
		return this.#rows.get(this.#at, WORD.ancestorSteps);
	}

	/** Entries in the table whose ancestor this is. */
	get childCount(): number {
		return this.#rows.get(this.#at, WORD.childCount);
	}
}

/** Bits of `partialBits`; a cause that this version does not know has the last. */
const PARTIAL_CAUSES = ["io_uring", "compat32", "other"] as const;

/** Why the view of a process may be partial; empty when nothing is known to be missing. */
export function partialCausesOf(entry: ProcessEntry): string[] {
	const { partialBits } = entry;
	return PARTIAL_CAUSES.filter((_, bit) => (partialBits & (1 << bit)) !== 0);
}

/** Marks a process and so its children to come. False: its lineage had the mark already. */
export function markPartial(entry: ProcessEntry, cause: string): boolean {
	const known = (PARTIAL_CAUSES as readonly string[]).indexOf(cause);
	const bit = 1 << (known === -1 ? PARTIAL_CAUSES.indexOf("other") : known);
	if ((entry.partialBits & bit) !== 0) return false;
	entry.partialBits |= bit;
	return true;
}
