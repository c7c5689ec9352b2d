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
import { commandIdShape, hashShape, processKeyShape, signatureShape, streamIdShape, traceIdShape } from "./ids.ts";
import { MODEL_LIMITS } from "./limits.ts";

/** Append-only: the index is on the wire. */
export const EVENT_KINDS = [
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
	/** Events or batches that are missing, and why: loss is evidence. */
	"gap",
	/** The agent's answer to a command: accepted, or refused with the cause. */
	"command_answer",
	/** The end of a trace: cause, counts, gaps. */
	"trace_seal",
	/** The collector's tier and what it could not attach. */
	"source",
	/** The end of a TCP connection, with the bytes the kernel counted. */
	"close",
	"socket",
	"bind",
	"listen",
	/** The first datagram of a socket to one destination. */
	"datagram",
	/** A DNS message that a process sent or received; names are observed, never resolved. */
	"dns",
	/** A change of user or group ids. */
	"set_id",
	"ptrace",
	"file_link",
	"file_symlink",
	"file_chmod",
	/** Somebody acted on the collector itself. */
	"tamper",
	/** From here on this process's view may be partial: io_uring, 32-bit calls. */
	"view_partial",
	/** The hashes of a file that was executed or newly made. */
	"file_hash",
	/** The first bytes of an executable mapping. */
	"memory_header",
	/** The collector lowered or restored what it captures, and why. */
	"fidelity",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** Begins the cause of a stream's gap whose batch the agent still has, and shows again under its number: such a gap may fill. */
export const KEPT_GAP_CAUSE = "refused, kept: ";

/** Kinds that are no deed of one process. */
const AGENT_EVENT_KINDS = ["gap", "command_answer", "trace_seal", "source", "fidelity"] as const;
type AgentEventKind = (typeof AGENT_EVENT_KINDS)[number];
export type ProcessEventKind = Exclude<EventKind, AgentEventKind>;

/** What a collector sees a process do. */
export const PROCESS_EVENT_KINDS: readonly ProcessEventKind[] = EVENT_KINDS.filter(
	(kind): kind is ProcessEventKind => !(AGENT_EVENT_KINDS as readonly string[]).includes(kind),
);

/** Which collector saw it. Append-only. */
export const SOURCE_TIERS = ["agent", "ebpf", "netlink", "proc"] as const;
export type SourceTier = (typeof SOURCE_TIERS)[number];

/** Append-only: the index is on the wire. What numbers the missing: the kernel per CPU, batches of a stream, or nothing but a count. */
export const GAP_SCOPES = ["cpu", "stream", "count"] as const;
export type GapScope = (typeof GAP_SCOPES)[number];

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
	/** gap: `gapFrom`..`gapTo` inclusive are missing, numbered by `gapScope`; of `count` only how many is known, from 1. */
	gapScope: optional(30, oneOf(GAP_SCOPES)),
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
	/** When the process started, in 10 ms ticks since boot: with the pid it names the process on its host. */
	startTicks: optional(44, uint64()),
	/** exec and snapshot: the cgroup v2 path; every event: what it shows. */
	cgroupPath: optional(45, path()),
	containerId: optional(46, text(64)),
	systemdUnit: optional(47, text(256)),
	/** NAME=value of the names the capture policy lists; masked as the command line is. */
	environment: optional(48, list(text(MODEL_LIMITS.argumentLengthMax), MODEL_LIMITS.environmentNamesMax)),
	/** Address family, socket type and protocol by the kernel's numbers. Absent protocol of a connection is TCP. */
	family: optional(49, uint(65_535)),
	socketType: optional(50, uint(65_535)),
	protocol: optional(51, uint(65_535)),
	bytesSent: optional(52, uint64()),
	bytesReceived: optional(53, uint64()),
	dnsName: optional(54, text(255)),
	dnsType: optional(55, uint(65_535)),
	/** Of an answer; absent on a query. */
	dnsResponseCode: optional(56, uint(4095)),
	/** Names and addresses as text, in the answer's order. */
	dnsAnswers: optional(57, list(text(255), MODEL_LIMITS.dnsAnswersMax)),
	oldUid: optional(58, uint(0xffff_ffff)),
	oldGid: optional(59, uint(0xffff_ffff)),
	oldEuid: optional(60, uint(0xffff_ffff)),
	/** ptrace, tamper: who it was done to. */
	target: optional(61, processKeyShape),
	targetPid: optional(62, uint(0xffff_ffff)),
	/** ptrace request, bpf command or signal, as passed. */
	request: optional(63, uint64()),
	/** Name of the system call. */
	call: optional(64, text(32)),
	mode: optional(65, uint(0xffff_ffff)),
	/** Which file it was, so that a hash can be joined to an exec. */
	fileDevice: optional(66, uint64()),
	fileInode: optional(67, uint64()),
	fileBytes: optional(68, uint64()),
	fileModifiedNs: optional(69, uint64()),
	fileChangedNs: optional(70, uint64()),
	sha256: optional(71, hashShape),
	blake3: optional(72, hashShape),
	/** memory_header: where, with which rights, and the bytes; `sha256` names them. */
	address: optional(73, uint64()),
	permissions: optional(74, text(8)),
	content: optional(75, bytes(MODEL_LIMITS.memoryHeaderBytesMax)),
	/** Seen after the reorder window had passed: its place among others is by time only. */
	isLate: optional(76, bool()),
	/** What a lineage did before its trace began, told again from memory: the baseline has it too. */
	isLookback: optional(77, bool()),
	/** Expected fields that are absent, each `field: reason`. */
	absent: optional(78, list(text(80), 16)),
	/** A script's interpreter as its first line names it. */
	interpreter: optional(79, path()),
	isExeDeleted: optional(80, bool()),
	isExeInMemory: optional(81, bool()),
	cwd: optional(82, path()),
	/** The thread that did it, where it is not the first. */
	tid: optional(83, uint(0xffff_ffff)),
	isWatched: optional(84, bool()),
	isCredential: optional(85, bool()),
	is32Bit: optional(86, bool()),
	/** fidelity: 0 = everything; each level gives up one class more. */
	fidelityLevel: optional(87, uint(16)),
	/** gap, fidelity: when the loss began, CLOCK_BOOTTIME. */
	sinceNs: optional(88, uint64()),
	/** dns: the process received this message; absent = it sent it. */
	isReceived: optional(89, bool()),
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
