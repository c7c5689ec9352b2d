/**
 * `npm run test:faults`: runs rows of the fault matrix on real processes and says what held. Guarantees that standard output holds
 * results only, and that an interrupted run leaves no process, mount or file.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { complain, say, visible } from "../cli/console-output.ts";
import { EXIT } from "../cli/verb.ts";
import { BAD_INPUT, rowName } from "./bad-input.ts";
import { FAULT_LIMITS } from "./limits.ts";
import { ROWS } from "./matrix.ts";
import { PLANTED_BUGS } from "./planted.ts";
import { type RowResult, saveResults } from "./results.ts";
import type { FaultRow } from "./row.ts";
import { missing, runRow } from "./run-row.ts";

const HELP = `usage: npm run test:faults -- [ROW...] [--ci] [--planted] [--json] [--save] [--seed N] [--list]
Runs rows of the fault matrix (docs/faults.md) on real processes: all of them, the named ones, or those of every CI run.
Progress goes to standard error; each row ends with attempted, acked, stored, lost, duplicated, recovered and gaps.

  --ci       the rows that every CI run takes
  --planted  each row against a build with its planted bug: it must fail
  --json     one JSON object per row
  --save     keeps the results and writes docs/faults.md from them
  --seed N   of what is random
  --minutes N  how long row 40 lasts; 5 when not given
  --list     the rows

  example: npm run test:faults -- 1 22 --planted
  exit: 0 every row did what it must, 1 one did not, 2 usage, 130 interrupted. Needs root and strace.
`;

interface Asked {
	readonly rows: readonly FaultRow[];
	readonly isPlanted: boolean;
	readonly isJson: boolean;
	readonly isSaved: boolean;
	readonly seed: number;
	readonly minutes: number;
}

function listRows(): void {
	for (const { number, fault, where, isInCi, suite, planted } of ALL)
		say(
			`${rowName(number).padStart(4)}  ${(suite ?? (isInCi ? "ci" : "hand")).padEnd(5)}  ${where}: ${fault} [${planted}: ${PLANTED_BUGS[planted].says}]`,
		);
}

const ALL = [...ROWS, ...BAD_INPUT];

/** What was asked for; null when it was answered already, a number as an exit code when it made no sense. */
function readArguments(): Asked | number {
	const flag = { type: "boolean" } as const;
	const options = {
		ci: flag,
		planted: flag,
		json: flag,
		save: flag,
		list: flag,
		help: flag,
		seed: { type: "string" },
		minutes: { type: "string" },
	} as const;
	try {
		const { values, positionals } = parseArgs({ options, allowPositionals: true });
		if (values.help === true || values.list === true) {
			if (values.help === true) say(HELP);
			else listRows();
			return EXIT.fine;
		}
		const unknown = positionals.find((text) => !ALL.some(({ number }) => rowName(number) === text));
		if (unknown !== undefined) {
			complain(`there is no row "${visible(unknown)}"`);
			return EXIT.usage;
		}
		const seed = values.seed === undefined ? Math.floor(Math.random() * 0x7fff_ffff) + 1 : Number(values.seed);
		if (!Number.isSafeInteger(seed) || seed < 1) {
			complain(`--seed takes a whole number above 0\n${HELP}`);
			return EXIT.usage;
		}
		const minutes = values.minutes === undefined ? FAULT_LIMITS.soakMinutes : Number(values.minutes);
		if (!(minutes > 0)) {
			complain(`--minutes takes a number above 0\n${HELP}`);
			return EXIT.usage;
		}
		const isNamed = (row: FaultRow) => positionals.length === 0 || positionals.includes(rowName(row.number));
		return {
			rows: ALL.filter((row) => isNamed(row) && (row.isInCi || values.ci !== true)),
			...{
				isPlanted: values.planted === true,
				isJson: values.json === true,
				isSaved: values.save === true,
				seed,
				minutes,
			},
		};
	} catch (error) {
		complain(`${(error as Error).message}\n${HELP}`);
		return EXIT.usage;
	}
}

function tell(row: FaultRow, result: RowResult, asked: Asked): void {
	if (asked.isJson) {
		say(JSON.stringify(result));
		return;
	}
	const { hasRun, isHeld, report, seconds, violations } = result;
	const plain = isHeld ? "pass" : "FAIL";
	const bugged = isHeld ? "FAIL: the planted bug went unseen" : "red, as it must";
	const verdict = hasRun ? (asked.isPlanted ? bugged : plain) : "NOT RUN";
	const counts =
		report === null
			? ""
			: ` ${Object.entries(report)
					.map(([name, value]) => `${name} ${value}`)
					.join(", ")}`;
	say(
		`row ${rowName(row.number)} (${row.where}: ${row.fault}): ${verdict} in ${seconds} s, seed ${result.seed}${counts}`,
	);
	for (const violation of violations) say(`  ${visible(violation)}`);
}

async function main(): Promise<number> {
	const asked = readArguments();
	if (typeof asked === "number") return asked;
	const lack = missing();
	if (lack !== null) {
		complain(lack);
		return EXIT.usage;
	}
	const stopping = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort());
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-fault-builds-"));
	const results: RowResult[] = [];
	try {
		for (const row of asked.rows) {
			const result = await runRow(row, { ...asked, directory, signal: stopping.signal, onStep: complain });
			if (stopping.signal.aborted) return EXIT.interrupted;
			results.push(result);
			tell(row, result, asked);
			if (asked.isSaved && result.hasRun) saveResults([result]);
		}
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
	return results.every(({ hasRun, isHeld }) => hasRun && isHeld !== asked.isPlanted) ? EXIT.fine : EXIT.failed;
}

process.exitCode = await main();
// A row that was interrupted may still wait for something that never comes.
if (process.exitCode === EXIT.interrupted) process.exit();
