/**
 * From a frame of procmond to an event draft: what happened, in which process, with the command line masked. Guarantees that
 * every text fits its field and that nothing clear of an argument passes when masking is in force. Pure but for the table.
 */
import { lossyTextOf } from "#core/bytes/bytes.ts";
import { type EventPayload, PROCESS_EVENT_KINDS, type ProcessEventKind } from "#core/model/event.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { type CaptureFrame, tagBigint, tagBytes, tagNumber } from "../capture/frame.ts";
import { FLAG_BITS, type TagName } from "../capture/layout.ts";
import type { HostClock } from "../clock.ts";
import { maskCmdline } from "../privacy/mask.ts";
import type { ProcessEntry, ProcessTable } from "../process-table/process-table.ts";
import { cutText, type EventDraft } from "./draft.ts";

/** Kinds of frames that are events of a process: procmond names them as the events are named. */
export type EventFrameKind = ProcessEventKind;

export function isEventFrame(frame: CaptureFrame): frame is CaptureFrame & { kind: EventFrameKind } {
	return (PROCESS_EVENT_KINDS as readonly string[]).includes(frame.kind);
}

export interface Observed {
	readonly draft: EventDraft;
	readonly entry: ProcessEntry;
	/** The draft is the first that is known of its process, or tells its creator. */
	readonly isLineageNews: boolean;
}

