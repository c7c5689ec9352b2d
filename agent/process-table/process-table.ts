/**
 * The process table: who is running, who started whom, and since which exec. Keyed by process id and start ticks, so a reused
 * pid is another process. Guarantees: how far a living process stands below another, living or still remembered, is never
 * forgotten, nor who created it; the dead with at most one entry below them are remembered up to a bound, so a chain of dead
 * takes no room however long it grows, and entries are at most twice the living and that bound; at the cap a new process still
 * gets its key and its event, but is not remembered (counted as `refusedCount`). Not kept: names and programs of dead ancestors
 * beyond that bound. Must never guess a creator: only a fork says who created whom.
 */
import { type ProcessIdentity, processKeyOf } from "#core/model/ids.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { type Cgroup, CgroupTable } from "./cgroups.ts";
import { attach, descendantsOf, detach, type KinLinks, mayStandAbove, takeOut } from "./kin.ts";
import { TextPool } from "./text-pool.ts";

/** A process by name, which may have been forgotten. */
export interface ProcessReference {
	readonly id: string;
	readonly tgid: number;
	readonly key: Uint8Array;
}

export interface ProcessEntry extends KinLinks<ProcessEntry> {
	/** `tgid:ticks`. */
	readonly id: string;
	readonly tgid: number;
	readonly startTicks: bigint;
	/** The 16-byte process key. */
	readonly key: Uint8Array;
	/** Who forked it, when the fork was seen; it stays when the table forgets that process. */
	creator: ProcessReference | null;
	/** Current parent by the last event that named it. */
	parent: { readonly tgid: number; readonly key: Uint8Array } | null;
	/** Execs since its fork; null when the fork was not seen. */
	execCount: number | null;
	exe: string | null;
	name: string | null;
	/** Session and terminal by the last exec or snapshot of it or of who forked it; null when unknown or without one. */
	sid: number | null;
	tty: string | null;
	/** By the last event; null when the tier cannot tell. */
	uid: number | null;
	gid: number | null;
	euid: number | null;
	cgroup: Cgroup | null;
	/** Why its view may be partial, inherited over forks: bits of `PARTIAL_CAUSES`; 0 = nothing is known to be missing. */
	partialBits: number;
	/** Two processes of one pid started in one tick: both have this entry and this key. */
	isKeyShared: boolean;
	isAlive: boolean;
	/** Position among all deaths; 0 while alive. */
	diedAt: number;
	/** Named as a parent only, never seen itself. */
	isInferred: boolean;
}

export interface ProcessName {
	readonly tgid: number;
	readonly startTicks: bigint;
}

/** Bits of `partialBits`; a cause that this version does not know has the last. */
const PARTIAL_CAUSES = ["io_uring", "compat32", "other"] as const;

/** Why the view of a process may be partial; empty when nothing is known to be missing. */
export function partialCausesOf(entry: ProcessEntry): string[] {
	return PARTIAL_CAUSES.filter((_, bit) => (entry.partialBits & (1 << bit)) !== 0);
}

/** Marks a process and so its children to come. False: its lineage had the mark already. */
export function markPartial(entry: ProcessEntry, cause: string): boolean {
	const known = (PARTIAL_CAUSES as readonly string[]).indexOf(cause);
	const bit = 1 << (known === -1 ? PARTIAL_CAUSES.indexOf("other") : known);
	if ((entry.partialBits & bit) !== 0) return false;
	entry.partialBits |= bit;
	return true;
}

export class ProcessTable {
	readonly cgroups = new CgroupTable();
	/** Programs, names and terminals that entries hold. */
	readonly texts = new TextPool();
	readonly #host: Pick<ProcessIdentity, "machineId" | "bootId">;
	readonly #processesMax: number;
	readonly #deadMax: number;
	readonly #byId = new Map<string, ProcessEntry>();
	/** The newest process of each pid. */
	readonly #byTgid = new Map<number, ProcessEntry>();
	/** Dead with at most one entry below them, oldest first: they can go without a distance being lost. */
	readonly #remainder = new Map<string, ProcessEntry>();
	#deaths = 0;
	/** Processes that the full table did not take. */
	refusedCount = 0;
	/** Processes whose exit was never seen: their pid came again. */
	missedExitCount = 0;

	constructor(host: Pick<ProcessIdentity, "machineId" | "bootId">, limits?: { processesMax: number; deadMax: number }) {
		this.#host = host;
		this.#processesMax = limits?.processesMax ?? AGENT_LIMITS.processesMax;
		this.#deadMax = limits?.deadMax ?? AGENT_LIMITS.deadProcessesMax;
	}

	get size(): number {
		return this.#byId.size;
	}

	/** The process that has this pid now, as far as is known. */
	byTgid(tgid: number): ProcessEntry | undefined {
		return this.#byTgid.get(tgid);
	}

	find(name: ProcessName): ProcessEntry | undefined {
		return this.#byId.get(`${name.tgid}:${name.startTicks}`);
	}

	entries(): IterableIterator<ProcessEntry> {
		return this.#byId.values();
	}

