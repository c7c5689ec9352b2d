/**
 * Sign-in and sessions: a key proves itself over a fresh challenge and gets a secret for a cookie. Guarantees: a challenge is good
 * once, for one key, for half a minute; a stranger makes no row; only the secret's hash is kept; a session ends after 15 idle
 * minutes, after 12 hours, at sign-out, and when the trust document no longer names its key.
 */
import { hexOf, utf8 } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { type Operator, operatorById, type TrustDocument } from "#core/trust/trust-document.ts";
import { ed25519Verify, sha256 } from "#crypto";
import { type Acts, STRANGER } from "./acts.ts";
import type { DeskStore, StoredSession } from "./desk-store.ts";
import type { LedgerCode } from "./ledger.ts";
import { DESK_LIMITS } from "./sc-objects.ts";
import { SignInChallenges } from "./sign-in-challenges.ts";

export type SignInCode = LedgerCode | "challenge_invalid" | "signature_invalid" | "operator_unknown";

export interface SessionFacts {
	readonly operator: Operator;
	readonly createdMs: number;
}

/** The name of a session everywhere but in the cookie. */
export function sessionHash(secret: string): string {
	return hexOf(sha256(utf8(secret)));
}

/** Of the process, not of the object: the runtime may drop an idle object between a challenge and its answer. */
const challenges = new SignInChallenges();

export class SignIn {
	readonly #store: DeskStore;
	readonly #acts: Acts;
	readonly #trust: () => TrustDocument;

	constructor(store: DeskStore, acts: Acts, trust: () => TrustDocument) {
		this.#store = store;
		this.#acts = acts;
		this.#trust = trust;
	}

	challenge(publicKey: Uint8Array): { challenge: string; expiresAtMs: number } {
		const { challenge, expiresAtMs } = challenges.make(publicKey, Date.now());
		return { challenge: hexOf(challenge), expiresAtMs };
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
		if (!challenges.isGood(publicKey, challenge, nowMs))
			return this.#acts.refused(fail("challenge_invalid", "The challenge is unknown, used or too old."), attempt);
		if (!ed25519Verify(publicKey, preAuthEncoding(PAYLOAD_TYPES.signIn, challenge), signature))
			return this.#acts.refused(fail("signature_invalid", "The key did not sign this challenge."), attempt);
		if (operator === undefined)
			return this.#acts.refused(
				fail("operator_unknown", "The trust document names no operator with this key."),
				attempt,
			);
		challenges.use(challenge, nowMs);
		const written = await this.#acts.write({
			kind: "sign_in",
			actor: operator.id,
			subject: "session",
			body: publicKey,
		});
		if (!written.ok) return written;
		const secret = hexOf(crypto.getRandomValues(new Uint8Array(32)));
		this.#store.endSessionsBefore(nowMs - DESK_LIMITS.sessionIdleMs, nowMs - DESK_LIMITS.sessionAgeMs);
		this.#store.addSession(sessionHash(secret), operator.id, key, nowMs);
		return ok(secret);
	}

	/** Who a stored session is now, or null when it has ended: too old, too long idle, or the key is no operator's any more. */
	#operatorOf(session: StoredSession, nowMs: number): Operator | null {
		const operator = operatorById(this.#trust(), session.operator);
		const isOld =
			nowMs - session.seenMs > DESK_LIMITS.sessionIdleMs || nowMs - session.createdMs > DESK_LIMITS.sessionAgeMs;
		if (isOld || operator === undefined || hexOf(operator.publicKey) !== session.publicKey) return null;
		return operator;
	}

	/** Who a cookie is. The operator must still be in the trust document with the key that signed in. */
	session(secret: string): Result<SessionFacts, "session_missing" | "session_expired"> {
		const hash = sessionHash(secret);
		const session = this.#store.session(hash);
		if (session === null) return fail("session_missing", "Sign in first.");
		const nowMs = Date.now();
		const operator = this.#operatorOf(session, nowMs);
		if (operator === null) {
			this.#store.endSession(hash);
			return fail("session_expired", "The session has ended; sign in again.");
		}
		// A minute's precision spares a write per request.
		if (nowMs - session.seenMs > 60_000) this.#store.touchSession(hash, nowMs);
		return ok({ operator, createdMs: session.createdMs });
	}

	/** Of sessions, by hash, those that have not ended. Asking keeps none alive. */
	aliveSessions(hashes: readonly string[]): string[] {
		const nowMs = Date.now();
		return hashes.filter((hash) => {
			const session = this.#store.session(hash);
			return session !== null && this.#operatorOf(session, nowMs) !== null;
		});
	}

	/** Answers the hash of the session that has ended. */
	signOut(secret: string): string {
		const hash = sessionHash(secret);
		this.#store.endSession(hash);
		return hash;
	}
}
