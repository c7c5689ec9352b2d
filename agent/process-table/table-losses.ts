/**
 * What the process table could not keep, as counts for gap records: each growth is told once. Guarantees that lineage which
 * is missing in later events is named by a record of its cause.
 */
import type { ProcessTable } from "./process-table.ts";

export interface TableLoss {
	readonly count: number;
	readonly cause: string;
}

export class TableLosses {
	#refused = 0;
	#missedExits = 0;

	/** What was lost since the last call. */
	take(table: ProcessTable): TableLoss[] {
		const losses: TableLoss[] = [];
		const refused = table.refusedCount - this.#refused;
		const missedExits = table.missedExitCount - this.#missedExits;
		if (refused > 0) losses.push({ count: refused, cause: "process_table_full" });
		if (missedExits > 0) losses.push({ count: missedExits, cause: "exit_missed" });
		this.#refused += Math.max(0, refused);
		this.#missedExits += Math.max(0, missedExits);
		return losses;
	}
}
