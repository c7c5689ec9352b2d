/**
 * `#crypto` with a memory: keys are parsed once, and a signature that one hop has verified costs the next ones a look-up. The answers
 * are the real code's; what is spared is asking it the same question at every hop.
 */
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { sha256, ed25519Verify as verify } from "../../core/crypto/native.ts";

export { ed25519PublicKey, sha256 } from "../../core/crypto/native.ts";

const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");
const MEMORY_MAX = 4096;

const keys = new Map<string, KeyObject>();
const verdicts = new Map<string, boolean>();

const text = (bytes: Uint8Array): string =>
	Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

export function ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array {
	const name = text(seed);
	let key = keys.get(name);
	if (key === undefined) {
		key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: "der", type: "pkcs8" });
		keys.set(name, key);
	}
	return new Uint8Array(sign(null, message, key));
}

export function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
	const question = `${text(publicKey)} ${text(sha256(message))} ${text(signature)}`;
	let verdict = verdicts.get(question);
	if (verdict === undefined) {
		verdict = verify(publicKey, message, signature);
		if (verdicts.size >= MEMORY_MAX) verdicts.clear();
		verdicts.set(question, verdict);
	}
	return verdict;
}
