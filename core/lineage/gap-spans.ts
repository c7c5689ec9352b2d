/**
 * Where on the time axis events are missing. A gap record says what is missing and when that was noticed; the span says how far back
 * the loss may reach. Guarantees a span of positive width per gap: a hole is drawn, never closed up.
 */

import type { GapScope } from "#core/model/event.ts";

/** The collector reads its per-CPU drop counters once a second (docs/procmond-frames.md, `stats`). */
const CPU_REPORT_INTERVAL_MS = 1000;

export interface GapRecord {
	readonly agent: string;
	/** `cpu`: kernel numbers. `stream`: batches between agent and Security Center. `count`: events given up, known by number only. */
	readonly scope: GapScope;
	readonly from: string;
	readonly to: string;
	readonly cause: string;
	readonly atMs: number;
	/** When the loss began, where the record says so. */
	readonly sinceMs: number | null;
}

export interface GapSpan<G extends GapRecord> {
	readonly gap: G;
	readonly startMs: number;
	readonly endMs: number;
	/** How many events or batches; the range is inclusive. null where the record's numbers are not numbers. */
	readonly missingCount: bigint | null;
}

function missingCount({ from, to }: GapRecord): bigint | null {
	if (!/^\d{1,20}$/.test(from) || !/^\d{1,20}$/.test(to)) return null;
	const count = BigInt(to) - BigInt(from) + 1n;
	return count > 0n ? count : null;
}

/** One span per gap. `events` are in order of time; a stream gap reaches back to the host's last event before it was noticed. */
export function gapSpans<G extends GapRecord>(
	gaps: readonly G[],
	events: readonly { readonly agent: string; readonly alignedTimeMs: number }[],
): readonly GapSpan<G>[] {
	const timesByAgent = new Map<string, number[]>();
	for (const { agent, alignedTimeMs } of events) {
		const times = timesByAgent.get(agent);
		if (times) times.push(alignedTimeMs);
		else timesByAgent.set(agent, [alignedTimeMs]);
	}
	return gaps.map((gap) => {
		const before = gap.scope === "stream" ? lastBelow(timesByAgent.get(gap.agent) ?? [], gap.atMs) : undefined;
		const sinceMs = gap.sinceMs !== null && gap.sinceMs < gap.atMs ? gap.sinceMs : undefined;
		const startMs = sinceMs ?? before ?? gap.atMs - CPU_REPORT_INTERVAL_MS;
		return { gap, startMs, endMs: gap.atMs, missingCount: missingCount(gap) };
	});
}

function lastBelow(times: readonly number[], limit: number): number | undefined {
	let low = 0;
	let high = times.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((times[middle] as number) < limit) low = middle + 1;
		else high = middle;
	}
	return times[low - 1];
}
