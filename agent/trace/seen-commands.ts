/**
 * Which command ids this agent has already acted on, on disk. Guarantees: an id is synced before the command acts, so no crash
 * makes a command act twice; only commands that were verified get in, so a stranger cannot fill the list. Ids are kept a day
 * beyond their expiry, because a clock can be set back. The file is sealed, stands from the first start and always has the size of
 * a full list, so its size tells nothing of how many commands came.
 */
import { equalBytes, hexOf } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs, field, list, record, uint } from "#core/codec/index.ts";
import { commandIdShape, hashShape } from "#core/model/ids.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { SealedFile, SealedFiles } from "../disk-key/sealed-files.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { DiskFailure, isDiskFull } from "../outbox/storage.ts";

const FILE_NAME = "seen-commands";
/** An entry: a map of three one-byte keys, an id of 1 + 16 bytes, a hash of 2 + 32, a time of at most 9. */
const ENTRY_BYTES_MAX = 1 + 3 + 17 + 34 + 9;
/** A full list. */
export const SEEN_BYTES_MAX = 3 + AGENT_LIMITS.seenCommandsMax * ENTRY_BYTES_MAX;
/** The file's content. */
export const seenListShape = list(
	record({ id: field(1, commandIdShape), payloadHash: field(2, hashShape), expiresAtMs: field(3, uint()) }),
	AGENT_LIMITS.seenCommandsMax,
);

interface Seen {
	readonly id: Uint8Array;
	readonly payloadHash: Uint8Array;
	readonly expiresAtMs: number;
}

export type SeenCode = "seen_list_full" | "disk_full";

export class SeenCommands {
	readonly #file: SealedFile;
	readonly #seen = new Map<string, Seen>();
	/** Recorded in this run of the process: their answers are in the outbox. */
	readonly #ofThisRun = new Set<string>();

	private constructor(file: SealedFile, seen: readonly Seen[]) {
		this.#file = file;
		for (const one of seen) this.#seen.set(hexOf(one.id), one);
	}

	/**
	 * Opens the list, and makes the file where there is none. A damaged one stops the agent: without it an old command could act
	 * again. Throws `DiskFailure`.
	 */
	static open(files: SealedFiles): SeenCommands {
		const file = files.file(FILE_NAME, { contentBytesMax: SEEN_BYTES_MAX });
		const content = file.read();
		if (content.ok && content.value === null) {
			const fresh = new SeenCommands(file, []);
			try {
				fresh.#write();
			} catch (error) {
				// Without room no command is accepted until there is some: `record` says so.
				if (!isDiskFull(error)) throw new DiskFailure(`${file.path} could not be made: ${(error as Error).message}.`);
			}
			return fresh;
		}
		const decoded = content.ok ? decodeAs(seenListShape, content.value as Uint8Array) : content;
		if (!decoded.ok)
			throw new DiskFailure(`${file.path} is damaged (${decoded.detail}), so used commands are not known any more.`);
		return new SeenCommands(file, decoded.value);
	}

	#write(): void {
		this.#file.write(encodeAs(seenListShape, [...this.#seen.values()]));
	}

	has(id: Uint8Array): boolean {
		return this.#seen.has(hexOf(id));
	}

	/** Whether these very bytes were judged in this run: then the answer exists and the hop only asks again. */
	isAnswered(id: Uint8Array, payloadHash: Uint8Array): boolean {
		const key = hexOf(id);
		const seen = this.#seen.get(key);
		return seen !== undefined && this.#ofThisRun.has(key) && equalBytes(seen.payloadHash, payloadHash);
	}

	/** Records an id; on disk when this returns ok. */
	record(seen: Seen, nowMs: number): Result<true, SeenCode> {
		for (const [key, { expiresAtMs }] of this.#seen) {
			if (expiresAtMs + AGENT_LIMITS.seenCommandsKeepMs >= nowMs) continue;
			this.#seen.delete(key);
			this.#ofThisRun.delete(key);
		}
		if (this.#seen.size >= AGENT_LIMITS.seenCommandsMax)
			return fail("seen_list_full", `${this.#seen.size} command ids are remembered; a new one has no place`);
		const key = hexOf(seen.id);
		this.#seen.set(key, seen);
		try {
			this.#write();
		} catch (error) {
			this.#seen.delete(key);
			if (isDiskFull(error)) return fail("disk_full", "the command id could not be recorded on a full disk");
			throw new DiskFailure(`The list of used commands could not be written: ${(error as Error).message}.`);
		}
		this.#ofThisRun.add(key);
		return ok(true);
	}
}
