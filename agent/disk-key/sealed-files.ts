/**
 * The small sealed files of the data directory: each written whole or not at all, under a key of its own name, padded. Guarantees
 * that a file read is the last one written under this name by this key, or is called damaged. An older whole file put back by
 * root is not noticed here.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { utf8 } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { writeFileDurably } from "../outbox/storage.ts";
import type { DiskSeal, Seal } from "./disk-seal.ts";

/** Every sealed file of the data directory ends so. */
export const SEALED_SUFFIX = ".sealed";

export interface SealedFileOptions {
	/** Makes the file this long whatever it holds; without it the length is a size class of the content. */
	readonly contentBytesMax?: number;
}

export class SealedFile {
	readonly #directory: string;
	readonly #fileName: string;
	readonly #seal: Seal;
	readonly #contentBytesMax: number | undefined;

	constructor(directory: string, name: string, disk: DiskSeal, options: SealedFileOptions = {}) {
		this.#directory = directory;
		this.#fileName = `${name}${SEALED_SUFFIX}`;
		this.#seal = disk.of(this.#fileName);
		this.#contentBytesMax = options.contentBytesMax;
	}

	get path(): string {
		return join(this.#directory, this.#fileName);
	}

	/** The content, or null when there is no such file. Throws the system's error of a disk that cannot be read. */
	read(): Result<Uint8Array | null, "sealed_file_damaged"> {
		let sealed: Uint8Array;
		try {
			sealed = readFileSync(this.path);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === "ENOENT") return ok(null);
			throw error;
		}
		const content = this.#seal.open(sealed, utf8(this.#fileName));
		return content === null
			? fail("sealed_file_damaged", `${this.path} does not open under the disk key`)
			: ok(content);
	}

	/** Replaces the content; on the disk when this returns. Throws the system's error. */
	write(content: Uint8Array): void {
		const sealed = this.#seal.seal(content, utf8(this.#fileName), this.#contentBytesMax);
		writeFileDurably(this.#directory, this.#fileName, sealed);
	}
}

export class SealedFiles {
	readonly #directory: string;
	readonly #disk: DiskSeal;

	constructor(directory: string, disk: DiskSeal) {
		this.#directory = directory;
		this.#disk = disk;
	}

	file(name: string, options: SealedFileOptions = {}): SealedFile {
		return new SealedFile(this.#directory, name, this.#disk, options);
	}

	/** Whether no file was ever sealed here: the first start. */
	isEmpty(): boolean {
		return !readdirSync(this.#directory).some((name) => name.endsWith(SEALED_SUFFIX));
	}
}
