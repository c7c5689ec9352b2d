import assert from "node:assert/strict";
import { test } from "node:test";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { draftOf, Rig } from "../testing/rig.ts";

test("trace and alert are on disk within ten milliseconds, bulk within its window", () => {
	const rig = new Rig();
	rig.lanes.add("bulk", draftOf(1));
	rig.lanes.add("trace", draftOf(2));
	rig.lanes.add("alert", draftOf(3));
	rig.advance(AGENT_LIMITS.promptFlushMs - 1);
	assert.equal(
		rig.outbox.chains().reduce((sum, chain) => sum + chain.head, 0),
		0,
	);
	rig.advance(1);
	assert.equal(rig.delivered("trace").events.length, 1);
	assert.equal(rig.delivered("alert").events.length, 1);
	assert.equal(rig.delivered("bulk").events.length, 0);
	rig.advance(250);
	assert.equal(rig.delivered("bulk").events.length, 1);
});

test("a batch is cut at the count of events, and numbering goes on", () => {
	const rig = new Rig();
	for (let pid = 0; pid < 4500; pid++) rig.lanes.add("bulk", draftOf(pid));
	rig.lanes.flush();
	const { batches, events } = rig.delivered("bulk");
	assert.deepEqual(
		batches.map(({ header }) => [header.eventCount, header.firstEvent]),
		[
			[2000, 0],
			[2000, 2000],
			[500, 4000],
		],
	);
	assert.deepEqual(
		events.map(({ seq }) => seq),
		Array.from({ length: 4500 }, (_, index) => index),
	);
});

test("a batch is cut below the bytes that a hop takes", () => {
	const rig = new Rig();
	for (let pid = 0; pid < 60; pid++) {
		const cmdline = Array.from({ length: 8 }, () => "x".repeat(7000));
		rig.lanes.add("trace", { ...draftOf(pid), payload: { pid, cmdline } });
	}
	rig.lanes.flush();
	const { batches } = rig.delivered("trace");
	assert.ok(batches.length > 1);
	assert.ok(batches.every(({ bytes }) => bytes.length <= MODEL_LIMITS.batchBytesMax));
});

test("an event that no batch may hold loses its command line and says so", () => {
	const rig = new Rig();
	const cmdline = Array.from({ length: 6 }, () => "\u{fffd}".repeat(5000));
	rig.lanes.add("trace", { ...draftOf(1), payload: { pid: 1, cmdline } });
	rig.lanes.flush();
	const [event] = rig.delivered("trace").events;
	assert.equal(event?.payload.cmdline, undefined);
	assert.equal(event?.payload.isCmdlineCut, true);
});

test("every trace event is signed for itself, and no bulk event is", () => {
	const rig = new Rig();
	rig.put("trace", 1);
	rig.put("bulk", 2);
	assert.ok(
		rig.delivered("trace").batches.every(({ events }) => events.every(({ signature }) => signature !== undefined)),
	);
	assert.ok(
		rig.delivered("bulk").batches.every(({ events }) => events.every(({ signature }) => signature === undefined)),
	);
});

test("what waits when its stream ends is numbered anew in the next, and traces are signed anew", () => {
	for (const lane of ["trace", "bulk"] as const) {
		const rig = new Rig();
		rig.put(lane, 1);
		for (const pid of [2, 3]) rig.lanes.add(lane, draftOf(pid, `/bin/${pid}`));
		rig.outbox.close(lane);
		rig.lanes.flush();
		const { batches, events } = rig.delivered(lane);
		assert.equal(batches.length, 2);
		assert.deepEqual(
			events.map(({ seq, payload }) => [seq, payload.pid, payload.exe]),
			[
				[0, 1, undefined],
				[0, 2, "/bin/2"],
				[1, 3, "/bin/3"],
			],
		);
	}
});
