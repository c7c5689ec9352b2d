/**
 * The primitives on Node and workerd, by the platform's own implementation. The browser gets `noble.ts`; both export the same
 * names, chosen by the `#crypto` import condition. Guarantees: synchronous, so a Durable Object cannot interleave two messages
 * between a check and the write that depends on it. Must never log, keep or copy private key material.
 */
import * as platform from "node:crypto";
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";

/** DER prefixes of RFC 8410: the 32 raw bytes follow. */
const SPKI_ED25519 = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00);
const PKCS8_ED25519 = Uint8Array.of(
	0x30,
	0x2e,
	0x02,
	0x01,
	0x00,
	0x30,
	0x05,
	0x06,
	0x03,
	0x2b,
	0x65,
	0x70,
	0x04,
	0x22,
	0x04,
	0x20,
);

function der(prefix: Uint8Array, raw: Uint8Array): Uint8Array {
	const out = new Uint8Array(prefix.length + raw.length);
	out.set(prefix);
	out.set(raw, prefix.length);
	return out;
}

/** Node's call for all at once, which costs a third of a hash object; Node before 20.12 has none. */
const hashAtOnce: typeof platform.hash | undefined = platform.hash;
/** Where short parts are joined: most events, and two hashes of a tree. Cleared after each use. */
const joined = new Uint8Array(4096);

/** The digest as text of one byte each: as bytes the platform makes two objects outside the heap of every hash. */
function digestOf(parts: readonly Uint8Array[]): string {
	let length = 0;
	for (const part of parts) length += part.length;
	if (hashAtOnce === undefined || length > joined.length) {
		const hash = platform.createHash("sha256");
		for (const part of parts) hash.update(part);
		return hash.digest("binary");
	}
	let at = 0;
	for (const part of parts) {
		joined.set(part, at);
		at += part.length;
	}
	const digest = hashAtOnce("sha256", joined.subarray(0, length), "binary");
	joined.fill(0, 0, length);
	return digest;
}

/** SHA-256 (FIPS 180-4) over the concatenation of the parts; 32 bytes. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
	const digest = digestOf(parts);
	const out = new Uint8Array(32);
	for (let i = 0; i < out.length; i++) out[i] = digest.charCodeAt(i);
	return out;
}

/** Key objects of the public keys used lately: making one costs a tenth of a verification. The newest is last. */
const publicKeys = new Map<string, KeyObject>();
/** Those of a busy proxy's agents; a few hundred bytes each. */
const PUBLIC_KEYS_MAX = 1024;

function publicKeyObject(raw: Uint8Array): KeyObject {
	const name = String.fromCharCode(...raw);
	const known = publicKeys.get(name);
	if (known !== undefined) return known;
	const made = createPublicKey({ key: der(SPKI_ED25519, raw) as Buffer, format: "der", type: "spki" });
	publicKeys.set(name, made);
	for (const oldest of publicKeys.keys()) {
		if (publicKeys.size <= PUBLIC_KEYS_MAX) break;
		publicKeys.delete(oldest);
	}
	return made;
}

function privateKeyObject(seed: Uint8Array): KeyObject {
	return createPrivateKey({ key: der(PKCS8_ED25519, seed) as Buffer, format: "der", type: "pkcs8" });
}

/** Ed25519 (RFC 8032) verification; false for any malformed key or signature, never a throw. */
export function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
	if (publicKey.length !== 32 || signature.length !== 64) return false;
	try {
		return verify(null, message, publicKeyObject(publicKey), signature);
	} catch {
		return false;
	}
}

/** Ed25519 signature (64 bytes) by a 32-byte seed. */
export function ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array {
	return new Uint8Array(sign(null, message, privateKeyObject(seed)));
}

/** The 32-byte public key of a 32-byte seed. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
	const spki = createPublicKey(privateKeyObject(seed)).export({ format: "der", type: "spki" });
	return new Uint8Array(spki.subarray(SPKI_ED25519.length));
}
