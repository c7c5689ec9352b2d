import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, textOf } from "#core/bytes/bytes.ts";
import * as fuzz from "./frame.fuzz.ts";
import { type CaptureFrame, encodeFrame, FrameReader, tagBigint, tagBytes, tagColumn, tagNumber } from "./frame.ts";

function one(bytes: Uint8Array): CaptureFrame {
	const read = new FrameReader().push(bytes);
	assert.ok(read.ok);
	const frame = read.value[0];
	assert.ok(frame !== undefined && frame.kind !== null);
	return frame;
}

function codeOf(bytes: Uint8Array): string | null {
	const read = new FrameReader().push(bytes);
	return read.ok ? null : read.code;
}

/** Changes one little-endian u16 of a frame; offsets are from the length prefix. */
function withU16(bytes: Uint8Array, at: number, value: number): Uint8Array {
	const out = bytes.slice();
	new DataView(out.buffer).setUint16(at, value, true);
	return out;
}

const CONNECT = encodeFrame({
	kind: "connect",
	tier: "ebpf",
	flags: 17,
	cpu: 3,
	cpuSeq: 2n ** 40n,
	ktimeNs: 123_456_789n,
	tgid: 4_000_000_000,
	startTicks: 77n,
	uid: 1000,
	cgroupId: 2n ** 63n,
	tags: { FAMILY: 2, LADDR: Uint8Array.of(10, 0, 0, 1), LPORT: 40_001, RESULT: -111, COMM: "ssh" },
});

test("a frame comes back with every header field and tag", () => {
	const frame = one(CONNECT);
	assert.equal(frame.kind, "connect");
	assert.equal(frame.tier, "ebpf");
	assert.equal(frame.flags, 17);
	assert.equal(frame.cpu, 3);
	assert.equal(frame.cpuSeq, 2n ** 40n);
	assert.equal(frame.ktimeNs, 123_456_789n);
	assert.equal(frame.tgid, 4_000_000_000);
	assert.equal(frame.startTicks, 77n);
	assert.equal(frame.cgroupId, 2n ** 63n);
	assert.equal(tagNumber(frame, "FAMILY"), 2);
	assert.equal(tagNumber(frame, "LPORT"), 40_001);
	assert.equal((tagNumber(frame, "RESULT") as number) | 0, -111);
	assert.equal(textOf(tagBytes(frame, "COMM") ?? new Uint8Array(0)), "ssh");
	assert.equal(tagNumber(frame, "RPORT"), undefined);
});

test("columns hold one number per CPU", () => {
	const heads = new Uint8Array(16);
	new DataView(heads.buffer).setBigUint64(8, 9n, true);
	const frame = one(encodeFrame({ kind: "stats", tags: { CPU_HEADS: heads, MISSES: 4n } }));
	assert.deepEqual(tagColumn(frame, "CPU_HEADS"), [0n, 9n]);
	assert.equal(tagBigint(frame, "MISSES"), 4n);
});

test("a stream cut at any byte gives the same frames, and its end inside a frame has a name", () => {
	const stream = concatBytes(...fuzz.corpus());
	for (let cut = 0; cut <= stream.length; cut++) {
		const reader = new FrameReader();
		const first = reader.push(stream.subarray(0, cut));
		const whole = reader.end();
		const second = reader.push(stream.subarray(cut));
		assert.ok(first.ok && second.ok);
		assert.equal(first.value.length + second.value.length, fuzz.corpus().length);
		assert.ok(reader.end().ok);
		if (!whole.ok) assert.equal(whole.code, "frame_truncated");
	}
});

test("flipped bits are read or refused by name, never thrown", () => {
	for (const bytes of fuzz.corpus()) {
		for (let bit = 0; bit < bytes.length * 8; bit++) {
			const flipped = bytes.slice();
			flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
			fuzz.run(flipped);
		}
	}
});

test("each kind of malformed frame has its name", () => {
	const short = new Uint8Array(4);
	new DataView(short.buffer).setUint32(0, 63, true);
	assert.equal(codeOf(short), "frame_too_short");
	const large = new Uint8Array(4);
	new DataView(large.buffer).setUint32(0, 65_537, true);
	assert.equal(codeOf(large), "frame_too_large", "judged before its body is waited for");
	assert.equal(codeOf(withU16(CONNECT, 4, 2)), "frame_version");
	assert.equal(codeOf(withU16(CONNECT, 8, 9)), "tier_unknown");
	assert.equal(codeOf(withU16(CONNECT, 70, 1)), "tlv_width");
	const comm = encodeFrame({ kind: "exit", tags: { COMM: "sh" } });
	assert.equal(codeOf(withU16(comm, 70, 3)), "tlv_overrun");
	assert.equal(codeOf(withU16(comm, 70, 0)), "tlv_overrun", "two bytes are no tag and length");
	const doubled = encodeFrame({ kind: "exit", tags: { COMM: "sh", TTY: "sh" } });
	assert.equal(codeOf(withU16(doubled, 74, 9)), "tlv_doubled");
});

test("the largest frame is read and one byte more is not", () => {
	const room = 65_536 - 64 - 4;
	assert.equal(
		tagBytes(one(encodeFrame({ kind: "exec", tags: { ARGV: new Uint8Array(room) } })), "ARGV")?.length,
		room,
	);
	assert.equal(
		codeOf(encodeFrame({ kind: "exec", tags: { ARGV: new Uint8Array(room - 3), TTY: "" } })),
		"frame_too_large",
	);
});

test("unknown kinds and unknown tags are skipped, and what follows is read", () => {
	const unknownKind = withU16(CONNECT, 6, 99);
	const unknownTag = withU16(encodeFrame({ kind: "exit", tags: { TTY: "x", COMM: "sh" } }), 68, 500);
	const read = new FrameReader().push(concatBytes(unknownKind, unknownTag));
	assert.ok(read.ok);
	assert.deepEqual(read.value[0], { kind: null, number: 99 });
	const frame = read.value[1] as CaptureFrame;
	assert.equal(frame.tags.skippedCount, 1);
	assert.equal(textOf(tagBytes(frame, "COMM") ?? new Uint8Array(0)), "sh");
});
