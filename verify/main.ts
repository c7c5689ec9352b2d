/**
 * The offline verifier as a program of its own: `node verify.mjs PACKAGE --root-fingerprint HEX`. Bundled into one file that runs
 * on plain Node 20 or later with nothing beside it (`tools/build-node.ts`).
 */
import { parseArgs } from "node:util";
import { runVerify, VERIFY_EXIT, VERIFY_HELP, VERIFY_OPTIONS } from "./command.ts";

const output = {
	say: (line: string): void => {
		process.stdout.write(`${line}\n`);
	},
	complain: (line: string): void => {
		process.stderr.write(`${line}\n`);
	},
};

const HELP = [
	`usage: node verify.mjs ${VERIFY_HELP.usage}`,
	VERIFY_HELP.summary,
	"",
	...Object.entries(VERIFY_HELP.options).map(([name, help]) => `  --${name.padEnd(20)} ${help}`),
	`  --${"json".padEnd(20)} one JSON object instead of text`,
	"",
	`  example: node verify.mjs T-20261122-4f1c9a.depkg --root-fingerprint 9f86d081...00a08`,
	`  exit: ${VERIFY_HELP.exit}`,
].join("\n");

async function main(args: readonly string[]): Promise<number> {
	const options = { ...VERIFY_OPTIONS, help: { type: "boolean" }, json: { type: "boolean" } } as const;
	try {
		const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
		if (values.help === true) {
			output.say(HELP);
			return VERIFY_EXIT.pass;
		}
		return await runVerify(values, positionals, output);
	} catch (error) {
		if (!(error instanceof TypeError) || !("code" in error) || !String(error.code).startsWith("ERR_PARSE_ARGS"))
			throw error;
		output.complain(`${error.message}\n${HELP}`);
		return VERIFY_EXIT.usage;
	}
}

// Node ends a process that broke with 1, which here would read as PASS WITH GAPS: also when the reader of our output is gone.
process.on("uncaughtException", (error) => {
	output.complain(String(error));
	process.exit(VERIFY_EXIT.fail);
});

process.exitCode = await main(process.argv.slice(2));
