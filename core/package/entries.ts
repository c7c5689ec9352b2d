/**
 * Which names may stand together in a package. Guarantees that unpacking on any system creates exactly the named
 * files below the chosen folder: nothing outside it, no two that fall on one file where case does not count, none
 * that is a folder too.
 */
import { fail, ok, type Result } from "#core/result.ts";
import type { ZipLimits } from "./limits.ts";

export type EntryCode =
	/** More entries than the limit. */
	| "too_many_entries"
	/** The archive is or would be larger than the limit. */
	| "too_large"
	/** A name that is empty, too long, absolute, climbs, or has a character or segment we do not allow. */
	| "name_unsafe"
	/** Two names are equal, or equal but for case. */
	| "duplicate_name"
	/** One name is a folder of another, as in `a` and `a/b`. */
	| "name_conflict";

/** Bytes of a local header and of a central record without the name, and of the end record. */
export const LOCAL_HEADER_BYTES = 30;
export const CENTRAL_RECORD_BYTES = 46;
export const END_RECORD_BYTES = 22;

/** Letters, digits and `._-` in segments parted by `/`; none is empty or ends in a dot, which Windows drops. */
const SAFE_NAME = /^(?:[A-Za-z0-9._-]*[A-Za-z0-9_-]\/)*[A-Za-z0-9._-]*[A-Za-z0-9_-]$/;

/** Whether one name is safe by itself. */
export function isSafeName(name: string, limits: ZipLimits): boolean {
	return name.length <= limits.nameCharsMax && SAFE_NAME.test(name);
}

/** Whether these names are safe one by one and together. */
export function checkNames(names: readonly string[], limits: ZipLimits): Result<true, EntryCode> {
	if (names.length > limits.entriesMax) {
		return fail("too_many_entries", `A package has at most ${limits.entriesMax} entries.`);
	}
	const files = new Set<string>();
	for (const name of names) {
		if (!isSafeName(name, limits)) return fail("name_unsafe", `${JSON.stringify(name)} is no safe name.`);
		const folded = name.toLowerCase();
		if (files.has(folded)) return fail("duplicate_name", `${name} is there twice, case aside.`);
		files.add(folded);
	}
	for (const file of files) {
		for (let slash = file.indexOf("/"); slash >= 0; slash = file.indexOf("/", slash + 1)) {
			if (files.has(file.slice(0, slash))) return fail("name_conflict", `${file.slice(0, slash)} is file and folder.`);
		}
	}
	return ok(true);
}

/** Whether `writeZip` can write these entries. For callers whose entries grow with what was captured. */
export function checkEntries(entries: ReadonlyMap<string, Uint8Array>, limits: ZipLimits): Result<true, EntryCode> {
	const names = checkNames([...entries.keys()], limits);
	if (!names.ok) return names;
	let archiveBytes = END_RECORD_BYTES;
	for (const [name, data] of entries) {
		archiveBytes += LOCAL_HEADER_BYTES + CENTRAL_RECORD_BYTES + 2 * name.length + data.length;
	}
	if (archiveBytes > limits.archiveBytesMax) {
		return fail("too_large", `The package would be ${archiveBytes} bytes, over ${limits.archiveBytesMax}.`);
	}
	return ok(true);
}
