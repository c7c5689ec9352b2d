/**
 * TraceCommands as this console makes and reads them. Guarantees that what is shown to an approver is read from the very bytes that
 * are signed, and that any difference to what the Security Center lists beside them is named. Pure: clock and randomness are
 * arguments.
 */
import { base64Of, bytesOfBase64, bytesOfHex, hexOf } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { TraceCommandView } from "../../../workers/sc/api/answers.ts";

/** How long a command waits for its approvals and its agent; half of what an agent accepts at most. */
export const COMMAND_LIFETIME_MS = 15 * 60_000;

/** What the form asks for. */
export interface TraceRequest {
	readonly act: TraceCommand["act"];
	/** null: a new trace. */
	readonly traceId: string | null;
	readonly agent: string;
	/** Process key, hex. */
	readonly process: string;
	readonly pid: number;
	readonly depth: number;
	readonly durationSecs: number;
	readonly collects: { readonly cmdlines: boolean; readonly network: boolean; readonly fileMeta: boolean };
	readonly reason: string;
	readonly parentLink: { readonly agent: string; readonly process: string } | null;
}

export interface ComposeContext {
	readonly operatorId: string;
	readonly trustVersion: number;
	readonly nowMs: number;
	/** 22 random bytes: 16 for the command, 6 for a new trace. */
	readonly random: Uint8Array;
}

export type ComposeCode = "reason_missing" | "request_malformed";

/** `T-20261122-4f1c9a`; the date is UTC. */
export function newTraceId(nowMs: number, random: Uint8Array): string {
	const alphabet = "abcdefghjkmnpqrstuvwxyz023456789";
	const tail = [...random.subarray(0, 6)].map((byte) => alphabet[byte & 31]).join("");
	return `T-${new Date(nowMs).toISOString().slice(0, 10).replaceAll("-", "")}-${tail}`;
}

/** The payload bytes to sign, and the command they hold as it reads back. */
export function composeTraceCommand(
	request: TraceRequest,
	context: ComposeContext,
): Result<{ payload: Uint8Array; command: TraceCommand }, ComposeCode> {
	const reason = request.reason.trim();
	if (reason === "") return fail("reason_missing", "A trace needs a reason; it stands in the ledger.");
	const targetProcess = bytesOfHex(request.process);
	const linked = request.parentLink === null ? null : bytesOfHex(request.parentLink.process);
	if (targetProcess === null || (request.parentLink !== null && linked === null))
		return fail("request_malformed", "The process key is not hex.");
	const payload = encodeAs(traceCommandShape, {
		traceId: request.traceId ?? newTraceId(context.nowMs, context.random.subarray(16)),
		targetAgent: request.agent,
		targetPid: request.pid,
		depth: request.depth,
		collectCmdlines: request.collects.cmdlines,
		collectNetwork: request.collects.network,
		collectFileMeta: request.collects.fileMeta,
		maxDurationSecs: request.durationSecs,
		initiatedBy: context.operatorId,
		timestampMs: context.nowMs,
		targetProcess,
		commandId: context.random.slice(0, 16),
		expiresAtMs: context.nowMs + COMMAND_LIFETIME_MS,
		reason,
		trustVersion: context.trustVersion,
		...(request.parentLink && linked ? { parentLink: { agent: request.parentLink.agent, process: linked } } : {}),
		act: request.act,
	});
	// Reading it back applies every bound of the shape: what an agent would refuse is never signed.
	const command = decodeAs(traceCommandShape, payload);
	return command.ok ? ok({ payload, command: command.value }) : fail("request_malformed", command.detail);
}

/** Base64 of the envelope with the initiator's signature. */
export function sealCommand(payload: Uint8Array, operator: string, signature: Uint8Array): string {
	return base64Of(encodeAs(signedEnvelopeShape, { payload, signatures: [{ operator, signature }] }));
}

export interface ReadCommand {
	readonly payload: Uint8Array;
	readonly command: TraceCommand;
	/** Where the Security Center's list says something else than the signed bytes; must be empty to approve. */
	readonly differences: readonly string[];
}

/** Reads the payload an approver is asked to sign, and compares it with what is listed. */
export function readListedCommand(
	listed: TraceCommandView & { traceId: string; reason: string },
): Result<ReadCommand, "payload_unreadable"> {
	const payload = bytesOfBase64(listed.payload);
	if (payload === null) return fail("payload_unreadable", "The bytes to sign are not base64.");
	const read = decodeAs(traceCommandShape, payload);
	if (!read.ok) return fail("payload_unreadable", `The bytes to sign are no trace command: ${read.detail}.`);
	const command = read.value;
	const pairs: [string, unknown, unknown][] = [
		["trace", command.traceId, listed.traceId],
		["host", command.targetAgent, listed.agent],
		["process", hexOf(command.targetProcess), listed.targetProcess],
		["pid", command.targetPid, listed.targetPid],
		["act", command.act, listed.act],
		["initiator", command.initiatedBy, listed.initiatedBy],
		["command id", hexOf(command.commandId), listed.commandId],
		["duration", command.maxDurationSecs, listed.maxDurationSecs],
		["expiry", command.expiresAtMs, listed.expiresAtMs],
		["reason", command.reason, listed.reason],
	];
	const differences = pairs.flatMap(([name, signed, shown]) => (signed === shown ? [] : [name]));
	return ok({ payload, command, differences });
}
