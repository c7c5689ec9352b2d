/**
 * One simulated world: its clock, its queue of things to come, and what happened. Guarantees that one thing happens at a time, each
 * to its end (every promise it settles has run), and that everything runs in a named place, so that whatever a dead place still
 * holds never runs again. Must never wait for real time.
 */
import { createHash, type Hash } from "node:crypto";
import type { Planted } from "../planted.ts";
import { Random } from "./random.ts";

/** Where code runs: one start of one process, or of one object in it. */
export interface Place {
	readonly name: string;
	/** False once it was killed: nothing runs there any more, and nothing it says is heard. */
	isAlive: boolean;
	/** Timers that are set there. */
	timers?: number;
	/** Wall clock of the machine less the true time. */
	readonly clockOffsetMs: () => number;
	/** Holds back what leaves the place until what it wrote before is durable. Absent: nothing to wait for. */
	readonly output?: (send: () => void) => void;
	/** A turn of the place has ended: every promise it settled has run. */
	readonly afterTurn?: () => void;
	/** Something was thrown that nobody caught. */
	readonly onError: (error: Error) => void;
}

export interface Scheduled {
	cancel(): void;
}

interface Entry {
	readonly atMs: number;
	readonly order: number;
	readonly place: Place | null;
	task: (() => void) | null;
}

/** 2026-11-22T00:00:00Z: where true time starts in every world. */
export const WORLD_START_MS = 1_795_305_600_000;

const nextTurn = setImmediate;
const isBefore = (a: Entry, b: Entry) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

export class World {
	readonly seed: number;
	readonly random: Random;
	readonly planted: Planted | null;
	/** True time since the start; only goes forward. */
	nowMs = 0;
	current: Place | null = null;
	turns = 0;
	/** Called with every line of the trace and of the nodes' own logs. */
	onLine: ((line: string) => void) | null = null;
	readonly #queue: Entry[] = [];
	readonly #hash: Hash = createHash("sha256");
	readonly #touched = new Set<Place>();
	#order = 0;

	constructor(seed: number, planted: Planted | null) {
		this.seed = seed;
		this.planted = planted;
		this.random = new Random(seed, "world");
	}

	get trueWallMs(): number {
		return WORLD_START_MS + this.nowMs;
	}

	/** What the clock on the wall says where code runs at the moment. */
	wallMs(): number {
		return Math.floor(this.trueWallMs + (this.current?.clockOffsetMs() ?? 0));
	}

	/** A fact of the run: part of its hash. Must name nothing that another process would draw differently (keys, certificates). */
	trace(line: string): void {
		const whole = `${this.nowMs.toFixed(3)} ${line}`;
		this.#hash.update(`${whole}\n`);
		this.onLine?.(whole);
	}

	/** A line of a node's own log: shown, not hashed. */
	log(line: string): void {
		this.onLine?.(`${this.nowMs.toFixed(3)}   ${this.current?.name ?? "world"}: ${line}`);
	}

	traceHash(): string {
		return this.#hash.digest("hex");
	}

	schedule(place: Place | null, delayMs: number, task: () => void): Scheduled {
		const entry: Entry = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, place, task };
		const queue = this.#queue;
		let at = queue.push(entry) - 1;
		while (at > 0) {
			const parent = (at - 1) >> 1;
			if (!isBefore(entry, queue[parent] as Entry)) break;
			queue[at] = queue[parent] as Entry;
			at = parent;
		}
		queue[at] = entry;
		return {
			cancel: () => {
				entry.task = null;
			},
		};
	}

	#take(): Entry | undefined {
		const queue = this.#queue;
		const first = queue[0];
		const last = queue.pop();
		if (first === undefined || last === undefined || queue.length === 0) return first;
		let at = 0;
		for (;;) {
			let child = 2 * at + 1;
			if (child >= queue.length) break;
			if (child + 1 < queue.length && isBefore(queue[child + 1] as Entry, queue[child] as Entry)) child++;
			if (!isBefore(queue[child] as Entry, last)) break;
			queue[at] = queue[child] as Entry;
			at = child;
		}
		queue[at] = last;
		return first;
	}

	/** Runs code in a place; at most one place per turn. A dead place is not entered. */
	enter(place: Place, code: () => void): void {
		if (!place.isAlive) return;
		this.current = place;
		this.#touched.add(place);
		try {
			code();
		} catch (error) {
			place.onError(error as Error);
		}
	}

	/** Lets what leaves the current place go when the place may speak. */
	leave(from: Place | null, send: () => void): void {
		if (from === null) send();
		else if (from.isAlive && from.output !== undefined) from.output(send);
		else if (from.isAlive) send();
	}

	/** Runs until the time, or until `isDone` says so after a turn. */
	async run(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
		while (this.#queue.length > 0 && (this.#queue[0] as Entry).atMs <= untilMs && !isDone()) {
			const entry = this.#take() as Entry;
			const task = entry.task;
			if (task === null || (entry.place !== null && !entry.place.isAlive)) continue;
			this.nowMs = entry.atMs;
			this.turns++;
			this.current = null;
			if (entry.place === null) task();
			else this.enter(entry.place, task);
			// Every promise settled by now has run when the next turn of the real loop begins.
			await new Promise((resolve) => nextTurn(resolve));
			for (const place of this.#touched) if (place.isAlive) place.afterTurn?.();
			this.#touched.clear();
			this.current = null;
		}
		if (this.#queue.length === 0 || (this.#queue[0] as Entry).atMs > untilMs)
			this.nowMs = Math.max(this.nowMs, untilMs);
	}
}
