/**
 * From a frame of procmond to an event draft: what happened, in which process, with the command line masked. The rooms beside
 * this file say what each kind holds. Guarantees that every text fits its field, that an expected field which is missing has a
 * reason, and that nothing clear of an argument passes when masking is in force. Pure but for the table.
 */
import { PROCESS_EVENT_KINDS, type ProcessEventKind, ZERO_PROCESS } from "#core/model/event.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { type CaptureFrame, tagBigint, tagNumber } from "../capture/frame.ts";
import type { HostClock } from "../clock.ts";
import { markPartial, type ProcessEntry } from "../process-table/process-entry.ts";
import type { ProcessTable } from "../process-table/process-table.ts";
import { isListedAbsent, putFrameAbsences } from "./absent.ts";
import type { EventDraft } from "./draft.ts";
import { hasFlag, type Payload, putFields, tagText } from "./fields.ts";
import { putHashes, putMemoryHeader } from "./file.ts";
import { putDns } from "./network.ts";
import { learnImage, type Privacy, putExit, putImage, putTarget, whoIs } from "./process.ts";

/** Kinds of frames that are events of a process: procmond names them as the events are named. */
export type EventFrameKind = ProcessEventKind;
export type EventFrame = CaptureFrame & { kind: EventFrameKind };

const EVENT_FRAME_KINDS: ReadonlySet<string> = new Set(PROCESS_EVENT_KINDS);

export function isEventFrame(frame: CaptureFrame): frame is EventFrame {
	return EVENT_FRAME_KINDS.has(frame.kind);
}

export interface Observed {
	readonly draft: EventDraft;
	/** Null when the frame names no process: a hash made for several, a deed whose doer has gone. */
	readonly entry: ProcessEntry | null;
	/** The draft is the first that is known of its process, or tells its creator. */
	readonly isLineageNews: boolean;
	/** The draft says what its lineage has said before: it is not told again. */
	readonly isRepeated: boolean;
}

export interface TranslateContext extends Privacy {
	readonly table: ProcessTable;
	readonly clock: HostClock;
}

function parentOf(frame: CaptureFrame) {
	const tgid = tagNumber(frame, "PARENT_TGID");
	const startTicks = tagBigint(frame, "PARENT_TICKS");
	return tgid === undefined || startTicks === undefined ? null : { tgid, startTicks };
}

/** Where the process stands after this frame. */
function place(frame: EventFrame, table: ProcessTable): ProcessEntry {
	const parent = parentOf(frame);
	// Only the programs in the kernel tell each fork once; a poll may name one process twice.
	if (frame.kind === "fork" && parent !== null) return table.fork(frame, parent, frame.tier === "ebpf");
	if (frame.kind === "exit") return table.exit(frame);
	// procmond reads files at its own pace: of whom it tells then, the exit may be long past.
	if (frame.kind === "file_hash" || frame.kind === "memory_header") return table.mention(frame);
	const entry = table.observe(frame);
	const isImage = frame.kind === "exec" || frame.kind === "snapshot";
	if (isImage && parent !== null) table.setParent(entry, parent);
	if (frame.kind === "exec" && entry.execCount !== null) entry.execCount++;
	if (isImage) learnImage(frame, entry, table);
	return entry;
}

/** What every frame of a process says of it: name, ids, cgroup. */
function learn(frame: EventFrame, entry: ProcessEntry, table: ProcessTable): void {
	const name = tagText(frame, "COMM", 16);
	if (name !== undefined) entry.name = table.texts.of(name);
	entry.uid = isListedAbsent(frame, "UID") ? entry.uid : frame.uid;
	entry.gid = isListedAbsent(frame, "GID") ? entry.gid : frame.gid;
	entry.euid = isListedAbsent(frame, "EUID") ? entry.euid : frame.euid;
	// 0 is no cgroup's id: what was inherited or told before stands.
	if (frame.cgroupId !== 0n && entry.cgroup?.id !== frame.cgroupId) entry.cgroup = table.cgroups.of(frame.cgroupId);
}

function putKind(frame: EventFrame, payload: Payload, entry: ProcessEntry | null, context: TranslateContext): void {
	switch (frame.kind) {
		case "exec":
		case "snapshot":
			if (entry !== null) putImage(frame, entry, payload, context);
			return;
		case "exit":
			putExit(frame, payload);
			return;
		case "dns":
			putDns(frame, payload);
			return;
		case "ptrace":
			putTarget(frame, payload, context.table);
			return;
		case "tamper":
			putTarget(frame, payload, context.table);
			putCause(frame, payload);
			return;
		case "view_partial":
			putCause(frame, payload);
			return;
		case "file_hash":
			putHashes(frame, payload);
			return;
		case "memory_header":
			putMemoryHeader(frame, payload, context.policy.allowsMemoryHeaders);
			return;
		default:
	}
}

function putCause(frame: CaptureFrame, payload: Payload): void {
	const cause = tagText(frame, "CAUSE", MODEL_LIMITS.sentenceLengthMax);
	if (cause !== undefined) payload.cause = cause;
}

/** Reads an event frame into the table and into a draft. */
export function translate(frame: EventFrame, context: TranslateContext): Observed {
	const { table, clock } = context;
	const isOfNobody = frame.tgid === 0 && frame.startTicks === 0n;
	const isNew = !isOfNobody && table.find(frame) === undefined;
	const entry = isOfNobody ? null : place(frame, table);
	if (entry !== null) learn(frame, entry, table);
	const payload: Payload = entry === null ? {} : whoIs(entry);
	if (entry !== null && frame.tid !== 0 && frame.tid !== frame.tgid) payload.tid = frame.tid;
	putFields(frame, payload);
	// The collector's reason for an absence comes before what the agent makes of it.
	putFrameAbsences(frame, payload);
	putKind(frame, payload, entry, context);
	const isRepeated =
		frame.kind === "view_partial" && entry !== null && !markPartial(entry, tagText(frame, "CAUSE", 80) ?? "");
	const draft: EventDraft = {
		kind: frame.kind,
		process: entry?.key ?? ZERO_PROCESS,
		kernelTimeNs: frame.ktimeNs,
		wallTimeMs: clock.wallMsOf(frame.ktimeNs),
		tier: frame.tier,
		payload,
		...(entry === null || entry.execCount === null ? {} : { execCount: entry.execCount }),
		...(hasFlag(frame, "replayed") ? { isReplayed: true } : {}),
	};
	return { draft, entry, isLineageNews: isNew || frame.kind === "fork", isRepeated };
}
