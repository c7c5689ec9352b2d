/**
 * Masking of command lines and environments, before anything is stored or sent. The program's name and bare option names stay,
 * because they say what was done; every value becomes `***`, because that is where passwords stand. Guarantees: no byte of a
 * value survives, not even its length; after `--` all are values. What an option name may be is narrow on purpose: `-pSECRET` is
 * a value, and so is a key behind two hyphens. A secret that reads like an option's name cannot be told from one.
 */

export const MASKED = "***";

/** `--name`: begins with a letter, then letters, digits and hyphens; anything else could be a value in disguise. */
const LONG_OPTION = /^(--[A-Za-z][A-Za-z0-9-]*)(?:(=).*)?$/s;
const SHORT_OPTION = /^-[A-Za-z0-9?]$/;
/** The longest that common tools have is about 30; a token or a hash is longer. */
const OPTION_NAME_LENGTH_MAX = 32;
/** `--sha512`, `--iso-8859`: names have few digits, keys have many. */
const OPTION_NAME_DIGITS_MAX = 4;
const ENVIRONMENT_NAME = /^([A-Za-z_][A-Za-z0-9_]*)=/;

/** `--name` and `--name=value`: the value goes, and the name too where it may be a key. */
function maskLongOption(argument: string): string {
	const [, option = "", sign] = LONG_OPTION.exec(argument) ?? [];
	const digitCount = option.replace(/[^0-9]/g, "").length;
	const isName = option !== "" && option.length - 2 <= OPTION_NAME_LENGTH_MAX && digitCount <= OPTION_NAME_DIGITS_MAX;
	if (!isName) return MASKED;
	return sign === undefined ? option : `${option}=${MASKED}`;
}

function maskArgument(argument: string): string {
	if (argument === "--" || argument === "-" || SHORT_OPTION.test(argument)) return argument;
	return maskLongOption(argument);
}

/**
 * argv with its values masked; argv[0] stays. A process can write anything over its own argv, so argv[0] is a name only up to
 * its first blank: `nginx: worker --password x` is one argument.
 */
export function maskCmdline(argv: readonly string[]): string[] {
	const separator = argv.indexOf("--", 1);
	return argv.map((argument, index) => {
		if (separator !== -1 && index > separator) return MASKED;
		if (index > 0) return maskArgument(argument);
		const blank = argument.search(/\s/);
		return blank === -1 ? argument : `${argument.slice(0, blank)} ${MASKED}`;
	});
}

/** `NAME=value` with its value masked. What has no name in front of the sign is a value as a whole. */
export function maskEnvironment(variables: readonly string[]): string[] {
	return variables.map((variable) => {
		const name = ENVIRONMENT_NAME.exec(variable)?.[1];
		return name === undefined ? MASKED : `${name}=${MASKED}`;
	});
}

/** Whether values are masked: a site's `false` is honoured only where the enclave's trust document allows it. */
export function isMaskingInForce(site: { masksArgs: boolean }, trust: { isMaskingRequired: boolean }): boolean {
	return site.masksArgs || trust.isMaskingRequired;
}
