/**
 * The trust document: who the operators are, what they may do, how many must agree, and which keys may sign the next version.
 * Version 0 (genesis) is pinned at enrolment; every later version is signed by the quorum its predecessor names. Guarantees that
 * a document is believed only through that chain, and that no key counts as two people. Must never be taken from the network without `verifySuccession`.
 */
import { equalBytes, hexOf } from "#core/bytes/bytes.ts";
import {
	bool,
	bytes,
	decodeAs,
	encodeAs,
	field,
	list,
	oneOf,
	optional,
	record,
	type ShapeCode,
	type TypeOf,
	text,
	uint,
} from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { operatorIdShape } from "#core/model/command.ts";
import { hashShape, publicKeyShape, signatureShape } from "#core/model/ids.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { ed25519Sign, ed25519Verify, sha256 } from "#crypto";
import { capturePolicyShape } from "./capture-policy.ts";

/** Append-only: the index is on the wire. */
export const ROLES = ["viewer", "analyst", "approver", "exporter", "auditor"] as const;
export type Role = (typeof ROLES)[number];

export const TRUST_MODES = ["solo", "two_person"] as const;

export const operatorShape = record({
	id: field(1, operatorIdShape),
	name: field(2, text(100)),
	publicKey: field(3, publicKeyShape),
	roles: field(4, list(oneOf(ROLES), ROLES.length)),
});
export type Operator = TypeOf<typeof operatorShape>;

export const trustDocumentShape = record({
	version: field(1, uint()),
	enclave: field(2, text(64, /^[a-z0-9][a-z0-9.-]*$/)),
	/** SHA-256 of the predecessor's payload; zeros for genesis. */
	prevHash: field(3, hashShape),
	mode: field(4, oneOf(TRUST_MODES)),
	operators: field(5, list(operatorShape, 256)),
	/** Distinct approvers beside the initiator that a trace needs. */
	traceApprovals: field(6, uint(8)),
	successorKeys: field(7, list(publicKeyShape, 16)),
	successorThreshold: field(8, uint(16)),
	ledgerOrigin: field(9, text(128)),
	ledgerKey: field(10, publicKeyShape),
	/** When true, no agent of the enclave honours `privacy_mask_args: false`. */
	isMaskingRequired: field(11, bool()),
	traceDepthMax: field(12, uint(1000)),
	traceDurationSecsMax: field(13, uint(7 * 86_400)),
	/** Absent: `BARE_CAPTURE_POLICY`. */
	capturePolicy: optional(14, capturePolicyShape),
});
export type TrustDocument = TypeOf<typeof trustDocumentShape>;

const signedDocumentShape = record({
	/** 256 operators, and a capture policy with every list full. */
	payload: field(1, bytes(128 * 1024)),
	signatures: field(2, list(record({ publicKey: field(1, publicKeyShape), signature: field(2, signatureShape) }), 16)),
});

export type TrustCode =
	| ShapeCode
	| "trust_version_not_next"
	| "trust_predecessor_mismatch"
	| "trust_enclave_mismatch"
	| "trust_quorum_missing"
	| "trust_operator_doubled"
	/** One key for two operators, or twice among the successor keys: one holder would count as two. */
	| "trust_key_doubled"
	/** No successor signature is asked for, or more than there are keys. */
	| "trust_threshold_invalid"
	/** The document says `two_person` and lets one person act alone. */
	| "trust_mode_unmet";

/** A believed document with the bytes that were signed. */
export interface PinnedTrust {
	readonly document: TrustDocument;
	readonly payload: Uint8Array;
	/** The signed document whole, as it travels down the tree. */
	readonly bytes: Uint8Array;
}

export function trustHash(payload: Uint8Array): Uint8Array {
	return sha256(payload);
}

