/**
 * The judge of a TraceCommand. The agent calls it with its own pinned trust document, so a captured Security Center or proxy can
 * delay a trace but not start, re-aim, widen or stop one. Guarantees every check of DESIGN §5 in this order: signatures → role and
 * ceiling → approvals over the same bytes → target → expiry → command id unseen. Must never ask the network anything.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { decodeAs, type ShapeCode } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { type Failure, fail, ok, type Result } from "#core/result.ts";
import { ed25519Verify } from "#crypto";
import { operatorById, type TrustDocument } from "./trust-document.ts";

/** How far ahead of the agent's clock an operator's clock may be, and how long a command may live. */
export const COMMAND_LIMITS = {
	clockAheadMsMax: 5 * 60_000,
	/** An approval expires after 15 minutes and is used within 15 more (the default policy). */
	lifetimeMsMax: 30 * 60_000,
} as const;

export type CommandCode =
	| ShapeCode
	| "command_trust_version"
	| "command_signature_missing"
	| "command_signature_invalid"
	| "command_signer_doubled"
	| "command_operator_unknown"
	| "command_role_missing"
	| "command_ceiling_exceeded"
	| "command_approval_missing"
	| "command_wrong_target"
	| "command_expired"
	| "command_from_future"
	| "command_lifetime_too_long"
	| "command_replayed";

export interface CommandContext {
	readonly trust: TrustDocument;
	/** The node that judges; null where the target is not oneself (the Security Center's early courtesy check). */
	readonly agentId: string | null;
	readonly nowMs: number;
	readonly hasSeen: (commandId: Uint8Array) => boolean;
}

export interface VerifiedCommand {
	readonly command: TraceCommand;
	readonly payload: Uint8Array;
	readonly approvedBy: readonly string[];
}

/** A refusal, with the command when it is its initiator's own: only then may an answer name its ids. */
export type CommandRefusal = Failure<CommandCode> & {
	/**
	 * Null while a foreign envelope could have been made of a genuine command: by other signatures, or by leaving some out.
	 * Then the refusal is of these bytes and says nothing about the command they name.
	 */
	readonly command: TraceCommand | null;
};

export type CommandVerdict = { readonly ok: true; readonly value: VerifiedCommand } | CommandRefusal;

type Envelope = { payload: Uint8Array; signatures: readonly { operator: string; signature: Uint8Array }[] };

function verifySignatures(envelope: Envelope, trust: TrustDocument): Result<true, CommandCode> {
	const message = preAuthEncoding(PAYLOAD_TYPES.traceCommand, envelope.payload);
	const seen = new Set<string>();
	for (const { operator: id, signature } of envelope.signatures) {
		if (seen.has(id)) return fail("command_signer_doubled", `${id} signed twice`);
		seen.add(id);
		const operator = operatorById(trust, id);
		if (operator === undefined)
			return fail("command_operator_unknown", `${id} is not in trust version ${trust.version}`);
		if (!ed25519Verify(operator.publicKey, message, signature))
			return fail("command_signature_invalid", `the signature of ${id} does not cover these bytes`);
	}
	return ok(true);
}

/** The initiator's signature and enough others'. A hop can take signatures away, so a lack of them is not the command's. */
function verifyRights(command: TraceCommand, envelope: Envelope, trust: TrustDocument): Result<string[], CommandCode> {
	const signers = envelope.signatures.map(({ operator }) => operator);
	if (!signers.includes(command.initiatedBy))
		return fail("command_signature_missing", `${command.initiatedBy} initiated it and did not sign it`);
	if (!operatorById(trust, command.initiatedBy)?.roles.includes("analyst"))
		return fail("command_role_missing", `${command.initiatedBy} is not an analyst`);
	if (command.depth > trust.traceDepthMax || command.maxDurationSecs > trust.traceDurationSecsMax)
		return fail(
			"command_ceiling_exceeded",
			`at most depth ${trust.traceDepthMax} and ${trust.traceDurationSecsMax} s are allowed`,
		);
	const approvers = signers.filter(
		(id) => id !== command.initiatedBy && operatorById(trust, id)?.roles.includes("approver"),
	);
	if (approvers.length < trust.traceApprovals)
		return fail("command_approval_missing", `${approvers.length} of ${trust.traceApprovals} approvals`);
	return ok(approvers);
}

function verifyTime(command: TraceCommand, nowMs: number): Result<true, CommandCode> {
	if (command.expiresAtMs - command.timestampMs > COMMAND_LIMITS.lifetimeMsMax)
		return fail("command_lifetime_too_long", `a command lives at most ${COMMAND_LIMITS.lifetimeMsMax} ms`);
	if (nowMs > command.expiresAtMs) return fail("command_expired", `it expired ${nowMs - command.expiresAtMs} ms ago`);
	if (command.timestampMs > nowMs + COMMAND_LIMITS.clockAheadMsMax)
		return fail("command_from_future", `its time is ${command.timestampMs - nowMs} ms ahead`);
	return ok(true);
}

/** Refusals that an envelope of the genuine command with fewer signatures would meet too. */
const STRIPPABLE: ReadonlySet<CommandCode> = new Set(["command_signature_missing", "command_approval_missing"]);

function judgeSigned(
	command: TraceCommand,
	envelope: Envelope,
	context: CommandContext,
): Result<VerifiedCommand, CommandCode> {
	const approvers = verifyRights(command, envelope, context.trust);
	if (!approvers.ok) return approvers;
	if (context.agentId !== null && command.targetAgent !== context.agentId)
		return fail("command_wrong_target", `it is for ${command.targetAgent}`);
	const time = verifyTime(command, context.nowMs);
	if (!time.ok) return time;
	if (context.hasSeen(command.commandId))
		return fail("command_replayed", `command ${hexOf(command.commandId)} was already judged`);
	return ok({ command, payload: envelope.payload, approvedBy: approvers.value });
}

/** Judges the envelope bytes; a refusal names the first reason. */
export function verifyTraceCommand(envelopeBytes: Uint8Array, context: CommandContext): CommandVerdict {
	const envelope = decodeAs(signedEnvelopeShape, envelopeBytes);
	if (!envelope.ok) return { ...envelope, command: null };
	const decoded = decodeAs(traceCommandShape, envelope.value.payload);
	if (!decoded.ok) return { ...decoded, command: null };
	const command = decoded.value;
	const { trust } = context;
	if (command.trustVersion !== trust.version) {
		const detail = `signed under version ${command.trustVersion}, in force is ${trust.version}`;
		return { ...fail("command_trust_version", detail), command: null };
	}
	const signatures = verifySignatures(envelope.value, trust);
	if (!signatures.ok) return { ...signatures, command: null };
	const judged = judgeSigned(command, envelope.value, context);
	return judged.ok ? judged : { ...judged, command: STRIPPABLE.has(judged.code) ? null : command };
}
