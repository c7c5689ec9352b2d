/**
 * Where trust document version 1 is signed: the one moment in which the enclave's first operators get their rights. Guarantees
 * that every operator in it holds one unspent invitation for exactly these roles, that nothing else of genesis was changed, and
 * that the genesis key is destroyed afterwards, so no second version 1 and no version 2 can come from here. The order is: signed
 * document on disk, invitations spent, key destroyed; a start after a crash goes on where it stopped.
 */
import { existsSync, readFileSync } from "node:fs";
import { equalBytes } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs, type ShapeCode } from "#core/codec/index.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { capturePolicyShape } from "#core/trust/capture-policy.ts";
import {
	checkTrustRules,
	type PinnedTrust,
	readPinnedTrust,
	signTrustDocument,
	type TrustCode,
	type TrustDocument,
	trustDocumentShape,
	verifySuccession,
} from "#core/trust/trust-document.ts";
import { ed25519PublicKey } from "#crypto";
import { destroyFile, writeFileDurably } from "../durable-files.ts";
import type { SignerPaths } from "../pki/layout.ts";
import {
	checkInvitation,
	consumeInvitations,
	type InvitationCode,
	type PresentedInvitation,
	readInvitations,
	type StoredInvitation,
} from "./invitations.ts";

const SEED_BYTES = 32;

export type GenesisDeskCode =
	| ShapeCode
	| TrustCode
	| InvitationCode
	/** Version 1 exists already and is another document. */
	| "genesis_key_destroyed"
	/** The document changes something of genesis beside operators and successor keys. */
	| "trust_policy_changed"
	/** A successor key is no key of its operators. */
	| "trust_successors_invalid"
	/** An operator without an invitation, or the other way round. */
	| "invitations_incomplete";

export interface GenesisDesk {
	/** `document` is the encoded trust document version 1. Answers with the signed document; asked again, with the same bytes. */
	sign(document: Uint8Array, invitations: readonly PresentedInvitation[]): Result<Uint8Array, GenesisDeskCode>;
	hasKey(): boolean;
}

/** Finishes what a crash interrupted, then opens. */
export function openGenesisDesk(paths: SignerPaths, genesis: PinnedTrust): GenesisDesk {
	if (existsSync(paths.firstTrust)) finish(paths, readInvitations(paths.invitations).filter(isNamedIn(paths)));

	return {
		hasKey: () => existsSync(paths.genesisKey),
		sign(document, invitations) {
			if (existsSync(paths.firstTrust)) return again(paths, document);
			if (!existsSync(paths.genesisKey))
				return fail("genesis_key_destroyed", "The genesis key is gone and there is no version 1 here.");
			const judged = judge(document, genesis, { presented: invitations, stored: readInvitations(paths.invitations) });
			if (!judged.ok) return judged;
			const seed = new Uint8Array(readFileSync(paths.genesisKey));
			const signed = signTrustDocument(judged.value.document, [{ publicKey: ed25519PublicKey(seed), seed }]);
			// The codec has one encoding for one document; another spelling is refused, for the caller's bytes are what counts.
			if (!equalBytes(signed.payload, document))
				return fail("shape_mismatch", "The document is not canonically encoded.");
			const believed = verifySuccession(genesis, signed.bytes);
			if (!believed.ok) return believed;
			writeFileDurably(paths.firstTrust, signed.bytes);
			finish(paths, judged.value.used);
			return ok(signed.bytes);
		},
	};
}

function finish(paths: SignerPaths, used: readonly StoredInvitation[]): void {
	consumeInvitations(paths.invitations, used);
	if (existsSync(paths.genesisKey)) destroyFile(paths.genesisKey, SEED_BYTES);
}

/** Invitations of the operators that the stored version 1 names. */
function isNamedIn(paths: SignerPaths): (invitation: StoredInvitation) => boolean {
	const first = readPinnedTrust(readFileSync(paths.firstTrust));
	const ids = new Set(first.ok ? first.value.document.operators.map(({ id }) => id) : []);
	return ({ operatorId }) => ids.has(operatorId);
}

function again(paths: SignerPaths, document: Uint8Array): Result<Uint8Array, GenesisDeskCode> {
	const first = readPinnedTrust(readFileSync(paths.firstTrust));
	if (first.ok && equalBytes(first.value.payload, document)) return ok(first.value.bytes);
	return fail(
		"genesis_key_destroyed",
		"Version 1 was already signed, and the key that could sign another is destroyed.",
	);
}

interface Judged {
	readonly document: TrustDocument;
	readonly used: readonly StoredInvitation[];
}

function judge(
	bytes: Uint8Array,
	genesis: PinnedTrust,
	invitations: { presented: readonly PresentedInvitation[]; stored: readonly StoredInvitation[] },
): Result<Judged, GenesisDeskCode> {
	const { presented, stored } = invitations;
	const decoded = decodeAs(trustDocumentShape, bytes);
	if (!decoded.ok) return decoded;
	const document = decoded.value;
	const changed = changedPolicy(document, genesis.document);
	if (changed !== undefined) return fail("trust_policy_changed", `Version 1 may not change "${changed}" of genesis.`);
	const rules = checkTrustRules(document);
	if (!rules.ok) return rules;
	const successors = checkSuccessors(document);
	if (!successors.ok) return successors;
	if (presented.length !== document.operators.length)
		return fail("invitations_incomplete", "Each operator needs one invitation, and each invitation one operator.");
	const used: StoredInvitation[] = [];
	for (const operator of document.operators) {
		const token = presented.find(({ operatorId }) => operatorId === operator.id)?.token;
		if (token === undefined) return fail("invitations_incomplete", `${operator.id} shows no invitation.`);
		const invitation = checkInvitation(stored, token, { operatorId: operator.id, roles: operator.roles });
		if (!invitation.ok) return invitation;
		used.push(invitation.value);
	}
	return ok({ document, used });
}

const POLICY_FIELDS = [
	"enclave",
	"mode",
	"traceApprovals",
	"ledgerOrigin",
	"isMaskingRequired",
	"traceDepthMax",
	"traceDurationSecsMax",
] as const satisfies readonly (keyof TrustDocument)[];

function capturePolicyBytes({ capturePolicy }: TrustDocument): Uint8Array {
	return capturePolicy === undefined ? new Uint8Array(0) : encodeAs(capturePolicyShape, capturePolicy);
}

function changedPolicy(next: TrustDocument, genesis: TrustDocument): string | undefined {
	if (!equalBytes(next.ledgerKey, genesis.ledgerKey)) return "ledgerKey";
	if (!equalBytes(capturePolicyBytes(next), capturePolicyBytes(genesis))) return "capturePolicy";
	return POLICY_FIELDS.find((name) => next[name] !== genesis[name]);
}

/** The people who come first are the ones who sign the next version; that the keys are distinct, the document's rules say. */
function checkSuccessors({ operators, successorKeys }: TrustDocument): Result<true, "trust_successors_invalid"> {
	const isOperators = successorKeys.every((key) => operators.some(({ publicKey }) => equalBytes(publicKey, key)));
	if (isOperators) return ok(true);
	return fail("trust_successors_invalid", "Successor keys must be keys of operators in the document.");
}
