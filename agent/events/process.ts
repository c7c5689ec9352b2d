/**
 * What the events of processes say: who the process is, what it runs, how it ended. Guarantees that nothing clear of an argument
 * or of an environment variable passes when masking is in force, and no variable that the capture policy does not name.
 */
import { lossyTextOf } from "#core/bytes/bytes.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import type { CapturePolicy } from "#core/trust/capture-policy.ts";
import { type CaptureFrame, tagBigint, tagBytes, tagNumber } from "../capture/frame.ts";
import { EXE_FLAG_BITS } from "../capture/layout.ts";
import { maskCmdline, maskEnvironment } from "../privacy/mask.ts";
import { type ProcessEntry, partialCausesOf } from "../process-table/process-entry.ts";
import type { ProcessTable } from "../process-table/process-table.ts";
import { isListedAbsent, putAbsent } from "./absent.ts";
import { hasFlag, type Payload, tagText } from "./fields.ts";

export interface Privacy {
	readonly isMasked: boolean;
	/** In force now; a frame may have been made under the one before. */
	readonly policy: Pick<CapturePolicy, "environmentNames" | "allowsMemoryHeaders">;
}

/** The texts between NULs; a final NUL ends the last of them. */
export function argumentsOf(bytes: Uint8Array): string[] {
	const text = lossyTextOf(bytes);
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

function putEnvironment(frame: CaptureFrame, payload: Payload, privacy: Privacy): void {
	const bytes = tagBytes(frame, "ENV");
	if (bytes === undefined || bytes.length === 0) return;
	const named = argumentsOf(bytes).filter((variable) =>
		privacy.policy.environmentNames.some((name) => variable.startsWith(`${name}=`)),
	);
	if (named.length === 0) return;
	const kept = named.slice(0, MODEL_LIMITS.environmentNamesMax);
	payload.environment = privacy.isMasked ? maskEnvironment(kept) : kept;
	payload.isCmdlineMasked = privacy.isMasked;
}

/**
 * Everything but the command line must fit an event together. Hostile names may triple when they become UTF-8, so the least
 * telling go first, each with its reason.
 */
const TEXT_UNITS_MAX = MODEL_LIMITS.eventBytesMax / 4;
const DROPPED_FIRST = ["environment", "cwd", "interpreter", "cgroupPath"] as const;

function fit(payload: Payload): void {
	const { environment = [], cwd, interpreter, cgroupPath, exe, filename } = payload;
	let units = environment.reduce((sum, variable) => sum + variable.length, 0);
	for (const text of [cwd, interpreter, cgroupPath, exe, filename]) units += text?.length ?? 0;
	for (const field of DROPPED_FIRST) {
		const value = payload[field];
		if (units <= TEXT_UNITS_MAX) return;
		if (value === undefined) continue;
		units -= typeof value === "string" ? value.length : value.reduce((sum, each) => sum + each.length, 0);
		delete payload[field];
		putAbsent(payload, field, "event_too_large");
	}
}

/** What exec and snapshot tell of a program; the table remembers what its children will share. */
export function putImage(frame: CaptureFrame, entry: ProcessEntry, payload: Payload, privacy: Privacy): void {
	if (entry.cgroup?.path != null) payload.cgroupPath = entry.cgroup.path;
	else if (entry.cgroup !== null) putAbsent(payload, "cgroupPath", "not_told");
	const flags = tagNumber(frame, "EXE_FLAGS") ?? 0;
	if ((flags & (1 << EXE_FLAG_BITS.deleted)) !== 0) payload.isExeDeleted = true;
	if ((flags & (1 << EXE_FLAG_BITS.memfd)) !== 0) payload.isExeInMemory = true;
	putCmdline(frame, payload, privacy.isMasked);
	putEnvironment(frame, payload, privacy);
	fit(payload);
}

/** Where the process stands after an exec or a snapshot; any other frame may name its session too. */
export function learnImage(frame: CaptureFrame, entry: ProcessEntry, table: ProcessTable): void {
	const { texts } = table;
	const exe = tagText(frame, "EXE", MODEL_LIMITS.pathLengthMax);
	const tty = tagText(frame, "TTY", 64);
	if (exe !== undefined) entry.exe = texts.of(exe);
	// No word of a terminal means that there is none, unless the tier says that it could not look.
	if (tty !== undefined) entry.tty = texts.of(tty);
	else if (!isListedAbsent(frame, "TTY")) entry.tty = null;
	entry.sid = tagNumber(frame, "SID") ?? entry.sid;
}

/** Who a process is, as far as the table knows: the same fields on every event of it. */
export function whoIs(entry: ProcessEntry): Payload {
	const { name, exe, parent, creatorKey, sid, tty, uid, gid, euid, cgroup } = entry;
	const payload: Payload = { pid: entry.tgid, startTicks: entry.startTicks };
	if (name !== null) payload.name = name;
	if (exe !== null) payload.exe = exe;
	if (uid !== null) payload.uid = uid;
	if (gid !== null) payload.gid = gid;
	if (euid !== null) payload.euid = euid;
	if (sid !== null) payload.sid = sid;
	if (tty !== null) payload.tty = tty;
	if (parent !== null) {
		payload.ppid = parent.tgid;
		payload.parent = parent.key;
	}
	if (creatorKey !== null) payload.creatorParent = creatorKey;
	if (cgroup !== null) {
		payload.cgroupId = cgroup.id;
		if (cgroup.containerId !== null) payload.containerId = cgroup.containerId;
		if (cgroup.systemdUnit !== null) payload.systemdUnit = cgroup.systemdUnit;
	}
	if (entry.isKeyShared) putAbsent(payload, "process", "key_shared");
	return payload;
}

/** The same for a snapshot that the agent tells from its table: it also says that the view may be partial. */
export function snapshotOf(entry: ProcessEntry): Payload {
	const payload = whoIs(entry);
	if (entry.cgroup?.path != null) payload.cgroupPath = entry.cgroup.path;
	const causes = partialCausesOf(entry);
	if (causes.length > 0) putAbsent(payload, "view", `partial (${causes.join(", ")})`);
	return payload;
}

export function putExit(frame: CaptureFrame, payload: Payload): void {
	const code = tagNumber(frame, "EXIT_CODE");
	if (code === undefined) return;
	payload.exitCode = (code >> 8) & 0xff;
	payload.exitSignal = code & 0x7f;
}

/** ptrace, tamper: whom it was done to. Without start ticks the pid alone would be a guess, so there is no key then. */
export function putTarget(frame: CaptureFrame, payload: Payload, table: ProcessTable): void {
	const tgid = tagNumber(frame, "TARGET_TGID");
	const startTicks = tagBigint(frame, "TARGET_TICKS");
	if (tgid === undefined || tgid === 0) return;
	if (startTicks === undefined || startTicks === 0n) putAbsent(payload, "target", "start_unknown");
	else payload.target = table.keyOf({ tgid, startTicks });
}
