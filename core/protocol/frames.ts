/**
 * The frames of every link, both directions: one CBOR array `[type, body]` per WebSocket message. The same frames run between
 * agent and proxy and between proxy and Security Center. Guarantees that a frame is read whole or refused by name. Types and
 * keys are append-only; PROTOCOL_VERSION changes when a meaning does.
 *
 * Nodes of one version are not of one build: a fleet is upgraded node by node. How a node is (open records: heartbeat, agent_state,
 * proxy_state, the news in reject and welcome) may gain optional keys within a version, and a reader passes over those it does not know.
 * What moves evidence or commands (records) may not: there a new key raises the version, as a new frame type does.
 */
import {
	bool,
	bytes,
	type CborCode,
	type CborValue,
	decodeCbor,
	encodeBy,
	field,
	int32,
	list,
	oneOf,
	openRecord,
	optional,
	readAs,
	record,
	type Shape,
	type TypeOf,
	text,
	uint,
	wallMs,
} from "#core/codec/index.ts";
import { nodeProofShape } from "#core/identity/binding.ts";
import { agentStatusShape } from "#core/identity/hello.ts";
import { pathShape } from "#core/identity/path.ts";
import { routeShape } from "#core/identity/route.ts";
import { LEDGER_LIMITS } from "#core/ledger/index.ts";
import { LANES, laneShape } from "#core/model/batch.ts";
import { commandIdShape, hashShape, nodeIdShape, streamIdShape } from "#core/model/ids.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { LINK_LIMITS } from "./limits.ts";

/** A1: fsynced at the next hop. A2: stored at the Security Center and under a signed checkpoint (DESIGN §6). */
export const CUSTODY_LEVELS = ["a1", "a2"] as const;

const streamHeadShape = openRecord({
	lane: field(1, laneShape),
	stream: field(2, streamIdShape),
	head: field(3, uint()),
});

const watermarkShape = record({
	stream: field(1, streamIdShape),
	/** Highest sequence durable at this hop, without holes below it; 0 = none. */
	a1: field(2, uint()),
	/** Highest sequence in custody of the Security Center as far as this hop knows. */
	a2: field(3, uint()),
	/** Header hash of batch `a1`: an agent that holds another batch under that number has an old disk. */
	hash: optional(4, hashShape),
});

export const healthShape = openRecord({
	/** The sender's wall clock. */
	timeMs: field(1, wallMs()),
	streams: field(2, list(streamHeadShape, 8)),
	outboxBytes: field(3, uint()),
	/** Age of the oldest batch without the receipt that frees it. */
	oldestUnackedMs: field(4, uint()),
	rssBytes: field(5, uint()),
	/** Events since start, by the agent's count. */
	eventCount: field(6, uint()),
	gapCount: field(7, uint()),
	/** Fastest answer to the newest pings of this link: the clock estimate is off by no more. Absent until one came. */
	roundTripMs: optional(8, uint(LINK_LIMITS.durationMsMax)),
	/** Links opened since start, less the first. */
	reconnects: optional(9, uint()),
	/** Why the link before this one ended. */
	lastError: optional(10, text(LINK_LIMITS.lastErrorCharsMax)),
	/** Trace and alert batches that a hop refused for good and that the agent keeps. Absent: none. */
	refusedBatches: optional(11, uint()),
	/** The newest refusal's code. */
	refusedFor: optional(12, text(64)),
});
export type Health = TypeOf<typeof healthShape>;

/** A refused item that a hop keeps for a person. */
const keptShape = openRecord({
	/** The hops from the reporter down to the one that keeps it: `px-1/px-2`. */
	hop: field(1, text(LINK_LIMITS.hopPathLengthMax, /^[a-z0-9./?-]+$/)),
	bytes: field(2, uint()),
	atMs: field(3, wallMs()),
	lane: optional(4, laneShape),
	/** So many items of this cause are told at once; absent: one. */
	count: optional(5, uint(LINK_LIMITS.keptCountMax)),
});

