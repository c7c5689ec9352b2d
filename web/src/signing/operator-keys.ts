/**
 * The operators' keys of this browser. Guarantees that a private key is made non-extractable and kept as a CryptoKey in IndexedDB:
 * no code, ours included, can read it; it can only sign. A key is stored before it is registered, so an operator is never left with
 * a registered key that nobody holds.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { type PayloadType, preAuthEncoding } from "#core/crypto/dsse.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { sha256 } from "#crypto";

export interface OperatorKey {
	/** Hex of the 32 bytes. */
	readonly publicKey: string;
	readonly privateKey: CryptoKey;
	/** null until the invitation is redeemed. */
	readonly operatorId: string | null;
	readonly enclave: string;
	readonly madeAtMs: number;
}

export type KeyCode =
	/** The page is not served over HTTPS (or from localhost), so the browser offers no keys. */
	| "key_insecure_page"
	/** The browser has no Ed25519. */
	| "key_unsupported"
	/** The browser refuses to keep data: private window or policy. */
	| "key_store_refused";

const STORE = "operatorKeys";

function openStore(): Promise<IDBDatabase> {
	return new Promise((resolve, reject) => {
		const request = indexedDB.open("daemoneye", 1);
		request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "publicKey" });
		request.onsuccess = () => resolve(request.result);
		request.onerror = () => reject(request.error);
	});
}

async function inStore<T>(
	mode: IDBTransactionMode,
	work: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<Result<T, "key_store_refused">> {
	try {
		const database = await openStore();
		try {
			return await new Promise((resolve, reject) => {
				const transaction = database.transaction(STORE, mode, { durability: "strict" });
				const request = work(transaction.objectStore(STORE));
				transaction.oncomplete = () => resolve(ok(request.result));
				transaction.onerror = () => reject(transaction.error);
				transaction.onabort = () => reject(transaction.error);
			});
		} finally {
			database.close();
		}
	} catch (error) {
		return fail(
			"key_store_refused",
			`This browser does not keep keys here: ${(error as Error | null)?.message ?? "refused"}.`,
		);
	}
}

/** Makes a key and stores it. */
export async function createOperatorKey(enclave: string): Promise<Result<OperatorKey, KeyCode>> {
	if (!window.isSecureContext || crypto.subtle === undefined)
		return fail("key_insecure_page", "Keys can be made only when this page is opened over HTTPS.");
	let pair: CryptoKeyPair;
	let raw: ArrayBuffer;
	try {
		pair = (await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"])) as CryptoKeyPair;
		raw = await crypto.subtle.exportKey("raw", pair.publicKey);
	} catch {
		return fail(
			"key_unsupported",
			"This browser cannot make Ed25519 keys. Chromium 137, Firefox 130 or Safari 17 can.",
		);
	}
	const key: OperatorKey = {
		publicKey: hexOf(new Uint8Array(raw)),
		privateKey: pair.privateKey,
		operatorId: null,
		enclave,
		madeAtMs: Date.now(),
	};
	const kept = await keepOperatorKey(key);
	return kept.ok ? ok(key) : kept;
}

export async function keepOperatorKey(key: OperatorKey): Promise<Result<true, "key_store_refused">> {
	const kept = await inStore("readwrite", (store) => store.put(key));
	return kept.ok ? ok(true) : kept;
}

/** Keys of this browser, oldest first. */
export async function listOperatorKeys(): Promise<Result<readonly OperatorKey[], "key_store_refused">> {
	const all = await inStore<OperatorKey[]>("readonly", (store) => store.getAll());
	return all.ok ? ok(all.value.sort((a, b) => a.madeAtMs - b.madeAtMs)) : all;
}

/** Ed25519 over the DSSE encoding of the body. */
export async function signBody(key: OperatorKey, type: PayloadType, body: Uint8Array): Promise<Uint8Array> {
	const message = preAuthEncoding(type, body) as Uint8Array<ArrayBuffer>;
	return new Uint8Array(await crypto.subtle.sign("Ed25519", key.privateKey, message));
}

/** SHA-256 of the public key in groups of four hex digits: what two people can read to each other. */
export function fingerprintOf(publicKeyBytes: Uint8Array): string {
	return (hexOf(sha256(publicKeyBytes)).match(/.{4}/g) ?? []).join(" ");
}