export interface TranslateContext {
	readonly table: ProcessTable;
	readonly clock: HostClock;
	readonly isMasked: boolean;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Payload = Mutable<EventPayload>;

function hasFlag(frame: CaptureFrame, name: keyof typeof FLAG_BITS): boolean {
	return (frame.flags & (1 << FLAG_BITS[name])) !== 0;
}

function tagText(frame: CaptureFrame, name: TagName, lengthMax: number): string | undefined {
	const bytes = tagBytes(frame, name);
	if (bytes === undefined || bytes.length === 0) return undefined;
	return cutText(lossyTextOf(bytes), lengthMax);
}

function parentOf(frame: CaptureFrame) {
	const tgid = tagNumber(frame, "PARENT_TGID");
	const startTicks = tagBigint(frame, "PARENT_TICKS");
	return tgid === undefined || startTicks === undefined ? null : { tgid, startTicks };
}

/** argv of the bytes between NULs; a final NUL ends the last argument. */
export function argumentsOf(argv: Uint8Array): string[] {
	const text = lossyTextOf(argv);
	return (text.endsWith("\0") ? text.slice(0, -1) : text).split("\0");
}

function putCmdline(frame: CaptureFrame, payload: Payload, isMasked: boolean): void {
	const argv = tagBytes(frame, "ARGV");
	if (argv === undefined || argv.length === 0) return;
	const all = argumentsOf(argv);
	const kept = all.slice(0, MODEL_LIMITS.argumentsMax);
	payload.cmdline = isMasked ? maskCmdline(kept) : kept;
	payload.isCmdlineMasked = isMasked;
	if (hasFlag(frame, "argv_cut") || kept.length < all.length) payload.isCmdlineCut = true;
}

function putAddresses(frame: CaptureFrame, payload: Payload): void {
	const numbers = { localPort: "LPORT", remotePort: "RPORT", netns: "NETNS" } as const;
	for (const [field, tag] of Object.entries(numbers) as ["localPort" | "remotePort" | "netns", TagName][]) {
		const value = tagNumber(frame, tag);
		if (value !== undefined) payload[field] = value;
	}
	const local = tagBytes(frame, "LADDR");
	const remote = tagBytes(frame, "RADDR");
	if (local?.length === 4 || local?.length === 16) payload.localAddress = local.slice();
	if (remote?.length === 4 || remote?.length === 16) payload.remoteAddress = remote.slice();
	const result = tagNumber(frame, "RESULT");
	if (result !== undefined) payload.result = result | 0;
}

function putPaths(frame: CaptureFrame, payload: Payload): void {
	const path = tagText(frame, "PATH", MODEL_LIMITS.pathLengthMax);
	const pathTo = tagText(frame, "PATH_TO", MODEL_LIMITS.pathLengthMax);
	const openFlags = tagNumber(frame, "OPEN_FLAGS");
	if (path !== undefined) payload.path = path;
	if (pathTo !== undefined) payload.pathTo = pathTo;
	if (openFlags !== undefined) payload.openFlags = openFlags;
	if (hasFlag(frame, "path_uncertain") || hasFlag(frame, "path_cut")) payload.isPathUncertain = true;
}

function putExit(frame: CaptureFrame, payload: Payload): void {
	const code = tagNumber(frame, "EXIT_CODE");
	if (code === undefined) return;
	payload.exitCode = (code >> 8) & 0xff;
	payload.exitSignal = code & 0x7f;
}

/** What exec and snapshot tell of a program. */
function putImage(frame: CaptureFrame, entry: ProcessEntry, payload: Payload, isMasked: boolean): void {
	const exe = tagText(frame, "EXE", MODEL_LIMITS.pathLengthMax);
	const filename = tagText(frame, "FILENAME", MODEL_LIMITS.pathLengthMax);
	const sid = tagNumber(frame, "SID");
	const tty = tagText(frame, "TTY", 64);
	if (exe !== undefined) entry.exe = exe;
	if (filename !== undefined) payload.filename = filename;
	if (sid !== undefined) payload.sid = sid;
	if (tty !== undefined) payload.tty = tty;
	if (hasFlag(frame, "path_uncertain") || hasFlag(frame, "path_cut")) payload.isPathUncertain = true;
	putCmdline(frame, payload, isMasked);
}

/** Where the process stands after this frame. */
function place(frame: CaptureFrame & { kind: EventFrameKind }, table: ProcessTable): ProcessEntry {
	const parent = parentOf(frame);
	if (frame.kind === "fork" && parent !== null) return table.fork(frame, parent);
	if (frame.kind === "exit") return table.exit(frame);
	const entry = table.observe(frame);
	if ((frame.kind === "exec" || frame.kind === "snapshot") && parent !== null) table.setParent(entry, parent);
	if (frame.kind === "exec" && entry.execCount !== null) entry.execCount++;
	return entry;
}

/** Reads an event frame into the table and into a draft. */
export function translate(frame: CaptureFrame & { kind: EventFrameKind }, context: TranslateContext): Observed {
	const { table, clock, isMasked } = context;
	const isNew = table.find(frame) === undefined;
	const entry = place(frame, table);
	const name = tagText(frame, "COMM", 16);
	if (name !== undefined) entry.name = name;
	const payload: Payload = {
		pid: frame.tgid,
		uid: frame.uid,
		gid: frame.gid,
		euid: frame.euid,
		cgroupId: frame.cgroupId,
	};
	const nsPid = tagNumber(frame, "NS_PID");
	if (nsPid !== undefined) payload.nsPid = nsPid;
	if (frame.kind === "exec" || frame.kind === "snapshot") putImage(frame, entry, payload, isMasked);
	else if (frame.kind === "exit") putExit(frame, payload);
	else if (frame.kind === "connect" || frame.kind === "accept") putAddresses(frame, payload);
	else if (frame.kind !== "fork") putPaths(frame, payload);
	if (entry.name !== null) payload.name = entry.name;
	if (entry.exe !== null) payload.exe = entry.exe;
	if (entry.parent !== null) {
		payload.ppid = entry.parent.tgid;
		payload.parent = entry.parent.key;
	}
	if (entry.creator !== null) payload.creatorParent = entry.creator.key;
	const draft: EventDraft = {
		kind: frame.kind,
		process: entry.key,
		kernelTimeNs: frame.ktimeNs,
		wallTimeMs: clock.wallMsOf(frame.ktimeNs),
		tier: frame.tier,
		payload,
		...(entry.execCount === null ? {} : { execCount: entry.execCount }),
		...(hasFlag(frame, "replayed") ? { isReplayed: true } : {}),
	};
	return { draft, entry, isLineageNews: isNew || frame.kind === "fork" };
}
