/**
 * What a command says: lines for a person, or one JSON object for a program (`--json`). Text from elsewhere is shown with control
 * characters escaped, so that nothing an attacker named can move the cursor. Must never print a secret.
 */
export { visible } from "#core/bytes/visible.ts";

export function say(line: string): void {
	process.stdout.write(`${line}\n`);
}

export function complain(line: string): void {
	process.stderr.write(`${line}\n`);
}
