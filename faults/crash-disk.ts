/**
 * A disk on which a recorded life is done again, to be cut anywhere: what a power loss would leave at that moment. Three readings: every
 * write so far arrived; of the one under way only its first blocks did; nothing arrived but what an fsync had promised. Pure but for
 * `writeImage`.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { assertInvariant } from "#core/result.ts";
import type { BaseFile, DiskOp } from "./write-log.ts";

/** The least that a disk writes whole. */
export const BLOCK_BYTES = 512;

export type Image = ReadonlyMap<string, BaseFile>;

interface File {
	bytes: Buffer;
	size: number;
	/** As at its last fsync. */
	synced: Buffer;
	readonly mode: number;
}

function write(file: File, offset: number, bytes: Buffer): void {
	const end = offset + bytes.length;
	if (end > file.bytes.length) {
		const grown = Buffer.alloc(Math.max(end, 2 * file.bytes.length));
		file.bytes.copy(grown, 0, 0, file.size);
		file.bytes = grown;
	}
	// What a truncation cut off must not come back.
	if (offset > file.size) file.bytes.fill(0, file.size, offset);
	bytes.copy(file.bytes, offset);
	file.size = Math.max(file.size, end);
}

export class CrashDisk {
	readonly #files = new Map<string, File>();
	/** Names that a power loss leaves: made durable by an fsync of the file or of its folder. */
	readonly #durable = new Map<string, File>();

	constructor(base: Image) {
		for (const [path, { bytes, mode }] of base) {
			const file = { bytes: Buffer.from(bytes), size: bytes.length, synced: Buffer.from(bytes), mode };
			this.#files.set(path, file);
			this.#durable.set(path, file);
		}
	}

	apply(op: DiskOp): void {
		const file = this.#files.get(op.path);
		switch (op.kind) {
			case "create":
				if (file === undefined)
					this.#files.set(op.path, { bytes: Buffer.alloc(0), size: 0, synced: Buffer.alloc(0), mode: 0o600 });
				else if (op.isEmptied) file.size = 0;
				return;
			case "remove":
				this.#files.delete(op.path);
				return;
			case "rename":
				assertInvariant(file !== undefined, `${op.path} is renamed and known`);
				this.#files.delete(op.path);
				this.#files.set(op.to, file);
				return;
			case "sync":
				if (file === undefined) this.#syncNames(op.path);
				else {
					file.synced = Buffer.from(file.bytes.subarray(0, file.size));
					this.#durable.set(op.path, file);
				}
				return;
			case "truncate":
				assertInvariant(file !== undefined, `${op.path} is truncated and known`);
				if (op.size > file.size) write(file, op.size, Buffer.alloc(0));
				file.size = op.size;
				return;
			case "write":
				assertInvariant(file !== undefined, `${op.path} is written and known`);
				write(file, op.offset, op.bytes);
		}
	}

	#syncNames(folder: string): void {
		for (const path of [...this.#durable.keys()])
			if (dirname(path) === folder && !this.#files.has(path)) this.#durable.delete(path);
		for (const [path, file] of this.#files) if (dirname(path) === folder) this.#durable.set(path, file);
	}

	/** Everything written so far. */
	whole(): Image {
		return new Map(
			[...this.#files].map(([path, { bytes, size, mode }]) => [
				path,
				{ bytes: Buffer.from(bytes.subarray(0, size)), mode },
			]),
		);
	}

	/** Everything so far, and of the next write no more than `blocks` of its blocks. */
	torn(next: DiskOp, blocks: number): Image {
		const image = new Map(this.whole());
		if (next.kind !== "write") return image;
		const { bytes = Buffer.alloc(0), mode = 0o600 } = image.get(next.path) ?? {};
		const file = { bytes: Buffer.from(bytes), size: bytes.length, synced: bytes, mode };
		write(file, next.offset, next.bytes.subarray(0, blocks * BLOCK_BYTES));
		return image.set(next.path, { bytes: file.bytes.subarray(0, file.size), mode });
	}

	/** Nothing but what an fsync had promised. */
	synced(): Image {
		return new Map([...this.#durable].map(([path, { synced, mode }]) => [path, { bytes: synced, mode }]));
	}
}

/** Puts an image where its files were; whatever else lies in the folders goes. */
export function writeImage(image: Image, folders: readonly string[]): void {
	for (const folder of folders) {
		rmSync(folder, { recursive: true, force: true });
		mkdirSync(folder, { recursive: true, mode: 0o700 });
	}
	for (const [path, { bytes, mode }] of image) {
		mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
		writeFileSync(path, bytes, { mode });
	}
}
