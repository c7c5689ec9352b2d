/**
 * command_signatures and command_covers_trace: every command was signed by operators who had the right to, and no host has events
 * of the trace that no such command started there.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import type { PinnedTrust } from "#core/trust/trust-document.ts";
import { verifyTraceCommand } from "#core/trust/verify-command.ts";
import type { PackageParts } from "./package-parts.ts";
import { counted, failed, gaps, type Judged, pass } from "./verdict.ts";

export interface SignedCommand {
	readonly command: TraceCommand;
	readonly approvedBy: readonly string[];
}

function checkCommand(
	file: { id: string; bytes: Uint8Array },
	context: { trust: readonly PinnedTrust[]; traceId: string },
): Judged<SignedCommand> {
	const { id, bytes } = file;
	const envelope = decodeAs(signedEnvelopeShape, bytes);
	const read = envelope.ok ? decodeAs(traceCommandShape, envelope.value.payload) : envelope;
	if (!read.ok) return failed(read.code, `commands/${id}.cbor: ${read.detail}.`);
	const command = read.value;
	if (hexOf(command.commandId) !== id) return failed("command_misplaced", `commands/${id}.cbor holds another command.`);
	if (command.traceId !== context.traceId)
		return failed("command_other_trace", `Command ${id} is for ${command.traceId}, not ${context.traceId}.`);
	const trust = context.trust[command.trustVersion];
	if (trust === undefined)
		return failed(
			"command_trust_version",
			`Command ${id} names trust version ${command.trustVersion}, which is not here.`,
		);
	// Judged as of its signing: whether it was still in force when it came, and meant for the host, is what the host answered.
	const { timestampMs: nowMs, targetAgent: agentId } = command;
	const judged = verifyTraceCommand(bytes, { trust: trust.document, agentId, nowMs, hasSeen: () => false });
	if (!judged.ok) return failed(judged.code, `Command ${id}: ${judged.detail}.`);
	return pass({ command, approvedBy: judged.value.approvedBy }, "");
}

export function checkCommands(
	parts: PackageParts,
	context: { trust: readonly PinnedTrust[]; traceId: string },
): Judged<readonly SignedCommand[]> {
	const commands: SignedCommand[] = [];
	for (const [id, bytes] of parts.commands) {
		const judged = checkCommand({ id, bytes }, context);
		if (judged.outcome === "fail") return judged;
		commands.push(judged.value);
	}
	const claims = commands.map(({ command, approvedBy }) => {
		const approval = approvedBy.length === 0 ? "no approval needed" : `approved by ${approvedBy.join(" and ")}`;
		return `${command.act} on ${command.targetAgent} by ${command.initiatedBy}, ${approval}`;
	});
	return pass(
		commands,
		`${counted(commands.length, "command")}, each signed as its trust version asks: ${claims.join("; ")}.`,
	);
}

/** Command id → whether the host took it. The host's own signed word, of the host it is for. */
function answersIn(parts: PackageParts): Map<string, boolean> {
	const answers = new Map<string, boolean>();
	for (const { opened } of parts.batches)
		for (const { kind, payload } of opened.events) {
			if (kind !== "command_answer" || payload.commandId === undefined) continue;
			const key = `${opened.batch.header.agent}/${hexOf(payload.commandId)}`;
			// A command that comes twice is answered twice, the second time with a refusal: it was taken.
			answers.set(key, answers.get(key) === true || payload.isAccepted === true);
		}
	return answers;
}

/** The events must be believed already. */
export function checkCoverage(parts: PackageParts, commands: readonly SignedCommand[], traceId: string): Judged<true> {
	const isTraced = new Set(["command_answer", "trace_seal", "gap"]);
	const hosts = new Set(
		parts.batches.flatMap(({ opened }) =>
			opened.events.some((event) => event.traceId === traceId && !isTraced.has(event.kind))
				? [opened.batch.header.agent]
				: [],
		),
	);
	const answers = answersIn(parts);
	const unanswered: string[] = [];
	for (const agent of hosts) {
		const starts = commands.filter(({ command }) => command.act === "start" && command.targetAgent === agent);
		if (starts.length === 0)
			return failed("command_missing", `${agent} has events of the trace, and no signed command started it there.`);
		const taken = starts.map(({ command }) => answers.get(`${agent}/${hexOf(command.commandId)}`));
		if (taken.includes(true)) continue;
		if (!taken.includes(undefined))
			return failed(
				"command_refused",
				`${agent} has events of the trace and says it refused every command to start it.`,
			);
		unanswered.push(agent);
	}
	if (hosts.size === 0) return gaps(true, "trace_empty", "No host has an event of the trace.");
	if (unanswered.length > 0)
		return gaps(true, "command_unanswered", `The answer of ${unanswered.join(", ")} to the command is not here.`);
	return pass(true, `${[...hosts].join(", ")}: each says that it took a command of this package before it traced.`);
}
