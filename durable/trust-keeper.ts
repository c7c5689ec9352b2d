/**
 * The trust documents at the Security Center: genesis from the host, version 1 once every invited operator has a key, the chain
 * verified at every start. Guarantees that a document is adopted only if its predecessor's quorum signed it, and after its leaf is
 * in the ledger. Must never sign one: version 1 is the signer's, later ones are the operators'.
 */
import { base64Of, bytesOfBase64, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { encodeAs } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import {
	type PinnedTrust,
	type Role,
	readPinnedTrust,
	trustDocumentShape,
	trustHash,
	verifySuccession,
} from "#core/trust/trust-document.ts";
import { ed25519Verify, sha256 } from "#crypto";
import { type Acts, STRANGER } from "./acts.ts";
import type { DeskStore } from "./desk-store.ts";
import { DIRECTORY_NAME, type Namespace, type PeerDirectoryFace } from "./faces.ts";
import type { LedgerCode } from "./ledger.ts";

/** An invitation as the host handed it over: the token only as its hash. */
export interface DeskInvitation {
	readonly operatorId: string;
	readonly roles: readonly Role[];
	/** SHA-256 of the token's text, hex. */
	readonly hash: string;
}

export interface TrustKeeperEnv {
	readonly NODE_URI: string;
	/** Base64 of the signed trust document version 0. */
	readonly GENESIS: string;
	/** JSON list of `DeskInvitation`. */
	readonly INVITATIONS: string;
	readonly SIGNER: { fetch(url: string, init: RequestInit): Promise<Response> };
	readonly PEER_DIRECTORY: Namespace<Pick<PeerDirectoryFace, "publishTrust">>;
}

export type TrustKeeperCode =
	| LedgerCode
	| "invitation_unknown"
	| "invitation_used"
	| "invitations_closed"
	| "signature_invalid"
	| "key_taken"
	| "trust_refused";

export interface Redeemed {
	readonly operatorId: string;
	readonly isTrustComplete: boolean;
	readonly trustVersion: number;
}

export class TrustKeeper {
	readonly #store: DeskStore;
	readonly #acts: Acts;
	readonly #env: TrustKeeperEnv;
	readonly #genesis: PinnedTrust;
	#current: PinnedTrust;

	constructor(store: DeskStore, acts: Acts, env: TrustKeeperEnv) {
		this.#store = store;
		this.#acts = acts;
		this.#env = env;
		const genesis = readPinnedTrust(bytesOfBase64(env.GENESIS) ?? new Uint8Array());
		assertInvariant(genesis.ok, "GENESIS is no trust document");
		this.#genesis = genesis.value;
		this.#current = genesis.value;
		for (const bytes of store.trust()) {
			const next = verifySuccession(this.#current, bytes);
			assertInvariant(next.ok, `a stored trust document does not follow: ${next.ok ? "" : next.detail}`);
			this.#current = next.value;
		}
	}

	get current(): PinnedTrust {
		return this.#current;
	}

	/** Genesis and every later document, as they were signed. */
	documents(): Uint8Array[] {
		return [this.#genesis.bytes, ...this.#store.trust()];
	}

	/** Sends the documents after genesis down the tree again; proxies that come later ask for themselves. */
	async publish(): Promise<void> {
		const documents = this.#store.trust();
		if (documents.length > 0) await this.#env.PEER_DIRECTORY.getByName(DIRECTORY_NAME).publishTrust(documents);
	}

	/** Pins the key of an invited operator; the last invitation makes trust version 1. The same key again is answered again. */
	async redeem(
		token: string,
		publicKey: Uint8Array,
		signature: Uint8Array,
	): Promise<Result<Redeemed, TrustKeeperCode>> {
		const invitations = JSON.parse(this.#env.INVITATIONS) as DeskInvitation[];
		const hash = hexOf(sha256(utf8(token)));
		const invitation = invitations.find((each) => each.hash === hash);
		const attempt = { actor: STRANGER, subject: invitation?.operatorId ?? "unknown" };
		if (invitation === undefined)
			return this.#acts.refused(fail("invitation_unknown", "This enclave made no such invitation."), attempt);
		const redeemed = this.#store.redemptions();
		const earlier = redeemed.find(({ operator }) => operator === invitation.operatorId);
		const isAgain = earlier !== undefined && hexOf(earlier.publicKey) === hexOf(publicKey);
		if (!ed25519Verify(publicKey, preAuthEncoding(PAYLOAD_TYPES.signIn, utf8(token)), signature))
			return this.#acts.refused(fail("signature_invalid", "The key did not sign this invitation."), attempt);
		if (earlier !== undefined && !isAgain)
			return this.#acts.refused(fail("invitation_used", `${invitation.operatorId} has a key already.`), attempt);
		if (this.#current.document.version > 0 && !isAgain)
			return this.#acts.refused(fail("invitations_closed", "The first trust version is signed already."), attempt);
		if (!isAgain && redeemed.some((each) => hexOf(each.publicKey) === hexOf(publicKey)))
			return this.#acts.refused(fail("key_taken", "Another operator has this key."), attempt);
		if (!isAgain) {
			const { operatorId: operator, roles } = invitation;
			const written = await this.#acts.write({
				kind: "enrolment",
				actor: operator,
				subject: operator,
				body: publicKey,
			});
			if (!written.ok) return written;
			this.#store.addRedemption({ operator, publicKey, roles, token, atMs: Date.now() });
		}
		if (this.#current.document.version === 0 && this.#store.redemptions().length === invitations.length) {
			const made = await this.#makeFirstVersion();
			if (!made.ok) return made;
		}
		const { version } = this.#current.document;
		return ok({ operatorId: invitation.operatorId, isTrustComplete: version > 0, trustVersion: version });
	}

	/** Trust version 1: every redeemed key under the policy of genesis, signed by the genesis key, which the signer then destroys. */
	async #makeFirstVersion(): Promise<Result<true, TrustKeeperCode>> {
		const redeemed = this.#store.redemptions();
		const genesis = this.#genesis.document;
		const operators = redeemed.map(({ operator, publicKey, roles }) => ({
			id: operator,
			name: operator,
			publicKey,
			roles: roles as Role[],
		}));
		const document = encodeAs(trustDocumentShape, {
			...genesis,
			version: 1,
			prevHash: trustHash(this.#genesis.payload),
			operators,
			successorKeys: operators.map(({ publicKey }) => publicKey),
			successorThreshold: genesis.mode === "solo" ? 1 : 2,
		});
		const invitations = redeemed.map(({ operator, token }) => ({ operatorId: operator, token }));
		const signed = await this.#askForVersion(document, invitations);
		if (!signed.ok) return signed;
		return this.#adopt(signed.value);
	}

	async #askForVersion(
		document: Uint8Array,
		invitations: readonly { operatorId: string; token: string }[],
	): Promise<Result<Uint8Array, TrustKeeperCode>> {
		try {
			const response = await this.#env.SIGNER.fetch("http://signer/trust-version", {
				method: "POST",
				headers: { "content-type": "application/json" },
				body: JSON.stringify({ document: base64Of(document), invitations }),
			});
			const answer = (await response.json()) as { signed?: string; code?: string; detail?: string };
			const signed = answer.signed === undefined ? null : bytesOfBase64(answer.signed);
			if (signed !== null) return ok(signed);
			return fail("trust_refused", `The signer refused version 1: ${answer.code ?? ""} ${answer.detail ?? ""}`);
		} catch (error) {
			return fail("signer_unavailable", `The signer did not answer: ${(error as Error).message}`);
		}
	}

	async #adopt(bytes: Uint8Array): Promise<Result<true, TrustKeeperCode>> {
		const next = verifySuccession(this.#current, bytes);
		if (!next.ok) return fail("trust_refused", next.detail);
		const { version } = next.value.document;
		const written = await this.#acts.write({
			kind: "trust_document",
			actor: this.#env.NODE_URI,
			subject: `trust/${version}`,
			body: bytes,
		});
		if (!written.ok) return written;
		this.#store.addTrust(version, bytes);
		this.#store.forgetTokens();
		this.#current = next.value;
		await this.publish();
		return ok(true);
	}
}
