/**
 * command_signatures and command_covers_trace: every command was signed by operators who had the right to, each start has its
 * host's answer, and what a host tells that no such command started is not of the trace.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import type { PinnedTrust } from "#core/trust/trust-document.ts";
import { verifyTraceCommand } from "#core/trust/verify-command.ts";
import type { PackageParts } from "./package-parts.ts";
import { type TraceHost, traceHosts } from "./trace-hosts.ts";
import { counted, failed, gaps, type Judged, pass, type VerifyCode } from "./verdict.ts";

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

/** A host that counts for the trace: at least one start command of the package was taken or not answered. */
export interface CoveredHost extends TraceHost {
	/** The starts that it took. */
	readonly taken: readonly { readonly command: TraceCommand; readonly atNs: bigint }[];
}

interface Coverage {
	readonly covered: CoveredHost[];
	/** Hosts that refused every start and told nothing. */
	readonly refused: string[];
	readonly findings: { readonly code: VerifyCode; readonly detail: string }[];
}

/** Starts that the ledger knows of and that are not among the package's commands. */
function startsLeftOut(parts: PackageParts, traceId: string): string[] {
	return parts.acts.flatMap(({ place: { leaf }, body }) => {
		if (leaf.kind !== "trace_start" || leaf.traceId !== traceId) return [];
		const envelope = decodeAs(signedEnvelopeShape, body);
		const read = envelope.ok ? decodeAs(traceCommandShape, envelope.value.payload) : envelope;
		if (!read.ok) return [`an act on ${leaf.subject} that reads as no command`];
		const { act, commandId, targetAgent } = read.value;
		return act !== "start" || parts.commands.has(hexOf(commandId)) ? [] : [`${hexOf(commandId)} to ${targetAgent}`];
	});
}

/** Nobody asked this host: what it tells under the trace's id is named and left out. A refusal says nothing of the trace. */
function judgeUncommanded(host: TraceHost, coverage: Coverage): void {
	if (host.events.length === 0 && host.seals.length === 0 && !host.hasAccepted) return;
	const detail = `${host.agent} told ${counted(host.events.length, "event")} under the trace's id, and no signed command started it there: left out of the trace`;
	coverage.findings.push({ code: "not_commanded", detail });
}

function judgeCommanded(host: TraceHost, starts: readonly SignedCommand[], coverage: Coverage): void {
	const { agent, answers } = host;
	const judged = starts.map(({ command }) => ({ command, answer: answers.get(hexOf(command.commandId)) }));
	const unanswered = judged.flatMap(({ command, answer }) => (answer === undefined ? [hexOf(command.commandId)] : []));
	const taken = judged.flatMap(({ command, answer }) =>
		answer?.isAccepted === true ? [{ command, atNs: answer.atNs }] : [],
	);
	if (unanswered.length > 0) {
		const detail = `the answer of ${agent} to the command ${unanswered.join(", ")} is not here`;
		coverage.findings.push({ code: "command_unanswered", detail });
	}
	if (taken.length > 0 || unanswered.length > 0) coverage.covered.push({ ...host, taken });
	else if (host.events.length === 0) coverage.refused.push(agent);
	else if (host.seals.some(({ payload }) => payload.cause === "collector_refused")) {
		// The agent tells the processes as they stand before its collector answers; its seal says that nothing followed.
		coverage.covered.push({ ...host, taken });
		const detail = `the collector of ${agent} refused the trace after ${counted(host.events.length, "event")}`;
		coverage.findings.push({ code: "command_refused", detail });
	} else {
		const detail = `${agent} told ${counted(host.events.length, "event")} of the trace and says that it refused every command to start it: left out of the trace`;
		coverage.findings.push({ code: "command_refused", detail });
	}
}

function coverageOf(parts: PackageParts, commands: readonly SignedCommand[], traceId: string): Coverage {
	const coverage: Coverage = { covered: [], refused: [], findings: [] };
	const hosts = traceHosts(parts, traceId);
	const starts = new Map<string, SignedCommand[]>();
	for (const signed of commands) {
		const { act, targetAgent } = signed.command;
		if (act === "start") starts.set(targetAgent, [...(starts.get(targetAgent) ?? []), signed]);
	}
	const silent = { answers: new Map(), hasAccepted: false, events: [], seals: [] };
	for (const agent of [...new Set([...hosts.keys(), ...starts.keys()])].sort()) {
		const host = hosts.get(agent) ?? { agent, ...silent };
		const own = starts.get(agent);
		if (own === undefined) judgeUncommanded(host, coverage);
		else judgeCommanded(host, own, coverage);
	}
	return coverage;
}

/**
 * From the commands to the hosts, so that a host which is left out shows, and from the hosts to the commands, so that nobody is
 * traced without one. The events must be believed already. Finds the hosts that count. One host that speaks out of turn costs
 * the others nothing: it is left out by name, and only a package with nothing else fails.
 */
export function checkCoverage(
	parts: PackageParts,
	commands: readonly SignedCommand[],
	traceId: string,
): Judged<readonly CoveredHost[]> {
	const { covered, refused, findings } = coverageOf(parts, commands, traceId);
	const leftOut = startsLeftOut(parts, traceId);
	if (leftOut.length > 0)
		findings.push({ code: "command_unanswered", detail: `starts in the ledger are not here: ${leftOut.join("; ")}` });
	const isTold = covered.some(({ events }) => events.length > 0);
	const outsider = findings.find(({ code }) => code === "not_commanded" || code === "command_refused");
	if (!isTold && outsider !== undefined)
		return failed(
			outsider.code === "not_commanded" ? "command_missing" : "command_refused",
			`No event of the trace is under a command that its host took: ${findings.map(({ detail }) => detail).join("; ")}.`,
		);
	if (!isTold) findings.push({ code: "trace_empty", detail: "no host has an event of the trace" });
	const [first] = findings;
	if (first !== undefined)
		return gaps(covered, first.code, `Missing: ${findings.map(({ detail }) => detail).join("; ")}.`);
	const others = refused.length === 0 ? "" : ` ${refused.join(", ")} refused and told nothing.`;
	const names = covered.map(({ agent }) => agent).join(", ");
	return pass(covered, `${names}: each says that it took every command of this package that started it.${others}`);
}
