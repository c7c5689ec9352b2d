/**
 * Where an event goes that is in no trace. Guarantees that an attack on the collector is in the lane that is never shed first,
 * and that what only a trace may collect never becomes baseline.
 */
import type { Lane } from "#core/model/batch.ts";
import type { EventKind } from "#core/model/event.ts";
import type { EventDraft } from "./draft.ts";

/** Told of traced lineages, and of any process when the file is on the watch list or holds credentials. */
const FILE_KINDS: ReadonlySet<EventKind> = new Set([
	"file_open",
	"file_create",
	"file_rename",
	"file_unlink",
	"file_link",
	"file_symlink",
	"file_chmod",
] as const);

export function isFileKind(kind: EventKind): boolean {
	return FILE_KINDS.has(kind);
}

/** These are never in a trace lane: they concern the collector, whoever did them. */
export function isAlert(kind: EventKind): boolean {
	return kind === "tamper";
}

/** An attempt that anybody can make as often as he likes, because the kernel refuses it; not what succeeded or is root's. */
export function isRefusedToUser({ payload }: EventDraft): boolean {
	return (payload.result ?? 0) < 0 && (payload.euid ?? 0) !== 0;
}

/** The lane of an event that no trace took; null when nobody asked for it. */
export function baselineLane({ kind, payload }: EventDraft): Lane | null {
	if (isAlert(kind)) return "alert";
	if (isFileKind(kind)) return payload.isWatched === true || payload.isCredential === true ? "bulk" : null;
	// The bytes of a program are told to the trace that asked for them, and to nobody else.
	return kind === "memory_header" ? null : "bulk";
}
