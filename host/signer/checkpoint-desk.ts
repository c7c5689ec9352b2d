/**
 * Where the ledger's checkpoints are signed. Guarantees that this key never signs a shrunk or forked tree: the proof is checked
 * against the last checkpoint that this desk itself stored, never against the caller's word, and the new one is on disk before
 * it is given out. So a restored or forked Security Center database gets no signature. Everything is synchronous, which makes
 * compare and swap one step. Must never start without its memory: a missing file stops the process.
 */
import { readFileSync } from "node:fs";
import { equalBytes, textOf } from "#core/bytes/bytes.ts";
import {
	type Checkpoint,
	ed25519Signer,
	ed25519Verifier,
	openCheckpoint,
	signCheckpoint,
	verifyConsistency,
} from "#core/ledger/index.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { ed25519PublicKey } from "#crypto";
import { writeFileDurably } from "../durable-files.ts";

export interface CheckpointRequest extends Checkpoint {
	/** The size the proof starts from; it must be the last size signed. */
	readonly oldSize: number;
	/** RFC 6962 consistency proof; empty from the empty tree. */
	readonly consistency: readonly Uint8Array[];
}

export type CheckpointDeskCode =
	/** This signer keeps another log. */
	| "origin_unknown"
	/** Smaller than what was signed: a database was restored, or leaves were lost. */
	| "size_went_back"
	/** Another tree of the same size: a fork. */
	| "other_root_same_size"
	/** The proof starts elsewhere; ask again from the last size, which `last` tells. Harmless after a crash between the two. */
	| "not_from_last"
	/** The new tree does not begin with the leaves of the signed one: a fork. */
	| "inconsistent";

export interface CheckpointDesk {
	/** The signed note, new or, for the same size and root, the stored one. */
	sign(request: CheckpointRequest): Result<string, CheckpointDeskCode>;
	last(): { readonly size: number; readonly note: string };
}

export interface CheckpointDeskOptions {
	readonly path: string;
	readonly origin: string;
	/** The ledger key, 32 bytes. */
	readonly seed: Uint8Array;
}

/** Opens the desk with its stored checkpoint, or says that there is none it can believe. */
export function openCheckpointDesk(options: CheckpointDeskOptions): Result<CheckpointDesk, "checkpoint_state_broken"> {
	const { path, origin, seed } = options;
	const signer = ed25519Signer(origin, seed);
	const log = { origin, keys: [ed25519Verifier(origin, ed25519PublicKey(seed))] };
	let stored: Uint8Array;
	try {
		stored = readFileSync(path);
	} catch (error) {
		return fail("checkpoint_state_broken", `The last checkpoint cannot be read: ${(error as Error).message}`);
	}
	const opened = openCheckpoint(stored, log);
	if (!opened.ok)
		return fail("checkpoint_state_broken", `The last checkpoint in ${path} is not ours: ${opened.detail}`);
	let last: Checkpoint = opened.value;
	let note = noteText(stored);

	function store(next: Checkpoint): void {
		const signed = signCheckpoint(next, signer);
		writeFileDurably(path, signed);
		last = next;
		note = noteText(signed);
	}

	return ok({
		last: () => ({ size: last.size, note }),
		sign(request) {
			const judged = judge(request, last);
			if (!judged.ok) return judged;
			if (request.size > last.size) store({ origin, size: request.size, root: request.root });
			return ok(note);
		},
	});
}

function noteText(note: Uint8Array): string {
	const text = textOf(note);
	assertInvariant(text !== null, "a note that opened is text");
	return text;
}

function judge(request: CheckpointRequest, last: Checkpoint): Result<true, CheckpointDeskCode> {
	const { origin, size, root, oldSize, consistency } = request;
	if (origin !== last.origin) return fail("origin_unknown", `This signer signs for ${last.origin} only.`);
	if (size < last.size) return fail("size_went_back", `Size ${last.size} was signed; ${size} would take leaves away.`);
	if (size === last.size) {
		if (equalBytes(root, last.root)) return ok(true);
		return fail("other_root_same_size", `Another root was signed for size ${size}.`);
	}
	if (oldSize !== last.size) return fail("not_from_last", `The last size signed is ${last.size}, not ${oldSize}.`);
	if (last.size === 0) {
		if (consistency.length === 0) return ok(true);
		return fail("inconsistent", "From the empty tree there is nothing to prove.");
	}
	const proved = verifyConsistency({
		oldSize: last.size,
		oldRoot: last.root,
		newSize: size,
		newRoot: root,
		proof: consistency,
	});
	return proved.ok ? proved : fail("inconsistent", proved.detail);
}
