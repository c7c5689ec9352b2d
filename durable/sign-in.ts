/**
 * Sign-in and sessions: a key proves itself over a fresh challenge and gets a secret for a cookie. Guarantees: a challenge is good
 * once, for one key, for a minute; only the secret's hash is kept; a session ends after 15 idle minutes, after 12 hours, at
 * sign-out, and when the trust document no longer names its key.
 */
import { hexOf, utf8 } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { type Operator, operatorById, type TrustDocument } from "#core/trust/trust-document.ts";
import { ed25519Verify, sha256 } from "#crypto";
import { type Acts, STRANGER } from "./acts.ts";
import type { DeskStore } from "./desk-store.ts";
import type { LedgerCode } from "./ledger.ts";
import { DESK_LIMITS } from "./sc-objects.ts";

export type SignInCode =
	| LedgerCode
	| "too_many_challenges"
	| "challenge_invalid"
	| "signature_invalid"
	| "operator_unknown";

export interface SessionFacts {
	readonly operator: Operator;
	readonly createdMs: number;
}

export class SignIn {
	readonly #store: DeskStore;
	readonly #acts: Acts;
	readonly #trust: () => TrustDocument;

	constructor(store: DeskStore, acts: Acts, trust: () => TrustDocument) {
		this.#store = store;
		this.#acts = acts;
		this.#trust = trust;
	}

	async challenge(publicKey: Uint8Array): Promise<Result<{ challenge: string; expiresAtMs: number }, SignInCode>> {
		const challenge = hexOf(crypto.getRandomValues(new Uint8Array(32)));
		const nowMs = Date.now();
		const expiresMs = nowMs + DESK_LIMITS.challengeAgeMs;
		const times = { nowMs, expiresMs, openMax: DESK_LIMITS.challengesMax };
		if (!this.#store.addChallenge(challenge, hexOf(publicKey), times))
			return fail("too_many_challenges", "Too many sign-ins are open; try again in a minute.");
		return ok({ challenge, expiresAtMs: expiresMs });
	}

	/** Answers the session's secret for the cookie; only its hash is kept. */
	async signIn(
		publicKey: Uint8Array,
		challenge: Uint8Array,
		signature: Uint8Array,
	): Promise<Result<string, SignInCode>> {
		const key = hexOf(publicKey);
		const nowMs = Date.now();
		const operator = this.#trust().operators.find((each) => hexOf(each.publicKey) === key);
		// Until the signature holds, whoever shows an operator's public key is a stranger.
		const attempt = { actor: STRANGER, subject: operator?.id ?? "unknown" };
		if (!this.#store.takeChallenge(hexOf(challenge), key, nowMs))
			return this.#acts.refused(fail("challenge_invalid", "The challenge is unknown, used or too old."), attempt);
		if (!ed25519Verify(publicKey, preAuthEncoding(PAYLOAD_TYPES.signIn, challenge), signature))
			return this.#acts.refused(fail("signature_invalid", "The key did not sign this challenge."), attempt);
		if (operator === undefined)
			return this.#acts.refused(
				fail("operator_unknown", "The trust document names no operator with this key."),
				attempt,
			);
		const written = await this.#acts.write({
			kind: "sign_in",
			actor: operator.id,
			subject: "session",
			body: publicKey,
		});
		if (!written.ok) return written;
		const secret = hexOf(crypto.getRandomValues(new Uint8Array(32)));
		this.#store.endSessionsBefore(nowMs - DESK_LIMITS.sessionIdleMs, nowMs - DESK_LIMITS.sessionAgeMs);
		this.#store.addSession(hexOf(sha256(utf8(secret))), operator.id, key, nowMs);
		return ok(secret);
	}

	/** Who a cookie is. The operator must still be in the trust document with the key that signed in. */
	async session(secret: string): Promise<Result<SessionFacts, "session_missing" | "session_expired">> {
		const hash = hexOf(sha256(utf8(secret)));
		const session = this.#store.session(hash);
		if (session === null) return fail("session_missing", "Sign in first.");
		const nowMs = Date.now();
		const operator = operatorById(this.#trust(), session.operator);
		const isOld =
			nowMs - session.seenMs > DESK_LIMITS.sessionIdleMs || nowMs - session.createdMs > DESK_LIMITS.sessionAgeMs;
		if (isOld || operator === undefined || hexOf(operator.publicKey) !== session.publicKey) {
			this.#store.endSession(hash);
			return fail("session_expired", "The session has ended; sign in again.");
		}
		// A minute's precision spares a write per request.
		if (nowMs - session.seenMs > 60_000) this.#store.touchSession(hash, nowMs);
		return ok({ operator, createdMs: session.createdMs });
	}

	async signOut(secret: string): Promise<void> {
		this.#store.endSession(hexOf(sha256(utf8(secret))));
	}
}
