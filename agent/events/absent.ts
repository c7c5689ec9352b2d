/**
 * Why an expected field is not there. procmond names tags, an event names its own fields: this translates, and adds what the
 * agent itself could not read. Guarantees a bounded list of bounded entries, each `field: reason`, whatever the frame says.
 */
import type { CaptureFrame } from "../capture/frame.ts";
import { cutText } from "./draft.ts";
import { fieldOfTag, type Payload, tagText } from "./fields.ts";

/** As the event's shape has it. */
export const ABSENT_MAX = 16;
const ABSENT_LENGTH_MAX = 80;
/** Longest list that is read: twice what can be told, since entries may repeat. */
const TEXT_LENGTH_MAX = 2 * ABSENT_MAX * ABSENT_LENGTH_MAX;

/** Adds one reason; a field has one, the first. Beyond the list's bound the last entry says so. */
export function putAbsent(payload: Payload, field: string, reason: string): void {
	const entries = payload.absent ?? [];
	if (entries.some((entry) => entry.startsWith(`${field}: `))) return;
	if (entries.length >= ABSENT_MAX) {
		payload.absent = [...entries.slice(0, ABSENT_MAX - 1), "more: not listed"];
		return;
	}
	payload.absent = [...entries, cutText(`${field}: ${reason}`, ABSENT_LENGTH_MAX)];
}

/** The frame's own reasons. A header field that is listed held nothing: its zero must not be read as root or as cgroup 0. */
export function putFrameAbsences(frame: CaptureFrame, payload: Payload): void {
	const text = tagText(frame, "ABSENT", TEXT_LENGTH_MAX);
	if (text === undefined) return;
	for (const entry of text.split(",")) {
		if (entry === "") continue;
		const colon = entry.indexOf(":");
		const tag = colon === -1 ? entry : entry.slice(0, colon);
		const reason = colon === -1 || colon === entry.length - 1 ? "unstated" : entry.slice(colon + 1);
		const field = fieldOfTag(tag);
		if (tag === "UID" || tag === "GID" || tag === "EUID" || tag === "CGROUP_ID") delete payload[field as "uid"];
		putAbsent(payload, field ?? tag, reason);
	}
}

/** Tags that the frame says it has no value for. */
export function isListedAbsent(frame: CaptureFrame, tag: string): boolean {
	const text = tagText(frame, "ABSENT", TEXT_LENGTH_MAX);
	return text?.split(",").some((entry) => entry === tag || entry.startsWith(`${tag}:`)) ?? false;
}