/** Encodes and signs a document by the given seeds; genesis is made with none. */
export function signTrustDocument(
	document: TrustDocument,
	seeds: readonly { publicKey: Uint8Array; seed: Uint8Array }[],
): PinnedTrust {
	const payload = encodeAs(trustDocumentShape, document);
	const message = preAuthEncoding(PAYLOAD_TYPES.trustDocument, payload);
	const signatures = seeds.map(({ publicKey, seed }) => ({ publicKey, signature: ed25519Sign(seed, message) }));
	return { document, payload, bytes: encodeAs(signedDocumentShape, { payload, signatures }) };
}

function areDistinct(keys: readonly Uint8Array[]): boolean {
	return new Set(keys.map(hexOf)).size === keys.length;
}

/** Two people in fact: a second one approves, and from version 1 on two of them are there and both sign the next version. */
function isModeMet({ mode, version, operators, traceApprovals, successorThreshold }: TrustDocument): boolean {
	if (mode !== "two_person") return true;
	return traceApprovals >= 1 && (version === 0 || (operators.length >= 2 && successorThreshold >= 2));
}

/** What every document must be in itself, whoever signed it. Holds for everything that `readPinnedTrust` accepts. */
export function checkTrustRules(document: TrustDocument): Result<true, TrustCode> {
	const { operators, successorKeys, successorThreshold, version, mode } = document;
	if (new Set(operators.map(({ id }) => id)).size !== operators.length)
		return fail("trust_operator_doubled", "an operator id stands twice");
	if (!areDistinct(operators.map(({ publicKey }) => publicKey)))
		return fail("trust_key_doubled", "two operators have one key");
	if (!areDistinct(successorKeys)) return fail("trust_key_doubled", "a successor key stands twice");
	if (successorThreshold < 1 || successorThreshold > successorKeys.length)
		return fail(
			"trust_threshold_invalid",
			`${successorThreshold} of ${successorKeys.length} successor keys cannot agree`,
		);
	if (!isModeMet(document))
		return fail("trust_mode_unmet", `version ${version} says ${mode} and lets one person act alone`);
	return ok(true);
}

/** Reads a document that is already trusted by where it lies (genesis at enrolment, the pinned copy on disk). */
export function readPinnedTrust(signed: Uint8Array): Result<PinnedTrust, TrustCode> {
	const outer = decodeAs(signedDocumentShape, signed);
	if (!outer.ok) return outer;
	const document = decodeAs(trustDocumentShape, outer.value.payload);
	if (!document.ok) return document;
	const rules = checkTrustRules(document.value);
	if (!rules.ok) return rules;
	return ok({ document: document.value, payload: outer.value.payload, bytes: signed });
}

/** Believes a next version because its predecessor's quorum signed it, or names why not. */
export function verifySuccession(pinned: PinnedTrust, signed: Uint8Array): Result<PinnedTrust, TrustCode> {
	const outer = decodeAs(signedDocumentShape, signed);
	if (!outer.ok) return outer;
	const next = readPinnedTrust(signed);
	if (!next.ok) return next;
	const document = next.value.document;
	if (document.version !== pinned.document.version + 1)
		return fail("trust_version_not_next", `version ${document.version} does not follow ${pinned.document.version}`);
	if (!equalBytes(document.prevHash, trustHash(pinned.payload)))
		return fail("trust_predecessor_mismatch", "the document names another predecessor");
	if (document.enclave !== pinned.document.enclave)
		return fail("trust_enclave_mismatch", `the document is for ${document.enclave}`);
	const message = preAuthEncoding(PAYLOAD_TYPES.trustDocument, outer.value.payload);
	const agreeing = pinned.document.successorKeys.filter((key) =>
		outer.value.signatures.some(
			({ publicKey, signature }) => equalBytes(publicKey, key) && ed25519Verify(key, message, signature),
		),
	);
	const threshold = pinned.document.successorThreshold;
	if (agreeing.length < threshold)
		return fail("trust_quorum_missing", `${agreeing.length} of ${threshold} successor signatures verify`);
	return next;
}

export function operatorById(trust: TrustDocument, id: string): Operator | undefined {
	return trust.operators.find((operator) => operator.id === id);
}
