/**
 * Tags of a frame to fields of a payload, by one table: numbers, texts, addresses and hashes that are told as the kernel gave
 * them. What needs judgement (command lines, exits, names, targets) stands in the rooms beside this file. Guarantees that every
 * text fits its field. The same table names a field whose tag could not be read.
 */
import type { EventPayload } from "#core/model/event.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import type { CaptureFrame } from "../capture/frame.ts";
import { FLAG_BITS, TAG_LAST, TAGS, type TagName } from "../capture/layout.ts";
import { textAt } from "../capture/tag-texts.ts";
import type { FrameTags } from "../capture/tags.ts";
import { cutText } from "./draft.ts";

export type Payload = { -readonly [K in keyof EventPayload]: EventPayload[K] };
type FieldsOf<T> = { [K in keyof EventPayload]-?: Required<EventPayload>[K] extends T ? K : never }[keyof EventPayload];

const NUMBERS: Readonly<Partial<Record<TagName, FieldsOf<number>>>> = {
	NS_PID: "nsPid",
	FAMILY: "family",
	LPORT: "localPort",
	RPORT: "remotePort",
	NETNS: "netns",
	OPEN_FLAGS: "openFlags",
	MODE: "mode",
	SOCKET_TYPE: "socketType",
	PROTOCOL: "protocol",
	OLD_UID: "oldUid",
	OLD_GID: "oldGid",
	OLD_EUID: "oldEuid",
	TARGET_TGID: "targetPid",
};

const BIG_NUMBERS: Readonly<Partial<Record<TagName, FieldsOf<bigint>>>> = {
	DEV: "fileDevice",
	INO: "fileInode",
	SIZE: "fileBytes",
	MTIME_NS: "fileModifiedNs",
	CTIME_NS: "fileChangedNs",
	BYTES_SENT: "bytesSent",
	BYTES_RECEIVED: "bytesReceived",
	REQUEST: "request",
	ADDRESS: "address",
};

const TEXTS: Readonly<Partial<Record<TagName, readonly [FieldsOf<string>, number]>>> = {
	FILENAME: ["filename", MODEL_LIMITS.pathLengthMax],
	INTERP: ["interpreter", MODEL_LIMITS.pathLengthMax],
	CWD: ["cwd", MODEL_LIMITS.pathLengthMax],
	PATH: ["path", MODEL_LIMITS.pathLengthMax],
	PATH_TO: ["pathTo", MODEL_LIMITS.pathLengthMax],
	CALL: ["call", 32],
	PERMS: ["permissions", 8],
};

/** Bytes of these lengths only; anything else is not the thing that the tag names. */
const BYTES: Readonly<Partial<Record<TagName, readonly [FieldsOf<Uint8Array>, readonly number[]]>>> = {
	LADDR: ["localAddress", [4, 16]],
	RADDR: ["remoteAddress", [4, 16]],
	SHA256: ["sha256", [32]],
	BLAKE3: ["blake3", [32]],
};

/** Tags that become fields elsewhere, and header fields that a tier may be unable to fill. */
const TOLD_ELSEWHERE: Readonly<Record<string, keyof EventPayload>> = {
	EXE: "exe",
	ARGV: "cmdline",
	ENV: "environment",
	COMM: "name",
	SID: "sid",
	TTY: "tty",
	EXE_FLAGS: "isExeDeleted",
	PARENT_TGID: "parent",
	PARENT_TICKS: "parent",
	EXIT_CODE: "exitCode",
	RESULT: "result",
	CONTENT: "content",
	DNS_MESSAGE: "dnsName",
	DIRECTION: "isReceived",
	TARGET_TICKS: "target",
	CGROUP_PATH: "cgroupPath",
	CAUSE: "cause",
	UID: "uid",
	GID: "gid",
	EUID: "euid",
	CGROUP_ID: "cgroupId",
	START_TICKS: "startTicks",
};

/** Reads the value at an offset of a frame into its field. */
type Put = (payload: Payload, tags: FrameTags, at: number) => void;

function createPuts(): readonly (Put | undefined)[] {
	const puts: (Put | undefined)[] = Array.from({ length: TAG_LAST + 1 }, () => undefined);
	const entriesOf = <T>(table: Readonly<Partial<Record<TagName, T>>>) => Object.entries(table) as [TagName, T][];
	for (const [tag, field] of entriesOf(NUMBERS))
		puts[TAGS[tag]] = (payload, tags, at) => {
			payload[field] = tags.lengthAt(at) === 2 ? tags.view.getUint16(at, true) : tags.view.getUint32(at, true);
		};
	for (const [tag, field] of entriesOf(BIG_NUMBERS))
		puts[TAGS[tag]] = (payload, tags, at) => {
			payload[field] = tags.view.getBigUint64(at, true);
		};
	for (const [tag, [field, lengthMax]] of entriesOf(TEXTS))
		puts[TAGS[tag]] = (payload, tags, at) => {
			if (tags.lengthAt(at) === 0) return;
			// One of the text fields takes a closed list of words; none of the table's does.
			(payload as Record<string, unknown>)[field] = cutText(textAt(tags, at), lengthMax);
		};
	for (const [tag, [field, lengths]] of entriesOf(BYTES))
		puts[TAGS[tag]] = (payload, tags, at) => {
			if (lengths.includes(tags.lengthAt(at))) payload[field] = tags.bytesAt(at).slice();
		};
	puts[TAGS.RESULT] = (payload, tags, at) => {
		payload.result = tags.view.getInt32(at, true);
	};
	return puts;
}

const PUTS = createPuts();

/** Every field of the tables that the frame has a tag for. */
export function putFields(frame: CaptureFrame, payload: Payload): void {
	const { tags } = frame;
	tags.each((tag, at) => PUTS[tag]?.(payload, tags, at));
	if (hasFlag(frame, "path_uncertain") || hasFlag(frame, "path_cut")) payload.isPathUncertain = true;
	if (hasFlag(frame, "watched")) payload.isWatched = true;
	if (hasFlag(frame, "credential")) payload.isCredential = true;
	if (hasFlag(frame, "compat32")) payload.is32Bit = true;
}

export function hasFlag(frame: CaptureFrame, name: keyof typeof FLAG_BITS): boolean {
	return (frame.flags & (1 << FLAG_BITS[name])) !== 0;
}

/** A tag's bytes as text; undefined when it is absent or empty. */
export function tagText(frame: CaptureFrame, name: TagName, lengthMax: number): string | undefined {
	const { tags } = frame;
	const at = tags.offsetOf(TAGS[name]);
	if (at === -1 || tags.lengthAt(at) === 0) return undefined;
	return cutText(textAt(tags, at), lengthMax);
}

const FIELD_OF_TAG: ReadonlyMap<string, string> = new Map<string, string>([
	...Object.entries(NUMBERS),
	...Object.entries(BIG_NUMBERS),
	...[...Object.entries(TEXTS), ...Object.entries(BYTES)].map(([tag, [field]]): [string, string] => [tag, field]),
	...Object.entries(TOLD_ELSEWHERE),
]);

/** What the payload calls what this tag (or header field) brings; undefined for a name that nobody knows. */
export function fieldOfTag(tag: string): string | undefined {
	return FIELD_OF_TAG.get(tag);
}
