/**
 * Foreign text for a terminal: whatever could move the cursor, turn the reading direction or hide is written as an escape. The
 * console has its own, finer rule (`core/lineage/visible-text.ts`); this one is for lines of a command. Pure.
 */

/** Control, format and separator characters, unpaired surrogates, private use; bidi and zero-width characters are format. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/** The text on one line, every unseen character as `\u` and its code in hex. */
export function visible(text: string): string {
	return text.replace(UNSEEN, (character) => {
		const code = (character.codePointAt(0) as number).toString(16);
		return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
	});
}
