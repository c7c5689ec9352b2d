/**
 * What each host did for the trace, by its own signed word: which starts it took, what it told, how it ended. Guarantees that an
 * event which a host sealed twice, because it sealed a stream again, is counted once. Judges nothing; check-commands.ts and
 * check-gaps.ts do.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { encodeAs } from "#core/codec/index.ts";
import { type Event, eventShape } from "#core/model/event.ts";
import { sha256 } from "#crypto";
import type { PackageParts } from "./package-parts.ts";

export interface CommandAnswer {
	readonly isAccepted: boolean;
	/** Kernel time of the answer; of the first acceptance, where the command came twice and the second time was refused. */
	readonly atNs: bigint;
}

export interface TraceHost {
	readonly agent: string;
	/** By command id in hex; answers to the commands of other traces too. */
	readonly answers: ReadonlyMap<string, CommandAnswer>;
	/** Whether it says that it took a command under this trace's id, of the package or not. */
	readonly hasAccepted: boolean;
	/** Told in the trace, each once. */
	readonly events: readonly Event[];
	/** Each once. */
	readonly seals: readonly Event[];
}

function keep<T>(lists: Map<string, T[]>, key: string, member: T): void {
	const known = lists.get(key);
	if (known === undefined) lists.set(key, [member]);
	else known.push(member);
}

/** Events of one host by stream. */
class Told {
	readonly #streams = new Map<string, Event[]>();

	add(stream: string, event: Event): void {
		keep(this.#streams, stream, event);
	}

	/**
	 * Each event once. Sealing a stream again changes nothing of an event but its number in the stream. Equal events of one stream
	 * are as many as they are: only a copy in another stream is a copy.
	 */
	distinct(): readonly Event[] {
		const [first = [], ...others] = [...this.#streams.values()];
		if (others.length === 0) return first;
		const copies = new Map<string, Event[]>();
		for (const events of [first, ...others]) {
			const own = new Map<string, Event[]>();
			for (const event of events) keep(own, hexOf(sha256(encodeAs(eventShape, { ...event, seq: 0 }))), event);
			for (const [key, equal] of own) if (equal.length > (copies.get(key)?.length ?? 0)) copies.set(key, equal);
		}
		return [...copies.values()].flat();
	}
}

interface Gathered {
	readonly answers: Map<string, CommandAnswer>;
	hasAccepted: boolean;
	readonly events: Told;
	readonly seals: Told;
}

function takeAnswer(host: Gathered, event: Event, traceId: string): void {
	const { commandId, isAccepted = false } = event.payload;
	if (isAccepted && event.traceId === traceId) host.hasAccepted = true;
	if (commandId === undefined) return;
	const key = hexOf(commandId);
	const known = host.answers.get(key);
	const answer = { isAccepted, atNs: event.kernelTimeNs };
	const isBetter = known?.isAccepted === isAccepted ? answer.atNs < known.atNs : isAccepted;
	if (known === undefined || isBetter) host.answers.set(key, answer);
}

/** By agent; hosts that have nothing of the trace are in it with nothing. */
export function traceHosts(parts: PackageParts, traceId: string): ReadonlyMap<string, TraceHost> {
	const gathered = new Map<string, Gathered>();
	for (const { opened } of parts.batches) {
		const { agent, stream } = opened.batch.header;
		const name = hexOf(stream);
		const host = gathered.get(agent) ?? {
			answers: new Map(),
			hasAccepted: false,
			events: new Told(),
			seals: new Told(),
		};
		gathered.set(agent, host);
		for (const event of opened.events) {
			if (event.kind === "command_answer") takeAnswer(host, event, traceId);
			else if (event.traceId !== traceId || event.kind === "gap") continue;
			else if (event.kind === "trace_seal") host.seals.add(name, event);
			else host.events.add(name, event);
		}
	}
	const entries = [...gathered].map(([agent, { answers, hasAccepted, events, seals }]): [string, TraceHost] => [
		agent,
		{ agent, answers, hasAccepted, events: events.distinct(), seals: seals.distinct() },
	]);
	return new Map(entries);
}
