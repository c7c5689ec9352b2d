/**
 * What lies on the agent's disk is sealed here: AES-256-GCM with a key of its own per purpose (HKDF-SHA-256 from the disk key), a
 * random nonce and padding inside. Guarantees that sealed bytes opened under another key, purpose or context are refused, never
 * half read. Must never take a nonce from a counter or an offset: a cut tail is written again at the same place, and the same
 * nonce with other bytes would give both away.
 *
 *     nonce (12) · AES-256-GCM of { u32 length · content · zeros up to the size class } · tag (16)      (little-endian)
 *
 * Nonces cannot repeat for any practical purpose: a segment's key seals at most 8,192 records (8 MiB of at least 1 KiB), a small
 * file's key one write per command, trace or minute. At 2^32 messages, which no key here comes near, two random 96-bit nonces meet
 * with a probability of 2^-33 (NIST SP 800-38D §8.3 sets its bound there).
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { utf8 } from "#core/bytes/bytes.ts";
import { assertInvariant } from "#core/result.ts";
import { paddedLength } from "./padding.ts";

export const DISK_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const LENGTH_BYTES = 4;
const CIPHER = "aes-256-gcm";
const FRAME_BYTES = NONCE_BYTES + TAG_BYTES;

/** The length of a content once it is sealed in its size class. */
export function sealedLength(contentBytes: number): number {
	return FRAME_BYTES + paddedLength(LENGTH_BYTES + contentBytes);
}

/** Seals and opens under one purpose's key. */
export class Seal {
	readonly #key: Uint8Array;

	constructor(key: Uint8Array) {
		this.#key = key;
	}

	/**
	 * Seals a content for a context that is stored beside it in clear and must be the same at opening. `contentBytesMax` makes every
	 * content of a file the same length; without it the length is that of the size class.
	 */
	seal(content: Uint8Array, context: Uint8Array, contentBytesMax = content.length): Uint8Array {
		assertInvariant(content.length <= contentBytesMax, "a content fits its fixed size");
		const out = new Uint8Array(sealedLength(contentBytesMax));
		this.sealInto(out, content, context);
		return out;
	}

	/** The same into bytes of the caller's, whose length is what `sealedLength` gave: a batch is not copied once more. */
	sealInto(out: Uint8Array, content: Uint8Array, context: Uint8Array): void {
		const padding = out.length - FRAME_BYTES - LENGTH_BYTES - content.length;
		assertInvariant(padding >= 0, "a content fits the size it is sealed in");
		const nonce = randomBytes(NONCE_BYTES);
		const cipher = createCipheriv(CIPHER, this.#key, nonce, { authTagLength: TAG_BYTES });
		cipher.setAAD(context);
		const head = Buffer.alloc(LENGTH_BYTES);
		head.writeUInt32LE(content.length, 0);
		let at = NONCE_BYTES;
		out.set(nonce);
		for (const part of [head, content, Buffer.alloc(padding)]) {
			out.set(cipher.update(part), at);
			at += part.length;
		}
		cipher.final();
		out.set(cipher.getAuthTag(), at);
	}

	/** The content, or null: not sealed under this key for this context, or damaged. */
	open(sealed: Uint8Array, context: Uint8Array): Uint8Array | null {
		if (sealed.length < FRAME_BYTES + LENGTH_BYTES) return null;
		const decipher = createDecipheriv(CIPHER, this.#key, sealed.subarray(0, NONCE_BYTES), {
			authTagLength: TAG_BYTES,
		});
		decipher.setAAD(context);
		decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
		const clear = decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES));
		try {
			decipher.final();
		} catch {
			// The one error of GCM: it does not authenticate. The caller names the damage.
			return null;
		}
		const length = clear.readUInt32LE(0);
		return length > clear.length - LENGTH_BYTES
			? null
			: new Uint8Array(clear.buffer, clear.byteOffset + LENGTH_BYTES, length);
	}
}

/** The disk key, as what may be done with it. */
export class DiskSeal {
	readonly #key: Uint8Array;

	constructor(key: Uint8Array) {
		assertInvariant(key.length === DISK_KEY_BYTES, "a disk key has 32 bytes");
		this.#key = key;
	}

	/** The seal of a purpose: a file's name, so that no file's bytes are taken for another's. */
	of(purpose: string): Seal {
		return new Seal(this.#derive(`daemoneye disk v1: ${purpose}`, 32));
	}

	/** 16 bytes that tell this key from another and nothing else about it. */
	get id(): Uint8Array {
		return this.#derive("daemoneye disk key id v1", 16);
	}

	#derive(info: string, bytes: number): Uint8Array {
		return new Uint8Array(hkdfSync("sha256", this.#key, new Uint8Array(0), utf8(info), bytes));
	}
}
