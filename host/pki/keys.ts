/**
 * TLS keys: ECDSA P-256, made and read as PKCS#8 PEM. Event and ledger keys are Ed25519 seeds of 32 raw bytes and need nothing
 * from here. Must never log a key or put one in an error.
 */
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, type webcrypto } from "node:crypto";

export type TlsKey = webcrypto.CryptoKey;
export type TlsKeys = webcrypto.CryptoKeyPair;

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const;

/** A new extractable P-256 pair for TLS or for a certificate authority. */
export async function createTlsKeys(): Promise<TlsKeys> {
	return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

/** The private key as PKCS#8 PEM, which workerd, Node and OpenSSL read. */
export async function privateKeyPem(key: TlsKey): Promise<string> {
	const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", key));
	return String(
		createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" }).export({ format: "pem", type: "pkcs8" }),
	);
}

/** Both halves from a PKCS#8 PEM, or null if it holds anything but a P-256 private key. */
export async function tlsKeysOfPem(pem: string): Promise<TlsKeys | null> {
	const privateObject = privateObjectOf(pem);
	if (privateObject?.asymmetricKeyDetails?.namedCurve !== "prime256v1") return null;
	const pkcs8 = privateObject.export({ format: "der", type: "pkcs8" });
	const spki = createPublicKey(privateObject).export({ format: "der", type: "spki" });
	return {
		privateKey: await crypto.subtle.importKey("pkcs8", new Uint8Array(pkcs8), ALGORITHM, true, ["sign"]),
		publicKey: await crypto.subtle.importKey("spki", new Uint8Array(spki), ALGORITHM, true, ["verify"]),
	};
}

function privateObjectOf(pem: string): KeyObject | null {
	try {
		return createPrivateKey(pem);
	} catch {
		// Any unreadable PEM is the same answer to the caller: there is no key in it.
		return null;
	}
}

/** A new Ed25519 seed: 32 random bytes. */
export function createSeed(): Uint8Array {
	return new Uint8Array(randomBytes(32));
}
