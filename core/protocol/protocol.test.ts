import assert from "node:assert/strict";
import { test } from "node:test";
import { type CborValue, decodeCbor, encodeCbor } from "#core/codec/index.ts";
import { LEDGER_LIMITS } from "#core/ledger/index.ts";
import { decodeFrame, EMPTY_STREAM, encodeFrame, judgeSequence, LINK_LIMITS, UNKNOWN_HASH } from "./index.ts";

const health = {
	...{ timeMs: 5, outboxBytes: 0, oldestUnackedMs: 0, rssBytes: 0, eventCount: 0, gapCount: 0 },
	streams: [{ lane: "bulk", stream: new Uint8Array(8), head: 3 }],
} as const;
const link = {
	...{ timeMs: 5, upstream: "spiffe://lab/sc/sc", sinceMs: 2, reconnects: 1, lastError: "closed", unackedBytes: 1 },
	lanes: [{ lane: "bulk", batches: 2, bytes: 3, oldestAgeMs: 4 }],
	...{ windowBytes: 9, roundTripMs: 1, agents: 2, agentsUp: 1, softwareVersion: "0.1.0" },
	strangers: [{ node: "spiffe://lab/px/px-9", protocol: 2, atMs: 4 }],
} as const;

const frames = [
	encodeFrame("heartbeat", {
		health: { ...health, roundTripMs: 3, reconnects: 1, lastError: "closed with 1006" },
		link,
	}),
	encodeFrame("agent_state", { agent: "web-01", isUp: true, health, heardAtMs: 6, waiting: ["bulk"], ageMs: 3 }),
	encodeFrame("proxy_state", {
		...{ proxy: "px-2", via: "px-1", isUp: true, ageMs: 12, clockOffsetMs: -40, clockBoundMs: 3 },
		link,
	}),
	encodeFrame("welcome", {
		timeMs: 1_763_800_000_000,
		watermarks: [{ stream: new Uint8Array(8), a1: 4, a2: 3 }],
		trust: [new Uint8Array(9)],
	}),
	encodeFrame("batch", { bytes: new Uint8Array(100) }),
	encodeFrame("receipt", { agent: "web-01", stream: new Uint8Array(8), level: "a2", seq: 9, custody: "proof" }),
	encodeFrame("reject", { code: "skipped", detail: "expected 4", seq: 4 }),
	encodeFrame("command", {
		agent: "web-01",
		commandId: new Uint8Array(16),
		envelope: new Uint8Array(5),
		expiresAtMs: 7,
	}),
	encodeFrame("carrier", { lane: "trace", compression: "zstd", rawBytes: 10, data: new Uint8Array(10) }),
	encodeFrame("bye", { code: "replaced", detail: "a newer link" }),
];

test("every frame round-trips to the same bytes", () => {
	for (const bytes of frames) {
		const frame = decodeFrame(bytes);
		assert(frame.ok, JSON.stringify(frame));
		assert.deepEqual(encodeFrame(frame.value.type, frame.value.body as never), bytes);
	}
});

test("a frame cut anywhere is refused", () => {
	for (const bytes of frames)
		for (let length = 0; length < bytes.length; length++) assert(!decodeFrame(bytes.subarray(0, length)).ok);
});

test("types and their numbers only grow", () => {
	// The first byte is the pair's head, the second the type.
	assert.deepEqual([encodeFrame("heartbeat", { health })[1], encodeFrame("bye", { code: "", detail: "" })[1]], [6, 10]);
	assert.equal(encodeFrame("proxy_state", { proxy: "a", via: "b", isUp: false, ageMs: 0 })[1], 12);
});

test("a proxy names strangers and reasons at their limits and no more", () => {
	const carried = (over: object) => decodeFrame(encodeFrame("heartbeat", { health, link: { ...link, ...over } })).ok;
	const stranger = link.strangers[0];
	const strangers = (count: number) => Array.from({ length: count }, () => stranger);
	assert(carried({ strangers: strangers(LINK_LIMITS.strangersMax) }));
	assert(!carried({ strangers: strangers(LINK_LIMITS.strangersMax + 1) }));
	assert(carried({ lastError: "x".repeat(LINK_LIMITS.lastErrorCharsMax) }));
	assert(!carried({ lastError: "x".repeat(LINK_LIMITS.lastErrorCharsMax + 1) }));
});

test("an unknown type and a misshapen pair are refused by name", () => {
	const unknown = decodeFrame(encodeCbor([99, new Map()]));
	assert(!unknown.ok && unknown.code === "frame_type_unknown");
	for (const value of [5, [1], [1, 2, 3]]) {
		const malformed = decodeFrame(encodeCbor(value));
		assert(!malformed.ok && malformed.code === "frame_malformed");
	}
});

/** The same with a key of a later build in every map. */
function withNews(value: CborValue): CborValue {
	if (Array.isArray(value)) return value.map(withNews);
	if (!(value instanceof Map)) return value;
	const members = [...value].map(([key, member]) => [key, withNews(member)] as const);
	return new Map<number, CborValue>([...members, [400, new Map([[1, ["more"]]])]]);
}

function fromLaterBuild(bytes: Uint8Array): Uint8Array {
	const decoded = decodeCbor(bytes);
	assert(decoded.ok);
	return encodeCbor(withNews(decoded.value));
}

