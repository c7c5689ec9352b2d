/**
 * Two looks compared: what a trace makes appear or vanish. What belongs to the endpoint or to the traced process must be equal to
 * the letter; what the rest of the machine does is noise, so there a difference counts only when every trace brings it and no
 * idle round does. Pure.
 */
import type { Look } from "./look.ts";

export interface Difference {
	readonly section: string;
	/** `+` appeared with the trace, `-` vanished with it. */
	readonly sign: "+" | "-";
	readonly item: string;
}

/** Before and after one start of a trace, or one idle interval of the same length. */
export interface Round {
	readonly before: Look;
	readonly after: Look;
}

export interface Filter {
	/** Whether an item belongs to the test or to other boxes of the enclave, not to the endpoint, judged by the look it is from. */
	readonly isForeign: (section: string, item: string, look: Look) => boolean;
}

const isStrict = (section: string): boolean => section.startsWith("endpoint.") || section.startsWith("target.");

/** Pids, ports and inodes differ in every round; what they stand in does not. */
export function nameOf(item: string): string {
	return item.replaceAll(/\b[0-9A-F]{8}(?:[0-9A-F]{24})?:[0-9A-F]{4}\b/g, "ADDRESS").replaceAll(/\d+/g, "N");
}

function differencesOf({ before, after }: Round, filter: Filter, of: (section: string) => boolean): Difference[] {
	const sections = new Set([...before.keys(), ...after.keys()]);
	const found: Difference[] = [];
	for (const section of sections) {
		if (!of(section)) continue;
		const old = before.get(section) ?? new Set();
		const now = after.get(section) ?? new Set();
		for (const item of now)
			if (!old.has(item) && !filter.isForeign(section, item, after)) found.push({ section, sign: "+", item });
		// A file that changed before and not since is no trace of a trace.
		if (section === "changed") continue;
		for (const item of old)
			if (!now.has(item) && !filter.isForeign(section, item, before)) found.push({ section, sign: "-", item });
	}
	return found;
}

const textOf = ({ section, sign, item }: Difference) => `${section} ${sign} ${nameOf(item)}`;

/** What tells a traced host from an idle one. Empty = nobody who saw these looks can tell. */
export function traceOfTrace(idle: readonly Round[], traced: readonly Round[], filter: Filter): Difference[] {
	const strict = (round: Round) => differencesOf(round, filter, isStrict);
	const loose = (round: Round) => differencesOf(round, filter, (section) => !isStrict(section));
	const always = new Set(idle.flatMap(strict).map(textOf));
	const own = traced.flatMap(strict).filter((difference) => !always.has(textOf(difference)));
	const noise = new Set(idle.flatMap(loose).map(textOf));
	const [first = [], ...others] = traced.map(loose);
	const inEvery = others.map((differences) => new Set(differences.map(textOf)));
	const systematic = first.filter((difference) => {
		const text = textOf(difference);
		return !noise.has(text) && inEvery.every((texts) => texts.has(text));
	});
	const seen = new Set<string>();
	return [...own, ...systematic].filter((difference) => {
		const text = textOf(difference);
		return !seen.has(text) && seen.add(text);
	});
}
