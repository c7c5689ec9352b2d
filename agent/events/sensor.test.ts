import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeFrameBody, encodeFrame, type OutgoingFrame } from "../capture/frame.ts";
import { PREFIX_BYTES } from "../capture/layout.ts";
import { HostClock } from "../clock.ts";
import { fidelityDrafts } from "./sensor.ts";

const clock = new HostClock({ wallMs: () => 5, bootNs: () => 1n, monotonicMs: () => 0 });

function shed(...counts: bigint[]): Uint8Array {
	const column = new Uint8Array(8 * counts.length);
	for (const [i, count] of counts.entries()) new DataView(column.buffer).setBigUint64(8 * i, count, true);
	return column;
}

function drafts(tags: NonNullable<OutgoingFrame["tags"]>) {
	const decoded = decodeFrameBody(encodeFrame({ kind: "fidelity", ktimeNs: 9n, tags }).subarray(PREFIX_BYTES));
	assert.ok(decoded.ok && decoded.value.kind !== null);
	return fidelityDrafts(decoded.value, clock);
}

test("each class that lost events is a gap with its count, its cause and when it began", () => {
	const { fidelity, gaps } = drafts({
		LEVEL: 2,
		CAUSE: "psi_memory",
		SHED: shed(1234n, 0n, 1n, 0n, 0n, 7n),
		SINCE_NS: 42n,
	});
	assert.deepEqual(fidelity.payload, { fidelityLevel: 2, cause: "psi_memory", sinceNs: 42n });
	assert.deepEqual([fidelity.kind, fidelity.tier, fidelity.kernelTimeNs], ["fidelity", "ebpf", 9n]);
	assert.deepEqual(
		gaps.map(({ kind, payload }) => [kind, payload.cause, payload.gapScope, payload.gapFrom, payload.gapTo]),
		[
			["gap", "shed: file_detail (psi_memory)", "count", 1n, 1234n],
			["gap", "shed: network_detail (psi_memory)", "count", 1n, 1n],
			["gap", "shed: class_5 (psi_memory)", "count", 1n, 7n],
		],
	);
	assert.ok(gaps.every(({ payload }) => payload.sinceNs === 42n));
});

test("a return to full fidelity that lost nothing makes no gap", () => {
	const { fidelity, gaps } = drafts({ LEVEL: 0, SHED: shed(0n, 0n, 0n, 0n, 0n) });
	assert.deepEqual([fidelity.payload, gaps.length], [{ fidelityLevel: 0 }, 0]);
});

test("levels and classes beyond what is known stay within the event's shape", () => {
	const { fidelity, gaps } = drafts({ LEVEL: 4_000_000, SHED: shed(...Array.from({ length: 40 }, () => 1n)) });
	assert.deepEqual([fidelity.payload.fidelityLevel, gaps.length], [16, 16]);
});

test("events that found no room at full fidelity are gaps, too", () => {
	const { fidelity, gaps } = drafts({ LEVEL: 0, CAUSE: "ring_busy", SHED: shed(0n, 9n, 0n, 0n, 0n), SINCE_NS: 3n });
	assert.equal(fidelity.payload.fidelityLevel, 0);
	assert.deepEqual(
		gaps.map(({ payload }) => [payload.cause, payload.gapTo, payload.sinceNs]),
		[["shed: file_watched (ring_busy)", 9n, 3n]],
	);
});
