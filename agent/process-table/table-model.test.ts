import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { processKeyOf } from "#core/model/ids.ts";
import type { ProcessEntry } from "./process-entry.ts";
import { type ProcessName, ProcessTable } from "./process-table.ts";

const HOST = { machineId: "m", bootId: "b" };
const RUNS = 2000;

/** One process in plain objects: what the packed rows must tell. */
interface Plain {
	readonly id: string;
	readonly tgid: number;
	readonly startTicks: bigint;
	/** Its place in the table: a place given back last is taken first. */
	row: number;
	creator: string | null;
	parent: number | null;
	exe: string | null;
	sid: number | null;
	execCount: number | null;
	isAlive: boolean;
	isInferred: boolean;
	isKeyShared: boolean;
	ancestor: Plain | null;
	steps: number;
}

/** The table's promises in the simplest form that keeps them: maps, lists and walks, no links to maintain. */
class Model {
	readonly byId = new Map<string, Plain>();
	/** The dead with at most one below them, oldest first. */
	readonly bare: Plain[] = [];
	readonly #processesMax: number;
	readonly #deadMax: number;
	readonly #free: number[] = [];
	#rowsUsed = 0;
	refused = 0;
	missed = 0;

	constructor(limits: { processesMax: number; deadMax: number }) {
		this.#processesMax = limits.processesMax;
		this.#deadMax = limits.deadMax;
	}

	below(above: Plain): Plain[] {
		return [...this.byId.values()].filter((each) => each.ancestor === above);
	}

	newest(tgid: number): Plain | undefined {
		const all = [...this.byId.values()].filter((each) => each.tgid === tgid);
		return all.sort((a, b) => (a.startTicks < b.startTicks ? 1 : -1))[0];
	}

	#find({ tgid, startTicks }: ProcessName): Plain | undefined {
		return this.byId.get(`${tgid}:${startTicks}`);
	}

	#create({ tgid, startTicks }: ProcessName, isInferred: boolean): Plain {
		const made: Plain = {
			id: `${tgid}:${startTicks}`,
			tgid,
			startTicks,
			row: 0,
			creator: null,
			parent: null,
			exe: null,
			sid: null,
			execCount: null,
			isAlive: true,
			isInferred,
			isKeyShared: false,
			ancestor: null,
			steps: 1,
		};
		if (this.byId.size >= this.#processesMax && !this.#forgetOldest()) {
			this.refused++;
			return made;
		}
		const before = this.newest(tgid);
		made.row = this.#free.pop() ?? ++this.#rowsUsed;
		this.byId.set(made.id, made);
		if (before?.isAlive && before.startTicks < startTicks) {
			if (!before.isInferred) this.missed++;
			this.#bury(before);
		}
		return made;
	}

	observe(name: ProcessName): Plain {
		const known = this.#find(name);
		if (known === undefined) return this.#create(name, false);
		known.isInferred = false;
		return known;
	}

	fork(child: ProcessName, by: ProcessName, isOnce: boolean): void {
		const creator = this.#find(by) ?? this.#create(by, true);
		const entry = this.observe(child);
		if (isOnce && entry.creator !== null) {
			Object.assign(entry, { isKeyShared: true, execCount: null, exe: null, sid: null, isAlive: true });
			this.#leaveBare(entry);
		}
		entry.creator = creator.id;
		entry.parent = creator.tgid;
		entry.execCount ??= 0;
		entry.exe ??= creator.exe;
		entry.sid ??= creator.sid;
		this.#join(entry, creator);
	}

	setParent(name: ProcessName, parentName: ProcessName): void {
		const entry = this.observe(name);
		if (entry.ancestor === null) this.#join(entry, this.#find(parentName) ?? this.#create(parentName, true));
		entry.parent = parentName.tgid;
	}

	exit(name: ProcessName): void {
		this.#bury(this.observe(name));
	}

	endSnapshot(): void {
		for (let row = 1; row <= this.#rowsUsed; row++) {
			const entry = [...this.byId.values()].find((each) => each.row === row);
			if (entry?.isInferred) this.#bury(entry);
		}
	}

	#join(entry: Plain, above: Plain): void {
		if (entry === above || !this.byId.has(entry.id) || !this.byId.has(above.id)) return;
		for (let at: Plain | null = above; at !== null; at = at.ancestor) if (at === entry) return;
		const old = entry.ancestor;
		entry.ancestor = above;
		entry.steps = 1;
		if (old === above) return;
		if (this.below(above).length > 1) this.#leaveBare(above);
		if (old !== null) this.#rememberIfBare(old);
	}

	#leaveBare(entry: Plain): void {
		const at = this.bare.indexOf(entry);
		if (at !== -1) this.bare.splice(at, 1);
	}

	#bury(entry: Plain): void {
		if (!entry.isAlive) return;
		entry.isAlive = false;
		this.#rememberIfBare(entry);
	}

	#rememberIfBare(entry: Plain): void {
		if (!this.byId.has(entry.id) || entry.isAlive || this.below(entry).length > 1 || this.bare.includes(entry)) return;
		this.bare.push(entry);
		while (this.bare.length > this.#deadMax) this.#forgetOldest();
	}

	#forgetOldest(): boolean {
		const gone = this.bare.shift();
		if (gone === undefined) return false;
		for (const child of this.below(gone)) {
			child.steps += gone.steps;
			child.ancestor = gone.ancestor;
		}
		this.byId.delete(gone.id);
		this.#free.push(gone.row);
		if (gone.ancestor !== null) this.#rememberIfBare(gone.ancestor);
		return true;
	}
}

