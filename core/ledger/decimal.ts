/**
 * The decimal numbers of checkpoints and proofs: ASCII digits, no leading zero, within the integers a number holds
 * exactly.
 */

/** The number, or null for any other spelling of it and for numbers above 2^53 - 1. */
export function parseDecimal(text: string): number | null {
	if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text)) return null;
	const value = Number(text);
	return Number.isSafeInteger(value) ? value : null;
}
