/**
 * What a power loss would leave of a directory, kept beside it: the bytes of a file as they were at its last fsync, under the names that
 * were there at the directory's last fsync. The strictest reading of POSIX; real file systems keep more.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SegmentStorage } from "../agent/outbox/storage.ts";

/** The storage, with the image written anew at every fsync before the caller hears that it is done. */
export function withImage(storage: SegmentStorage, directory: string, image: string): SegmentStorage {
	rmSync(image, { recursive: true, force: true });
	mkdirSync(image, { mode: 0o700 });
	// What is there at a start has survived the loss before it.
	const durable = new Map(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]));
	let names = new Set(durable.keys());
	const open = new Map<number, string>();
	/** Whole or not at all: the process may be killed in the middle. */
	const keep = (name: string) => {
		if (!names.has(name)) return;
		writeFileSync(`${image}.new`, durable.get(name) ?? new Uint8Array());
		renameSync(`${image}.new`, join(image, name));
	};
	for (const name of names) keep(name);
	return {
		...storage,
		open(name, isNew) {
			const handle = storage.open(name, isNew);
			open.set(handle, name);
			return handle;
		},
		sync(handle) {
			storage.sync(handle);
			const name = open.get(handle) as string;
			durable.set(name, readFileSync(join(directory, name)));
			keep(name);
		},
		syncDirectory() {
			storage.syncDirectory();
			const now = new Set(storage.list());
			for (const name of names) if (!now.has(name)) rmSync(join(image, name));
			const added = [...now].filter((name) => !names.has(name));
			names = now;
			for (const name of added) keep(name);
		},
	};
}
