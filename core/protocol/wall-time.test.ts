/** Every wall-clock millisecond that crosses a link, a batch or the ledger ends where a `Date` ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeAs, encodeAs, type Shape, WALL_MS_MAX } from "#core/codec/index.ts";
import { type HelloPayload, readHelloNonce, signHello } from "#core/identity/hello.ts";
import { decodeLeaf, encodeLeaf } from "#core/ledger/index.ts";
import { batchHeaderShape, ZERO_HASH } from "#core/model/batch.ts";
import { type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { eventShape, ZERO_PROCESS } from "#core/model/event.ts";
import { decodeFrame, encodeFrame, type Health } from "./frames.ts";

const bytes16 = new Uint8Array(16);
const command: TraceCommand = {
	traceId: "T-20261122-abc123",
	targetAgent: "web-01",
	targetPid: 1,
	depth: 1,
	collectCmdlines: false,
	collectNetwork: false,
	collectFileMeta: false,
	maxDurationSecs: 1,
	initiatedBy: "ana",
	timestampMs: 1,
	targetProcess: bytes16,
	commandId: bytes16,
	expiresAtMs: 1,
	reason: "",
	trustVersion: 1,
	act: "start",
};
const header = {
	agent: "web-01",
	stream: new Uint8Array(8),
	seq: 1,
	prevHash: ZERO_HASH,
	startMs: 1,
	endMs: 1,
	lane: "bulk",
	eventCount: 1,
	eventsRoot: ZERO_HASH,
	firstEvent: 0,
} as const;
const health = (timeMs: number): Health => ({
	timeMs,
	streams: [],
	outboxBytes: 0,
	oldestUnackedMs: 0,
	rssBytes: 0,
	eventCount: 0,
	gapCount: 0,
});

const isRead = <T>(shape: Shape<T>, value: T): boolean => decodeAs(shape, encodeAs(shape, value)).ok;

function isHelloRead(timeMs: number): boolean {
	const nonce = new Uint8Array(32);
	const payload: HelloPayload = {
		protocol: 1,
		serverNonce: nonce,
		clientNonce: nonce,
		serverUri: "",
		certFingerprint: nonce,
		timeMs,
		streams: [],
	};
	const binding = { statement: nonce, nodeSignature: new Uint8Array(64), tlsSignature: new Uint8Array(64) };
	return readHelloNonce(signHello(payload, nonce, { chain: [], binding })) !== null;
}

function isLeafRead(tsMs: number): boolean {
	const leaf = { kind: "export", actor: "ana", subject: "x", bodyHash: ZERO_HASH } as const;
	// A reader's own bytes at the limit, with the time put in by hand: the writer refuses what it could not read back.
	const encoded = encodeLeaf({ ...leaf, tsMs: WALL_MS_MAX });
	const at = Buffer.from(encoded).indexOf(Buffer.from("1b001eb208c2dc0000", "hex"));
	new DataView(encoded.buffer, encoded.byteOffset).setBigUint64(at + 1, BigInt(tsMs));
	return decodeLeaf(encoded).ok;
}

const frame = (message: Uint8Array): boolean => decodeFrame(message).ok;
const fields: Record<string, (ms: number) => boolean> = {
	"event.wallTimeMs": (wallTimeMs) =>
		isRead(eventShape, {
			kind: "exit",
			process: ZERO_PROCESS,
			kernelTimeNs: 1n,
			wallTimeMs,
			seq: 0,
			tier: "ebpf",
			payload: {},
		}),
	"batch.startMs": (startMs) => isRead(batchHeaderShape, { ...header, startMs }),
	"batch.endMs": (endMs) => isRead(batchHeaderShape, { ...header, endMs }),
	"command.timestampMs": (timestampMs) => isRead(traceCommandShape, { ...command, timestampMs }),
	"command.expiresAtMs": (expiresAtMs) => isRead(traceCommandShape, { ...command, expiresAtMs }),
	"hello.timeMs": isHelloRead,
	"leaf.tsMs": isLeafRead,
	"welcome.timeMs": (timeMs) => frame(encodeFrame("welcome", { timeMs, watermarks: [], trust: [] })),
	"heartbeat.health.timeMs": (timeMs) => frame(encodeFrame("heartbeat", { health: health(timeMs) })),
	"agent_state.heardAtMs": (heardAtMs) => frame(encodeFrame("agent_state", { agent: "web-01", isUp: true, heardAtMs })),
	"command frame's expiresAtMs": (expiresAtMs) =>
		frame(encodeFrame("command", { agent: "web-01", commandId: bytes16, envelope: bytes16, expiresAtMs })),
};

for (const [name, isTaken] of Object.entries(fields))
	test(`${name} is read up to the last date and refused beyond`, () => {
		assert.ok(isTaken(WALL_MS_MAX));
		for (const ms of [WALL_MS_MAX + 1, Number.MAX_SAFE_INTEGER]) assert.ok(!isTaken(ms), String(ms));
	});
