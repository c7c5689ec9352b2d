/**
 * Of which processes the view may be partial, and why. The collector says so once of a process (`view_partial`, or its snapshot);
 * what is forked below it later takes the mark along without a word, so the tree has to pass it on. Pure.
 */
import type { EventRow } from "../../../workers/sc/api/answers.ts";
import type { ProcessNode } from "./trace-model.ts";

export interface PartialView {
	/** The collector's own word: text of the host. */
	readonly cause: string;
	/** From when on; the process's start where it inherited it. */
	readonly sinceMs: number;
	/** The process that did it, where it is another one above. */
	readonly from: ProcessNode | null;
}

const CAUSE_TEXT: Readonly<Record<string, string>> = {
	io_uring: "it set up io_uring, whose file and network acts pass no system call",
	compat32: "it makes 32-bit calls, which are not all captured",
};

/** A cause in words; one that is not known stays as the host put it. */
export function partialCauseText(cause: string): string {
	return Object.hasOwn(CAUSE_TEXT, cause) ? (CAUSE_TEXT[cause] as string) : cause;
}

function saidBy(event: EventRow): string | null {
	if (event.kind === "view_partial") return event.cause ?? "other";
	const absent =
		event.kind === "snapshot" ? event.details?.absent?.find((each) => each.startsWith("view: ")) : undefined;
	return absent === undefined ? null : (/^view: partial \((.*)\)$/.exec(absent)?.[1] ?? absent);
}

/** What is told of the process itself, the earliest of each cause. */
function ownViews(node: ProcessNode): PartialView[] {
	const views = new Map<string, PartialView>();
	for (const event of node.events) {
		const said = saidBy(event);
		for (const cause of said === null ? [] : said.split(", "))
			if (!views.has(cause)) views.set(cause, { cause, sinceMs: event.alignedTimeMs, from: null });
	}
	return [...views.values()];
}

/** Per process id the causes; processes with none are not in the map. One walk over the trees, whatever their depth. */
export function partialViews(roots: readonly ProcessNode[]): ReadonlyMap<string, readonly PartialView[]> {
	const found = new Map<string, readonly PartialView[]>();
	const waiting = [...roots];
	for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
		const { startMs, parent, parentLink } = node;
		const own = ownViews(node);
		const above = parent !== null && parentLink === "creator" ? (found.get(parent.id) ?? []) : [];
		const inherited = above
			.filter(({ cause, sinceMs }) => sinceMs <= startMs && !own.some((each) => each.cause === cause))
			.map(({ cause, from }): PartialView => ({ cause, sinceMs: startMs, from: from ?? parent }));
		if (own.length + inherited.length > 0) found.set(node.id, [...own, ...inherited]);
		for (const child of node.children) waiting.push(child);
	}
	return found;
}
