/**
 * TraceCommand: the seed's fields, and what they lacked (process key, command id, expiry, approvals over the same bytes). The
 * payload bytes are what every operator signs; `verifyTraceCommand` in core/trust is the only judge. Nothing here decides.
 */
import {
	bool,
	bytes,
	field,
	list,
	oneOf,
	optional,
	record,
	type TypeOf,
	text,
	uint,
	wallMs,
} from "#core/codec/index.ts";
import { commandIdShape, nodeIdShape, processKeyShape, signatureShape, traceIdShape } from "./ids.ts";
import { MODEL_LIMITS } from "./limits.ts";

export const operatorIdShape = text(64, /^[a-z0-9][a-z0-9._-]*$/);

/** Append-only. `stop` names a running trace by its id and is signed the same way. */
export const COMMAND_ACTS = ["start", "stop"] as const;

/** Where a followed trace came from: the traced process and the connection it made. */
export const parentLinkShape = record({
	agent: field(1, nodeIdShape),
	process: field(2, processKeyShape),
});

export const traceCommandShape = record({
	traceId: field(1, traceIdShape),
	targetAgent: field(2, nodeIdShape),
	targetPid: field(3, uint(0xffff_ffff)),
	depth: field(4, uint(1000)),
	collectCmdlines: field(5, bool()),
	collectNetwork: field(6, bool()),
	collectFileMeta: field(7, bool()),
	maxDurationSecs: field(8, uint(7 * 86_400)),
	initiatedBy: field(9, operatorIdShape),
	timestampMs: field(10, wallMs()),
	// 11 is the seed's `signature`; it lives in the envelope, because approvals sign the same bytes.
	targetProcess: field(12, processKeyShape),
	commandId: field(13, commandIdShape),
	expiresAtMs: field(14, wallMs()),
	reason: field(15, text(MODEL_LIMITS.sentenceLengthMax)),
	trustVersion: field(16, uint()),
	parentLink: optional(17, parentLinkShape),
	act: field(18, oneOf(COMMAND_ACTS)),
	/** The first bytes of executable mappings; obeyed only where the capture policy allows it. Absent = no. */
	collectMemoryHeaders: optional(19, bool()),
});
export type TraceCommand = TypeOf<typeof traceCommandShape>;

/** Signatures over one payload by operators: DSSE in CBOR. */
export const signedEnvelopeShape = record({
	payload: field(1, bytes(16_384)),
	signatures: field(2, list(record({ operator: field(1, operatorIdShape), signature: field(2, signatureShape) }), 16)),
});
export type SignedEnvelope = TypeOf<typeof signedEnvelopeShape>;
