/**
 * Challenges of sign-in without a memory: time and a MAC under a key of this process and the public key that asked. Guarantees that a
 * challenge is good once, for one key, for half a minute; and that asking costs nothing here, because anyone on the network can ask.
 * Only what an operator's own signature verified is remembered, until it is stale.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { CHALLENGE_AGE_MS_MAX, isNonceFresh, makeNonce } from "#core/identity/challenge.ts";
import { sha256 } from "#crypto";

export class SignInChallenges {
	#secret: Uint8Array | null = null;
	/** Used challenges with the time after which they are stale anyway, in order of use. */
	readonly #used = new Map<string, number>();

	/** The runtime refuses randomness outside a request, so the secret is made by the first one. */
	#keyFor(publicKey: Uint8Array): Uint8Array {
		this.#secret ??= crypto.getRandomValues(new Uint8Array(32));
		return sha256(this.#secret, publicKey);
	}

	make(publicKey: Uint8Array, nowMs: number): { challenge: Uint8Array; expiresAtMs: number } {
		const challenge = makeNonce(this.#keyFor(publicKey), nowMs, crypto.getRandomValues(new Uint8Array(8)));
		return { challenge, expiresAtMs: nowMs + CHALLENGE_AGE_MS_MAX };
	}

	/** Whether it was made here for this key, is not too old and was not used. */
	isGood(publicKey: Uint8Array, challenge: Uint8Array, nowMs: number): boolean {
		return isNonceFresh(this.#keyFor(publicKey), challenge, nowMs) && !this.#used.has(hexOf(challenge));
	}

	/** Remembers one that an operator's signature has verified. */
	use(challenge: Uint8Array, nowMs: number): void {
		for (const [used, staleAtMs] of this.#used) {
			if (staleAtMs > nowMs) break;
			this.#used.delete(used);
		}
		// A second longer than it lives: its maker's clock is allowed to be that far ahead.
		this.#used.set(hexOf(challenge), nowMs + CHALLENGE_AGE_MS_MAX + 1000);
	}
}
