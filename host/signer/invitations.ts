/**
 * Invitations of the first operators: one-time tokens, kept as hashes, each for one operator id with fixed roles. Guarantees that
 * a token is worth exactly what the creator of the enclave meant by it, and once. Must never keep a token in the clear: it is
 * shown when the enclave is made and nowhere else.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { ROLES, type Role } from "#core/trust/trust-document.ts";
import { writeFileDurably } from "../durable-files.ts";
import { HOST_LIMITS } from "../limits.ts";

export interface Invitee {
	readonly operatorId: string;
	readonly roles: readonly Role[];
}

export interface StoredInvitation extends Invitee {
	/** SHA-256 of the token, hex. */
	readonly hash: string;
	readonly consumed: boolean;
}

/** A token in the clear, as the person who makes the enclave hands it on. */
export interface Invitation extends Invitee {
	/** 32 random bytes, base64url. */
	readonly token: string;
}

/** A token as it comes back, for the operator that uses it. */
export interface PresentedInvitation {
	readonly operatorId: string;
	readonly token: string;
}

export type InvitationCode = "invitation_unknown" | "invitation_consumed" | "invitation_mismatch";

export function createInvitation(invitee: Invitee): Invitation {
	return { operatorId: invitee.operatorId, roles: invitee.roles, token: randomBytes(32).toString("base64url") };
}

function hashOf(token: string): string {
	return createHash("sha256").update(token).digest("hex");
}

/** Writes the invitations of a new enclave. */
export function storeInvitations(path: string, invitations: readonly Invitation[]): void {
	assertInvariant(invitations.length <= HOST_LIMITS.invitationsMax, "too many invitations");
	const stored = invitations.map(({ operatorId, roles, token }) => ({
		hash: hashOf(token),
		operatorId,
		roles,
		consumed: false,
	}));
	writeStored(path, stored);
}

function writeStored(path: string, stored: readonly StoredInvitation[]): void {
	writeFileDurably(path, `${JSON.stringify(stored, null, "\t")}\n`);
}

/** Reads our own file; anything unexpected in it is a broken invariant, not an input. */
export function readInvitations(path: string): StoredInvitation[] {
	const stored: unknown = JSON.parse(readFileSync(path, "utf8"));
	assertInvariant(Array.isArray(stored) && stored.every(isStored), `${path} is not a list of invitations`);
	return stored;
}

function isStored(value: unknown): value is StoredInvitation {
	if (typeof value !== "object" || value === null) return false;
	const { hash, operatorId, roles, consumed } = value as Record<string, unknown>;
	const isRole = (role: unknown) => ROLES.includes(role as Role);
	return (
		typeof hash === "string" &&
		/^[0-9a-f]{64}$/.test(hash) &&
		typeof operatorId === "string" &&
		Array.isArray(roles) &&
		roles.every(isRole) &&
		typeof consumed === "boolean"
	);
}

/** Whether the token is an unspent invitation for exactly this operator with exactly these roles. */
export function checkInvitation(
	stored: readonly StoredInvitation[],
	token: string,
	wanted: Invitee,
): Result<StoredInvitation, InvitationCode> {
	// Hashes are compared, not tokens: what a comparison's time could tell is of no use.
	const invitation = stored.find(({ hash }) => hash === hashOf(token));
	if (invitation === undefined)
		return fail("invitation_unknown", `${wanted.operatorId} shows no invitation of this enclave.`);
	if (invitation.consumed)
		return fail("invitation_consumed", `The invitation of ${wanted.operatorId} was already used.`);
	const sameRoles = [...invitation.roles].sort().join() === [...wanted.roles].sort().join();
	if (invitation.operatorId !== wanted.operatorId || !sameRoles)
		return fail(
			"invitation_mismatch",
			`The invitation is for ${invitation.operatorId} as ${invitation.roles.join(", ")}, and for nothing else.`,
		);
	return ok(invitation);
}

/** Marks them all used, in one write. */
export function consumeInvitations(path: string, used: readonly StoredInvitation[]): void {
	const hashes = new Set(used.map(({ hash }) => hash));
	writeStored(
		path,
		readInvitations(path).map((each) => (hashes.has(each.hash) ? { ...each, consumed: true } : each)),
	);
}
