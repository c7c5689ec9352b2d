/**
 * What was attempted, held and acknowledged, beside what the store holds: I1 to I5 are judged here by comparing bytes. Pure. One truth
 * per agent; the numbers of a stream that an agent writes again (an old disk came back) count as new attempts, so other bytes under
 * an acknowledged number are seen.
 */
import type { TruthReport } from "./row.ts";
import type { TruthLine } from "./truth-line.ts";

interface Attempt {
	/** Events under each hash: an old disk that came back writes other bytes under a known number. */
	readonly events: Map<string, number>;
	last: string;
}

/** A batch as the store holds it. */
export interface StoredBatch {
	readonly stream: string;
	readonly seq: number;
	readonly lane: string;
	readonly sha256: string;
	/** Event rows, and how many different ones. */
	readonly events: number;
	readonly distinctEvents: number;
	readonly ledgerIndex: number | null;
}

export interface StoreView {
	readonly batches: readonly StoredBatch[];
	/** Gap records of streams, inclusive. */
	readonly gaps: readonly { readonly stream: string; readonly first: number; readonly last: number }[];
	readonly alarms: readonly { readonly code: string; readonly detail: string }[];
}

const keyOf = (stream: string, seq: number) => `${stream}/${seq}`;

export class AgentTruth {
	readonly agent: string;
	readonly #attempts = new Map<string, Attempt>();
	/** Hash under each number, and when it was held. */
	readonly #held = new Map<string, { hash: string; atMs: number }>();
	readonly #acked = new Map<string, string>();
	readonly #heldTo = new Map<string, number>();
	readonly #ackedTo = new Map<string, number>();
	#worstAckMs = 0;
	readonly #laneOf = new Map<string, string>();
	readonly #custodyTo = new Map<string, number>();
	readonly #custodyMs = new Map<string, number[]>();

	constructor(agent: string) {
		this.agent = agent;
	}

	/** Batches attempted so far: a row sees by it that its agent works. */
	get attempted(): number {
		return this.#attempts.size;
	}

	get acked(): number {
		return this.#acked.size;
	}

	take(line: TruthLine, atMs: number): void {
		if (line[0] === "attempt") this.#laneOf.set(line[2], line[1]);
		if (line[0] === "ack" && line[2] === "a2") this.#takeCustody(line[1], line[3], atMs);
		if (line[0] === "attempt") this.#attempt(line[2], line[3], { hash: line[4], events: line[5] });
		else if (line[0] === "held") this.#hold(line[1], line[2], atMs);
		else if (line[0] === "ack") this.#ack(line[1], line[3], atMs);
	}

	/** From held to the proof of custody, in milliseconds, of each batch of a lane that has one. */
	custodyMs(lane: string): readonly number[] {
		return this.#custodyMs.get(lane) ?? [];
	}

	#takeCustody(stream: string, seq: number, atMs: number): void {
		const lane = this.#laneOf.get(stream) ?? "";
		const waits = this.#custodyMs.get(lane) ?? [];
		for (let each = (this.#custodyTo.get(stream) ?? 0) + 1; each <= seq; each++) {
			const held = this.#held.get(keyOf(stream, each));
			if (held !== undefined) waits.push(atMs - held.atMs);
		}
		this.#custodyMs.set(lane, waits);
		this.#custodyTo.set(stream, Math.max(seq, this.#custodyTo.get(stream) ?? 0));
	}

