/**
 * The end of the genesis file: once it is imported into the sealed trust store, the clear one goes, because it may name operators.
 * Guarantees that only a file of the agent's own identity folder is touched; a box may point at the enclave's own document. What
 * cannot be removed is named in the log at every start.
 */
import { closeSync, existsSync, fsyncSync, lstatSync, openSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { Log } from "../log.ts";
import { directoryStorage } from "../outbox/storage.ts";
import type { AgentConfig } from "./config.ts";

/** Overwrites a file before its name goes: its blocks would be found by a search of the raw disk. */
function erase(path: string): void {
	const handle = openSync(path, "r+");
	try {
		writeSync(handle, new Uint8Array(lstatSync(path).size), 0, undefined, 0);
		fsyncSync(handle);
	} finally {
		closeSync(handle);
	}
	rmSync(path);
	directoryStorage(dirname(path)).syncDirectory();
}

/** Removes the imported genesis file where the agent may. */
export function retireGenesisFile({ genesis, signingKey }: AgentConfig["identity"], log: Log): void {
	if (!existsSync(genesis)) return;
	const file = lstatSync(genesis);
	if (dirname(genesis) !== dirname(signingKey) || !file.isFile() || file.nlink > 1) {
		log("genesis_file_left", { file: genesis, reason: "it is no file of the agent's own folder" });
		return;
	}
	try {
		erase(genesis);
		log("genesis_file_removed", { file: genesis });
	} catch (error) {
		log("genesis_file_left", { file: genesis, reason: (error as NodeJS.ErrnoException).code ?? "unknown" });
	}
}