const told = (entry: ProcessEntry) => ({
	id: entry.id,
	creator: entry.creator?.id ?? null,
	parent: entry.parent?.tgid ?? null,
	exe: entry.exe,
	sid: entry.sid,
	execCount: entry.execCount,
	isAlive: entry.isAlive,
	isInferred: entry.isInferred,
	isKeyShared: entry.isKeyShared,
	ancestor: entry.ancestor?.id ?? null,
	steps: entry.ancestor === null ? 0 : entry.ancestorSteps,
	childCount: entry.childCount,
});

/** Everything that can be asked of the table is what the model says. */
function compare(table: ProcessTable, model: Model): void {
	assert.equal(table.size, model.byId.size);
	assert.deepEqual([table.refusedCount, table.missedExitCount], [model.refused, model.missed]);
	for (const plain of model.byId.values()) {
		const entry = table.find(plain);
		assert.ok(entry, `${plain.id} is not found`);
		const { creator, parent, exe, sid, execCount, isAlive, isInferred, isKeyShared, ancestor } = plain;
		const expected = { id: plain.id, creator, parent, exe, sid, execCount, isAlive, isInferred, isKeyShared };
		const links = {
			ancestor: ancestor?.id ?? null,
			steps: ancestor === null ? 0 : plain.steps,
			childCount: model.below(plain).length,
		};
		assert.deepEqual(told(entry), { ...expected, ...links });
		assert.deepEqual(entry.key, processKeyOf({ ...HOST, tgid: plain.tgid, startTicks: plain.startTicks }));
		if (creator !== null) {
			const [tgid, ticks] = creator.split(":") as [string, string];
			const key = processKeyOf({ ...HOST, tgid: Number(tgid), startTicks: BigInt(ticks) });
			assert.deepEqual([entry.creator?.key, entry.creatorKey], [key, key]);
		}
		assert.equal(table.byTgid(plain.tgid)?.id, model.newest(plain.tgid)?.id);
	}
	for (const root of model.byId.values()) {
		const below = [...table.descendants(table.find(root) as ProcessEntry, 1000)];
		const wanted = [...model.byId.values()].flatMap((each) => {
			let depth = 0;
			for (let at: Plain | null = each; at !== null; depth += at.steps, at = at.ancestor)
				if (at === root) return [`${each.id} ${depth}`];
			return [];
		});
		assert.deepEqual(below.map(({ entry, depth }) => `${entry.id} ${depth}`).toSorted(), wanted.toSorted());
	}
}

/** Few pids and fewer starts, so that they meet; some lie beyond 32 and 53 bits. */
const name = fc.record({
	tgid: fc.oneof(fc.integer({ min: 1, max: 24 }), fc.constantFrom(0xffff_ffff, 0x8000_0000)),
	startTicks: fc.oneof(fc.bigInt({ min: 1n, max: 3n }), fc.constantFrom(2n ** 53n + 1n, 2n ** 64n - 1n)),
});
const act = fc.oneof(
	{ weight: 6, arbitrary: fc.record({ act: fc.constant("fork" as const), name, other: name, isOnce: fc.boolean() }) },
	{ weight: 4, arbitrary: fc.record({ act: fc.constant("exit" as const), name }) },
	{ weight: 2, arbitrary: fc.record({ act: fc.constant("parent" as const), name, other: name }) },
	{ weight: 2, arbitrary: fc.record({ act: fc.constant("exec" as const), name, exe: fc.constantFrom("/a", "/b") }) },
	{ weight: 1, arbitrary: fc.record({ act: fc.constant("snapshotEnd" as const) }) },
);

test("whatever comes, the packed rows tell what plain objects would tell", () => {
	const limits = fc.constantFrom(
		{ processesMax: 40, deadMax: 8 },
		{ processesMax: 12, deadMax: 12 },
		{ processesMax: 6, deadMax: 2 },
		{ processesMax: 20, deadMax: 0 },
	);
	const property = fc.property(limits, fc.array(act, { maxLength: 120 }), (limit, acts) => {
		const table = new ProcessTable(HOST, limit);
		const model = new Model(limit);
		for (const each of acts) {
			if (each.act === "fork") {
				const creator = table.find(each.other);
				const expected = [creator?.exe ?? null, creator?.sid ?? null];
				const child = table.fork(each.name, each.other, each.isOnce);
				model.fork(each.name, each.other, each.isOnce);
				if (!table.find(each.name)) assert.deepEqual([child.exe, child.sid], expected, "who is not kept inherits too");
			} else if (each.act === "exit") {
				assert.equal(table.exit(each.name).isAlive, false);
				model.exit(each.name);
			} else if (each.act === "parent") {
				table.setParent(table.observe(each.name), each.other);
				model.setParent(each.name, each.other);
			} else if (each.act === "exec") {
				const known = { exe: each.exe, sid: each.name.tgid, execCount: 7 };
				Object.assign(table.observe(each.name), known);
				Object.assign(model.observe(each.name), known);
			} else {
				table.endSnapshot();
				model.endSnapshot();
			}
		}
		compare(table, model);
	});
	fc.assert(property, { numRuns: RUNS });
});