	#attempt(stream: string, seq: number, { hash, events }: { hash: string; events: number }): void {
		const key = keyOf(stream, seq);
		const known = this.#attempts.get(key) ?? { events: new Map<string, number>(), last: hash };
		known.events.set(hash, events);
		known.last = hash;
		this.#attempts.set(key, known);
		this.#heldTo.set(stream, Math.min(this.#heldTo.get(stream) ?? 0, seq - 1));
		this.#ackedTo.set(stream, Math.min(this.#ackedTo.get(stream) ?? 0, seq - 1));
	}

	#hold(stream: string, seq: number, atMs: number): void {
		for (let each = (this.#heldTo.get(stream) ?? 0) + 1; each <= seq; each++) {
			const attempt = this.#attempts.get(keyOf(stream, each));
			if (attempt !== undefined) this.#held.set(keyOf(stream, each), { hash: attempt.last, atMs });
		}
		this.#heldTo.set(stream, Math.max(seq, this.#heldTo.get(stream) ?? 0));
	}

	#ack(stream: string, seq: number, atMs: number): void {
		for (let each = (this.#ackedTo.get(stream) ?? 0) + 1; each <= seq; each++) {
			const key = keyOf(stream, each);
			const attempt = this.#attempts.get(key);
			if (attempt === undefined) continue;
			this.#acked.set(key, attempt.last);
			const held = this.#held.get(key);
			if (held !== undefined) this.#worstAckMs = Math.max(this.#worstAckMs, atMs - held.atMs);
		}
		this.#ackedTo.set(stream, Math.max(seq, this.#ackedTo.get(stream) ?? 0));
	}

	/** The agent's disk is destroyed: what nobody had acknowledged is lost with it, and no promise spoke of it. */
	forgetUnacknowledged(): void {
		for (const key of this.#held.keys()) if (!this.#acked.has(key)) this.#held.delete(key);
	}

	/** Judges what the store holds of this agent against all that was said. */
	judge(view: StoreView): { report: TruthReport; violations: string[] } {
		const violations: string[] = [];
		const stored = new Map(view.batches.map((batch) => [keyOf(batch.stream, batch.seq), batch]));
		const isNamed = (stream: string, seq: number) =>
			view.gaps.some((gap) => gap.stream === stream && gap.first <= seq && seq <= gap.last);
		const isAlarmed = (stream: string) => view.alarms.some(({ detail }) => detail.includes(stream));
		let lost = 0;
		let gapsNamed = 0;
		let gapsUnnamed = 0;
		for (const [key, hash] of this.#acked) {
			if (stored.get(key)?.sha256 === hash) continue;
			const { stream, seq } = partsOf(key);
			// What is named is not lost: row by row a hop's dead disk may cost acknowledged bulk, said by a gap record.
			if (isNamed(stream, seq) && !stored.has(key)) continue;
			lost++;
			violations.push(
				`I1: ${this.agent} ${key} was acknowledged and ${stored.has(key) ? "other bytes are" : "is not"} stored`,
			);
		}
		for (const [key, { hash }] of this.#held) {
			const { stream, seq } = partsOf(key);
			if (stored.get(key)?.sha256 === hash) continue;
			if (isNamed(stream, seq)) gapsNamed++;
			else if (isAlarmed(stream)) gapsUnnamed++;
			else if (!this.#acked.has(key)) {
				lost++;
				violations.push(`I4: ${this.agent} ${key} was held, is not stored, and nothing names it`);
			}
		}
		let duplicated = 0;
		for (const batch of view.batches) {
			const key = keyOf(batch.stream, batch.seq);
			const attempt = this.#attempts.get(key);
			const events = attempt?.events.get(batch.sha256);
			if (events === undefined) {
				violations.push(`I3: ${this.agent} ${key} is stored with bytes that were never attempted`);
				continue;
			}
			if (batch.events === events && batch.distinctEvents === events) continue;
			if (batch.events < events) lost++;
			else duplicated++;
			const broken = batch.events < events ? "I1" : "I2";
			violations.push(`${broken}: ${this.agent} ${key} has ${batch.events} event rows of ${events}`);
		}
		violations.push(...this.#holes(view, { isNamed, isAlarmed }));
		const report = {
			attempted: this.#attempts.size,
			acked: this.#acked.size,
			stored: view.batches.length,
			...{ lost, duplicated, gapsNamed, gapsUnnamed, worstAckMs: Math.round(this.#worstAckMs) },
			recovered: view.batches.filter(({ stream, seq }) => !this.#acked.has(keyOf(stream, seq))).length,
		};
		return { report, violations };
	}

	/** A number below a stored one that is neither stored nor named, whoever lost it. */
	#holes(
		view: StoreView,
		named: { isNamed: (stream: string, seq: number) => boolean; isAlarmed: (stream: string) => boolean },
	): string[] {
		const streams = new Map<string, Set<number>>();
		for (const { stream, seq } of view.batches) streams.set(stream, (streams.get(stream) ?? new Set()).add(seq));
		const out: string[] = [];
		for (const [stream, seqs] of streams) {
			for (let seq = 1; seq < Math.max(...seqs); seq++) {
				if (seqs.has(seq) || named.isNamed(stream, seq) || named.isAlarmed(stream)) continue;
				if (!this.#held.has(keyOf(stream, seq)))
					out.push(`I4: ${this.agent} ${stream}/${seq} is a hole that nothing names`);
			}
		}
		return out;
	}

	/** Whether everything held has been acknowledged or named: then nothing is on its way any more. */
	isSettled(view: StoreView): boolean {
		const stored = new Map(view.batches.map(({ stream, seq, sha256 }) => [keyOf(stream, seq), sha256]));
		for (const [key, { hash }] of this.#held) {
			const { stream, seq } = partsOf(key);
			const isNamed = view.gaps.some((gap) => gap.stream === stream && gap.first <= seq && seq <= gap.last);
			if (stored.get(key) !== hash && !isNamed) return false;
		}
		return true;
	}
}

function partsOf(key: string): { stream: string; seq: number } {
	const slash = key.indexOf("/");
	return { stream: key.slice(0, slash), seq: Number(key.slice(slash + 1)) };
}

const EMPTY: TruthReport = {
	...{ attempted: 0, acked: 0, stored: 0, lost: 0, duplicated: 0, recovered: 0 },
	...{ gapsNamed: 0, gapsUnnamed: 0, worstAckMs: 0 },
};

/** The counts of several agents together. */
export function sumReports(reports: readonly TruthReport[]): TruthReport {
	return reports.reduce(
		(sum, each) => ({
			attempted: sum.attempted + each.attempted,
			acked: sum.acked + each.acked,
			stored: sum.stored + each.stored,
			lost: sum.lost + each.lost,
			duplicated: sum.duplicated + each.duplicated,
			recovered: sum.recovered + each.recovered,
			gapsNamed: sum.gapsNamed + each.gapsNamed,
			gapsUnnamed: sum.gapsUnnamed + each.gapsUnnamed,
			worstAckMs: Math.max(sum.worstAckMs, each.worstAckMs),
		}),
		EMPTY,
	);
}
