/** One row of the fault matrix: what it does here, where it is run, and the bug that must make it fail. */
import type { Builds } from "./builds.ts";
import type { PlantedBug } from "./planted.ts";

export interface RowContext {
	readonly builds: Builds;
	/** Aborted by Ctrl-C: a row ends soon and leaves nothing. */
	readonly signal: AbortSignal;
	readonly seed: number;
	/** How long a row lasts that lasts as long as one likes. */
	readonly minutes: number;
	/** One line of progress. */
	readonly step: (text: string) => void;
}

/** Counts over all agents of a row; null where the row compares no stream. */
export interface TruthReport {
	readonly attempted: number;
	readonly acked: number;
	readonly stored: number;
	/** Acknowledged or held, and neither stored nor named. */
	readonly lost: number;
	readonly duplicated: number;
	/** Stored although nobody had been told so before the end. */
	readonly recovered: number;
	readonly gapsNamed: number;
	readonly gapsUnnamed: number;
	readonly worstAckMs: number;
}

export interface RowOutcome {
	readonly report: TruthReport | null;
	/** Broken promises, one sentence each; none = pass. */
	readonly violations: readonly string[];
}

export interface FaultRow {
	readonly number: number;
	/** The fault, as the plan names it. */
	readonly fault: string;
	readonly where: string;
	/** What is done here, and how much shorter than the plan. */
	readonly done: string;
	/** Part of every CI run; else by hand. */
	readonly isInCi: boolean;
	/** The row is a test of another suite of every CI run, and runs there. */
	readonly suite?: "flows" | "unit";
	readonly planted: PlantedBug;
	readonly run: (context: RowContext) => Promise<RowOutcome>;
}
