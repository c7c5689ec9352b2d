/**
 * Which trace an event belongs to. A host writes a trace id into its own events, so a rooted one can write any: into another's trace,
 * or into traces that nobody started. Guarantees that only a host that was sent a start of a trace has events in it; what it says
 * beyond that is kept, verbatim and as an event of no trace, and raises an alarm. The desk has a command before the host can, so no
 * honest event comes too early.
 */
import type { Event } from "#core/model/event.ts";
import type { NamedTraces } from "../../../durable/trace-desk.ts";
import type { Alarm } from "../store/alarms.ts";
import type { IncomingBatch } from "../store/ingest.ts";

/** Traces asked about for one delivery: an agent runs far fewer at once, and the desk looks each of them up. */
export const NAMED_TRACES_MAX = 256;

export interface TraceRegister {
	tracesOf(agent: string, traceIds: readonly string[]): Promise<NamedTraces>;
}

function withoutTrace(event: Event): Event {
	const { traceId: _, ...rest } = event;
	return rest;
}

function alarmsOf(agent: string, unasked: readonly string[], elsewhere: readonly string[]): Alarm[] {
	const code = "trace_not_commanded";
	const known = elsewhere.map((traceId) => ({
		agent,
		code,
		detail: `${agent} sent events under trace ${traceId}, which was never started there.`,
		evidence: null,
	}));
	const madeUp = unasked.filter((traceId) => !elsewhere.includes(traceId));
	if (madeUp.length === 0) return known;
	// Made-up ids are without number, so they are one alarm together.
	const detail = `${agent} sent events under trace ${madeUp[0]}, which nobody ever started.`;
	return [...known, { agent, code, detail, evidence: null, sameAs: "made up" }];
}

/** The batches with every trace id taken off that the host was not commanded to use, and an alarm for each kind of it. */
export async function attribute(
	register: TraceRegister,
	agent: string,
	batches: readonly IncomingBatch[],
): Promise<{ batches: readonly IncomingBatch[]; alarms: readonly Alarm[] }> {
	const ids = batches.flatMap(({ events }) =>
		events.flatMap(({ traceId }) => (traceId === undefined ? [] : [traceId])),
	);
	const named = [...new Set(ids)];
	if (named.length === 0) return { batches, alarms: [] };
	const { started, elsewhere } = await register.tracesOf(agent, named.slice(0, NAMED_TRACES_MAX));
	const commanded = new Set(started);
	if (named.length === commanded.size) return { batches, alarms: [] };
	const judged = batches.map((batch) => ({
		...batch,
		events: batch.events.map((event) =>
			event.traceId === undefined || commanded.has(event.traceId) ? event : withoutTrace(event),
		),
	}));
	const unasked = named.filter((traceId) => !commanded.has(traceId));
	return { batches: judged, alarms: alarmsOf(agent, unasked, elsewhere) };
}
