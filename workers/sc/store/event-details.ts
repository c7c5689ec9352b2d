/**
 * The fields of an event that have no column of their own, as one JSON text. Guarantees that null stands where there is nothing,
 * and that no artifact's bytes get into the store's rows: they lie in the batch. Pure.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { Event, EventPayload } from "#core/model/event.ts";
import type { EventDetails, EventMark } from "../api/answers.ts";

const big = (value: bigint | undefined): string | undefined => value?.toString();
const hex = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : hexOf(value));

const MARKS: readonly (readonly [keyof EventPayload, EventMark])[] = [
	["isLate", "late"],
	["isLookback", "look_back"],
	["isReceived", "received"],
	["isPathUncertain", "path_uncertain"],
	["isCmdlineCut", "arguments_cut"],
	["isWatched", "watched"],
	["isCredential", "credential"],
	["isExeDeleted", "exe_deleted"],
	["isExeInMemory", "exe_in_memory"],
	["is32Bit", "32_bit"],
];

function marksOf({ payload, isReplayed }: Event): EventMark[] | undefined {
	const marks = MARKS.flatMap(([field, mark]) => (payload[field] === true ? [mark] : []));
	if (isReplayed) marks.push("replayed");
	return marks.length === 0 ? undefined : marks;
}

/** Fields that are `undefined` are left out by JSON. */
type Loose = { [K in keyof EventDetails]: EventDetails[K] | undefined };

function processDetails(payload: EventPayload): Loose {
	return {
		nsPid: payload.nsPid,
		gid: payload.gid,
		sid: payload.sid,
		tty: payload.tty,
		startTicks: big(payload.startTicks),
		cwd: payload.cwd,
		interpreter: payload.interpreter,
		environment: payload.environment === undefined ? undefined : [...payload.environment],
		cgroup: payload.cgroupPath,
		container: payload.containerId,
		unit: payload.systemdUnit,
		tid: payload.tid,
		oldUid: payload.oldUid,
		oldGid: payload.oldGid,
		oldEuid: payload.oldEuid,
		target: hex(payload.target),
		targetPid: payload.targetPid,
		request: big(payload.request),
		call: payload.call,
	};
}

function networkDetails(payload: EventPayload): Loose {
	return {
		family: payload.family,
		socketType: payload.socketType,
		protocol: payload.protocol,
		bytesSent: big(payload.bytesSent),
		bytesReceived: big(payload.bytesReceived),
		dnsName: payload.dnsName,
		dnsType: payload.dnsType,
		dnsResponseCode: payload.dnsResponseCode,
		dnsAnswers: payload.dnsAnswers === undefined ? undefined : [...payload.dnsAnswers],
	};
}

function fileDetails(payload: EventPayload): Loose {
	return {
		mode: payload.mode,
		openFlags: payload.openFlags,
		fileBytes: big(payload.fileBytes),
		inode: big(payload.fileInode),
		sha256: hex(payload.sha256),
		blake3: hex(payload.blake3),
		address: payload.address?.toString(16),
		permissions: payload.permissions,
		contentBytes: payload.content?.length,
	};
}

/** JSON of `EventDetails`, or null. */
export function detailsJson(event: Event): string | null {
	const { payload } = event;
	const details: Loose = {
		...processDetails(payload),
		...networkDetails(payload),
		...fileDetails(payload),
		fidelityLevel: payload.fidelityLevel,
		absent: payload.absent === undefined ? undefined : [...payload.absent],
		marks: marksOf(event),
	};
	const text = JSON.stringify(details);
	return text === "{}" ? null : text;
}
