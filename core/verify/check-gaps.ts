/**
 * gaps: what the hosts themselves declare missing, and what is missing by their own count. PASS here means that each start which a
 * host took ends in a seal of a clean end, over exactly as many events as are here. A gap is no failure; hiding one would be.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import type { Event } from "#core/model/event.ts";
import { declaredGaps } from "#core/package/evidence.ts";
import { inOrder } from "#core/package/layout.ts";
import type { CoveredHost } from "./check-commands.ts";
import type { PackageParts } from "./package-parts.ts";
import { counted, gaps, type Judged, pass } from "./verdict.ts";

/** Causes of a seal after which nothing more was to be told. Any other end, or none that is named, cut the trace short. */
const CLEAN_ENDS: ReadonlySet<string> = new Set(["stopped", "duration_reached", "lineage_ended"]);

/** Whether the host told of the process in this stretch of kernel time: after the first moment, up to the second. */
function isTold(events: readonly Event[], process: Uint8Array, [afterNs, untilNs]: readonly [bigint, bigint]): boolean {
	return events.some(
		(event) => event.kernelTimeNs > afterNs && event.kernelTimeNs <= untilNs && equalBytes(event.process, process),
	);
}

/** A seal for each start that was taken, by the host's kernel time. */
function missingEnds({ taken, events, seals }: CoveredHost): string[] {
	const missing: string[] = [];
	let open = [...taken].sort((a, b) => (a.atNs < b.atNs ? -1 : 1));
	let sinceNs = -1n;
	for (const endNs of seals.map(({ kernelTimeNs }) => kernelTimeNs).sort((a, b) => (a < b ? -1 : 1))) {
		const ended = open.filter(({ atNs }) => atNs <= endNs);
		open = open.filter(({ atNs }) => atNs > endNs);
		const [first] = ended;
		// A start on a host where the trace runs already joins it, and one seal ends both. Then the first of them left a trace: its
		// process is told before it is answered. Without that, the first had an end of its own, and all of it was taken out.
		if (ended.length > 1 && first !== undefined)
			if (!isTold(events, first.command.targetProcess, [sinceNs, first.atNs]))
				missing.push(`${ended.length} starts were taken and one seal ends them`);
		sinceNs = endNs;
	}
	const isUnsealed = seals.length === 0 && events.length > 0;
	if (open.length > 0 || isUnsealed) missing.push("the trace has no end here, later events may exist");
	return missing;
}

function missingOf(host: CoveredHost): string[] {
	const missing = missingEnds(host);
	let sealedCount = 0;
	let isCounted = host.seals.length > 0;
	for (const { payload } of host.seals) {
		const { cause, eventCount, gapCount = 0 } = payload;
		if (cause === undefined || !CLEAN_ENDS.has(cause))
			missing.push(`the trace was cut short (${cause || "no cause given"})`);
		if (eventCount === undefined) missing.push("a seal does not say how many events it seals");
		if (gapCount > 0) missing.push(`its seal counts ${counted(gapCount, "gap")}`);
		isCounted &&= eventCount !== undefined;
		sealedCount += eventCount ?? 0;
	}
	const { length } = host.events;
	if (isCounted && sealedCount !== length) missing.push(`${sealedCount} events were sealed and ${length} are here`);
	return missing.map((each) => `${host.agent}: ${each}`);
}

/** `hosts` are those that count for the trace. The events must be believed already. */
export function checkGaps(parts: PackageParts, hosts: readonly CoveredHost[]): Judged<true> {
	const ordered = inOrder(parts.batches.map(({ opened }) => opened));
	const declared = declaredGaps(ordered).map(
		({ agent, scope, from, to, cause }) =>
			`${agent}: ${scope === "count" ? `${to} events` : `${scope} ${from} to ${to}`} (${cause || "no cause given"})`,
	);
	const missing = [...declared, ...hosts.flatMap(missingOf)];
	if (missing.length > 0) return gaps(true, "gap_declared", `Missing: ${missing.join("; ")}.`);
	return pass(
		true,
		"No host declares anything missing, and every traced host sealed its end with exactly as many events as are here.",
	);
}
