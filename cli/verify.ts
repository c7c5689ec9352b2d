/** `daemoneye verify`: the offline verifier as a verb. The same face as `verify/main.ts`; nothing is decided here. */
import { runVerify, VERIFY_EXIT, VERIFY_HELP, VERIFY_OPTIONS } from "../verify/command.ts";
import { complain, say } from "./console-output.ts";
import type { Verb } from "./verb.ts";

export const verifyVerb: Verb = {
	name: "verify",
	summary: VERIFY_HELP.summary,
	usage: VERIFY_HELP.usage,
	example: "daemoneye verify T-20261122-4f1c9a.depkg --root data/pki/root.crt",
	options: VERIFY_OPTIONS,
	optionHelp: VERIFY_HELP.options,
	exitHelp: VERIFY_HELP.exit,
	usageExit: VERIFY_EXIT.usage,
	faultExit: VERIFY_EXIT.fail,
	run: (values, positionals) => runVerify(values, positionals, { say, complain }),
};
