/**
 * `npm run bench -- NAME`: measures and prints one JSON line per figure; without a name, what can be measured. Guarantees that
 * standard output holds figures only and that an interrupted bench leaves no process, cgroup or file.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { complain, say, visible } from "../cli/console-output.ts";
import { EXIT } from "../cli/verb.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { captureBenches } from "./capture/capture.ts";
import { type Figure, figureOf } from "./figure.ts";
import { pathBenches } from "./path.ts";
import { treeBenches } from "./tree/tree.ts";
import { thisCommit, thisMachine } from "./whereabouts.ts";

const BENCHES: readonly Bench[] = [...pathBenches, ...treeBenches, ...captureBenches];

const HELP = `usage: npm run bench -- [NAME] [--save] [--minutes N] [--backlog-mb N] [--agents N]
Measures NAME and prints one JSON line per figure: {bench, metric, value, unit, goal, met, yardstick, runs, spread, machine, commit}.
Without a name: lists what can be measured. Progress goes to standard error.

  --save       also writes bench/results/NAME-DATE.jsonl
  --minutes N  how long capture-churn runs, 60 when not given; how long tree-crowd is held, 10
  --agents N   how many agents tree-crowd is tried with; 10000 when not given
  --backlog-mb N  what waits in the tree while tree-latency times traces; 200 when not given

  example: npm run bench -- path --save
  exit: 0 measured (goals met or not), 1 could not be measured, 2 usage, 130 interrupted
`;

function readArguments() {
	try {
		return parseArgs({
			options: {
				save: { type: "boolean" },
				minutes: { type: "string" },
				"backlog-mb": { type: "string" },
				agents: { type: "string" },
				help: { type: "boolean" },
			},
			allowPositionals: true,
		});
	} catch (error) {
		complain(`${(error as Error).message}\n${HELP}`);
		return null;
	}
}

/** Null when it was given and is no number above 0, which is then said. */
function readAmount(option: string, text: string | undefined): number | undefined | null {
	if (text === undefined) return undefined;
	const amount = Number(text);
	if (amount > 0) return amount;
	complain(`${option} takes a number above 0, not "${visible(text)}"\n${HELP}`);
	return null;
}

function save(name: string, figures: readonly Figure[]): void {
	const directory = join(import.meta.dirname, "results");
	mkdirSync(directory, { recursive: true });
	const file = join(directory, `${name}-${new Date().toISOString().slice(0, 10)}.jsonl`);
	writeFileSync(file, figures.map((figure) => `${JSON.stringify(figure)}\n`).join(""));
	complain(`saved ${file}`);
}

type Amounts = Pick<BenchContext, "minutes" | "backlogMb" | "agents">;

async function measure(bench: Bench, isSaved: boolean, amounts: Amounts): Promise<number> {
	const stopping = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort());
	const startedAtMs = performance.now();
	const where = { machine: thisMachine(), commit: thisCommit() };
	const figures: Figure[] = [];
	const outcome = await bench.run({
		signal: stopping.signal,
		...amounts,
		onStep: (text) =>
			complain(`${((performance.now() - startedAtMs) / 1000).toFixed(1).padStart(6)} s  ${visible(text)}`),
		report(measurement) {
			const figure = figureOf(bench.name, measurement, where);
			figures.push(figure);
			say(JSON.stringify(figure));
		},
	});
	if (stopping.signal.aborted) return EXIT.interrupted;
	if (!outcome.ok) {
		complain(`${bench.name} could not be measured (${outcome.code}): ${visible(outcome.detail)}`);
		return EXIT.failed;
	}
	if (isSaved) save(bench.name, figures);
	return EXIT.fine;
}

async function main(): Promise<number> {
	const read = readArguments();
	if (read === null) return EXIT.usage;
	const { values, positionals } = read;
	if (values.help === true) {
		say(HELP);
		return EXIT.fine;
	}
	const [name, ...rest] = positionals;
	if (name === undefined) {
		for (const bench of BENCHES) say(`${bench.name.padEnd(16)} ${bench.summary}`);
		return EXIT.fine;
	}
	const bench = BENCHES.find((each) => each.name === name);
	if (bench === undefined || rest.length > 0) {
		const wrong = bench === undefined ? name : rest.join(" ");
		complain(
			`there is no bench "${visible(wrong)}"; there are: ${BENCHES.map((each) => each.name).join(", ")}\n${HELP}`,
		);
		return EXIT.usage;
	}
	const minutes = readAmount("--minutes", values.minutes);
	const backlogMb = readAmount("--backlog-mb", values["backlog-mb"]);
	const agents = readAmount("--agents", values.agents);
	if (minutes === null || backlogMb === null || agents === null) return EXIT.usage;
	const amounts = {
		...(minutes === undefined ? {} : { minutes }),
		...(backlogMb === undefined ? {} : { backlogMb }),
		...(agents === undefined ? {} : { agents }),
	};
	return measure(bench, values.save === true, amounts);
}

process.exitCode = await main();
