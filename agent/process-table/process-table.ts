/**
 * The process table: who is running, who started whom, and since which exec. Keyed by process id and start ticks, so a reused
 * pid is another process. Rows lie outside the collected heap (rows.ts); entries are handles made when asked for. Guarantees: how
 * far a living process stands below another, living or still remembered, is never
 * forgotten, nor who created it; the dead with at most one entry below them are remembered up to a bound, so a chain of dead
 * takes no room however long it grows, and entries are at most twice the living and that bound; at the cap a new process still
 * gets its key and its event, but is not remembered (counted as `refusedCount`). Not kept: names and programs of dead ancestors
 * beyond that bound. Must never guess a creator: only a fork says who created whom.
 */
import { type ProcessIdentity, processKeyOf } from "#core/model/ids.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { CgroupTable } from "./cgroups.ts";
import { Kin } from "./kin.ts";
import { ProcessEntry } from "./process-entry.ts";
import { Remainder } from "./remainder.ts";
import { FLAG, NONE, Rows, WORD } from "./rows.ts";
import { TextPool } from "./text-pool.ts";
import { TgidIndex } from "./tgid-index.ts";

export interface ProcessName {
	readonly tgid: number;
	readonly startTicks: bigint;
}

export class ProcessTable {
	readonly cgroups = new CgroupTable();
	/** Programs, names and terminals that entries hold. */
	readonly texts = new TextPool();
	readonly #host: Pick<ProcessIdentity, "machineId" | "bootId">;
	readonly #deadMax: number;
	readonly #rows: Rows;
	readonly #index: TgidIndex;
	readonly #kin: Kin;
	/** Dead with at most one entry below them, oldest first: they can go without a distance being lost. */
	readonly #remainder: Remainder;
	/** The handle given out last: the work on one event asks for one process several times. */
	#last: ProcessEntry | null = null;
	/** Who is still needed while room is made for another process, which may forget it. */
	#held: ProcessEntry | null = null;
	/** Processes that the full table did not take. */
	refusedCount = 0;
	/** Processes whose exit was never seen: their pid came again. */
	missedExitCount = 0;

	constructor(host: Pick<ProcessIdentity, "machineId" | "bootId">, limits?: { processesMax: number; deadMax: number }) {
		this.#host = host;
		this.#rows = new Rows(limits?.processesMax ?? AGENT_LIMITS.processesMax);
		this.#deadMax = limits?.deadMax ?? AGENT_LIMITS.deadProcessesMax;
		this.#index = new TgidIndex(this.#rows);
		this.#kin = new Kin(this.#rows);
		this.#remainder = new Remainder(this.#rows);
	}

	get size(): number {
		return this.#rows.size;
	}

	/** Links between processes that were walked so far. */
	get followedCount(): number {
		return this.#kin.followedCount;
	}

	#handle(row: number): ProcessEntry {
		if (this.#last?.rowIn(this.#rows) !== row) this.#last = new ProcessEntry(this.#rows, row);
		return this.#last as ProcessEntry;
	}

	/** The process that has this pid now, as far as is known. */
	byTgid(tgid: number): ProcessEntry | undefined {
		const row = this.#index.newest(tgid);
		return row === NONE ? undefined : this.#handle(row);
	}

	find(name: ProcessName): ProcessEntry | undefined {
		const row = this.#index.find(name.tgid, name.startTicks);
		return row === NONE ? undefined : this.#handle(row);
	}

	/** A process that something was seen of; made when it is new. */
	observe(name: ProcessName): ProcessEntry {
		const known = this.find(name);
		if (known === undefined) return this.#create(name, false);
		known.isInferred = false;
		return known;
	}

	/**
	 * A process that something is told of long after it was done. One that the table does not know may have ended and been
	 * forgotten, and no exit will come of it: it gets its key and takes no place.
	 */
	mention(name: ProcessName): ProcessEntry {
		return this.find(name) ?? this.#unplaced(name, true);
	}

	/**
	 * A child came: its creator is now known, and it has not executed anything yet. Where the collector sees each fork once, a
	 * second fork of one name is a second process that the key cannot tell from the first: the entry is marked and starts anew.
	 */
	fork(child: ProcessName, creatorName: ProcessName, isForkSeenOnce = false): ProcessEntry {
		const creator = this.find(creatorName) ?? this.#create(creatorName, true);
		this.#held = creator;
		const entry = this.observe(child);
		this.#held = null;
		if (isForkSeenOnce && entry.hasCreator) this.#share(entry);
		entry.setCreator(creator);
		// An exec may have overtaken the fork on another CPU: what it told stays.
		entry.execCount ??= 0;
		entry.exe ??= creator.exe;
		entry.name ??= creator.name;
		entry.sid ??= creator.sid;
		entry.tty ??= creator.tty;
		entry.cgroup ??= creator.cgroup;
		entry.partialBits |= creator.partialBits;
		this.#setAncestor(entry, creator);
		return entry;
	}

	#share(entry: ProcessEntry): void {
		entry.isKeyShared = true;
		entry.execCount = null;
		entry.exe = null;
		entry.name = null;
		entry.sid = null;
		entry.tty = null;
		entry.isAlive = true;
		const row = entry.rowIn(this.#rows);
		if (row !== NONE) this.#remainder.delete(row);
	}

