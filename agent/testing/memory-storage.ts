/**
 * A disk in memory for tests, with the faults a disk has: full, failing, writing less than asked, losing what was not synced.
 * Must never be used outside tests.
 */
import type { SegmentStorage } from "../outbox/storage.ts";

function systemError(code: string): Error {
	return Object.assign(new Error(`${code}: injected`), { code });
}

export class MemoryStorage implements SegmentStorage {
	readonly files = new Map<string, Uint8Array>();
	readonly #names: (string | null)[] = [];
	/** Bytes that all files together may hold. */
	capacity = Number.MAX_SAFE_INTEGER;
	/** The code that every sync throws. */
	syncFault: string | null = null;
	writeFault: string | null = null;
	/** One write takes at most this. */
	writeBytesMax = Number.MAX_SAFE_INTEGER;
	syncCount = 0;

	get used(): number {
		let sum = 0;
		for (const bytes of this.files.values()) sum += bytes.length;
		return sum;
	}

	#file(name: string): Uint8Array {
		const bytes = this.files.get(name);
		if (bytes === undefined) throw systemError("ENOENT");
		return bytes;
	}

	#nameOf(handle: number): string {
		const name = this.#names[handle];
		if (name === null || name === undefined) throw systemError("EBADF");
		return name;
	}

	list(): string[] {
		return [...this.files.keys()];
	}

	read(name: string): Uint8Array {
		return this.#file(name).slice();
	}

	readAt(name: string, offset: number, length: number): Uint8Array {
		return this.#file(name).slice(offset, offset + length);
	}

	open(name: string, isNew: boolean): number {
		if (isNew) {
			if (this.files.has(name)) throw systemError("EEXIST");
			if (this.used >= this.capacity) throw systemError("ENOSPC");
			this.files.set(name, new Uint8Array(0));
		} else this.#file(name);
		return this.#names.push(name) - 1;
	}

	write(handle: number, bytes: Uint8Array, offset: number): number {
		if (this.writeFault !== null) throw systemError(this.writeFault);
		const name = this.#nameOf(handle);
		const old = this.#file(name);
		const count = Math.min(bytes.length, this.writeBytesMax, Math.max(0, this.capacity - this.used));
		if (count === 0) throw systemError("ENOSPC");
		const grown = new Uint8Array(Math.max(old.length, offset + count));
		grown.set(old);
		grown.set(bytes.subarray(0, count), offset);
		this.files.set(name, grown);
		return count;
	}

	truncate(handle: number, size: number): void {
		const name = this.#nameOf(handle);
		this.files.set(name, this.#file(name).slice(0, size));
	}

	sync(handle: number): void {
		this.#nameOf(handle);
		this.syncCount++;
		if (this.syncFault !== null) throw systemError(this.syncFault);
	}

	syncDirectory(): void {
		if (this.syncFault !== null) throw systemError(this.syncFault);
	}

	close(handle: number): void {
		this.#nameOf(handle);
		this.#names[handle] = null;
	}

	remove(name: string): void {
		this.#file(name);
		this.files.delete(name);
	}

	rename(name: string, to: string): void {
		this.files.set(to, this.#file(name));
		this.files.delete(name);
	}
}
