/**
 * Which kinds of events are shown, by kind and by group. A filter is the list of kinds that a link carries; empty means all, and
 * whoever has chosen every kind has chosen none. Pure.
 */
import { EVENT_KINDS, type EventKind } from "#core/model/event.ts";
import { KIND_GROUP, type KindGroup } from "./event-text.ts";

type Kinds = readonly EventKind[];

export const KIND_GROUPS: readonly { readonly group: KindGroup; readonly label: string }[] = [
	{ group: "process", label: "Processes" },
	{ group: "network", label: "Network" },
	{ group: "file", label: "Files" },
	{ group: "record", label: "Records" },
];

export function kindsOf(group: KindGroup): Kinds {
	return EVENT_KINDS.filter((kind) => KIND_GROUP[kind] === group);
}

/** As a link and the views hold it: in the order of the kinds, empty where nothing is left out. */
function normal(chosen: ReadonlySet<EventKind>): Kinds {
	return chosen.size === EVENT_KINDS.length ? [] : EVENT_KINDS.filter((kind) => chosen.has(kind));
}

export function toggleKind(kinds: Kinds, kind: EventKind): Kinds {
	const chosen = new Set(kinds);
	if (!chosen.delete(kind)) chosen.add(kind);
	return normal(chosen);
}

/** `mixed`: some kinds of it, not all. Nothing is pressed while everything is shown. */
export function groupState(kinds: Kinds, group: KindGroup): "true" | "false" | "mixed" {
	const own = kindsOf(group);
	const count = own.filter((kind) => kinds.includes(kind)).length;
	return count === 0 ? "false" : count === own.length ? "true" : "mixed";
}

/** Adds the whole group, or takes it out where all of it was chosen; what stands of other groups stays. */
export function toggleGroup(kinds: Kinds, group: KindGroup): Kinds {
	const chosen = new Set(kinds);
	const isWhole = groupState(kinds, group) === "true";
	for (const kind of kindsOf(group)) {
		if (isWhole) chosen.delete(kind);
		else chosen.add(kind);
	}
	return normal(chosen);
}
