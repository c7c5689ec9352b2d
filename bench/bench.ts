/** What a bench is: a name, a sentence, and a run that reports measurements as they are ready. */
import type { Result } from "#core/result.ts";
import type { Measurement } from "./figure.ts";

export interface BenchContext {
	/** Aborted by Ctrl-C: the bench ends soon and leaves nothing. */
	readonly signal: AbortSignal;
	/** Progress for a person. */
	readonly onStep: (text: string) => void;
	readonly report: (measurement: Measurement) => void;
	/** How long a bench of memory over time runs; absent = as long as it says itself. */
	readonly minutes?: number;
	/** Megabytes that wait in the tree while traces are timed; absent = as many as the bench says itself. */
	readonly backlogMb?: number;
	/** Agents that a crowd is tried with; absent = as many as the bench says itself. */
	readonly agents?: number;
}

export interface Bench {
	readonly name: string;
	/** One line. */
	readonly summary: string;
	run(context: BenchContext): Promise<Result<void, string>>;
}
