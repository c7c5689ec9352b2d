/**
 * The bytes of a ledger leaf: who did what to whom, when, and the salted hash of the body that says how. A
 * deterministic CBOR map with integer keys, append-only. Guarantees that equal leaves have equal bytes. Must never
 * hold a command line, an environment, a path or any other captured text: those stay outside behind `bodyHash`, so
 * that purging a body and its salt leaves nothing to guess and the tree whole.
 */
import {
	type CborLimits,
	decodeAs,
	encodeAs,
	field,
	fixedBytes,
	optional,
	record,
	type ShapeCode,
	text,
	uint,
	wallMs,
} from "#core/codec/index.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { sha256 } from "#crypto";
import { LEDGER_LIMITS } from "./limits.ts";
import { HASH_BYTES } from "./merkle.ts";

const LEAF_VERSION = 1;
export const SALT_BYTES = 16;

/** Every kind of act that gets a leaf. Append-only: a number is never given again. */
export const LEAF_KINDS = {
	batch: 1,
	trace_request: 2,
	trace_approval: 3,
	trace_start: 4,
	trace_seal: 5,
	export: 6,
	enrolment: 7,
	trust_document: 8,
	sign_in: 9,
	refusal: 10,
	fork_alarm: 11,
} as const;

export type LeafKind = keyof typeof LEAF_KINDS;

const KIND_NAMES = new Map<number, LeafKind>(
	Object.entries(LEAF_KINDS).map(([name, number]) => [number, name as LeafKind]),
);

export type LeafCode =
	| ShapeCode
	/** Written by another version of this format. */
	| "leaf_unknown_version"
	/** A kind this build does not know. */
	| "leaf_unknown_kind";

export interface Leaf {
	readonly kind: LeafKind;
	/** Wall clock of the Security Center in milliseconds. */
	readonly tsMs: number;
	/** Who acted: a node's or an operator's identity. */
	readonly actor: string;
	/** What it was done to. */
	readonly subject: string;
	readonly traceId?: string;
	/** `bodyHash` of the record itself. */
	readonly bodyHash: Uint8Array;
}

const leafShape = record({
	v: field(1, uint()),
	kind: field(2, uint()),
	tsMs: field(3, wallMs()),
	actor: field(4, text(LEDGER_LIMITS.leafTextCharsMax)),
	subject: field(5, text(LEDGER_LIMITS.leafTextCharsMax)),
	traceId: optional(6, text(LEDGER_LIMITS.leafTextCharsMax)),
	bodyHash: field(7, fixedBytes(HASH_BYTES)),
});

/** One flat map: its seven pairs and itself. */
const LEAF_CBOR_LIMITS: CborLimits = { bytesMax: LEDGER_LIMITS.leafBytesMax, depthMax: 2, itemsMax: 16 };

/** SHA-256(salt ‖ body). The salt is 16 random bytes, fresh for each body, and is deleted with it. */
export function bodyHash(salt: Uint8Array, body: Uint8Array): Uint8Array {
	assertInvariant(salt.length === SALT_BYTES, `a salt is ${SALT_BYTES} bytes, not ${salt.length}`);
	return sha256(salt, body);
}

/** The bytes that are hashed into the tree. Texts over the limit are the caller's mistake and throw. */
export function encodeLeaf(leaf: Leaf): Uint8Array {
	const encoded = encodeAs(leafShape, { ...leaf, v: LEAF_VERSION, kind: LEAF_KINDS[leaf.kind] });
	const read = decodeLeaf(encoded);
	assertInvariant(read.ok, `this leaf could not be read back: ${read.ok ? "" : read.detail}`);
	return encoded;
}

/** Reads a leaf from anyone's bytes. */
export function decodeLeaf(encoded: Uint8Array): Result<Leaf, LeafCode> {
	const decoded = decodeAs(leafShape, encoded, LEAF_CBOR_LIMITS);
	if (!decoded.ok) return decoded;
	const { v, kind, ...rest } = decoded.value;
	if (v !== LEAF_VERSION) return fail("leaf_unknown_version", `Leaf version ${v} is not ${LEAF_VERSION}.`);
	const name = KIND_NAMES.get(kind);
	if (!name) return fail("leaf_unknown_kind", `No kind of leaf has number ${kind}.`);
	return ok({ kind: name, ...rest });
}
