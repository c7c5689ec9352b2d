import assert from "node:assert/strict";
import { test } from "node:test";
import { equalBytes } from "#core/bytes/bytes.ts";
import { ed25519PublicKey } from "#crypto";
import {
	LANES,
	type Lane,
	peekLane,
	readBatch,
	sealBatch,
	sealEvent,
	verifyBatch,
	verifyBatchEvents,
	ZERO_HASH,
} from "./batch.ts";
import type { Event } from "./event.ts";
import { processKeyOf } from "./ids.ts";
import { MODEL_LIMITS } from "./limits.ts";

const seed = new Uint8Array(32).fill(7);
const publicKey = ed25519PublicKey(seed);

function event(seq: number, overrides: Partial<Event> = {}): Event {
	return {
		kind: "exec",
		process: new Uint8Array(16).fill(1),
		kernelTimeNs: 1_234_567_890_123n,
		wallTimeMs: 1_763_800_000_000,
		seq,
		tier: "ebpf",
		payload: { pid: 42, name: "bash", exe: "/usr/bin/bash", cmdline: ["bash", "-c", "***"], isCmdlineMasked: true },
		...overrides,
	};
}

function batch(count: number, lane: Lane = "bulk", firstEvent = 0): Uint8Array {
	const events = Array.from({ length: count }, (_, i) =>
		sealEvent(event(firstEvent + i), lane === "trace" ? seed : null),
	);
	const header = {
		agent: "web-01",
		stream: new Uint8Array(8),
		seq: 1,
		prevHash: ZERO_HASH,
		startMs: 1,
		endMs: 2,
		lane,
		firstEvent,
	};
	return sealBatch(header, events, seed).bytes;
}

test("a sealed batch is read, believed and its events come back as they were", () => {
	for (const lane of ["bulk", "trace"] as const) {
		const read = readBatch(batch(3, lane));
		assert(read.ok);
		assert.deepEqual(verifyBatch(read.value, publicKey), { ok: true, value: true });
		assert.deepEqual(verifyBatchEvents(read.value, publicKey), { ok: true, value: [event(0), event(1), event(2)] });
	}
});

test("a batch with any bit flipped is refused or still says exactly what was signed", () => {
	const sealed = batch(2, "trace");
	const original = readBatch(sealed);
	assert(original.ok);
	for (let at = 0; at < sealed.length; at++) {
		const flipped = Uint8Array.from(sealed);
		flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
		const read = readBatch(flipped);
		if (!read.ok) continue;
		const isBelieved = verifyBatch(read.value, publicKey).ok && verifyBatchEvents(read.value, publicKey).ok;
		assert(!isBelieved, `byte ${at}`);
	}
});

test("a batch cut anywhere is refused", () => {
	const sealed = batch(1);
	for (let length = 0; length < sealed.length; length++)
		assert(!readBatch(sealed.subarray(0, length)).ok, `cut at ${length}`);
});

test("a batch under another key is refused by its signature", () => {
	const read = readBatch(batch(1));
	assert(read.ok);
	const verdict = verifyBatch(read.value, ed25519PublicKey(new Uint8Array(32).fill(8)));
	assert(!verdict.ok && verdict.code === "batch_signature_invalid");
});

test("events swapped, dropped or added under a signed header are refused", () => {
	const read = readBatch(batch(3));
	assert(read.ok);
	const [a, b, c] = read.value.events;
	assert(a && b && c);
	const swapped = verifyBatch({ ...read.value, events: [b, a, c] }, publicKey);
	assert(!swapped.ok && swapped.code === "batch_root_mismatch");
	const dropped = verifyBatch({ ...read.value, events: [a, b] }, publicKey);
	assert(!dropped.ok && dropped.code === "batch_count_mismatch");
	const empty = verifyBatch({ ...read.value, events: [] }, publicKey);
	assert(!empty.ok && empty.code === "batch_empty");
});

test("an event of the trace lane without its own signature, or numbered wrong, is refused", () => {
	const header = {
		agent: "web-01",
		stream: new Uint8Array(8),
		seq: 1,
		prevHash: ZERO_HASH,
		startMs: 1,
		endMs: 2,
		firstEvent: 5,
	};
	const unsigned = readBatch(sealBatch({ ...header, lane: "trace" }, [sealEvent(event(5), null)], seed).bytes);
	assert(unsigned.ok);
	const missing = verifyBatchEvents(unsigned.value, publicKey);
	assert(!missing.ok && missing.code === "event_signature_missing");
	const misnumbered = readBatch(sealBatch({ ...header, lane: "bulk" }, [sealEvent(event(6), null)], seed).bytes);
	assert(misnumbered.ok);
	const broken = verifyBatchEvents(misnumbered.value, publicKey);
	assert(!broken.ok && broken.code === "event_sequence_broken");
});

test("a batch is taken at its size limit and refused above it", () => {
	const large = readBatch(new Uint8Array(MODEL_LIMITS.batchBytesMax + 1));
	assert(!large.ok && large.code === "batch_too_large");
	const atLimit = readBatch(new Uint8Array(MODEL_LIMITS.batchBytesMax));
	assert(!atLimit.ok && atLimit.code !== "batch_too_large");
});

test("a process key tells machines, boots, pids and start times apart and repeats otherwise", () => {
	const identity = { machineId: "m1", bootId: "b1", tgid: 10, startTicks: 99n };
	const key = processKeyOf(identity);
	assert.equal(key.length, 16);
	assert(equalBytes(key, processKeyOf({ ...identity })));
	for (const other of [{ machineId: "m2" }, { bootId: "b2" }, { tgid: 11 }, { startTicks: 100n }])
		assert(!equalBytes(key, processKeyOf({ ...identity, ...other })));
	assert(
		!equalBytes(
			processKeyOf({ ...identity, machineId: "a", bootId: "bc" }),
			processKeyOf({ ...identity, machineId: "ab", bootId: "c" }),
		),
	);
});

test("the lane is seen without a look at the events, and nothing where that much does not read", () => {
	for (const lane of LANES) {
		const bytes = batch(3, lane);
		assert.equal(peekLane(bytes), lane);
		assert.equal(peekLane(bytes.slice(0, 20)), null);
		assert.equal(peekLane(Uint8Array.from([0, ...bytes])), null);
	}
	assert.equal(peekLane(new Uint8Array()), null);
});
