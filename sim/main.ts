/**
 * `npm run sim`: seeds of the whole-tree simulation, and what came of them. A failing seed is printed with how to repeat it. Exit 0
 * when every seed held, 1 when one did not or was lost, 2 usage, 130 stopped by a signal.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { Figures } from "./checks.ts";
import { isBugPlanted, PLANTED_ENV, planted } from "./hooks.ts";
import { PLANTED } from "./planted.ts";
import type { Verdict } from "./simulate.ts";

const HELP = `usage: npm run sim -- [--seeds N] [--from N] [--seed N] [--planted NAME] [--processes N] [--json]
Runs the real code of agents, proxies and Security Center under a virtual clock, disk and network, with faults, and checks I1 to I6.
  --seeds N       how many seeds, from --from on (1000)
  --from N        the first seed (1)
  --seed N        one seed, with its trace on stdout
  --planted NAME  with a bug planted, which must turn it red: ${PLANTED.map(({ name }) => name).join(", ")}
  --processes N   worker processes (one per CPU)
  --json          the figures as one JSON object on stdout
  example: npm run sim -- --seeds 10000
  example: npm run sim -- --seed 42
`;

interface Options {
	readonly seeds: number;
	readonly from: number;
	readonly seed: number | null;
	readonly planted: string;
	readonly processes: number;
	readonly isJson: boolean;
}

function readOptions(): Options | string | null {
	const text = { type: "string" } as const;
	try {
		const { values } = parseArgs({
			options: {
				...{ seeds: text, from: text, seed: text, planted: text, processes: text },
				...{ json: { type: "boolean" }, help: { type: "boolean" } },
			},
		});
		if (values.help === true) return null;
		const whole = (name: "seeds" | "from" | "seed" | "processes", fallback: number): number => {
			const value = values[name] === undefined ? fallback : Number(values[name]);
			if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} is a whole number`);
			return value;
		};
		const bug = values.planted ?? "";
		if (bug !== "" && !PLANTED.some(({ name }) => name === bug)) throw new Error(`no planted bug is called ${bug}`);
		return {
			seeds: whole("seeds", 1000),
			from: whole("from", 1),
			seed: values.seed === undefined ? null : whole("seed", 0),
			planted: bug,
			processes: Math.max(1, whole("processes", availableParallelism())),
			isJson: values.json === true,
		};
	} catch (error) {
		return (error as Error).message;
	}
}

const NO_FIGURES: Figures = {
	...{ attempted: 0, held: 0, acked: 0, stored: 0, lost: 0, duplicated: 0 },
	...{ gapsNamed: 0, gapsUnnamed: 0, forks: 0 },
};

function addFigures(sum: Figures, figures: Figures): Figures {
	const names = Object.keys(sum) as (keyof Figures)[];
	return Object.fromEntries(names.map((name) => [name, sum[name] + figures[name]])) as unknown as Figures;
}

function repeatOf(seed: number, bug: string): string {
	return `npm run sim -- --seed ${seed}${bug === "" ? "" : ` --planted ${bug}`}`;
}

async function runOne(seed: number, bug: string): Promise<number> {
	// The bug is put into the code as it is loaded, so the process has to begin with it.
	if ((planted?.name ?? "") !== bug) {
		const { spawnSync } = await import("node:child_process");
		const env = { ...process.env, [PLANTED_ENV]: bug };
		return spawnSync(process.execPath, process.argv.slice(1), { env, stdio: "inherit" }).status ?? 1;
	}
	const { simulate } = await import("./simulate.ts");
	const verdict = await simulate({ seed, planted, onLine: (line) => process.stdout.write(`${line}\n`) });
	if (!isBugPlanted()) throw new Error("the bug that was asked for is not in the code that ran");
	process.stdout.write(`${JSON.stringify(verdict)}\n`);
	return verdict.findings.length > 0 ? 1 : 0;
}

async function runMany(options: Options): Promise<number> {
	const { runPool } = await import("./pool.ts");
	const stopping = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort());
	const startedAtMs = performance.now();
	const failed: number[] = [];
	const broken: Record<number, readonly string[]> = {};
	let figures = NO_FIGURES;
	let done = 0;
	let virtualMs = 0;
	let saidAtMs = startedAtMs;
	const say = (line: string) => process.stderr.write(`${line}\n`);
	const red = (seed: number, invariants: readonly string[], lines: readonly string[]) => {
		failed.push(seed);
		broken[seed] = [...new Set(invariants)];
		say(`seed ${seed}: ${lines.slice(0, 5).join("; ")}\n  repeat: ${repeatOf(seed, options.planted)}`);
	};
	const onVerdict = (verdict: Verdict) => {
		done++;
		virtualMs += verdict.virtualMs;
		figures = addFigures(figures, verdict.figures);
		if (verdict.findings.length > 0)
			red(
				verdict.seed,
				verdict.findings.map(({ invariant }) => invariant),
				verdict.findings.map(({ invariant, detail }) => `${invariant} ${detail}`),
			);
		if (performance.now() - saidAtMs < 2000) return;
		saidAtMs = performance.now();
		const rate = (done / ((saidAtMs - startedAtMs) / 1000)).toFixed(1);
		say(`${done} of ${options.seeds} seeds, ${rate} a second, ${failed.length} red`);
	};
	await runPool({
		...{ from: options.from, count: options.seeds, processes: options.processes, planted: options.planted },
		...{ isFailFast: options.planted !== "", signal: stopping.signal, onVerdict },
		onLost: (seed, detail) => red(seed, ["lost"], [detail]),
	});
	const seconds = Math.round((performance.now() - startedAtMs) / 100) / 10;
	const virtualHours = Math.round(virtualMs / 360_000) / 10;
	const seedsPerSec = Math.round((done / seconds) * 10) / 10;
	const report = { seeds: done, from: options.from, failed, broken, ...figures, seconds, seedsPerSec, virtualHours };
	if (options.isJson) process.stdout.write(`${JSON.stringify(report)}\n`);
	else {
		process.stdout.write(`${done} seeds in ${seconds} s (${seedsPerSec} a second), ${virtualHours} virtual hours\n`);
		for (const [name, value] of Object.entries(figures)) process.stdout.write(`  ${name.padEnd(12)} ${value}\n`);
		process.stdout.write(`${failed.length} red${failed.length === 0 ? "" : `: ${failed.join(" ")}`}\n`);
	}
	if (stopping.signal.aborted) return 130;
	const isComplete = done === options.seeds || options.planted !== "";
	return failed.length > 0 || !isComplete ? 1 : 0;
}

const options = readOptions();
if (options === null) process.stdout.write(HELP);
else if (typeof options === "string") {
	process.stderr.write(`${options}\n${HELP}`);
	process.exitCode = 2;
} else process.exitCode = options.seed === null ? await runMany(options) : await runOne(options.seed, options.planted);
