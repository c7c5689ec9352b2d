import assert from "node:assert/strict";
import { test } from "node:test";
import { buildLineage, lineageRows } from "#core/lineage/index.ts";
import { tellStory } from "../../testing/story.ts";
import {
	firstAt,
	HEADER_HEIGHT,
	type LaneScene,
	ROW_HEIGHT,
	targetAt,
	traceStarts,
	visibleRange,
} from "./lane-scene.ts";

const { events, trace } = tellStory({ isFollowed: true, isHostile: false, nowMs: 0 });
const lineage = buildLineage(events);
const rows = lineageRows(lineage, trace.hops, new Set());
const startMs = lineage.extent?.startMs ?? 0;
const scene: LaneScene = {
	width: 1000,
	height: HEADER_HEIGHT + 10 * ROW_HEIGHT,
	scrollTop: 0,
	window: { startMs, endMs: startMs + 10_000 },
	endMs: startMs + 10_000,
	rows,
	edges: [],
	gaps: [],
	pins: new Map(),
	partialSince: new Map(),
	starts: new Map(),
	kinds: null,
	hueOf: () => 0,
	cursorMs: null,
	selectedRow: -1,
	selectedEvent: null,
	selectedHop: null,
};
const middleOf = (index: number) => HEADER_HEIGHT + index * ROW_HEIGHT + ROW_HEIGHT / 2;

test("a click means the nearest mark within reach, else the row, else nothing", () => {
	const index = rows.findIndex((row) => row.kind === "process" && row.node.pid === 4311);
	const row = rows[index];
	assert.ok(row?.kind === "process");
	const [first] = row.node.events;
	const x = ((first?.alignedTimeMs ?? 0) - startMs) / 10;
	const target = targetAt(scene, x - 5, middleOf(index));
	assert.deepEqual(target?.type === "event" && target.event.row, first?.row);
	assert.deepEqual(targetAt(scene, x - 40, middleOf(index)), { type: "row", index });
	assert.equal(targetAt(scene, x, HEADER_HEIGHT - 1), null);
	assert.equal(targetAt(scene, x, middleOf(rows.length)), null);
});

test("a kind that is filtered out cannot be clicked", () => {
	const index = rows.findIndex((row) => row.kind === "process" && row.node.pid === 4311);
	const row = rows[index];
	assert.ok(row?.kind === "process");
	const x = ((row.node.events[0]?.alignedTimeMs ?? 0) - startMs) / 10;
	const target = targetAt({ ...scene, kinds: new Set(["datagram"]) }, x, middleOf(index));
	assert.ok(target?.type === "event" && target.event.kind === "datagram");
	assert.deepEqual(targetAt({ ...scene, kinds: new Set(["accept"]) }, x, middleOf(index)), { type: "row", index });
});

test("only rows on screen are painted", () => {
	assert.deepEqual(visibleRange(scene), { first: 0, last: 10 });
	assert.deepEqual(visibleRange({ ...scene, scrollTop: 5 * ROW_HEIGHT + 1 }), { first: 5, last: 16 });
	assert.deepEqual(visibleRange({ ...scene, rows: [] }), { first: 0, last: -1 });
});

test("the first event at a moment is found at both ends and between", () => {
	const times = [10, 20, 20, 30].map((alignedTimeMs) => ({ alignedTimeMs }));
	assert.deepEqual([firstAt(times, 0), firstAt(times, 20), firstAt(times, 25), firstAt(times, 31)], [0, 1, 3, 4]);
});

test("a host's trace starts after the last event from its memory, and where it told none there is no line", () => {
	const starts = traceStarts(lineage.events);
	const isBefore = (row: (typeof events)[number]) => row.details?.marks?.includes("look_back") ?? false;
	for (const agent of ["web-01", "db-01"]) {
		const own = lineage.events.filter((event) => event.agent === agent && event.pid !== null);
		const startMs = starts.get(agent) ?? assert.fail(agent);
		for (const event of own) assert.equal(event.alignedTimeMs < startMs, isBefore(event), `${agent} ${event.row}`);
	}
	assert.equal(traceStarts(events.filter((event) => !isBefore(event))).size, 0);
	// Nothing happened for a while before somebody looked: the line stands where he looked.
	const [one] = lineage.events.filter((event) => event.pid !== null && !isBefore(event));
	assert.ok(one);
	const memory = { ...one, alignedTimeMs: one.alignedTimeMs - 5000, details: { marks: ["look_back" as const] } };
	assert.equal(traceStarts([memory, one]).get(one.agent), one.alignedTimeMs);
});
