/**
 * A batch: events of one lane of one agent under one signature. The header is what is signed and chained; it names the Merkle
 * root of the event bytes, so each event is provable alone. Guarantees that a batch is kept and forwarded as the bytes that
 * arrived. Must never be re-encoded on the way.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import {
	decodeAs,
	encodeAs,
	encodeInPlaceAs,
	field,
	list,
	oneOf,
	bytes as rawBytes,
	record,
	type ShapeCode,
	type TypeOf,
	uint,
	wallMs,
} from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { leafHash, merkleRoot } from "#core/ledger/merkle.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { ed25519Sign, ed25519Verify, sha256 } from "#crypto";
import { type Event, eventShape, type SealedEvent, sealedEventShape } from "./event.ts";
import { hashShape, nodeIdShape, signatureShape, streamIdShape } from "./ids.ts";
import { MODEL_LIMITS } from "./limits.ts";

/** In order of priority. Append-only: the index is on the wire. */
export const LANES = ["trace", "alert", "bulk"] as const;
export type Lane = (typeof LANES)[number];
export const laneShape = oneOf(LANES);

export const batchHeaderShape = record({
	agent: field(1, nodeIdShape),
	/** Random per lane and per outbox: a reset outbox never reuses numbers. */
	stream: field(2, streamIdShape),
	/** From 1, without holes within the stream. */
	seq: field(3, uint()),
	/** SHA-256 of the previous header's bytes in this stream; zeros for the first. */
	prevHash: field(4, hashShape),
	startMs: field(5, wallMs()),
	endMs: field(6, wallMs()),
	lane: field(7, laneShape),
	eventCount: field(8, uint(MODEL_LIMITS.batchEventsMax)),
	/** RFC 6962 root over the event bytes. */
	eventsRoot: field(9, hashShape),
	/** `seq` of the first event. */
	firstEvent: field(10, uint()),
});
export type BatchHeader = TypeOf<typeof batchHeaderShape>;

const batchShape = record({
	header: field(1, rawBytes(4096)),
	signature: field(2, signatureShape),
	events: field(3, list(sealedEventShape, MODEL_LIMITS.batchEventsMax)),
});

export const ZERO_HASH: Uint8Array = new Uint8Array(32);

export type BatchCode =
	| ShapeCode
	| "batch_too_large"
	| "batch_empty"
	| "batch_count_mismatch"
	| "batch_root_mismatch"
	| "batch_signature_invalid"
	| "event_signature_missing"
	| "event_signature_invalid"
	| "event_sequence_broken";

/** A batch that was read but not yet believed. */
export interface ReadBatch {
	readonly header: BatchHeader;
	readonly headerBytes: Uint8Array;
	readonly signature: Uint8Array;
	readonly events: readonly SealedEvent[];
	/** The whole batch as it arrived. */
	readonly bytes: Uint8Array;
}

/** What identifies the batch for dedup and chaining: SHA-256 of the header bytes. */
export function batchHash(headerBytes: Uint8Array): Uint8Array {
	return sha256(headerBytes);
}

function* leafHashesOf(events: readonly SealedEvent[]): Generator<Uint8Array> {
	for (const { bytes } of events) yield leafHash(bytes);
}

/** RFC 6962 root over the event bytes. */
function eventsRootOf(events: readonly SealedEvent[]): Uint8Array {
	return merkleRoot(leafHashesOf(events));
}

/** What CBOR puts around an event: a map, its keys, the head of its bytes; with a signature, that too. */
const EVENT_FRAME_BYTES = 6;
const SIGNATURE_FRAME_BYTES = 67;

/** Not less than a batch's length, and hardly more. */
function batchBytesOf({ header, events }: Pick<TypeOf<typeof batchShape>, "header" | "events">): number {
	let bytes = header.length + 2 * SIGNATURE_FRAME_BYTES;
	for (const event of events)
		bytes += EVENT_FRAME_BYTES + event.bytes.length + (event.signature === undefined ? 0 : SIGNATURE_FRAME_BYTES);
	return bytes;
}

/** Seals events into one batch. `seed` is the agent's Ed25519 seed; trace events bring their own signatures. */
export function sealBatch(
	header: Omit<BatchHeader, "eventCount" | "eventsRoot">,
	events: readonly SealedEvent[],
	seed: Uint8Array,
): { bytes: Uint8Array; hash: Uint8Array } {
	const eventsRoot = eventsRootOf(events);
	const headerBytes = encodeAs(batchHeaderShape, { ...header, eventCount: events.length, eventsRoot });
	const signature = ed25519Sign(seed, preAuthEncoding(PAYLOAD_TYPES.batch, headerBytes));
	const batch = { header: headerBytes, signature, events };
	return { bytes: encodeAs(batchShape, batch, batchBytesOf(batch)), hash: batchHash(headerBytes) };
}

