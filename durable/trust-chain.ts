/**
 * The trust documents a proxy hands on: those that follow from the genesis it was enrolled with, each signed by its predecessor's
 * quorum. Guarantees that nothing else is kept or sent down, whoever upstream is, and that what is held never shrinks or changes: a
 * later document comes on top. What lay on disk is judged again at every start.
 */
import { bytesOfBase64, equalBytes } from "#core/bytes/bytes.ts";
import { assertInvariant, type Failure, fail, ok, type Result } from "#core/result.ts";
import { type PinnedTrust, readPinnedTrust, type TrustCode, verifySuccession } from "#core/trust/trust-document.ts";
import { logLine } from "./log.ts";
import type { TrustStore } from "./uplink-store.ts";

/** `trust_forked`: a whole chain from genesis, but another one than ours. */
export type TrustChainCode = TrustCode | "trust_forked";

/** The documents that follow from genesis, up to the first that does not. */
function follow(
	genesis: PinnedTrust,
	documents: readonly Uint8Array[],
): { believed: readonly Uint8Array[]; refusal: Failure<TrustCode> | null } {
	let last = genesis;
	for (const [index, bytes] of documents.entries()) {
		const next = verifySuccession(last, bytes);
		if (!next.ok) return { believed: documents.slice(0, index), refusal: next };
		last = next.value;
	}
	return { believed: documents, refusal: null };
}

export class TrustChain {
	readonly #store: Pick<TrustStore, "documents" | "replaceDocuments">;
	readonly #genesis: PinnedTrust;
	#documents: readonly Uint8Array[];

	/** `genesis`: the signed document version 0, base64. */
	constructor(store: Pick<TrustStore, "documents" | "replaceDocuments">, genesis: string) {
		const pinned = readPinnedTrust(bytesOfBase64(genesis) ?? new Uint8Array());
		assertInvariant(pinned.ok, "GENESIS is no trust document");
		this.#store = store;
		this.#genesis = pinned.value;
		const { believed, refusal } = follow(pinned.value, store.documents());
		if (refusal !== null) logLine("error", "stored_trust_refused", { code: refusal.code, detail: refusal.detail });
		this.#documents = believed;
	}

	/** After genesis, oldest first. */
	documents(): readonly Uint8Array[] {
		return this.#documents;
	}

	/** Takes what is new and follows; answers whether anything was. Older news is no failure. */
	take(offered: readonly Uint8Array[]): Result<boolean, TrustChainCode> {
		const held = this.#documents;
		const { believed, refusal } = follow(this.#genesis, offered);
		const shared = Math.min(held.length, believed.length);
		for (let index = 0; index < shared; index++)
			if (!equalBytes(held[index] as Uint8Array, believed[index] as Uint8Array))
				return fail("trust_forked", `document ${index + 1} is another one than the one held`);
		if (believed.length > held.length) {
			this.#store.replaceDocuments(believed);
			this.#documents = believed;
			return ok(true);
		}
		return refusal ?? ok(false);
	}
}
