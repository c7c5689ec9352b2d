/**
 * `daemoneye VERB`: the thin face over host/ and verify/. Guarantees `--help` with an example, `--json` and documented exit codes
 * for each verb; unknown words are refused by name. Must never hold logic that a library caller would miss.
 */
import { parseArgs } from "node:util";
import { complain, say } from "./console-output.ts";
import { proxyVerb } from "./proxy.ts";
import { restartVerb } from "./restart.ts";
import { startVerb } from "./start.ts";
import { statusVerb } from "./status.ts";
import { EXIT, helpOf, type Verb } from "./verb.ts";
import { verifyVerb } from "./verify.ts";

const VERBS: readonly Verb[] = [startVerb, restartVerb, statusVerb, proxyVerb, verifyVerb];

function overview(): string {
	const verbs = VERBS.map((verb) => `  ${verb.name.padEnd(10)} ${verb.summary}`);
	return ["usage: daemoneye VERB [options]", "", ...verbs, "", "daemoneye VERB --help says more.", ""].join("\n");
}

async function main(argv: readonly string[]): Promise<number> {
	const [name, ...rest] = argv;
	if (name === undefined || name === "--help" || name === "help") {
		say(overview());
		return name === undefined ? EXIT.usage : EXIT.fine;
	}
	const verb = VERBS.find((each) => each.name === name);
	if (verb === undefined) {
		complain(`There is no verb "${name}".\n${overview()}`);
		return EXIT.usage;
	}
	const { faultExit } = verb;
	if (faultExit !== undefined)
		process.on("uncaughtException", (error) => {
			complain(String(error));
			process.exit(faultExit);
		});
	try {
		const { values, positionals } = parseArgs({
			args: rest,
			options: { ...verb.options, help: { type: "boolean" }, json: { type: "boolean" } },
			allowPositionals: true,
		});
		if (values.help === true) {
			say(helpOf(verb));
			return EXIT.fine;
		}
		return await verb.run(values, positionals);
	} catch (error) {
		if (!(error instanceof TypeError) || !("code" in error) || !String(error.code).startsWith("ERR_PARSE_ARGS"))
			throw error;
		complain(`${error.message}\n${helpOf(verb)}`);
		return verb.usageExit ?? EXIT.usage;
	}
}

process.exitCode = await main(process.argv.slice(2));
