/**
 * `npm run demo`: a real intrusion over two hosts on this machine, watched by the product. With `--once` it plays and judges
 * itself and its last line is one JSON object; without, it gives a person the console and plays on when they have traced.
 */
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { complain, say, visible } from "../cli/console-output.ts";
import { EXIT } from "../cli/verb.ts";
import { playGuided } from "./guided.ts";
import { playOnce } from "./once.ts";

const HELP = `usage: npm run demo -- [--once] [--package FILE] [--json]
A web server is broken into and the intruder goes on to a database host by ssh: both are real, in namespaces of this machine.

  --once           two scripted operators trace, follow, export and verify; then everything is removed
  --package FILE   where --once writes the forensic package (default: a new file in the temporary folder)
  --json           with --once: only the last line

  example: npm run demo -- --once
  exit: 0 everything held, 1 something did not, 2 usage, 130 interrupted
`;

function options() {
	try {
		return parseArgs({
			options: {
				once: { type: "boolean" },
				package: { type: "string" },
				json: { type: "boolean" },
				help: { type: "boolean" },
			},
		}).values;
	} catch (error) {
		complain(`${(error as Error).message}\n${HELP}`);
		return null;
	}
}

async function main(): Promise<number> {
	const values = options();
	if (values === null) return EXIT.usage;
	if (values.help === true) {
		say(HELP);
		return EXIT.fine;
	}
	const stopping = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort());
	const startedAtMs = performance.now();
	const onStep = (text: string) => {
		if (values.json !== true)
			say(`${((performance.now() - startedAtMs) / 1000).toFixed(1).padStart(5)} s  ${visible(text)}`);
	};
	const onTrouble = (text: string) => complain(visible(text));
	if (values.once !== true) return playGuided({ signal: stopping.signal, onStep, onTrouble });
	const packagePath = resolve(values.package ?? join(tmpdir(), `daemoneye-demo-${process.pid}.depkg`));
	const report = await playOnce({ signal: stopping.signal, onStep, onTrouble, packagePath });
	if (!report.ok) {
		complain(visible(report.detail));
		if (stopping.signal.aborted) return EXIT.interrupted;
		say(JSON.stringify({ ok: false, code: report.code, detail: report.detail }));
		return EXIT.failed;
	}
	if (values.json !== true)
		say(`\nCheck it: cli/daemoneye verify ${packagePath} --root-fingerprint ${report.value.root_fingerprint}\n`);
	say(JSON.stringify(report.value));
	return report.value.ok ? EXIT.fine : EXIT.failed;
}

process.exitCode = await main();
