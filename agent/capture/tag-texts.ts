/**
 * Texts of tags, decoded once while they come again and again: the same program, directory and name stand in every event of a
 * storm. Guarantees the text that `lossyTextOf` gives for the bytes, whatever was asked before, and a bound of
 * `SLOTS * LENGTH_MAX` characters.
 */
import { lossyTextOf } from "#core/bytes/bytes.ts";
import type { FrameTags } from "./tags.ts";

/** A power of two; a busy host runs some hundred programs. */
const SLOTS = 512;
/** Longer ones hardly repeat. */
const LENGTH_MAX = 128;
/** FNV-1a. */
const HASH_START = 0x811c_9dc5;
const HASH_FACTOR = 0x0100_0193;

const texts: (string | undefined)[] = Array.from({ length: SLOTS });

function isTextOf(text: string | undefined, tags: FrameTags, at: number): text is string {
	const length = tags.lengthAt(at);
	if (text === undefined || text.length !== length) return false;
	// Equal unit by byte only where all are ASCII: what is not UTF-8 decodes to a unit above every byte.
	for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== tags.view.getUint8(at + i)) return false;
	return true;
}

/** The text of a value at its offset in the frame. */
export function textAt(tags: FrameTags, at: number): string {
	const length = tags.lengthAt(at);
	if (length > LENGTH_MAX) return lossyTextOf(tags.bytesAt(at));
	let hash = HASH_START;
	for (let i = 0; i < length; i++) hash = Math.imul(hash ^ tags.view.getUint8(at + i), HASH_FACTOR);
	const slot = (hash ^ (hash >>> 16)) & (SLOTS - 1);
	const known = texts[slot];
	if (isTextOf(known, tags, at)) return known;
	const text = lossyTextOf(tags.bytesAt(at));
	texts[slot] = text;
	return text;
}
