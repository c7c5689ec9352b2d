/**
 * The disk under an agent's outbox, with what disks do: writes that were not synced are lost or torn at a crash, a name that was not
 * synced with its directory may be gone, a removed one may be back, and a full disk takes a part or nothing. A crash can come at any
 * call: the process is then dead in the middle of its own code. Must never lose what a sync returned for.
 */
import type { SegmentStorage } from "../../agent/outbox/storage.ts";
import type { Random } from "./random.ts";

interface File {
	content: Uint8Array;
	/** As the disk has it. */
	durable: Uint8Array;
	/** Whether the disk knows the name. */
	isNamed: boolean;
}

function systemError(code: string): Error {
	return Object.assign(new Error(`${code}: the simulated disk`), { code });
}

export class SegmentDisk implements SegmentStorage {
	readonly #random: Random;
	#files = new Map<string, File>();
	/** Removed, and the directory not yet synced. */
	#removed = new Map<string, File>();
	/** New names, each with the old one, and the directory not yet synced. */
	#renamed = new Map<string, string>();
	#handles: (string | null)[] = [];
	isFull = false;
	/** The power fails at the call that brings this to zero. */
	callsLeft = Number.POSITIVE_INFINITY;
	onPowerLoss: () => void = () => undefined;

	constructor(random: Random) {
		this.#random = random;
	}

	#call(): void {
		if (--this.callsLeft > 0) return;
		this.callsLeft = Number.POSITIVE_INFINITY;
		this.onPowerLoss();
		throw systemError("EIO");
	}

	#file(name: string): File {
		const file = this.#files.get(name);
		if (file === undefined) throw systemError("ENOENT");
		return file;
	}

	#nameOf(handle: number): string {
		const name = this.#handles[handle];
		if (name === null || name === undefined) throw systemError("EBADF");
		return name;
	}

	list(): string[] {
		return [...this.#files.keys()];
	}

	read(name: string): Uint8Array {
		return this.#file(name).content.slice();
	}

	readAt(name: string, offset: number, length: number): Uint8Array {
		return this.#file(name).content.slice(offset, offset + length);
	}

	open(name: string, isNew: boolean): number {
		this.#call();
		if (isNew) {
			if (this.#files.has(name)) throw systemError("EEXIST");
			if (this.isFull) throw systemError("ENOSPC");
			this.#files.set(name, { content: new Uint8Array(), durable: new Uint8Array(), isNamed: false });
		} else this.#file(name);
		return this.#handles.push(name) - 1;
	}

	write(handle: number, bytes: Uint8Array, offset: number): number {
		const file = this.#file(this.#nameOf(handle));
		if (this.isFull && this.#random.chance(0.5)) throw systemError("ENOSPC");
		// A disk that fills up takes a part first.
		const count = this.isFull ? 1 + this.#random.below(bytes.length) : bytes.length;
		const grown = new Uint8Array(Math.max(file.content.length, offset + count));
		grown.set(file.content);
		grown.set(bytes.subarray(0, count), offset);
		file.content = grown;
		this.#call();
		return count;
	}

	truncate(handle: number, size: number): void {
		this.#call();
		const file = this.#file(this.#nameOf(handle));
		file.content = file.content.slice(0, size);
	}

	sync(handle: number): void {
		this.#call();
		const file = this.#file(this.#nameOf(handle));
		file.durable = file.content;
	}

	syncDirectory(): void {
		this.#call();
		for (const file of this.#files.values()) file.isNamed = true;
		this.#removed.clear();
		this.#renamed.clear();
	}

	close(handle: number): void {
		this.#nameOf(handle);
		this.#handles[handle] = null;
	}

	remove(name: string): void {
		this.#call();
		this.#removed.set(name, this.#file(name));
		this.#files.delete(name);
	}

	rename(name: string, to: string): void {
		this.#call();
		if (this.#files.has(to)) throw systemError("EEXIST");
		this.#files.set(to, this.#file(name));
		this.#files.delete(name);
		this.#renamed.set(to, name);
	}

	/** What a disk has when the power is back. A killed process alone loses nothing: its writes are the kernel's. */
	crash(isPowerLoss: boolean): void {
		this.#handles = [];
		if (!isPowerLoss) return;
		for (const [name, file] of this.#removed) if (this.#random.chance(0.5)) this.#files.set(name, file);
		this.#removed.clear();
		for (const [name, before] of this.#renamed) {
			const file = this.#files.get(name);
			if (file === undefined || this.#random.chance(0.5)) continue;
			this.#files.delete(name);
			this.#files.set(before, file);
		}
		this.#renamed.clear();
		for (const [name, file] of this.#files) {
			if (!file.isNamed && this.#random.chance(0.5)) this.#files.delete(name);
			else this.#tear(file);
			file.isNamed = true;
		}
	}

	/** Of what was appended and not synced some prefix is there, and at times a stretch of zeros that nobody wrote. */
	#tear(file: File): void {
		const { content, durable } = file;
		if (
			content.length > durable.length &&
			content.subarray(0, durable.length).every((byte, at) => byte === durable[at])
		) {
			const torn = content.slice(0, durable.length + this.#random.below(content.length - durable.length + 1));
			if (this.#random.chance(0.3)) torn.fill(0, durable.length + this.#random.below(torn.length - durable.length + 1));
			file.content = torn;
		} else file.content = durable.slice();
		file.durable = file.content;
	}

	/** An image of the disk, to be put back later. */
	image(): Map<string, Uint8Array> {
		return new Map([...this.#files].map(([name, { content }]) => [name, content.slice()]));
	}

	restore(image: ReadonlyMap<string, Uint8Array>): void {
		this.#files = new Map();
		this.#removed = new Map();
		this.#renamed = new Map();
		this.#handles = [];
		for (const [name, content] of image)
			this.#files.set(name, { content: content.slice(), durable: content.slice(), isNamed: true });
	}
}
