/**
 * One row from its builds to its verdict, for the command and for the tests of every CI run. Guarantees that a row that could not be run
 * has no verdict, and that an interrupted one gets the time to close its box.
 */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { visible } from "../cli/console-output.ts";
import { BUILT } from "../host/enclave/layout.ts";
import { rowName } from "./bad-input.ts";
import { makeBuilds } from "./builds.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowResult } from "./results.ts";
import type { FaultRow, RowOutcome } from "./row.ts";

/** What an interrupted row gets to close its box. */
const INTERRUPT_GRACE_MS = 10_000;

export interface RunOptions {
	/** For the builds of this run. */
	readonly directory: string;
	readonly signal: AbortSignal;
	readonly seed: number;
	readonly minutes?: number;
	/** Against the row's planted bug. */
	readonly isPlanted: boolean;
	/** One line of progress. */
	readonly onStep: (line: string) => void;
}

/** What the rows need of this machine, in one sentence; null when it is all there. */
export function missing(): string | null {
	if (process.getuid?.() !== 0) return "the rows trace processes and mount small disks: run them as root";
	if (spawnSync("strace", ["-V"]).status !== 0) return "strace is missing (Debian: apt-get install strace)";
	return existsSync(BUILT.console) ? null : "nothing is built yet: run `npm run setup` first";
}

export async function runRow(row: FaultRow, options: RunOptions): Promise<RowResult> {
	const startedAtMs = performance.now();
	const step = (text: string) => {
		const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1).padStart(6);
		options.onStep(`row ${rowName(row.number).padStart(4)} ${seconds} s  ${visible(text)}`);
	};
	const { directory, signal, seed, minutes = FAULT_LIMITS.soakMinutes } = options;
	const planted = options.isPlanted ? row.planted : "";
	let outcome: RowOutcome;
	let hasRun = true;
	try {
		const builds = await makeBuilds(directory, planted);
		const interrupted = once(signal, "abort").then(() => sleep(INTERRUPT_GRACE_MS, null, { ref: false }));
		const ran = await Promise.race([row.run({ builds, signal, seed, minutes, step }), interrupted]);
		outcome = ran ?? { report: null, violations: ["interrupted"] };
	} catch (error) {
		hasRun = false;
		outcome = { report: null, violations: [`could not be run: ${(error as Error).message}`] };
	}
	return {
		...{ row: row.number, planted, seed },
		hasRun,
		isHeld: outcome.violations.length === 0,
		violations: outcome.violations.slice(0, 10),
		violationCount: outcome.violations.length,
		report: outcome.report,
		seconds: Math.round((performance.now() - startedAtMs) / 100) / 10,
		date: new Date().toISOString().slice(0, 10),
	};
}
