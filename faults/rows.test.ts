/** The rows of every CI run, each a test: on real processes, with a seed that its failure names. */
import { deepEqual } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ROWS } from "./matrix.ts";
import { missing, runRow } from "./run-row.ts";

/** Far above the longest row: what hangs must end all the same. */
const ROW_MS_MAX = 240_000;

const directory = mkdtempSync(join(tmpdir(), "daemoneye-fault-builds-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const lack = missing();

for (const row of ROWS.filter(({ isInCi }) => isInCi))
	test(`row ${row.number}, ${row.where}: ${row.fault}`, {
		timeout: ROW_MS_MAX,
		...(lack === null ? {} : { skip: lack }),
	}, async ({ signal }) => {
		const steps: string[] = [];
		const seed = Math.floor(Math.random() * 0x7fff_ffff) + 1;
		const onStep = (line: string) => steps.push(line);
		const { violations } = await runRow(row, { directory, signal, seed, isPlanted: false, onStep });
		deepEqual(violations, [], `seed ${seed}\n${[...steps, ...violations].join("\n")}`);
	});
