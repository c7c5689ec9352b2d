/** Events in words: what kind, what happened, what can be found in it. Raw text of the host; whoever shows it escapes it. Pure. */
import type { EventKind } from "#core/model/event.ts";
import type { EventDetails, EventMark, EventRow } from "../../../workers/sc/api/answers.ts";

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

export const MARK_LABEL: Record<EventMark, string> = {
	late: "came late",
	look_back: "before the trace",
	received: "received",
	path_uncertain: "path uncertain",
	arguments_cut: "arguments cut",
	watched: "watch list",
	credential: "credential file",
	exe_deleted: "program deleted",
	exe_in_memory: "program in memory only",
	"32_bit": "32-bit",
	replayed: "replayed",
};

/** Marks that ask for a second look at what was done; the others say how it was seen. */
export const WARNING_MARKS: ReadonlySet<EventMark> = new Set<EventMark>([
	"credential",
	"exe_deleted",
	"exe_in_memory",
	"32_bit",
]);

/** Marks that a row of the table has room for: those above, and what makes its place in time or its path doubtful. */
export const ROW_MARKS: ReadonlySet<EventMark> = new Set<EventMark>([
	...WARNING_MARKS,
	"look_back",
	"late",
	"path_uncertain",
	"replayed",
]);

/** Done before the trace began, and told again from the agent's memory. */
export function isLookBack(event: EventRow): boolean {
	return event.details?.marks?.includes("look_back") ?? false;
}

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
			// A unix socket has a path, and no addresses.
			if (event.remote === null && event.path !== null)
				return `${event.path}${event.result ? ` failed (${event.result})` : ""}`;
			return `${event.local ?? "?"} → ${event.remote ?? "?"}${event.result ? ` failed (${event.result})` : ""}`;
		case "accept":
			return `${event.local ?? "?"} ← ${event.remote ?? "?"}`;
		case "file_rename":
		case "file_link":
			return `${event.path ?? "?"} → ${event.pathTo ?? "?"}`;
		case "file_symlink":
			return `${event.path ?? "?"} → “${event.pathTo ?? "?"}”`;
		case "file_open":
		case "file_create":
		case "file_unlink":
		case "file_chmod":
			return event.result ? `${event.path ?? "?"} failed (${event.result})` : (event.path ?? "?");
		case "file_hash":
			return hashText(event);
		case "memory_header":
			return memoryText(event);
		case "command_answer":
			return event.cause ? `refused: ${event.cause}` : "accepted the command";
		default:
			return networkDetailText(event) ?? sensorText(event);
	}
}

/** How many characters of a hash a line shows; the drawer has all. */
const HASH_SHOWN = 12;

function hashText({ path, cause, details }: EventRow): string {
	const hash = details?.sha256 === undefined ? `no hash: ${cause ?? "?"}` : `${details.sha256.slice(0, HASH_SHOWN)}…`;
	return `${path ?? "?"} ${hash}`;
}

/** The artifact is named by its hash and size; its bytes stay in the evidence. */
function memoryText({ path, cause, details }: EventRow): string {
	const where = `${details?.permissions ?? ""} ${path ?? "no file"}`.trim();
	if (details?.sha256 === undefined) return `${where}, not kept: ${cause ?? "?"}`;
	return `${where}, ${(details.contentBytes ?? 0).toLocaleString("en")} B ${details.sha256.slice(0, HASH_SHOWN)}…`;
}

/** Address families by the kernel's number; the ones people meet. */
export const FAMILY_NAMES: Readonly<Record<number, string>> = {
	1: "unix",
	2: "IPv4",
	10: "IPv6",
	16: "netlink",
	17: "packet",
};

function byteCountText(bytes: string | undefined): string {
	return bytes === undefined ? "?" : Number(bytes).toLocaleString("en");
}

/** null = not an event of the network's details. */
function networkDetailText({ kind, local, remote, path, details }: EventRow): string | null {
	switch (kind) {
		case "close":
			return `${local ?? "?"} ↔ ${remote ?? "?"}, ${byteCountText(details?.bytesSent)} B sent, ${byteCountText(details?.bytesReceived)} B received`;
		case "socket":
			return `${FAMILY_NAMES[details?.family ?? -1] ?? `family ${details?.family ?? "?"}`} socket`;
		case "bind":
		case "listen":
			return path ?? local ?? "?";
		case "datagram":
			return `${local ?? "?"} → ${remote ?? "?"}`;
		case "dns":
			return dnsText(details);
		default:
			return null;
	}
}

function dnsText(details: EventDetails | null): string {
	const name = details?.dnsName ?? "a message that does not read";
	if (details?.dnsResponseCode === undefined) return `asks ${name}`;
	const answers = details.dnsAnswers?.join(", ") ?? "";
	return answers === "" ? `${name}: no answer (code ${details.dnsResponseCode})` : `${name} is ${answers}`;
}

function sensorText({ kind, cause, euid, details }: EventRow): string {
	switch (kind) {
		case "set_id":
			return `effective user ${details?.oldEuid ?? "?"} → ${euid ?? "?"}`;
		case "ptrace":
		case "tamper":
			return [details?.call, details?.targetPid === undefined ? null : `on ${details.targetPid}`, cause]
				.filter((part) => part)
				.join(" ");
		case "fidelity":
			return `level ${details?.fidelityLevel ?? 0}${cause ? `: ${cause}` : ""}`;
		default:
			return cause ?? KIND_LABEL[kind];
	}
}

/** Whether the typed text, lower-cased, occurs in anything that the event's row shows. */
export function isMatch(event: EventRow, typed: string): boolean {
	return [eventText(event), event.name, event.exe, event.agent, KIND_LABEL[event.kind], String(event.pid ?? "")].some(
		(text) => text?.toLowerCase().includes(typed) ?? false,
	);
}
