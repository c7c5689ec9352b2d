/**
 * What the collector says of itself: fidelity and what was shed for it. Guarantees that every class of events that was given up
 * becomes a gap record with its count; loss is evidence, never a silent counter.
 */
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { type CaptureFrame, tagBigint, tagColumn, tagNumber } from "../capture/frame.ts";
import { SHED_CLASSES } from "../capture/layout.ts";
import type { HostClock } from "../clock.ts";
import { agentEvent, type EventDraft } from "./draft.ts";
import { tagText } from "./fields.ts";

/** As the event's shape has it. */
const FIDELITY_LEVEL_MAX = 16;
/** Classes that are told one by one: those that are known and a few of a newer procmond. */
const CLASSES_MAX = 16;

const CLASS_NAMES = Object.keys(SHED_CLASSES);

export interface FidelityDrafts {
	readonly fidelity: EventDraft;
	readonly gaps: readonly EventDraft[];
}

/** A `fidelity` frame as its event and one gap for each class that lost events. */
export function fidelityDrafts(frame: CaptureFrame, clock: HostClock): FidelityDrafts {
	const reason = tagText(frame, "CAUSE", MODEL_LIMITS.sentenceLengthMax);
	const sinceNs = tagBigint(frame, "SINCE_NS");
	const since = sinceNs === undefined ? {} : { sinceNs };
	const event = agentEvent(clock, "fidelity", {
		fidelityLevel: Math.min(tagNumber(frame, "LEVEL") ?? 0, FIDELITY_LEVEL_MAX),
		...(reason === undefined ? {} : { cause: reason }),
		...since,
	});
	const because = reason === undefined ? "" : ` (${reason})`;
	const gaps: EventDraft[] = [];
	for (const [index, count] of tagColumn(frame, "SHED").slice(0, CLASSES_MAX).entries()) {
		const name = CLASS_NAMES[index] ?? `class_${index}`;
		const gap = { gapScope: "count", gapFrom: 1n, gapTo: count, cause: `shed: ${name}${because}`, ...since } as const;
		if (count > 0n) gaps.push(agentEvent(clock, "gap", gap));
	}
	const kernelTimeNs = frame.ktimeNs;
	const when = { kernelTimeNs, wallTimeMs: clock.wallMsOf(kernelTimeNs), tier: frame.tier };
	return { fidelity: { ...event, ...when }, gaps };
}