/** How a proxy's own link to its upstream is, by its own clock and count. */
export const linkHealthShape = openRecord({
	timeMs: field(1, wallMs()),
	/** Node URI of the upstream. */
	upstream: field(2, text(200)),
	/** Since when this link stands. */
	sinceMs: field(3, wallMs()),
	/** Links opened since start, less the first. */
	reconnects: field(4, uint()),
	/** Why the link before this one ended. */
	lastError: optional(5, text(LINK_LIMITS.lastErrorCharsMax)),
	/** What waits for the upstream's receipt, by lane; a lane in which nothing waits may be absent. */
	lanes: field(
		6,
		list(
			openRecord({
				lane: field(1, laneShape),
				batches: field(2, uint()),
				bytes: field(3, uint()),
				oldestAgeMs: field(4, uint()),
			}),
			LANES.length,
		),
	),
	/** Sent and not receipted, and how much of that the window allows. */
	unackedBytes: field(7, uint()),
	windowBytes: field(8, uint()),
	/** Fastest answer to the newest heartbeats. Absent until one came. */
	roundTripMs: optional(9, uint(LINK_LIMITS.durationMsMax)),
	agents: field(10, uint()),
	agentsUp: field(11, uint()),
	softwareVersion: field(12, text(32)),
	/** Nodes turned away at this proxy's door because they speak another protocol, the newest first. */
	strangers: field(
		13,
		list(
			openRecord({ node: field(1, text(200)), protocol: field(2, uint(65_535)), atMs: field(3, wallMs()) }),
			LINK_LIMITS.strangersMax,
		),
	),
});
export type LinkHealth = TypeOf<typeof linkHealthShape>;

const FRAME_SHAPES = {
	/** First frame from the server after the hello was accepted (the hello itself rides in the upgrade request). */
	welcome: openRecord({
		timeMs: field(1, wallMs()),
		watermarks: field(2, list(watermarkShape, 64)),
		/** Trust documents after genesis, oldest first. */
		trust: field(3, list(bytes(70_000), LINK_LIMITS.trustDocumentsMax)),
		/** To a proxy: its path from now on, this node first. */
		path: optional(4, pathShape),
	}),
	/** One batch, verbatim. */
	batch: record({ bytes: field(1, bytes(MODEL_LIMITS.batchBytesMax)) }),
	/** Everything of the stream up to `seq` has reached the level. */
	receipt: record({
		agent: field(1, nodeIdShape),
		stream: field(2, streamIdShape),
		level: field(3, oneOf(CUSTODY_LEVELS)),
		seq: field(4, uint()),
		/** a2 only: the proof of custody of batch `seq` (core/ledger/custody.ts). Hops pass it on unread. */
		custody: optional(5, text(LEDGER_LIMITS.custodyCharsMax)),
	}),
	/** One item was refused; the link goes on. Downwards it answers the sender; upwards with `kept` it tells what a hop put aside. */
	reject: openRecord({
		agent: optional(1, nodeIdShape),
		stream: optional(2, streamIdShape),
		seq: optional(3, uint()),
		code: field(4, text(64)),
		detail: field(5, text(MODEL_LIMITS.sentenceLengthMax)),
		kept: optional(6, keptShape),
	}),
	/** A signed TraceCommand on its way down. */
	command: record({
		agent: field(1, nodeIdShape),
		commandId: field(2, commandIdShape),
		envelope: field(3, bytes(LINK_LIMITS.commandBytesMax)),
		/** Copied from inside so that no hop delivers it late; the agent judges the signed one. */
		expiresAtMs: field(4, wallMs()),
	}),
	/** The agent holds the command (its answer follows in the alert lane): hops forget it. */
	command_received: record({ agent: field(1, nodeIdShape), commandId: field(2, commandIdShape) }),
	/** Agent → its hop, every few seconds. A proxy's carries `link`, and is said back to it. */
	heartbeat: openRecord({
		health: field(1, healthShape),
		link: optional(2, linkHealthShape),
		/** A proxy's: the same `link` under its own signature (`proxy-word.ts`), for the nodes above the reader. */
		word: optional(3, bytes(LINK_LIMITS.proxyWordBytesMax)),
	}),
	/** Proxy → Security Center: an agent came, went, or said how it is. `proof` comes with every arrival. */
	agent_state: openRecord({
		agent: field(1, nodeIdShape),
		isUp: field(2, bool()),
		proof: optional(3, nodeProofShape),
		status: optional(4, agentStatusShape),
		health: optional(5, healthShape),
		/** When the proxy heard it. */
		heardAtMs: field(6, wallMs()),
		/** Comes with `proof`: without it the proxy may bring the agent's evidence, but does not get its commands. */
		route: optional(7, routeShape),
		/** Lanes in which batches of the agent wait below the reader; absent: not known, so perhaps in all. */
		waiting: optional(8, list(laneShape, LANES.length)),
		/** How long ago `heardAtMs` was when this was sent: the reader needs no clock but its own. */
		ageMs: optional(9, uint()),
	}),
	/** Proxy → Security Center: many batches of one lane, compressed. */
	carrier: record({
		lane: field(1, laneShape),
		compression: field(2, oneOf(["none", "zstd"])),
		/** Size before compression; the reader never inflates beyond it or beyond its own cap. */
		rawBytes: field(3, uint(LINK_LIMITS.carrierRawBytesMax)),
		/** The `carriedShape` list, perhaps compressed. */
		data: field(4, bytes(LINK_LIMITS.carrierRawBytesMax)),
	}),
	/** Trust documents after genesis, oldest first, when a new one appears. */
	trust: record({ documents: field(1, list(bytes(70_000), LINK_LIMITS.trustDocumentsMax)) }),
	/** Last frame before the sender drops the link. */
	bye: openRecord({ code: field(1, text(64)), detail: field(2, text(MODEL_LIMITS.sentenceLengthMax)) }),
	/** To a proxy: its path has changed; this node first (core/identity/path.ts). */
	path: record({ path: field(1, pathShape) }),
	/**
	 * Proxy → its upstream: how a proxy below it is. Believed is its own `word`; `via` is what that names as its upstream, and the rest is
	 * what `via` measured. One that went has no word: whoever brought its newest one says so.
	 */
	proxy_state: openRecord({
		proxy: field(1, nodeIdShape),
		via: field(2, nodeIdShape),
		isUp: field(3, bool()),
		/** How long ago `via` heard it when this was sent. */
		ageMs: field(4, uint()),
		/** The proxy's clock less its parent's, and by how much that may be off; absent until measured. */
		clockOffsetMs: optional(5, int32()),
		clockBoundMs: optional(6, uint(LINK_LIMITS.durationMsMax)),
		/** Unsigned: of earlier builds, and not read any more. */
		link: optional(7, linkHealthShape),
		/** The proxy's signed word, verbatim (`proxy-word.ts`). */
		word: optional(8, bytes(LINK_LIMITS.proxyWordBytesMax)),
	}),
} as const;

