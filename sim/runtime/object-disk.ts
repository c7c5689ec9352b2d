/**
 * The SQLite of one Durable Object as workerd keeps it: what is written in one turn is one transaction, transactions reach the disk
 * in order and some time later, and a message leaves only after what was written before it is there (the output gate). The log of
 * statements is the disk: after a crash the database is made again from the transactions that survived, which are those that were
 * durable and, by chance, some that followed. Must never let a later transaction survive an earlier one.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { World } from "./world.ts";

type Value = string | number | null | ArrayBuffer;
type Bindable = string | number | bigint | null | Uint8Array;
interface Operation {
	/** Null sets the alarm instead. */
	readonly query: string | null;
	readonly bindings: readonly Bindable[];
	readonly alarmAtMs?: number | null;
}

export interface DiskFaults {
	/** The file system takes nothing. */
	readonly isFull: () => boolean;
	/** How long a transaction takes to be durable. */
	readonly syncMs: () => number;
}

const READS = /^\s*(select|with|pragma)\b/i;
const SEVERAL = /;\s*\S/;

function bindable(value: unknown): Bindable {
	if (value instanceof ArrayBuffer) return new Uint8Array(value);
	if (typeof value === "boolean") return value ? 1 : 0;
	return (value ?? null) as Bindable;
}

/** The bytes alone, as workerd hands them out. */
export function bufferOf(bytes: Uint8Array): ArrayBuffer {
	const isWhole = bytes.byteLength === bytes.buffer.byteLength;
	return (isWhole ? bytes.buffer : bytes.slice().buffer) as ArrayBuffer;
}

function rowOf(row: Record<string, unknown>): Record<string, Value> {
	for (const [name, value] of Object.entries(row)) if (value instanceof Uint8Array) row[name] = bufferOf(value);
	return row as Record<string, Value>;
}

/** What `sql.exec` answers: read once, or iterated. */
class Cursor {
	readonly #rows: Record<string, Value>[];

	constructor(rows: Record<string, Value>[]) {
		this.#rows = rows;
	}

	toArray(): Record<string, Value>[] {
		return this.#rows;
	}

	one(): Record<string, Value> {
		if (this.#rows.length !== 1) throw new Error(`one row was expected, ${this.#rows.length} came`);
		return this.#rows[0] as Record<string, Value>;
	}

	[Symbol.iterator](): Iterator<Record<string, Value>> {
		return this.#rows[Symbol.iterator]();
	}
}

class Database {
	readonly #database = new DatabaseSync(":memory:");
	readonly #statements = new Map<string, StatementSync>();

	run(query: string, bindings: readonly Bindable[]): Record<string, Value>[] {
		if (bindings.length === 0 && SEVERAL.test(query)) {
			this.#database.exec(query);
			return [];
		}
		let statement = this.#statements.get(query);
		if (statement === undefined) {
			statement = this.#database.prepare(query);
			this.#statements.set(query, statement);
		}
		return (statement.all(...bindings) as Record<string, unknown>[]).map(rowOf);
	}

	close(): void {
		this.#database.close();
	}
}

export class ObjectDisk {
	readonly #world: World;
	readonly #faults: DiskFaults;
	/** A planted bug: nothing waits for the disk. */
	readonly #isGateOpen: boolean;
	#database: Database | null = null;
	/** Ended transactions. */
	#log: Operation[][] = [];
	#open: Operation[] = [];
	/** How many of the log are on the disk. */
	#durable = 0;
	/** What waits for a transaction to be durable. */
	#waiting: { readonly after: number; readonly send: () => void }[] = [];
	#alarmAtMs: number | null = null;
	/** Schemas that the database at hand has. */
	#schemas = new Set<string>();
	/** Counts crashes: a sync that began before one means nothing after it. */
	#era = 0;
	/** The transaction at hand could not be written: the object must go. */
	onBroken: (error: Error) => void = () => undefined;

	constructor(world: World, faults: DiskFaults, className: string) {
		this.#world = world;
		const opened = world.planted?.opensGateOf;
		this.#isGateOpen = opened === "*" || opened === className;
		this.#faults = faults;
	}

	get alarmAtMs(): number | null {
		return this.#alarmAtMs;
	}

	get isIdle(): boolean {
		return this.#open.length === 0 && this.#durable === this.#log.length;
	}

	#live(): Database {
		if (this.#database === null) {
			this.#database = new Database();
			this.#alarmAtMs = null;
			for (const operation of this.#log.flat()) {
				this.#apply(this.#database, operation);
				if (operation.query?.includes("IF NOT EXISTS") === true) this.#schemas.add(operation.query);
			}
		}
		return this.#database;
	}

