/**
 * Foreign text made fit for a screen. Arguments, paths and names come from a watched host and may hold anything: terminal escapes,
 * right-to-left overrides, invisible characters, marks stacked over the next line. Guarantees that every character a reader could
 * not see or that would move others is written out as `\u{…}`, and that length is capped with the count of what is not shown.
 * Must never be used for markup: callers put the result into the page as text.
 */
import { TEXT_LIMITS } from "./limits.ts";

/** A stretch of text; `isEscape` marks what stands for a character that is not shown as itself. */
export interface TextSegment {
	readonly text: string;
	readonly isEscape: boolean;
}

/**
 * Not shown as themselves: control (Cc), format incl. bidi, zero width, tags and soft hyphen (Cf), line and paragraph separators,
 * unpaired surrogates (Cs), private use (Co), unassigned (Cn), variation selectors, Hangul and Khmer fillers that draw nothing,
 * and every space but U+0020.
 */
const UNSEEN =
	/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\u115f\u1160\u3164\uffa0]|\p{Variation_Selector}|\u034f|\u17b4|\u17b5|(?! )\p{Zs}/u;
const MARK = /\p{M}/u;
const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0" };

function escapeOf(character: string): string {
	return NAMED[character] ?? `\\u{${(character.codePointAt(0) as number).toString(16).padStart(4, "0")}}`;
}

/** The text in segments. `lengthMax` counts characters of the input; what lies beyond is named by its count, never dropped silently. */
export function visibleSegments(text: string, lengthMax: number = TEXT_LIMITS.cellLengthMax): readonly TextSegment[] {
	const segments: TextSegment[] = [];
	let plain = "";
	let shown = 0;
	let marks = 0;
	let units = 0;
	const flush = () => {
		if (plain !== "") segments.push({ text: plain, isEscape: false });
		plain = "";
	};
	for (const character of text) {
		if (shown === lengthMax) {
			flush();
			segments.push({ text: `… +${text.length - units} more`, isEscape: true });
			return segments;
		}
		shown++;
		units += character.length;
		marks = MARK.test(character) ? marks + 1 : 0;
		if (UNSEEN.test(character) || marks > TEXT_LIMITS.combiningRunMax) {
			flush();
			segments.push({ text: escapeOf(character), isEscape: true });
		} else plain += character;
	}
	flush();
	return segments;
}

/** The same as one string: for labels and titles, where no part can be set apart. */
export function visibleText(text: string, lengthMax: number = TEXT_LIMITS.cellLengthMax): string {
	return visibleSegments(text, lengthMax)
		.map((segment) => segment.text)
		.join("");
}
