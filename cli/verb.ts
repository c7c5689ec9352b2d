/** One verb of the `daemoneye` command: what it needs, what it does, and its exit codes. */
import type { ParseArgsOptionsConfig } from "node:util";

/** Exit codes of every verb: sysexits are not used, these are few and documented in the help. */
export const EXIT = {
	fine: 0,
	/** What was asked could not be done; the sentence says why. */
	failed: 1,
	usage: 2,
	interrupted: 130,
} as const;

export interface Verb {
	readonly name: string;
	/** One line. */
	readonly summary: string;
	/** After `daemoneye NAME `. */
	readonly usage: string;
	readonly example: string;
	readonly options: ParseArgsOptionsConfig;
	/** Option name → what it does. */
	readonly optionHelp: Readonly<Record<string, string>>;
	readonly exitHelp: string;
	/** Where 2 means something else than a usage error. */
	readonly usageExit?: number;
	/** Where 1 is an answer: the exit code when the verb itself breaks, which Node would make 1. */
	readonly faultExit?: number;
	/** Returns the exit code. */
	run(values: Readonly<Record<string, unknown>>, positionals: readonly string[]): Promise<number>;
}

export function helpOf(verb: Verb): string {
	const options = Object.entries(verb.optionHelp).map(([name, help]) => `  --${name.padEnd(20)} ${help}`);
	return [
		`usage: daemoneye ${verb.name} ${verb.usage}`,
		verb.summary,
		"",
		...options,
		`  --${"json".padEnd(20)} one JSON object on the last line instead of text`,
		"",
		`  example: ${verb.example}`,
		`  exit: ${verb.exitHelp}`,
		"",
	].join("\n");
}
