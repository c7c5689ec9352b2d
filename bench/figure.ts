/**
 * A published number: median of several runs, its spread, the goal it was measured against, and where it was measured. Guarantees
 * that a figure cannot be told without its runs and its machine. Must never round a miss into a hit: the goal is judged on the
 * unrounded median.
 */

/** One JSON line of `npm run bench`. */
export interface Figure {
	readonly bench: string;
	readonly metric: string;
	/** Median over the runs, four significant digits. */
	readonly value: number;
	readonly unit: string;
	/** `>= 0.95`, `<= 60`; null when nobody has set one. */
	readonly goal: string | null;
	readonly met: boolean | null;
	/** What else was measured in the same run for comparison, and its median. */
	readonly yardstick: Yardstick | null;
	readonly runs: number;
	/** Lowest and highest run. */
	readonly spread: readonly [number, number];
	readonly machine: Machine;
	readonly commit: string;
}

export interface Yardstick {
	readonly what: string;
	readonly value: number;
	readonly unit: string;
}

export interface Machine {
	readonly cpu: string;
	readonly cores: number;
	readonly memoryMib: number;
	readonly kernel: string;
	readonly node: string;
}

/** What a bench measured: one number per run. */
export interface Measurement {
	readonly metric: string;
	readonly unit: string;
	readonly goal: Goal | null;
	readonly runs: readonly number[];
	/** One number per run, in the same order. */
	readonly yardstick?: { readonly what: string; readonly unit: string; readonly runs: readonly number[] };
}

export type Goal = `${">=" | "<="} ${number}`;

/** The value below which the given share of the values lies, by linear interpolation. Throws on an empty list. */
export function quantile(values: readonly number[], share: number): number {
	const sorted = values.toSorted((a, b) => a - b);
	const at = (sorted.length - 1) * share;
	const low = sorted[Math.floor(at)];
	const high = sorted[Math.ceil(at)];
	if (low === undefined || high === undefined) throw new RangeError("a quantile of no values");
	return low + (high - low) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
	return quantile(values, 0.5);
}

export function isMet(goal: Goal, value: number): boolean {
	const bound = Number(goal.slice(3));
	return goal.startsWith(">=") ? value >= bound : value <= bound;
}

function rounded(value: number): number {
	return Number(value.toPrecision(4));
}

export function figureOf(
	bench: string,
	measurement: Measurement,
	where: { readonly machine: Machine; readonly commit: string },
): Figure {
	const { metric, unit, goal, runs, yardstick } = measurement;
	const value = median(runs);
	return {
		bench,
		metric,
		value: rounded(value),
		unit,
		goal,
		met: goal === null ? null : isMet(goal, value),
		yardstick:
			yardstick === undefined
				? null
				: { what: yardstick.what, value: rounded(median(yardstick.runs)), unit: yardstick.unit },
		runs: runs.length,
		spread: [rounded(Math.min(...runs)), rounded(Math.max(...runs))],
		...where,
	};
}
