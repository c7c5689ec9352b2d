/** Results of real runs, kept beside the matrix, and the table that is written from them. Must never be edited by hand. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BAD_INPUT, rowName } from "./bad-input.ts";
import { ROWS } from "./matrix.ts";
import type { PlantedBug } from "./planted.ts";
import type { FaultRow, TruthReport } from "./row.ts";

export interface RowResult {
	readonly row: number;
	/** Empty: the tree as it stands. */
	readonly planted: PlantedBug | "";
	readonly seed: number;
	/** False: something went wrong before the row could say anything; no verdict, with or without a bug. */
	readonly hasRun: boolean;
	readonly isHeld: boolean;
	/** The first ten. */
	readonly violations: readonly string[];
	readonly violationCount: number;
	readonly report: TruthReport | null;
	readonly seconds: number;
	readonly date: string;
}

const RESULTS = join(import.meta.dirname, "results.json");
const TABLE = join(import.meta.dirname, "../docs/faults.md");

export function readResults(): RowResult[] {
	return existsSync(RESULTS) ? (JSON.parse(readFileSync(RESULTS, "utf8")) as RowResult[]) : [];
}

/** Keeps the newest result of each row, with and without its bug, and writes the table anew. */
export function saveResults(results: readonly RowResult[]): void {
	const isOf = (a: RowResult, b: RowResult) => a.row === b.row && (a.planted === "") === (b.planted === "");
	const kept = readResults().filter((old) => !results.some((fresh) => isOf(old, fresh)));
	const all = [...kept, ...results].sort((a, b) => a.row - b.row || (a.planted < b.planted ? -1 : 1));
	writeFileSync(RESULTS, `${JSON.stringify(all, null, "\t")}\n`);
	writeFileSync(TABLE, renderTable(all));
}

const HEAD = `# Faults

What was done to real processes, and what held: real workerd, sqld and signer, and agents made of the agent's own lanes, outbox and
link, on loopback. Written by \`npm run test:faults -- --save\` from the run itself (faults/results.json); never by hand. A row
counts only beside its planted bug: a build in which one promise is broken on purpose, in which the row must fail.

\`npm run test:faults -- ROW\` repeats a row, \`-- ROW --planted\` its bug; \`ci\` rows run with every CI run (\`npm test -- faults\`).
\`flows\` and \`unit\` rows are tests of those suites, run there by every CI run and here by name. Rows 5, 18 and 21 belong to the ledger and to trust; row 39 is \`npm run sim\`.

`;

const BAD_INPUT_HEAD = `
## Bad input

Rows 1, 4, 5 and 15 to 19 of the plan's attacks, beside row 32 above: refused by a name, counted or kept aside, nothing else disturbed. The
tests are other suites'; \`npm run test:faults -- 7.16\` runs those of a row, with \`--planted\` against its bug.

`;

function counts(report: TruthReport | null): string {
	if (report === null) return "";
	const { attempted, acked, stored, lost, duplicated, gapsNamed, gapsUnnamed } = report;
	return `${attempted} / ${acked} / ${stored} / ${lost} / ${duplicated} / ${gapsNamed} + ${gapsUnnamed}`;
}

/** The table of docs/faults.md. */
export function renderTable(results: readonly RowResult[]): string {
	const find = (row: number, isPlanted: boolean) =>
		results.find((each) => each.row === row && (each.planted !== "") === isPlanted);
	const lineOf = ({ number, fault, where, done, isInCi, suite, planted }: FaultRow) => {
		const [plain, bug] = [find(number, false), find(number, true)];
		const verdict = plain === undefined ? "not run" : plain.isHeld ? "pass" : "**fail**";
		const red = bug === undefined ? "not run" : bug.isHeld ? "**unseen**" : "red";
		const date = [plain?.date, bug?.date].filter((each) => each !== undefined).sort()[0] ?? "";
		const cells = [
			fault,
			where,
			done,
			suite ?? (isInCi ? "ci" : "hand"),
			verdict,
			counts(plain?.report ?? null),
			`\`${planted}\`: ${red}`,
			date,
		];
		return `| ${rowName(number)} | ${cells.join(" | ")} |`;
	};
	const columns =
		"| row | fault | where | done here | run | verdict | attempted / acked / stored / lost / duplicated / gaps named + unnamed | planted bug | date |";
	const table = (rows: readonly FaultRow[]) =>
		`${columns}\n|---|---|---|---|---|---|---|---|---|\n${rows.map(lineOf).join("\n")}\n`;
	return `${HEAD}${table(ROWS)}${BAD_INPUT_HEAD}${table(BAD_INPUT)}`;
}
