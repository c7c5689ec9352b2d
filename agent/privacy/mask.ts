/**
 * Masking of command lines and environments, before anything is stored or sent. The program's name and bare option names stay, because they say
 * what was done; every value becomes `***`, because that is where passwords stand. Guarantees: no byte of a value survives, not
 * even its length. What an option name may be is narrow on purpose: `-pSECRET` is a value.
 */

export const MASKED = "***";

/** `--name`: letters, digits and hyphens; anything else could be a value in disguise. */
const LONG_OPTION = /^--[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;
const SHORT_OPTION = /^-[A-Za-z0-9?]$/;
/** `--name=value` keeps what stands before the sign. */
const LONG_OPTION_WITH_VALUE = /^(--[A-Za-z0-9][A-Za-z0-9-]{0,63})=/s;
const ENVIRONMENT_NAME = /^([A-Za-z_][A-Za-z0-9_]*)=/;

function maskArgument(argument: string): string {
	if (argument === "--" || argument === "-") return argument;
	if (SHORT_OPTION.test(argument) || LONG_OPTION.test(argument)) return argument;
	const named = LONG_OPTION_WITH_VALUE.exec(argument);
	return named === null ? MASKED : `${named[1]}=${MASKED}`;
}

/**
 * argv with its values masked; argv[0] stays. A process can write anything over its own argv, so argv[0] is a name only up to
 * its first blank: `nginx: worker --password x` is one argument.
 */
export function maskCmdline(argv: readonly string[]): string[] {
	return argv.map((argument, index) => {
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
