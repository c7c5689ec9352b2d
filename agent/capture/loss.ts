/**
 * What was lost between the kernel and the agent, exactly. Every CPU numbers its events from 1 without holes, so a number that
 * never comes is an event that is missing, and the heads in `stats` show a tail that never came. Small inversions within a CPU
 * are normal (an interrupt between taking the number and writing the event), so a hole is named only when it is old or far
 * behind. Guarantees: each missing number is named exactly once. Pure: the caller brings the time.
 */
import { AGENT_LIMITS } from "../limits.ts";

export interface LostRange {
	readonly cpu: number;
	/** First and last missing number, inclusive. */
	readonly from: bigint;
	readonly to: bigint;
	readonly cause: "ring_full" | "not_delivered";
}

interface Hole {
	from: bigint;
	to: bigint;
	readonly sinceMs: number;
}

interface CpuState {
	/** Highest number that came or was named. */
	highest: bigint;
	holes: Hole[];
	/** The head that `stats` told, and when it was first told. */
	head: bigint;
	headSinceMs: number;
	/** Drops counted by the kernel and not yet explained by a named range. */
	unexplainedDrops: bigint;
	drops: bigint;
}

const WINDOW = BigInt(AGENT_LIMITS.reorderNumbersMax);

export class LossTracker {
	readonly #cpus = new Map<number, CpuState>();
	/** Numbers that came again, or after they had been named as missing. */
	lateCount = 0;

	#state(cpu: number): CpuState {
		let state = this.#cpus.get(cpu);
		if (state === undefined) {
			state = { highest: 0n, holes: [], head: 0n, headSinceMs: 0, unexplainedDrops: 0n, drops: 0n };
			this.#cpus.set(cpu, state);
		}
		return state;
	}

	/** An event with its number came. Returns the ranges that are now known to be missing. */
	saw(cpu: number, seq: bigint, nowMs: number): LostRange[] {
		const state = this.#state(cpu);
		if (seq > state.highest) {
			if (seq > state.highest + 1n) state.holes.push({ from: state.highest + 1n, to: seq - 1n, sinceMs: nowMs });
			state.highest = seq;
		} else this.#fill(state, seq);
		return state.holes.length === 0 ? [] : this.#due(cpu, state, nowMs);
	}

	#fill(state: CpuState, seq: bigint): void {
		const index = state.holes.findIndex((hole) => hole.from <= seq && seq <= hole.to);
		const hole = state.holes[index];
		if (hole === undefined) {
			this.lateCount++;
			return;
		}
		const parts = [
			{ from: hole.from, to: seq - 1n, sinceMs: hole.sinceMs },
			{ from: seq + 1n, to: hole.to, sinceMs: hole.sinceMs },
		].filter((part) => part.from <= part.to);
		state.holes.splice(index, 1, ...parts);
	}

	/** The heads and drop counts of a `stats` frame, one entry per CPU. */
	stats(heads: readonly bigint[], drops: readonly bigint[], nowMs: number): void {
		for (const [cpu, head] of heads.entries()) {
			const state = this.#state(cpu);
			const dropped = drops[cpu] ?? 0n;
			if (dropped > state.drops) state.unexplainedDrops += dropped - state.drops;
			state.drops = dropped;
			// A head that was reached is replaced; one that was not keeps its time, or a busy CPU would never be judged.
			if (state.head <= state.highest && head > state.highest) {
				state.head = head;
				state.headSinceMs = nowMs;
			}
		}
	}

	/** Names what has become old. Called on a timer, for CPUs that fell silent. */
	tick(nowMs: number): LostRange[] {
		const lost: LostRange[] = [];
		for (const [cpu, state] of this.#cpus) {
			if (state.head > state.highest && nowMs - state.headSinceMs >= AGENT_LIMITS.headGraceMs) {
				// Its grace was the head's: nothing more is waited for.
				lost.push(...this.#due(cpu, state, nowMs), this.#name(cpu, state, state.highest + 1n, state.head));
				state.highest = state.head;
			} else lost.push(...this.#due(cpu, state, nowMs));
		}
		return lost;
	}

	#due(cpu: number, state: CpuState, nowMs: number): LostRange[] {
		const isDue = (hole: Hole) =>
			state.highest - hole.to >= WINDOW || nowMs - hole.sinceMs >= AGENT_LIMITS.reorderWaitMs;
		const overflow = state.holes.length - AGENT_LIMITS.holesPerCpuMax;
		const due = state.holes.filter((hole, index) => isDue(hole) || index < overflow);
		if (due.length === 0) return [];
		state.holes = state.holes.filter((hole) => !due.includes(hole));
		return due.map((hole) => this.#name(cpu, state, hole.from, hole.to));
	}

	#name(cpu: number, state: CpuState, from: bigint, to: bigint): LostRange {
		const count = to - from + 1n;
		const cause = state.unexplainedDrops >= count ? "ring_full" : "not_delivered";
		if (cause === "ring_full") state.unexplainedDrops -= count;
		return { cpu, from, to, cause };
	}
}
