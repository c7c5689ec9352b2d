/**
 * What the batches of a package say of themselves: which stretch of which stream is there, and what is declared missing. Both the
 * exporter (who writes it into the manifest) and the verifier (who compares) take it from here.
 */

import { hexOf } from "#core/bytes/bytes.ts";
import type { Lane } from "#core/model/batch.ts";
import type { GapScope } from "#core/model/event.ts";
import type { OpenedBatch } from "./view.ts";

export interface StreamRange {
	readonly agent: string;
	readonly stream: string;
	readonly lane: Lane;
	readonly first: number;
	readonly last: number;
	readonly batches: number;
	/** Bulk batches are taken one by one (the far side of a hop): numbers between them are left out on purpose. */
	readonly scattered: boolean;
}

export interface DeclaredGap {
	readonly agent: string;
	readonly scope: GapScope;
	readonly from: string;
	readonly to: string;
	readonly cause: string;
	readonly ts: number;
}

/** One entry per stream, in order of agent, then stream. */
export function streamRanges(batches: readonly OpenedBatch[]): StreamRange[] {
	const ranges = new Map<string, StreamRange>();
	for (const { batch } of batches) {
		const { agent, lane, seq } = batch.header;
		const stream = hexOf(batch.header.stream);
		const known = ranges.get(`${agent}/${stream}`);
		ranges.set(`${agent}/${stream}`, {
			agent,
			stream,
			lane,
			first: Math.min(known?.first ?? seq, seq),
			last: Math.max(known?.last ?? seq, seq),
			batches: (known?.batches ?? 0) + 1,
			scattered: lane === "bulk",
		});
	}
	return [...ranges.keys()].sort().map((key) => ranges.get(key) as StreamRange);
}

/** Every gap record in the batches, in their order. */
export function declaredGaps(batches: readonly OpenedBatch[]): DeclaredGap[] {
	return batches.flatMap(({ batch, events }) =>
		events.flatMap(({ kind, payload, wallTimeMs }) =>
			kind !== "gap" || payload.gapScope === undefined
				? []
				: {
						agent: batch.header.agent,
						scope: payload.gapScope,
						from: (payload.gapFrom ?? 0n).toString(),
						to: (payload.gapTo ?? 0n).toString(),
						cause: payload.cause ?? "",
						ts: wallTimeMs,
					},
		),
	);
}
