/**
 * The signer's requests as they come over the socket: JSON with base64 for bytes, read strictly. Guarantees that a request has
 * exactly the fields it should, within limits, before any key is near it.
 */
import { bytesOfBase64 } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { HOST_LIMITS } from "../limits.ts";
import type { CheckpointRequest } from "./checkpoint-desk.ts";
import type { PresentedInvitation } from "./invitations.ts";

type RequestCode = "request_malformed";
type Fields = Readonly<Record<string, unknown>>;

const HASH_BYTES = 32;
const TEXT_LENGTH_MAX = 256;

function refuse(detail: string): Result<never, RequestCode> {
	return fail("request_malformed", detail);
}

/** The members of an object that has exactly these names. */
function fieldsOf(value: unknown, names: readonly string[]): Fields | null {
	if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
	const own = Object.keys(value);
	return own.length === names.length && names.every((name) => own.includes(name)) ? (value as Fields) : null;
}

function bytesIn(value: unknown): Uint8Array | null {
	return typeof value === "string" ? bytesOfBase64(value) : null;
}

function isText(value: unknown): value is string {
	return typeof value === "string" && value.length <= TEXT_LENGTH_MAX;
}

function isSize(value: unknown): value is number {
	return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** `{origin, size, root, oldSize, consistency: [base64]}`. */
export function readCheckpointRequest(body: unknown): Result<CheckpointRequest, RequestCode> {
	const fields = fieldsOf(body, ["origin", "size", "root", "oldSize", "consistency"]);
	if (fields === null) return refuse("The fields are origin, size, root, oldSize and consistency.");
	const { origin, size, oldSize, consistency: list } = fields;
	const root = bytesIn(fields.root);
	if (!isText(origin) || !isSize(size) || !isSize(oldSize) || root?.length !== HASH_BYTES)
		return refuse("origin is text, sizes are integers, root is base64 of 32 bytes.");
	if (!Array.isArray(list) || list.length > HOST_LIMITS.consistencyHashesMax)
		return refuse(`consistency is a list of at most ${HOST_LIMITS.consistencyHashesMax} hashes.`);
	const consistency: Uint8Array[] = [];
	for (const each of list) {
		const hash = bytesIn(each);
		if (hash?.length !== HASH_BYTES) return refuse("Each hash in consistency is base64 of 32 bytes.");
		consistency.push(hash);
	}
	return ok({ origin, size, root, oldSize, consistency });
}

export interface TrustVersionRequest {
	readonly document: Uint8Array;
	readonly invitations: readonly PresentedInvitation[];
}

/** `{document: base64, invitations: [{operatorId, token}]}`. */
export function readTrustVersionRequest(body: unknown): Result<TrustVersionRequest, RequestCode> {
	const fields = fieldsOf(body, ["document", "invitations"]);
	if (fields === null) return refuse("The fields are document and invitations.");
	const document = bytesIn(fields.document);
	if (document === null) return refuse("document is base64.");
	const { invitations: list } = fields;
	if (!Array.isArray(list) || list.length > HOST_LIMITS.invitationsMax)
		return refuse(`invitations is a list of at most ${HOST_LIMITS.invitationsMax}.`);
	const invitations: PresentedInvitation[] = [];
	for (const each of list) {
		const { operatorId, token } = fieldsOf(each, ["operatorId", "token"]) ?? {};
		if (!isText(operatorId) || !isText(token)) return refuse("An invitation is operatorId and token.");
		invitations.push({ operatorId, token });
	}
	return ok({ document, invitations });
}
