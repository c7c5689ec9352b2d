/** What a node's collector sees, said for people: what it cannot see as a list, and how much it captures just now. Pure. */
import type { FleetNode } from "../../../workers/sc/api/answers.ts";

/** What is missing, one entry each: collectors write names with commas between. */
export function missingParts(missing: string): readonly string[] {
	return missing
		.split(",")
		.map((part) => part.trim())
		.filter((part) => part !== "");
}

/** null: it captures everything. */
export function fidelityText({ fidelityLevel, fidelityCause }: FleetNode): string | null {
	if (fidelityLevel === 0) return null;
	return `captures less: level ${fidelityLevel}${fidelityCause === "" ? "" : ` (${fidelityCause})`}`;
}

const ALARM_TITLES: Readonly<Record<string, string>> = {
	sensor_tampered: "Somebody on the host acted on its collector. What it reports from then on may be incomplete.",
	trace_not_commanded:
		"The host sent events under a trace that nobody may have started there. They are kept outside any trace.",
	trace_seal_unexpected: "The host says more often that a trace ended than it was started.",
	batch_forked:
		"The host signed two different batches under one number. Both are kept; one of them is not what happened.",
	forked: "The host signed two different batches under one number. Both are kept; one of them is not what happened.",
	batch_events_refused: "A signed batch holds events that do not verify. Its bytes are kept, its events are not shown.",
	sequence_missing: "Batches of the host never came, and it says nothing of why.",
	item_refused:
		"A hop put something aside that the host sent: no honest host sends it. It is listed under refused items.",
	tail_missing: "The host made batches that never came and wait nowhere on the way. Whoever lost them sits between.",
	agent_silent: "The host has said nothing for too long while its proxy goes on.",
	proxy_silent: "The proxy has said nothing for too long. What is behind it is unknown, not silent.",
	protocol_differs: "A node speaks another version of the protocol and is turned away until one side is changed.",
	proxy_word_refused:
		"What the proxy tells of one below it is not shown to be that one's own word: unsigned, forged, or of another time. It is not believed.",
	watch_late: "The watch over silence waited for the store. Who fell silent meanwhile is told late by that time.",
	rule_row_skipped: "A rule could not judge some events, so a hit among them would be missing here.",
};

/** What an alarm of this code means; null where the code says no more than its detail. */
export function alarmTitle(code: string): string | null {
	return Object.hasOwn(ALARM_TITLES, code) ? (ALARM_TITLES[code] as string) : null;
}
