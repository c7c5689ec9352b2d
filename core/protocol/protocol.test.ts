import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeCbor } from "#core/codec/index.ts";
import { LEDGER_LIMITS } from "#core/ledger/index.ts";
import { decodeFrame, EMPTY_STREAM, encodeFrame, judgeSequence, LINK_LIMITS } from "./index.ts";

const frames = [
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

test("an unknown type and a misshapen pair are refused by name", () => {
	const unknown = decodeFrame(encodeCbor([99, new Map()]));
	assert(!unknown.ok && unknown.code === "frame_type_unknown");
	for (const value of [5, [1], [1, 2, 3]]) {
		const malformed = decodeFrame(encodeCbor(value));
		assert(!malformed.ok && malformed.code === "frame_malformed");
	}
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