test("of what a node of a later build says of itself, the keys that this one does not know are passed over", () => {
	const kept = { hop: "px-1/px-2", bytes: 3, atMs: 4, lane: "bulk" } as const;
	const news = [
		...frames.slice(0, 3),
		encodeFrame("welcome", { timeMs: 5, watermarks: [], trust: [], path: [] }),
		encodeFrame("reject", { agent: "web-01", code: "forked", detail: "two of them", kept }),
		encodeFrame("bye", { code: "replaced", detail: "a newer link" }),
	];
	for (const bytes of news) {
		const read = decodeFrame(fromLaterBuild(bytes));
		assert(read.ok, JSON.stringify(read));
		assert.deepEqual(encodeFrame(read.value.type, read.value.body as never), bytes, "nothing else has changed");
	}
});

test("in what moves evidence and commands an unknown key is refused: there it raises the version", () => {
	const id = new Uint8Array(16);
	const moving = [
		encodeFrame("batch", { bytes: new Uint8Array(9) }),
		encodeFrame("receipt", { agent: "web-01", stream: new Uint8Array(8), level: "a1", seq: 9 }),
		encodeFrame("command", { agent: "web-01", commandId: id, envelope: new Uint8Array(5), expiresAtMs: 7 }),
		encodeFrame("command_received", { agent: "web-01", commandId: id }),
		encodeFrame("carrier", { lane: "trace", compression: "zstd", rawBytes: 10, data: new Uint8Array(10) }),
		encodeFrame("trust", { documents: [] }),
		encodeFrame("path", { path: [] }),
	];
	for (const bytes of moving) {
		assert(decodeFrame(bytes).ok);
		const read = decodeFrame(fromLaterBuild(bytes));
		assert(!read.ok && read.code === "shape_mismatch", JSON.stringify(read));
	}
	const status = {
		hostName: "h",
		tier: "ebpf",
		missing: "",
		siteTag: "",
		softwareVersion: "",
		addresses: [],
		cause: "",
	};
	const signed = encodeFrame("agent_state", { agent: "web-01", isUp: true, status, heardAtMs: 6 });
	assert(!decodeFrame(fromLaterBuild(signed)).ok, "what the hello signs is read whole wherever it stands");
});

test("a proof of custody is carried at its size limit and refused above it", () => {
	const receipt = { agent: "web-01", stream: new Uint8Array(8), level: "a2", seq: 1 } as const;
	const carried = (chars: number) => decodeFrame(encodeFrame("receipt", { ...receipt, custody: "x".repeat(chars) }));
	assert(carried(LEDGER_LIMITS.custodyCharsMax).ok);
	const above = carried(LEDGER_LIMITS.custodyCharsMax + 1);
	assert(!above.ok && above.code === "shape_mismatch");
});

test("a command is carried at its size limit and refused above it", () => {
	const frame = (length: number) =>
		decodeFrame(
			encodeFrame("command", {
				agent: "a",
				commandId: new Uint8Array(16),
				envelope: new Uint8Array(length),
				expiresAtMs: 1,
			}),
		);
	assert(frame(LINK_LIMITS.commandBytesMax).ok);
	const above = frame(LINK_LIMITS.commandBytesMax + 1);
	assert(!above.ok && above.code === "shape_mismatch");
});

const hash = (byte: number) => new Uint8Array(32).fill(byte);

test("a stream goes on by one with the right predecessor, and everything else has its own verdict", () => {
	const first = judgeSequence(EMPTY_STREAM, { seq: 1, prevHash: hash(0), hash: hash(1) });
	assert.deepEqual(first, { verdict: "next", state: { received: 1, lastHash: hash(1) } });
	const state = { received: 5, lastHash: hash(5) };
	assert.equal(judgeSequence(state, { seq: 6, prevHash: hash(5), hash: hash(6) }).verdict, "next");
	assert.equal(judgeSequence(state, { seq: 6, prevHash: hash(4), hash: hash(6) }).verdict, "forked");
	assert.equal(judgeSequence(state, { seq: 5, prevHash: hash(4), hash: hash(5) }).verdict, "repeated");
	assert.equal(judgeSequence(state, { seq: 5, prevHash: hash(4), hash: hash(9) }).verdict, "forked");
	assert.equal(judgeSequence(state, { seq: 2, prevHash: hash(1), hash: hash(2) }).verdict, "repeated");
	assert.deepEqual(judgeSequence(state, { seq: 8, prevHash: hash(7), hash: hash(8) }), {
		verdict: "skipped",
		expected: 6,
	});
});

test("where the last hash is not known the next batch may follow any, and a repetition is no fork", () => {
	const state = { received: 5, lastHash: UNKNOWN_HASH };
	const next = judgeSequence(state, { seq: 6, prevHash: hash(4), hash: hash(6) });
	assert.deepEqual(next, { verdict: "next", state: { received: 6, lastHash: hash(6) } });
	assert.equal(judgeSequence(state, { seq: 5, prevHash: hash(4), hash: hash(9) }).verdict, "repeated");
	assert.equal(judgeSequence(state, { seq: 7, prevHash: hash(6), hash: hash(7) }).verdict, "skipped");
});
