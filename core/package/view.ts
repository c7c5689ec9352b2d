/**
 * The readable view of a package: each event of the trace as one JSON line in the seed's TraceChunk shape, with the place of its
 * evidence. Guarantees: a pure function of the batches, so a verifier makes it again and compares bytes. It proves nothing; the
 * batches do.
 */
import { base64Of, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import type { ReadBatch } from "#core/model/batch.ts";
import { signedEnvelopeShape, traceCommandShape } from "#core/model/command.ts";
import type { Event, EventPayload } from "#core/model/event.ts";
import { addressText } from "#core/stitch/address.ts";

/** A batch with its events, both read and not necessarily believed. */
export interface OpenedBatch {
	readonly batch: ReadBatch;
	readonly events: readonly Event[];
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function plain(name: string, value: unknown): unknown {
	if (typeof value === "bigint") return value.toString();
	if (!(value instanceof Uint8Array)) return value;
	return name.endsWith("Address") ? (addressText(value) ?? hexOf(value)) : hexOf(value);
}

function plainPayload(payload: EventPayload): Record<string, unknown> {
	const names = Object.keys(payload).sort() as (keyof EventPayload)[];
	return Object.fromEntries(names.map((name) => [snake(name), plain(name, payload[name])]));
}

/** What makes an event one of the trace: its id, and the commands of the package. */
export interface TraceScope {
	readonly traceId: string;
	readonly commandIds: ReadonlySet<string>;
	/** Agents that a start command names. What any other host tells under the trace's id is not of the trace. */
	readonly commanded: ReadonlySet<string>;
}

/** The scope that these commands give, believed or not; one that does not read gives none. */
export function scopeOf(
	traceId: string,
	commands: readonly { readonly commandId: string; readonly envelope: Uint8Array }[],
): TraceScope {
	const commanded = commands.flatMap(({ envelope }) => {
		const signed = decodeAs(signedEnvelopeShape, envelope);
		const command = signed.ok ? decodeAs(traceCommandShape, signed.value.payload) : signed;
		return command.ok && command.value.act === "start" ? [command.value.targetAgent] : [];
	});
	return { traceId, commandIds: new Set(commands.map(({ commandId }) => commandId)), commanded: new Set(commanded) };
}

/** Whether an event is about the trace: of it, or the answer to one of its commands. */
function isOfTrace(event: Event, agent: string, scope: TraceScope): boolean {
	if (!scope.commanded.has(agent)) return false;
	if (event.traceId === scope.traceId) return true;
	const { commandId } = event.payload;
	return event.kind === "command_answer" && commandId !== undefined && scope.commandIds.has(hexOf(commandId));
}

interface Line {
	readonly ts: number;
	readonly order: string;
	readonly text: string;
}

function lineOf(opened: OpenedBatch, index: number, traceId: string): Line {
	const { header, events: sealed, signature } = opened.batch;
	const event = opened.events[index] as Event;
	const own = sealed[index]?.signature;
	const stream = hexOf(header.stream);
	const chunk = {
		trace_id: traceId,
		seq: event.seq,
		type: event.kind === "exec" ? "execve" : event.kind,
		ts: event.wallTimeMs,
		payload: { process: hexOf(event.process), ...plainPayload(event.payload) },
		sig: own === undefined ? `ed25519-batch:${base64Of(signature)}` : `ed25519:${base64Of(own)}`,
		kernel_time_ns: event.kernelTimeNs.toString(),
		agent: header.agent,
		stream,
		batch: header.seq,
		index,
	};
	const order = [header.agent, stream, String(event.seq).padStart(16, "0")].join("/");
	return { ts: event.wallTimeMs, order, text: JSON.stringify(chunk) };
}

/** The file view/events.ndjson: by time, then host, stream and sequence. */
export function eventsView(batches: readonly OpenedBatch[], scope: TraceScope): Uint8Array {
	const lines = batches.flatMap((opened) => {
		const { agent } = opened.batch.header;
		return opened.events.flatMap((event, i) =>
			isOfTrace(event, agent, scope) ? [lineOf(opened, i, scope.traceId)] : [],
		);
	});
	lines.sort((a, b) => a.ts - b.ts || (a.order < b.order ? -1 : a.order > b.order ? 1 : 0));
	return utf8(lines.map(({ text }) => `${text}\n`).join(""));
}
