/** Events in words: what kind, what happened, what can be found in it. Raw text of the host; whoever shows it escapes it. Pure. */
import type { EventKind } from "#core/model/event.ts";
import type { EventRow } from "../../../workers/sc/api/answers.ts";

export type KindGroup = "process" | "network" | "file" | "record";

export const KIND_GROUP: Record<EventKind, KindGroup> = {
	fork: "process",
	exec: "process",
	exit: "process",
	snapshot: "process",
	connect: "network",
	accept: "network",
	file_open: "file",
	file_create: "file",
	file_rename: "file",
	file_unlink: "file",
	gap: "record",
	command_answer: "record",
	trace_seal: "record",
	source: "record",
	close: "network",
	socket: "network",
	bind: "network",
	listen: "network",
	datagram: "network",
	dns: "network",
	set_id: "process",
	ptrace: "process",
	file_link: "file",
	file_symlink: "file",
	file_chmod: "file",
	tamper: "record",
	view_partial: "record",
	file_hash: "file",
	memory_header: "process",
	fidelity: "record",
};

export const KIND_LABEL: Record<EventKind, string> = {
	fork: "fork",
	exec: "exec",
	exit: "exit",
	snapshot: "running",
	connect: "connect",
	accept: "accept",
	file_open: "open",
	file_create: "create",
	file_rename: "rename",
	file_unlink: "delete",
	gap: "gap",
	command_answer: "answer",
	trace_seal: "seal",
	source: "source",
	close: "close",
	socket: "socket",
	bind: "bind",
	listen: "listen",
	datagram: "datagram",
	dns: "DNS",
	set_id: "set ids",
	ptrace: "ptrace",
	file_link: "link",
	file_symlink: "symlink",
	file_chmod: "make executable",
	tamper: "tampering",
	view_partial: "partial view",
	file_hash: "hash",
	memory_header: "memory",
	fidelity: "fidelity",
};

/** Arguments with quotes only where a space would mislead. Nothing else is changed: what is unseen must reach the escaping as it is. */
export function commandLineText(cmdline: readonly string[]): string {
	return cmdline.map((part) => (part === "" || /\s/.test(part) ? `"${part.replaceAll('"', '\\"')}"` : part)).join(" ");
}

function exitText(event: EventRow): string {
	if (event.exitSignal) return `killed by signal ${event.exitSignal}`;
	return event.exitCode === null ? "exit" : `exit code ${event.exitCode}`;
}

/** One line that says what happened. */
export function eventText(event: EventRow): string {
	switch (event.kind) {
		case "fork":
			return event.ppid === null ? "forked" : `forked by ${event.ppid}`;
		case "exec":
		case "snapshot":
			return event.cmdline ? commandLineText(event.cmdline) : (event.filename ?? event.exe ?? event.name ?? "");
		case "exit":
			return exitText(event);
		case "connect":
			return `${event.local ?? "?"} → ${event.remote ?? "?"}${event.result ? ` failed (${event.result})` : ""}`;
		case "accept":
			return `${event.local ?? "?"} ← ${event.remote ?? "?"}`;
		case "file_rename":
			return `${event.path ?? "?"} → ${event.pathTo ?? "?"}`;
		case "file_open":
		case "file_create":
		case "file_unlink":
			return event.path ?? "?";
		case "command_answer":
			return event.cause ? `refused: ${event.cause}` : "accepted the command";
		default:
			return event.cause ?? KIND_LABEL[event.kind];
	}
}

/** Whether the typed text, lower-cased, occurs in anything that the event's row shows. */
export function isMatch(event: EventRow, typed: string): boolean {
	return [eventText(event), event.name, event.exe, event.agent, KIND_LABEL[event.kind], String(event.pid ?? "")].some(
		(text) => text?.toLowerCase().includes(typed) ?? false,
	);
}
