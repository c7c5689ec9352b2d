/**
 * What a command says: lines for a person, or one JSON object for a program (`--json`). Text from elsewhere is shown with control
 * characters escaped, so that nothing an attacker named can move the cursor. Must never print a secret.
 */

/** Control characters, bidi overrides and line ends, shown as escapes. */
export function visible(text: string): string {
	return text.replace(
		/[\p{Cc}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu,
		(character) => `\\u${(character.codePointAt(0) as number).toString(16).padStart(4, "0")}`,
	);
}

export function say(line: string): void {
	process.stdout.write(`${line}\n`);
}

export function complain(line: string): void {
	process.stderr.write(`${line}\n`);
}
