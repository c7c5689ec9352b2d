/**
 * Files that must be whole or absent after a power loss, and private. Guarantees: a reader sees the old bytes or the new bytes,
 * never a mixture; when a write returns, bytes and name are on disk; files are 0600 and directories 0700 whatever the umask is.
 * Everything is synchronous: a caller that reads, decides and writes cannot be interleaved with itself. Must never be used for
 * data a child process writes.
 */

import { randomBytes } from "node:crypto";
import { closeSync, fchmodSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { utf8 } from "#core/bytes/bytes.ts";

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** Makes a name change inside the directory (create, rename, unlink) survive a power loss. */
export function syncDirectory(path: string): void {
	const descriptor = openSync(path, "r");
	try {
		fsyncSync(descriptor);
	} finally {
		closeSync(descriptor);
	}
}

/** Creates the directory and its missing parents, 0700. */
export function makePrivateDirectory(path: string): void {
	mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
}

function writeWhole(descriptor: number, bytes: Uint8Array): void {
	let written = 0;
	while (written < bytes.length) written += writeSync(descriptor, bytes, written);
}

/** Replaces the file by the bytes: temporary file, fsync, rename, fsync of the directory. Throws the system's error. */
export function writeFileDurably(path: string, content: Uint8Array | string): void {
	const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
	const descriptor = openSync(temporary, "wx", FILE_MODE);
	try {
		try {
			fchmodSync(descriptor, FILE_MODE);
			writeWhole(descriptor, typeof content === "string" ? utf8(content) : content);
			fsyncSync(descriptor);
		} finally {
			closeSync(descriptor);
		}
		renameSync(temporary, path);
	} catch (error) {
		rmSync(temporary, { force: true });
		throw error;
	}
	syncDirectory(dirname(path));
}

/**
 * Overwrites a secret in place, then unlinks it, both on disk when this returns. On a copying file system or a flash disk old
 * blocks may survive: the overwrite is a second line, the unlink is the promise.
 */
export function destroyFile(path: string, bytes: number): void {
	const descriptor = openSync(path, "r+");
	try {
		writeWhole(descriptor, randomBytes(bytes));
		fsyncSync(descriptor);
	} finally {
		closeSync(descriptor);
	}
	rmSync(path);
	syncDirectory(dirname(path));
}
