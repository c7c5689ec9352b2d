/**
 * The process table: who is running, who started whom, and since which exec. Keyed by process id and start ticks, so a reused
 * pid is another process. Guarantees: the ancestry of a living process is never forgotten; the dead without living descendants
 * are remembered up to a bound; at the cap a new process still gets its key and its event, but is not remembered (counted as
 * `refusedCount`). Must never guess a creator: only a fork says who created whom.
 */
import { type ProcessIdentity, processKeyOf } from "#core/model/ids.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { type Cgroup, CgroupTable } from "./cgroups.ts";
import { TextPool } from "./text-pool.ts";

export interface ProcessEntry {
	/** `tgid:ticks`. */
	readonly id: string;
	readonly tgid: number;
	readonly startTicks: bigint;
	/** The 16-byte process key. */
	readonly key: Uint8Array;
	/** Who forked it, when the fork was seen. */
	creator: ProcessEntry | null;
	/** Who holds its ancestry in the table: the creator, or the parent it had when it was first seen. */
	ancestor: ProcessEntry | null;
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
	/** Entries in the table whose ancestor this is. */
	childCount: number;
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
	/** Dead without entries below them, oldest first. */
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
	 * A child came: its creator is now known, and it has not executed anything yet. Where the collector sees each fork once, a
	 * second fork of one name is a second process that the key cannot tell from the first: the entry is marked and starts anew.
	 */
	fork(child: ProcessName, creatorName: ProcessName, isForkSeenOnce = false): ProcessEntry {
		const creator = this.find(creatorName) ?? this.#create(creatorName, true);
		const entry = this.observe(child);
		if (isForkSeenOnce && entry.creator !== null) this.#share(entry);
		entry.creator = creator;
		entry.parent = { tgid: creator.tgid, key: creator.key };
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

	/** Whether `ancestor` stands above the process or is it, and how far; null when not. */
	distance(entry: ProcessEntry, ancestor: ProcessEntry): number | null {
		let at: ProcessEntry | null = entry;
		// The chain has no cycle (see #setAncestor), so it ends.
		for (let depth = 0; at !== null; depth++, at = at.ancestor) if (at === ancestor) return depth;
		return null;
	}

	/** The key of a process, whether it is in the table or not. */
	keyOf(name: ProcessName): Uint8Array {
		return this.find(name)?.key ?? this.#keyOf(name);
	}

	#keyOf(name: ProcessName): Uint8Array {
		// A copy: the hash's buffer would be kept alive whole.
		return processKeyOf({ ...this.#host, ...name }).slice();
	}

	#create(name: ProcessName, isInferred: boolean): ProcessEntry {
		const entry: ProcessEntry = {
			id: `${name.tgid}:${name.startTicks}`,
			tgid: name.tgid,
			startTicks: name.startTicks,
			key: this.#keyOf(name),
			creator: null,
			ancestor: null,
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
			childCount: 0,
		};
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
		if (entry.ancestor === ancestor || this.distance(ancestor, entry) !== null) return;
		// An entry that the full table refused must not hold one that is kept.
		if (!this.#byId.has(entry.id) || !this.#byId.has(ancestor.id)) return;
		const old = entry.ancestor;
		entry.ancestor = ancestor;
		ancestor.childCount++;
		this.#remainder.delete(ancestor.id);
		if (old !== null) this.#release(old);
	}

	#bury(entry: ProcessEntry): void {
		if (!entry.isAlive) return;
		entry.isAlive = false;
		entry.diedAt = ++this.#deaths;
		if (this.#byId.has(entry.id)) this.#rememberIfBare(entry);
	}

	#rememberIfBare(entry: ProcessEntry): void {
		if (entry.isAlive || entry.childCount > 0) return;
		this.#remainder.set(entry.id, entry);
		while (this.#remainder.size > this.#deadMax) this.#forgetOldest();
	}

	/** Forgets the oldest of the remainder, and with it the ancestors that it alone kept and that died before it. */
	#forgetOldest(): boolean {
		let entry = this.#remainder.values().next().value;
		if (entry === undefined) return false;
		for (;;) {
			this.#remainder.delete(entry.id);
			this.#byId.delete(entry.id);
			if (this.#byTgid.get(entry.tgid) === entry) this.#byTgid.delete(entry.tgid);
			const ancestor: ProcessEntry | null = entry.ancestor;
			if (ancestor === null) return true;
			ancestor.childCount--;
			if (ancestor.isAlive || ancestor.childCount > 0) return true;
			if (ancestor.diedAt > entry.diedAt) {
				this.#remainder.set(ancestor.id, ancestor);
				return true;
			}
			entry = ancestor;
		}
	}

	#release(ancestor: ProcessEntry): void {
		ancestor.childCount--;
		this.#rememberIfBare(ancestor);
	}
}
