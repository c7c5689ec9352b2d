/**
 * The exclusive lock on a data directory: two workerd on one directory would both serve the same Durable Object. It is a kernel
 * flock on `<dir>/lock`, taken through util-linux's `flock` because Node has no call for it: the lock belongs to the open file
 * description, which this process keeps after the helper has gone. Guarantees: the kernel frees it at death; children that are
 * handed `descriptor` keep it until the last of them is gone, so a supervisor that is killed leaves no moment in which a second
 * one could start beside a child still running. Must never be inferred from a pid file: pids are reused.
 */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";

export type LockCode = "data_dir_locked" | "data_dir_missing" | "lock_tool_missing";

export interface DataDirLock {
	/** Hand this to children, so that the lock outlives the holder while any of them lives. */
	readonly descriptor: number;
	release(): void;
}

/** What `flock` answers when somebody else holds the lock. */
const CONFLICT_STATUS = 1;
/** Where the helper finds the file: the first descriptor after the standard ones. */
const HELPER_DESCRIPTOR = 3;

/** Takes the lock or says which processes hold it. */
export function lockDataDir(dataDir: string): Result<DataDirLock, LockCode> {
	let descriptor: number;
	let path: string;
	try {
		path = join(realpathSync(dataDir), "lock");
		descriptor = openSync(path, "a", 0o600);
	} catch (error) {
		return fail("data_dir_missing", `The data directory ${dataDir} cannot be opened: ${(error as Error).message}`);
	}
	const run = spawnSync("flock", ["--nonblock", String(HELPER_DESCRIPTOR)], {
		stdio: ["ignore", "ignore", "ignore", descriptor],
	});
	if (run.status === 0) return ok({ descriptor, release: () => closeSync(descriptor) });
	closeSync(descriptor);
	if (run.error !== undefined || run.status !== CONFLICT_STATUS)
		return fail("lock_tool_missing", "The lock needs the command flock of util-linux, which could not be run.");
	const holders = holdersOf(path);
	const who = holders.length === 0 ? "another process" : `process ${holders.join(", ")}`;
	return fail("data_dir_locked", `The data directory ${dataDir} is in use by ${who}. Only one may serve it at a time.`);
}

/** Pids that have the file open, as far as this user may see; for the sentence only, never for a decision. */
function holdersOf(path: string): number[] {
	const holders: number[] = [];
	for (const name of readdirSync("/proc")) {
		if (/^[0-9]+$/.test(name) && hasOpen(join("/proc", name, "fd"), path)) holders.push(Number(name));
	}
	return holders;
}

function hasOpen(descriptors: string, path: string): boolean {
	try {
		return readdirSync(descriptors).some((each) => readlinkSync(join(descriptors, each)) === path);
	} catch {
		// The process has gone or is another user's: it is not among those that can be named.
		return false;
	}
}
