/**
 * The disk under the outbox, as the few calls it needs. Synchronous, so that an append cannot be interleaved with itself. Two
 * classes of trouble exist: a full disk is a state that passes and is a value; any other error of writing or syncing throws
 * `DiskFailure` and stops the process, because after a failed fsync nobody knows what is on the disk.
 */
import {
	closeSync,
	fdatasyncSync,
	fsyncSync,
	ftruncateSync,
	openSync,
	readdirSync,
	readFileSync,
	readSync,
	renameSync,
	rmSync,
	writeSync,
} from "node:fs";
import { join } from "node:path";

/** Stops the process: what the disk holds is no longer known. */
export class DiskFailure extends Error {
	override readonly name = "DiskFailure";
}

/** Whether a system error says that the disk, or the quota, is full. */
export function isDiskFull(error: unknown): boolean {
	const code = (error as NodeJS.ErrnoException).code;
	return code === "ENOSPC" || code === "EDQUOT";
}

/** Files of one directory. Every call may throw the system's error; only the outbox decides what that means. */
export interface SegmentStorage {
	list(): string[];
	read(name: string): Uint8Array;
	readAt(name: string, offset: number, length: number): Uint8Array;
	/** Opens for appending; with `isNew` the file must not exist. */
	open(name: string, isNew: boolean): number;
	/** Writes at `offset`; may write less than asked, like the system call. */
	write(handle: number, bytes: Uint8Array, offset: number): number;
	truncate(handle: number, size: number): void;
	/** Returns when the bytes are on the disk. */
	sync(handle: number): void;
	/** Returns when created and removed names are on the disk. */
	syncDirectory(): void;
	close(handle: number): void;
	remove(name: string): void;
	/** The file under another name, which must not exist. Takes no room. */
	rename(name: string, to: string): void;
}

export function directoryStorage(directory: string): SegmentStorage {
	return {
		list: () => readdirSync(directory),
		read: (name) => readFileSync(join(directory, name)),
		readAt(name, offset, length) {
			const handle = openSync(join(directory, name), "r");
			try {
				const bytes = new Uint8Array(length);
				return bytes.subarray(0, readSync(handle, bytes, 0, length, offset));
			} finally {
				closeSync(handle);
			}
		},
		open: (name, isNew) => openSync(join(directory, name), isNew ? "wx" : "r+", 0o600),
		write: (handle, bytes, offset) => writeSync(handle, bytes, 0, bytes.length, offset),
		truncate: (handle, size) => ftruncateSync(handle, size),
		sync: (handle) => fdatasyncSync(handle),
		syncDirectory() {
			const handle = openSync(directory, "r");
			try {
				fsyncSync(handle);
			} finally {
				closeSync(handle);
			}
		},
		close: (handle) => closeSync(handle),
		remove: (name) => rmSync(join(directory, name)),
		rename: (name, to) => renameSync(join(directory, name), join(directory, to)),
	};
}

/** Replaces a small file whole: old bytes or new bytes after a power loss, never a mixture. Throws the system's error. */
export function writeFileDurably(directory: string, name: string, bytes: Uint8Array): void {
	const storage = directoryStorage(directory);
	const temporary = `.${name}.new`;
	rmSync(join(directory, temporary), { force: true });
	const handle = storage.open(temporary, true);
	try {
		let written = 0;
		while (written < bytes.length) written += storage.write(handle, bytes.subarray(written), written);
		storage.sync(handle);
	} catch (error) {
		rmSync(join(directory, temporary), { force: true });
		throw error;
	} finally {
		storage.close(handle);
	}
	renameSync(join(directory, temporary), join(directory, name));
	storage.syncDirectory();
}
