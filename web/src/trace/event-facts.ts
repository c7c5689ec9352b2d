/**
 * The facts of one event in groups, in the order a reader asks: first what this kind of event is about, then where it ran, last what
 * is not known and why. Values are text of the host as it came; whoever shows them escapes them. Pure.
 */
import type { EventDetails, EventRow } from "../../../workers/sc/api/answers.ts";
import { FAMILY_NAMES, KIND_GROUP, type KindGroup } from "./event-text.ts";

export interface Fact {
	readonly name: string;
	/** One line each. */
	readonly values: readonly string[];
}

export interface FactGroup {
	readonly title: string;
	readonly facts: readonly Fact[];
}

type Value = string | number | null | undefined | readonly string[];

function group(title: string, facts: readonly (readonly [string, Value])[]): FactGroup {
	return {
		title,
		facts: facts.flatMap(([name, value]) => {
			const values = Array.isArray(value)
				? (value as string[])
				: value === null || value === undefined
					? []
					: [String(value)];
			const said = values.filter((text) => text !== "");
			return said.length === 0 ? [] : [{ name, values: said }];
		}),
	};
}

type Names = Readonly<Record<number, string>>;
/** By the kernel's and the protocols' numbers; the ones people meet. */
const SOCKET_TYPE_NAMES: Names = { 1: "stream", 2: "datagram", 3: "raw", 5: "seqpacket" };
const PROTOCOL_NAMES: Names = { 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6" };
const DNS_TYPE_NAMES: Names = {
	1: "A",
	2: "NS",
	5: "CNAME",
	6: "SOA",
	12: "PTR",
	15: "MX",
	16: "TXT",
	28: "AAAA",
	33: "SRV",
};
const DNS_CODE_NAMES: Names = { 0: "0, no error", 2: "2, server failed", 3: "3, no such name", 5: "5, refused" };

const named = (names: Names, value: number | undefined): string | undefined =>
	value === undefined ? undefined : (names[value] ?? String(value));

/** Whole numbers with separators; 64-bit counts come as text. */
function countText(value: string | number | undefined): string | undefined {
	return value === undefined ? undefined : BigInt(value).toLocaleString("en");
}

const ACCESS = ["read", "write", "read and write"];
/** Of Linux on x86-64 and arm64 alike. */
const OPEN_FLAGS: readonly (readonly [number, string])[] = [
	[0o100, "create"],
	[0o200, "exclusive"],
	[0o1000, "truncate"],
	[0o2000, "append"],
];

/** How a file was opened, in words. */
export function openText(flags: number): string {
	const asked = OPEN_FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
	return [ACCESS[flags & 3] ?? "no access", ...asked].join(", ");
}

function changed(before: number | undefined, after: number | null | undefined): string | number | null | undefined {
	return before === undefined ? after : `${before} → ${after ?? "?"}`;
}

function happenedGroup(event: EventRow, details: EventDetails): FactGroup {
	return group("What happened", [
		["Cause", event.cause],
		["Level", details.fidelityLevel],
		["System call", details.call],
		["Request", details.request],
		["On pid", details.targetPid],
		["On process", details.target],
		["Result", event.result],
		["Exit code", event.exitCode],
		["Signal", event.exitSignal || null],
	]);
}

function networkGroup(event: EventRow, details: EventDetails): FactGroup {
	return group("Network", [
		["Local", event.local],
		["Remote", event.remote],
		["Family", named(FAMILY_NAMES, details.family)],
		["Type", named(SOCKET_TYPE_NAMES, details.socketType)],
		["Protocol", named(PROTOCOL_NAMES, details.protocol)],
		["Name asked", details.dnsName],
		["Record", named(DNS_TYPE_NAMES, details.dnsType)],
		["Response", named(DNS_CODE_NAMES, details.dnsResponseCode)],
		["Answers", details.dnsAnswers],
		["Bytes sent", countText(details.bytesSent)],
		["Bytes received", countText(details.bytesReceived)],
	]);
}

function fileGroup(event: EventRow, details: EventDetails): FactGroup {
	const isMemory = event.kind === "memory_header";
	const kept = countText(details.contentBytes);
	return group(isMemory ? "Memory" : "File", [
		["Path", event.path],
		["New path", event.pathTo],
		["Opened to", details.openFlags === undefined ? null : openText(details.openFlags)],
		["Mode", details.mode?.toString(8)],
		["Size", details.fileBytes === undefined ? null : `${countText(details.fileBytes)} bytes`],
		["Inode", details.inode],
		["Address", details.address === undefined ? null : `0x${details.address}`],
		["Permissions", details.permissions],
		["Artifact", kept === undefined ? null : `${kept} bytes, kept in the evidence under this hash`],
		["SHA-256", details.sha256],
		["BLAKE3", details.blake3],
	]);
}

function placeGroup(event: EventRow, details: EventDetails): FactGroup {
	return group("Where it ran", [
		["Program", event.exe],
		["As typed", event.filename === event.exe ? null : event.filename],
		["Interpreter", details.interpreter],
		["Directory", details.cwd],
		["Unit", details.unit],
		["Container", details.container],
		["Cgroup", details.cgroup],
		["Terminal", details.tty],
		["Session", details.sid],
		["User id", changed(details.oldUid, event.uid)],
		[
			"Effective user",
			details.oldEuid === undefined && event.euid === event.uid ? null : changed(details.oldEuid, event.euid),
		],
		["Group id", changed(details.oldGid, details.gid)],
		["Parent pid", event.ppid],
		["Pid in its namespace", details.nsPid],
		["Thread", details.tid],
		["Depth", event.depth],
		["Environment", details.environment],
	]);
}

const ABOUT: Readonly<Record<KindGroup, "network" | "file" | null>> = {
	process: null,
	network: "network",
	file: "file",
	record: null,
};

/** Groups that have something to say. */
export function factGroups(event: EventRow): readonly FactGroup[] {
	const details = event.details ?? {};
	const network = networkGroup(event, details);
	const file = fileGroup(event, details);
	const subject = ABOUT[KIND_GROUP[event.kind]] === "network" ? [network, file] : [file, network];
	return [
		happenedGroup(event, details),
		...subject,
		placeGroup(event, details),
		group("Not known", (details.absent ?? []).map(absentFact)),
	].filter(({ facts }) => facts.length > 0);
}

/** `field: reason` as the agent writes it. */
function absentFact(text: string): readonly [string, string] {
	const [name = "", ...reason] = text.split(": ");
	return reason.length === 0 ? ["Field", text] : [name, reason.join(": ")];
}
