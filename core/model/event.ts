/**
 * One event as it is signed: what happened, in which process, when by the kernel's clock. The keys are append-only; a payload is
 * one flat record whose absent fields are absent. Must never hold a clear argument unless the trust document allows it.
 */
import {
	bool,
	bytes,
	field,
	int32,
	list,
	oneOf,
	optional,
	record,
	type TypeOf,
	text,
	uint,
	uint64,
	wallMs,
} from "#core/codec/index.ts";
import { commandIdShape, processKeyShape, signatureShape, streamIdShape, traceIdShape } from "./ids.ts";
import { MODEL_LIMITS } from "./limits.ts";

/** What a collector sees a process do. Append-only with the list below: these come first on the wire. */
export const PROCESS_EVENT_KINDS = [
	"fork",
	"exec",
	"exit",
	"connect",
	"accept",
	"file_open",
	"file_create",
	"file_rename",
	"file_unlink",
	/** A process that ran before the collector looked. */
	"snapshot",
] as const;

/** Append-only: the index is on the wire. */
export const EVENT_KINDS = [
	...PROCESS_EVENT_KINDS,
	/** Events or batches that are missing, and why: loss is evidence. */
	"gap",
	/** The agent's answer to a command: accepted, or refused with the cause. */
	"command_answer",
	/** The end of a trace: cause, counts, gaps. */
	"trace_seal",
	/** The collector's tier and what it could not attach. */
	"source",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** Which collector saw it. Append-only. */
export const SOURCE_TIERS = ["agent", "ebpf", "netlink", "proc"] as const;
export type SourceTier = (typeof SOURCE_TIERS)[number];

const path = () => text(MODEL_LIMITS.pathLengthMax);
const sentence = () => text(MODEL_LIMITS.sentenceLengthMax);

export const payloadShape = record({
	/** Process id in the init pid namespace; `nsPid` in its own. */
	pid: optional(1, uint(0xffff_ffff)),
	nsPid: optional(2, uint(0xffff_ffff)),
	/** Current parent at the time of the event. */
	ppid: optional(3, uint(0xffff_ffff)),
	parent: optional(4, processKeyShape),
	/** Who forked it; stays when the parent dies. */
	creatorParent: optional(5, processKeyShape),
	name: optional(6, text(64)),
	exe: optional(7, path()),
	/** As typed: a script's path where `exe` is the interpreter. */
	filename: optional(8, path()),
	cmdline: optional(9, list(text(MODEL_LIMITS.argumentLengthMax), MODEL_LIMITS.argumentsMax)),
	isCmdlineMasked: optional(10, bool()),
	isCmdlineCut: optional(11, bool()),
	uid: optional(12, uint(0xffff_ffff)),
	gid: optional(13, uint(0xffff_ffff)),
	euid: optional(14, uint(0xffff_ffff)),
	sid: optional(15, uint(0xffff_ffff)),
	tty: optional(16, text(64)),
	cgroupId: optional(17, uint64()),
	exitCode: optional(18, uint(255)),
	exitSignal: optional(19, uint(127)),
	/** 4 or 16 bytes, network order. */
	localAddress: optional(20, bytes(16)),
	localPort: optional(21, uint(65_535)),
	remoteAddress: optional(22, bytes(16)),
	remotePort: optional(23, uint(65_535)),
	netns: optional(24, uint(0xffff_ffff)),
	/** 0 or a negative errno. */
	result: optional(25, int32()),
	path: optional(26, path()),
	pathTo: optional(27, path()),
	openFlags: optional(28, uint(0xffff_ffff)),
	isPathUncertain: optional(29, bool()),
	/** gap: `gapFrom`..`gapTo` inclusive are missing, numbered by `gapScope`. */
	gapScope: optional(30, oneOf(["cpu", "stream"])),
	gapCpu: optional(31, uint(65_535)),
	gapStream: optional(32, streamIdShape),
	gapFrom: optional(33, uint64()),
	gapTo: optional(34, uint64()),
	cause: optional(35, sentence()),
	/** command_answer. */
	commandId: optional(36, commandIdShape),
	isAccepted: optional(37, bool()),
	/** trace_seal. */
	eventCount: optional(38, uint()),
	gapCount: optional(39, uint()),
	/** command_answer: processes put in scope. source: programs attached, missing. */
	processCount: optional(40, uint()),
	programs: optional(41, text(2000)),
	missing: optional(42, text(2000)),
	/** How many processes lie between this one and the trace's root. */
	depth: optional(43, uint(1000)),
});
export type EventPayload = TypeOf<typeof payloadShape>;

export const eventShape = record({
	kind: field(1, oneOf(EVENT_KINDS)),
	process: field(2, processKeyShape),
	/** CLOCK_BOOTTIME of the host. */
	kernelTimeNs: field(3, uint64()),
	/** The same moment by the host's wall clock. */
	wallTimeMs: field(4, wallMs()),
	/** Position in its stream, from 0, without holes. */
	seq: field(5, uint()),
	tier: field(6, oneOf(SOURCE_TIERS)),
	payload: field(7, payloadShape),
	traceId: optional(8, traceIdShape),
	/** Execs of this process since its fork; absent when unknown. */
	execCount: optional(9, uint()),
	/** Fed from a recording, never from a live kernel. */
	isReplayed: optional(10, bool()),
});
export type Event = TypeOf<typeof eventShape>;

/** One event inside a batch: its signed bytes, and its own signature where it has one (trace lane). */
export const sealedEventShape = record({
	bytes: field(1, bytes(MODEL_LIMITS.eventBytesMax)),
	signature: optional(2, signatureShape),
});
export type SealedEvent = TypeOf<typeof sealedEventShape>;

export const ZERO_PROCESS: Uint8Array = new Uint8Array(16);
