/**
 * The disk desk of a box: which worker asks where, and of which file system. Guarantees that the folders are there, and private, before
 * anything starts in them. Must never be opened without the box's lock.
 */
import { join } from "node:path";
import type { Result } from "#core/result.ts";
import { makePrivateDirectory } from "../durable-files.ts";
import { type DiskDesk, type DiskDeskCode, openDiskDesk } from "../supervisor/disk-desk.ts";
import { boxPaths } from "./layout.ts";

/** `directories`: where each worker's objects lie, by the worker's name. */
export function openDeskOf(
	dataDir: string,
	directories: ReadonlyMap<string, string>,
): Promise<Result<DiskDesk, DiskDeskCode>> {
	const { diskSocket } = boxPaths(dataDir);
	for (const directory of [join(dataDir, "run"), ...directories.values()]) makePrivateDirectory(directory);
	return openDiskDesk(new Map([...directories].map(([name, directory]) => [diskSocket(name), directory])));
}