/** What a carrier's data decodes to. */
export const carriedShape = list(
	record({ agent: field(1, nodeIdShape), bytes: field(2, bytes(MODEL_LIMITS.batchBytesMax)) }),
	LINK_LIMITS.carrierBatchesMax,
);

export type FrameType = keyof typeof FRAME_SHAPES;
export type FrameBody<T extends FrameType> = TypeOf<(typeof FRAME_SHAPES)[T]>;
export type Frame = { [T in FrameType]: { readonly type: T; readonly body: FrameBody<T> } }[FrameType];

/** Append-only: the index is on the wire. */
const FRAME_TYPES = Object.keys(FRAME_SHAPES) as FrameType[];

export type FrameCode = CborCode | "shape_mismatch" | "frame_type_unknown" | "frame_malformed";

export function encodeFrame<T extends FrameType>(type: T, body: FrameBody<T>): Uint8Array {
	const shape = FRAME_SHAPES[type] as unknown as Shape<FrameBody<T>>;
	return encodeBy((out, value) => {
		out.array(2);
		out.integer(FRAME_TYPES.indexOf(type));
		shape.put(out, value);
	}, body);
}

/** Reads one message from a link, or names what is wrong with it. */
export function decodeFrame(message: Uint8Array): Result<Frame, FrameCode> {
	const decoded = decodeCbor(message, LINK_LIMITS.frame);
	if (!decoded.ok) return decoded;
	const pair = decoded.value;
	if (!Array.isArray(pair) || pair.length !== 2) return fail("frame_malformed", "a frame is a pair of type and body");
	const type = typeof pair[0] === "number" ? FRAME_TYPES[pair[0]] : undefined;
	if (type === undefined) return fail("frame_type_unknown", "the frame's type is not known to this protocol version");
	const body = readAs(FRAME_SHAPES[type] as unknown as Shape<unknown>, pair[1] as CborValue);
	if (!body.ok) return body;
	return ok({ type, body: body.value } as Frame);
}