	#apply(database: Database, operation: Operation): Record<string, Value>[] {
		if (operation.query !== null) return database.run(operation.query, operation.bindings);
		this.#alarmAtMs = operation.alarmAtMs ?? null;
		return [];
	}

	/** Opens the database as the disk has it. */
	open(): void {
		this.#live();
	}

	readonly sql = {
		exec: (query: string, ...values: unknown[]): Cursor => {
			const bindings = values.map(bindable);
			if (READS.test(query)) return new Cursor(this.#live().run(query, bindings));
			// A schema that is there already is not written.
			const isSchema = query.includes("IF NOT EXISTS");
			if (isSchema && this.#schemas.has(query)) return new Cursor(this.#live().run(query, bindings));
			if (this.#faults.isFull()) throw new Error("database or disk is full: SQLITE_FULL");
			const operation = { query, bindings };
			const rows = this.#apply(this.#live(), operation);
			this.#open.push(operation);
			if (isSchema) this.#schemas.add(query);
			return new Cursor(rows);
		},
		databaseSize: 0,
	};

	transaction<T>(write: () => T): T {
		const database = this.#live();
		const before = this.#open.length;
		const alarmBefore = this.#alarmAtMs;
		database.run("SAVEPOINT turn", []);
		try {
			const result = write();
			database.run("RELEASE turn", []);
			return result;
		} catch (error) {
			database.run("ROLLBACK TO turn", []);
			database.run("RELEASE turn", []);
			this.#open.length = before;
			this.#alarmAtMs = alarmBefore;
			throw error;
		}
	}

	/** False where no transaction that made the table was ever durable: a disk that was full from the first start on. */
	hasTable(name: string): boolean {
		return this.#live().run("SELECT 1 FROM sqlite_master WHERE name = ?", [name]).length > 0;
	}

	/** How often an alarm was set. */
	alarmWrites = 0;

	setAlarm(alarmAtMs: number | null): void {
		this.alarmWrites++;
		const operation = { query: null, bindings: [], alarmAtMs };
		this.#apply(this.#live(), operation);
		this.#open.push(operation);
	}

	/** The turn has ended: what it wrote is one transaction, on its way to the disk. */
	seal(): void {
		if (this.#open.length === 0) return;
		if (this.#faults.isFull()) {
			this.onBroken(new Error("the commit failed: SQLITE_FULL"));
			return;
		}
		this.#log.push(this.#open);
		this.#open = [];
		const upTo = this.#log.length;
		const era = this.#era;
		this.#world.schedule(null, this.#faults.syncMs(), () => {
			if (era !== this.#era || upTo <= this.#durable) return;
			this.#durable = upTo;
			this.#release();
		});
	}

	#release(): void {
		while (this.#waiting.length > 0 && (this.#waiting[0]?.after ?? 0) <= this.#durable) this.#waiting.shift()?.send();
	}

	/** The output gate. */
	afterDurable(send: () => void): void {
		const after = this.#log.length + (this.#open.length > 0 ? 1 : 0);
		const isFree = after <= this.#durable && this.#waiting.length === 0;
		if (isFree || this.#isGateOpen) send();
		else this.#waiting.push({ after, send });
	}

	/** The object goes, the process stays: what it had not ended is undone, what waited to leave never does. */
	drop(): void {
		this.#waiting = [];
		if (this.#open.length > 0) this.#forget();
		this.#open = [];
	}

	/** The process or the machine goes: of what was not durable a prefix survives, perhaps none of it. */
	crash(): void {
		const pending = this.#log.length - this.#durable;
		const surviving = this.#durable + this.#world.random.below(pending + 1);
		const isSame = surviving === this.#log.length && this.#open.length === 0;
		this.#log.length = surviving;
		this.#durable = surviving;
		this.#open = [];
		this.#waiting = [];
		this.#era++;
		if (!isSame) this.#forget();
	}

	#forget(): void {
		this.#database?.close();
		this.#database = null;
		this.#schemas.clear();
		// Said at once, because an alarm is set again before the object is opened.
		this.#alarmAtMs = this.#log.flat().findLast(({ query }) => query === null)?.alarmAtMs ?? null;
	}

	/** An older disk is put back: only the first `keep` transactions. */
	rewind(keep: number): void {
		this.crash();
		this.#log.length = Math.min(this.#log.length, keep);
		this.#durable = this.#log.length;
		this.#forget();
	}

	get length(): number {
		return this.#log.length;
	}

	close(): void {
		this.#database?.close();
		this.#database = null;
	}
}
