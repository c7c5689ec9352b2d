/**
 * The primitives in the browser and on the verifier page, by @noble. Same names and verdicts as `native.ts`; slower (a
 * verification is about 1 ms). Must never be the choice where a platform implementation exists.
 */
import * as ed25519 from "@noble/ed25519";
import { sha256 as nobleSha256, sha512 } from "@noble/hashes/sha2.js";

ed25519.hashes.sha512 = sha512;

/** SHA-256 (FIPS 180-4) over the concatenation of the parts; 32 bytes. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
	const hash = nobleSha256.create();
	for (const part of parts) hash.update(part);
	return hash.digest();
}

/**
 * Ed25519 (RFC 8032) verification; false for any malformed key or signature, never a throw. `zip215: false` because the native
 * implementations are stricter than noble's default.
 */
export function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
	if (publicKey.length !== 32 || signature.length !== 64) return false;
	try {
		return ed25519.verify(signature, message, publicKey, { zip215: false });
	} catch {
		return false;
	}
}

/** Ed25519 signature (64 bytes) by a 32-byte seed. */
export function ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array {
	return ed25519.sign(message, seed);
}

/** The 32-byte public key of a 32-byte seed. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
	return ed25519.getPublicKey(seed);
}