	/** The current parent, as exec and snapshot tell it. It becomes the ancestor only where no fork was seen. */
	setParent(entry: ProcessEntry, parentName: ProcessName): void {
		if (parentName.tgid === 0) return;
		if (!entry.hasAncestor) {
			this.#held = entry;
			const parent = this.find(parentName) ?? this.#create(parentName, true);
			this.#held = null;
			this.#setAncestor(entry, parent);
		}
		entry.setParent(parentName.tgid, this.keyOf(parentName));
	}

	exit(name: ProcessName): ProcessEntry {
		const entry = this.observe(name);
		const row = entry.rowIn(this.#rows);
		if (row === NONE) entry.isAlive = false;
		else this.#bury(row);
		return entry;
	}

	/** After a snapshot everything that runs has been seen: who was only named as a parent is gone. */
	endSnapshot(): void {
		for (let row = 1; row <= this.#rows.lastUsed; row++) if (this.#rows.has(row, FLAG.inferred)) this.#bury(row);
	}

	/** The process and who stands below it in the table, to a depth; the work grows with them and not with the table. */
	*descendants(
		root: ProcessEntry,
		depthMax: number,
	): Generator<{ readonly entry: ProcessEntry; readonly depth: number }> {
		const rootRow = root.rowIn(this.#rows);
		if (rootRow === NONE) {
			yield { entry: root, depth: 0 };
			return;
		}
		for (const { row, depth } of this.#kin.descendantsOf(rootRow, depthMax))
			yield { entry: new ProcessEntry(this.#rows, row), depth };
	}

	/** The key of a process, whether it is in the table or not. */
	keyOf(name: ProcessName): Uint8Array {
		return this.find(name)?.key ?? this.#keyOf(name);
	}

	#keyOf({ tgid, startTicks }: ProcessName): Uint8Array {
		const { machineId, bootId } = this.#host;
		return processKeyOf({ machineId, bootId, tgid, startTicks });
	}

	#fill(rows: Rows, name: ProcessName, isInferred: boolean): number {
		const row = rows.take();
		rows.set(row, WORD.tgid, name.tgid);
		rows.setTicks(row, WORD.startTicks, name.startTicks);
		rows.setKey(row, WORD.key, this.#keyOf(name));
		rows.set(row, WORD.ancestorSteps, 1);
		rows.set(row, WORD.flags, isInferred ? FLAG.alive | FLAG.inferred : FLAG.alive);
		return row;
	}

	/** An entry that the table does not keep has a row of its own. */
	#unplaced(name: ProcessName, isInferred: boolean): ProcessEntry {
		const rows = new Rows(1);
		return new ProcessEntry(rows, this.#fill(rows, name, isInferred));
	}

	#create(name: ProcessName, isInferred: boolean): ProcessEntry {
		const rows = this.#rows;
		if (rows.size >= rows.capacity && !this.#forgetOldest()) {
			this.refusedCount++;
			return this.#unplaced(name, isInferred);
		}
		const before = this.#index.newest(name.tgid);
		const row = this.#fill(rows, name, isInferred);
		this.#index.add(row);
		// The same pid with another start: the older of the two has ended, whether its exit came or not.
		if (before !== NONE && rows.has(before, FLAG.alive) && this.#index.newest(name.tgid) === row) {
			if (!rows.has(before, FLAG.inferred)) this.missedExitCount++;
			this.#bury(before);
		}
		return this.#handle(row);
	}

	#setAncestor(entry: ProcessEntry, ancestor: ProcessEntry): void {
		const rows = this.#rows;
		const row = entry.rowIn(rows);
		const above = ancestor.rowIn(rows);
		// An entry that the full table refused must not hold one that is kept.
		if (row === above || row === NONE || above === NONE) return;
		const old = rows.get(row, WORD.ancestor);
		if (old === above) {
			rows.set(row, WORD.ancestorSteps, 1);
			return;
		}
		// Only who has children can stand above another: a new process costs no walk, however deep its creator stands.
		const hasChildren = rows.get(row, WORD.childCount) > 0;
		if (hasChildren && this.#kin.mayStandAbove(row, above, AGENT_LIMITS.ancestryWalkMax)) return;
		this.#kin.detach(row);
		this.#kin.attach(row, above, 1);
		if (rows.get(above, WORD.childCount) > 1) this.#remainder.delete(above);
		if (old !== NONE) this.#rememberIfBare(old);
	}

	#bury(row: number): void {
		if (!this.#rows.has(row, FLAG.alive)) return;
		this.#rows.mark(row, FLAG.alive, false);
		this.#rememberIfBare(row);
	}

	#rememberIfBare(row: number): void {
		const rows = this.#rows;
		if (rows.has(row, FLAG.alive) || rows.get(row, WORD.childCount) > 1 || this.#remainder.has(row)) return;
		this.#remainder.add(row);
		while (this.#remainder.size > this.#deadMax) this.#forgetOldest();
	}

	/** Forgets the oldest of the remainder. What stands below it moves up, at the same distance to all others. */
	#forgetOldest(): boolean {
		const row = this.#remainder.oldest;
		if (row === NONE) return false;
		for (const handle of [this.#last, this.#held])
			if (handle !== null && handle.rowIn(this.#rows) === row) handle.keepCopy();
		this.#remainder.delete(row);
		this.#index.remove(row);
		const ancestor = this.#rows.get(row, WORD.ancestor);
		this.#kin.takeOut(row);
		this.#rows.release(row);
		if (ancestor !== NONE) this.#rememberIfBare(ancestor);
		return true;
	}
}