	/** A process that something was seen of; made when it is new. */
	observe(name: ProcessName): ProcessEntry {
		const known = this.find(name);
		if (known !== undefined) {
			known.isInferred = false;
			return known;
		}
		return this.#create(name, false);
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
		const entry = this.observe(child);
		if (isForkSeenOnce && entry.creator !== null) this.#share(entry);
		entry.creator = { id: creator.id, tgid: creator.tgid, key: creator.key };
		entry.parent = entry.creator;
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
		entry.diedAt = 0;
		this.#remainder.delete(entry.id);
	}

	/** The current parent, as exec and snapshot tell it. It becomes the ancestor only where no fork was seen. */
	setParent(entry: ProcessEntry, parentName: ProcessName): void {
		if (parentName.tgid === 0) return;
		if (entry.ancestor === null) {
			const parent = this.find(parentName) ?? this.#create(parentName, true);
			this.#setAncestor(entry, parent);
		}
		entry.parent = { tgid: parentName.tgid, key: this.keyOf(parentName) };
	}

	exit(name: ProcessName): ProcessEntry {
		const entry = this.observe(name);
		this.#bury(entry);
		return entry;
	}

	/** After a snapshot everything that runs has been seen: who was only named as a parent is gone. */
	endSnapshot(): void {
		for (const entry of this.#byId.values()) if (entry.isInferred) this.#bury(entry);
	}

	/** The process and who stands below it in the table, to a depth; the work grows with them and not with the table. */
	descendants(
		root: ProcessEntry,
		depthMax: number,
	): Iterable<{ readonly entry: ProcessEntry; readonly depth: number }> {
		return descendantsOf(root, depthMax);
	}

	/** The key of a process, whether it is in the table or not. */
	keyOf(name: ProcessName): Uint8Array {
		return this.find(name)?.key ?? this.#keyOf(name);
	}

	#keyOf(name: ProcessName): Uint8Array {
		// A copy: the hash's buffer would be kept alive whole.
		return processKeyOf({ ...this.#host, ...name }).slice();
	}

	#unplaced(name: ProcessName, isInferred: boolean): ProcessEntry {
		return {
			id: `${name.tgid}:${name.startTicks}`,
			tgid: name.tgid,
			startTicks: name.startTicks,
			key: this.#keyOf(name),
			creator: null,
			parent: null,
			execCount: null,
			exe: null,
			name: null,
			sid: null,
			tty: null,
			uid: null,
			gid: null,
			euid: null,
			cgroup: null,
			partialBits: 0,
			isKeyShared: false,
			isAlive: true,
			diedAt: 0,
			isInferred,
			ancestor: null,
			ancestorSteps: 1,
			childCount: 0,
			firstChild: null,
			nextSibling: null,
			previousSibling: null,
		};
	}

	#create(name: ProcessName, isInferred: boolean): ProcessEntry {
		const entry = this.#unplaced(name, isInferred);
		if (this.#byId.size >= this.#processesMax && !this.#forgetOldest()) {
			this.refusedCount++;
			return entry;
		}
		const before = this.#byTgid.get(name.tgid);
		// The same pid with another start: the older of the two has ended, whether its exit came or not.
		if (before?.isAlive && before.startTicks < name.startTicks) {
			if (!before.isInferred) this.missedExitCount++;
			this.#bury(before);
		}
		this.#byId.set(entry.id, entry);
		if (before === undefined || before.startTicks < name.startTicks) this.#byTgid.set(name.tgid, entry);
		return entry;
	}

	#setAncestor(entry: ProcessEntry, ancestor: ProcessEntry): void {
		if (entry === ancestor) return;
		const old = entry.ancestor;
		if (old === ancestor) {
			entry.ancestorSteps = 1;
			return;
		}
		// An entry that the full table refused must not hold one that is kept.
		if (!this.#byId.has(entry.id) || !this.#byId.has(ancestor.id)) return;
		// Only who has children can stand above another: a new process costs no walk, however deep its creator stands.
		if (entry.childCount > 0 && mayStandAbove(entry, ancestor, AGENT_LIMITS.ancestryWalkMax)) return;
		detach(entry);
		attach(entry, ancestor, 1);
		if (ancestor.childCount > 1) this.#remainder.delete(ancestor.id);
		if (old !== null) this.#rememberIfBare(old);
	}

	#bury(entry: ProcessEntry): void {
		if (!entry.isAlive) return;
		entry.isAlive = false;
		entry.diedAt = ++this.#deaths;
		if (this.#byId.has(entry.id)) this.#rememberIfBare(entry);
	}

	#rememberIfBare(entry: ProcessEntry): void {
		if (entry.isAlive || entry.childCount > 1 || this.#remainder.has(entry.id)) return;
		this.#remainder.set(entry.id, entry);
		while (this.#remainder.size > this.#deadMax) this.#forgetOldest();
	}

	/** Forgets the oldest of the remainder. What stands below it moves up, at the same distance to all others. */
	#forgetOldest(): boolean {
		const entry = this.#remainder.values().next().value;
		if (entry === undefined) return false;
		this.#remainder.delete(entry.id);
		this.#byId.delete(entry.id);
		if (this.#byTgid.get(entry.tgid) === entry) this.#byTgid.delete(entry.tgid);
		const { ancestor } = entry;
		takeOut(entry);
		if (ancestor !== null) this.#rememberIfBare(ancestor);
		return true;
	}
}