/** Encodes one event; with a seed it is signed for itself, as every trace event is. */
export function sealEvent(event: Event, seed: Uint8Array | null): SealedEvent {
	const { bytes, ...rest } = sealEventInPlace(event, seed);
	return { bytes: new Uint8Array(bytes), ...rest };
}

/** The same, but its bytes are good only until the next value is encoded: for who copies them at once anyway. */
export function sealEventInPlace(event: Event, seed: Uint8Array | null): SealedEvent {
	const encoded = encodeInPlaceAs(eventShape, event);
	if (seed === null) return { bytes: encoded };
	return { bytes: encoded, signature: ed25519Sign(seed, preAuthEncoding(PAYLOAD_TYPES.event, encoded)) };
}

/**
 * The lane that a batch names, without a look at its events; null where that much does not read. Nothing is believed by it: it says
 * whose turn it is.
 */
export function peekLane(bytes: Uint8Array): Lane | null {
	// Key 1 of a map of three: the header, a byte string whose head is two or three bytes, because it holds two hashes and a name.
	const isLong = bytes[2] === 0x59;
	if (bytes[0] !== 0xa3 || bytes[1] !== 1 || !(isLong || bytes[2] === 0x58)) return null;
	const at = isLong ? 5 : 4;
	const length = isLong ? 256 * (bytes[3] ?? 0) + (bytes[4] ?? 0) : (bytes[3] ?? 0);
	const header = decodeAs(batchHeaderShape, bytes.subarray(at, at + length));
	return header.ok ? header.value.lane : null;
}

/** Reads foreign bytes as a batch; proves nothing yet. */
export function readBatch(bytes: Uint8Array): Result<ReadBatch, BatchCode> {
	if (bytes.length > MODEL_LIMITS.batchBytesMax)
		return fail("batch_too_large", `${bytes.length} bytes, at most ${MODEL_LIMITS.batchBytesMax}`);
	const outer = decodeAs(batchShape, bytes);
	if (!outer.ok) return outer;
	const header = decodeAs(batchHeaderShape, outer.value.header);
	if (!header.ok) return header;
	const { signature, events } = outer.value;
	return ok({ header: header.value, headerBytes: outer.value.header, signature, events, bytes });
}

/**
 * Believes a batch or names why not: signature, event count, Merkle root. This is what every hop checks; the events' own
 * signatures are checked where they are stored and at export (`verifyBatchEvents`).
 */
export function verifyBatch(batch: ReadBatch, publicKey: Uint8Array): Result<true, BatchCode> {
	const { header, headerBytes, signature, events } = batch;
	if (!ed25519Verify(publicKey, preAuthEncoding(PAYLOAD_TYPES.batch, headerBytes), signature))
		return fail("batch_signature_invalid", `batch ${header.seq} is not signed by the key of ${header.agent}`);
	if (events.length === 0) return fail("batch_empty", `batch ${header.seq} holds no event`);
	if (events.length !== header.eventCount)
		return fail(
			"batch_count_mismatch",
			`batch ${header.seq} names ${header.eventCount} events and holds ${events.length}`,
		);
	const root = eventsRootOf(events);
	if (!equalBytes(root, header.eventsRoot))
		return fail("batch_root_mismatch", `the events of batch ${header.seq} do not hash to its signed root`);
	return ok(true);
}

/** Reads every event of a verified batch and checks numbering and, in the trace lane, each event's own signature. */
export function verifyBatchEvents(batch: ReadBatch, publicKey: Uint8Array): Result<readonly Event[], BatchCode> {
	const events: Event[] = [];
	for (const [index, sealed] of batch.events.entries()) {
		const event = decodeAs(eventShape, sealed.bytes);
		if (!event.ok) return event;
		if (event.value.seq !== batch.header.firstEvent + index)
			return fail(
				"event_sequence_broken",
				`event ${index} of batch ${batch.header.seq} is numbered ${event.value.seq}`,
			);
		if (batch.header.lane === "trace" && sealed.signature === undefined)
			return fail("event_signature_missing", `event ${event.value.seq} of the trace lane is not signed`);
		if (sealed.signature !== undefined) {
			const message = preAuthEncoding(PAYLOAD_TYPES.event, sealed.bytes);
			if (!ed25519Verify(publicKey, message, sealed.signature))
				return fail("event_signature_invalid", `event ${event.value.seq} of batch ${batch.header.seq}`);
		}
		events.push(event.value);
	}
	return ok(events);
}
