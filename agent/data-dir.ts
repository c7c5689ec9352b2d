/**
 * The agent's data directory and its one owner. The lock is SQLite's exclusive lock on an empty file: a kernel lock on a file
 * inside the private directory, taken without spawning a helper, freed by the kernel at death, seen across network namespaces,
 * and out of reach of other users. Must never be a pid file: pids are reused.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fail, ok, type Result } from "#core/result.ts";

export type DataDirCode = "data_dir_locked" | "data_dir_unusable";

export interface DataDir {
	readonly path: string;
	readonly outboxPath: string;
	/** Gives the lock back. */
	release(): void;
}

/** Makes the directory where it is missing and takes its lock. */
export function openDataDir(path: string): Result<DataDir, DataDirCode> {
	const outboxPath = join(path, "outbox");
	try {
		mkdirSync(outboxPath, { recursive: true, mode: 0o700 });
	} catch (error) {
		return fail("data_dir_unusable", `data_dir ${path} cannot be made: ${(error as Error).message}.`);
	}
	let database: DatabaseSync;
	try {
		database = new DatabaseSync(join(path, "lock"), { timeout: 0 });
	} catch (error) {
		return fail("data_dir_unusable", `data_dir ${path} cannot be written: ${(error as Error).message}.`);
	}
	try {
		database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
	} catch (error) {
		database.close();
		const message = (error as Error).message;
		if (/locked|busy/i.test(message))
			return fail("data_dir_locked", `Another agent runs on data_dir ${path}; stop it, or give this one its own.`);
		return fail("data_dir_unusable", `data_dir ${path} cannot be locked: ${message}.`);
	}
	return ok({ path, outboxPath, release: () => database.close() });
}
