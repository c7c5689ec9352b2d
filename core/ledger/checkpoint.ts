/**
 * Checkpoints (C2SP tlog-checkpoint): the origin, size and root of a log as the text of a signed note. Guarantees
 * one spelling: sizes without leading zeros, canonical base64. Our logs write no extension lines; those of other
 * logs are read and kept. What a checkpoint says must never be used before a log key has been seen to sign it:
 * `openCheckpoint` does both.
 */
import { base64Of, bytesOfBase64 } from "#core/bytes/bytes.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { parseDecimal } from "./decimal.ts";
import { HASH_BYTES } from "./merkle.ts";
import {
	isKeyName,
	isNoteText,
	type NoteCode,
	type NoteSigner,
	type NoteVerifier,
	type OpenedNote,
	openNote,
	signNote,
} from "./note.ts";

export type CheckpointCode =
	/** Fewer than three lines, an empty line, or a text that cannot be a note's. */
	| "checkpoint_malformed"
	/** The size is not plain decimal, or above 2^53 - 1. */
	| "checkpoint_bad_size"
	/** The root is not canonical base64 of 32 bytes. */
	| "checkpoint_bad_root"
	/** The checkpoint is of another log. */
	| "checkpoint_wrong_origin";

export interface Checkpoint {
	/** Identity of the log, `sc.<enclave>/ledger` for ours. */
	readonly origin: string;
	/** Number of leaves. */
	readonly size: number;
	/** 32 bytes. */
	readonly root: Uint8Array;
}

export interface ParsedCheckpoint extends Checkpoint {
	/** Opaque lines behind the root; signed, but proved by nothing. */
	readonly extensions: readonly string[];
}

/** The note text, three lines. The origin is also the log's key name, so it must be fit for one. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
	const { origin, size, root } = checkpoint;
	assertInvariant(isKeyName(origin), `"${origin}" cannot be the origin of a log`);
	assertInvariant(Number.isSafeInteger(size) && size >= 0, `no tree has ${size} leaves`);
	assertInvariant(root.length === HASH_BYTES, `a root is ${HASH_BYTES} bytes, not ${root.length}`);
	return `${origin}\n${size}\n${base64Of(root)}\n`;
}

/** Reads the text of a note; says nothing about who signed it. */
export function parseCheckpoint(text: string): Result<ParsedCheckpoint, CheckpointCode> {
	const lines = text.slice(0, -1).split("\n");
	const [origin, decimal, base64, ...extensions] = lines;
	if (!isNoteText(text) || !origin || !decimal || !base64 || extensions.includes("")) {
		return fail("checkpoint_malformed", "A checkpoint is an origin, a size and a root, each on its line, none empty.");
	}
	const size = parseDecimal(decimal);
	if (size === null) return fail("checkpoint_bad_size", "The size is not plain decimal up to 2^53 - 1.");
	const root = bytesOfBase64(base64);
	if (root?.length !== HASH_BYTES) return fail("checkpoint_bad_root", "The root is not base64 of 32 bytes.");
	return ok({ origin, size, root, extensions });
}

/** The signed note of a checkpoint. The first signer is the log itself and bears the origin as its name. */
export function signCheckpoint(checkpoint: Checkpoint, log: NoteSigner): Uint8Array {
	assertInvariant(log.name === checkpoint.origin, `${log.name} does not sign for ${checkpoint.origin}`);
	return signNote(formatCheckpoint(checkpoint), log);
}

/**
 * The log whose checkpoints are accepted. Keys of witnesses do not belong here: they vouch for a log, they are
 * not it.
 */
export interface LogIdentity {
	readonly origin: string;
	/** Keys of the log, more than one only while one replaces another. */
	readonly keys: readonly NoteVerifier[];
}

export interface OpenedCheckpoint extends ParsedCheckpoint {
	readonly note: OpenedNote;
}

/** Opens the note with the log's keys, reads it, and compares the origin. */
export function openCheckpoint(
	note: Uint8Array,
	log: LogIdentity,
): Result<OpenedCheckpoint, NoteCode | CheckpointCode> {
	const opened = openNote(note, log.keys);
	if (!opened.ok) return opened;
	const parsed = parseCheckpoint(opened.value.text);
	if (!parsed.ok) return parsed;
	if (parsed.value.origin !== log.origin) {
		return fail("checkpoint_wrong_origin", `The checkpoint is of another log than ${log.origin}.`);
	}
	return ok({ ...parsed.value, note: opened.value });
}
