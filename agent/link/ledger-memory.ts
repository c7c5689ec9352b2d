/**
 * The newest signed tree of the ledger that this agent was shown, kept over restarts. Guarantees that a second root for that size
 * is noticed: the ledger went back and grew anew, or shows different trees to different hosts. A memory for an alarm, so it is
 * written lazily and a damaged file starts it again; losing it frees nothing. Must never be the only judge of a receipt.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs, field, record, uint } from "#core/codec/index.ts";
import { hashShape } from "#core/model/ids.ts";
import type { SealedFile, SealedFiles } from "../disk-key/sealed-files.ts";
import type { Log } from "../log.ts";
import { DiskFailure, isDiskFull } from "../outbox/storage.ts";

const FILE_NAME = "ledger-seen";
const seenShape = record({ size: field(1, uint()), root: field(2, hashShape) });

/** One signed tree. */
export interface SeenTree {
	readonly size: number;
	readonly root: Uint8Array;
}

export class LedgerMemory {
	readonly #file: SealedFile;
	readonly #log: Log;
	#newest: SeenTree | null = null;
	#isWritten = true;

	private constructor(file: SealedFile, log: Log) {
		this.#file = file;
		this.#log = log;
	}

	static open(files: SealedFiles, log: Log): LedgerMemory {
		const memory = new LedgerMemory(files.file(FILE_NAME), log);
		const content = memory.#file.read();
		if (content.ok && content.value === null) return memory;
		const decoded = content.ok ? decodeAs(seenShape, content.value as Uint8Array) : content;
		if (decoded.ok) memory.#newest = decoded.value;
		else log("ledger_memory_damaged", { detail: decoded.detail });
		return memory;
	}

	/** Takes a tree whose signature was verified. False: it has the size of the newest one and another root. */
	take({ size, root }: SeenTree): boolean {
		const newest = this.#newest;
		if (newest !== null && size === newest.size) return equalBytes(root, newest.root);
		if (newest === null || size > newest.size) {
			this.#newest = { size, root };
			this.#isWritten = false;
		}
		return true;
	}

	/** Writes what is new. A full disk is tried again next time. Throws `DiskFailure`. */
	persist(): void {
		if (this.#isWritten || this.#newest === null) return;
		try {
			this.#file.write(encodeAs(seenShape, this.#newest));
			this.#isWritten = true;
		} catch (error) {
			if (!isDiskFull(error)) throw new DiskFailure(`${FILE_NAME} could not be written: ${(error as Error).message}.`);
			this.#log("disk_full", { file: FILE_NAME });
		}
	}
}
