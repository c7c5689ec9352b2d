import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { gapSpans } from "./gap-spans.ts";
import { buildLineage, type LineageEvent, processId } from "./lineage.ts";
import { hopEdges, type LineageHop, lineageRows } from "./rows.ts";

let nextRow = 1;
function event(fields: Partial<LineageEvent>): LineageEvent {
	const row = nextRow++;
	return {
		row,
		agent: "web-01",
		kind: "fork",
		process: "a",
		kernelTimeNs: String(1000 + row),
		alignedTimeMs: 1000 + row,
		pid: null,
		parent: null,
		creatorParent: null,
		name: null,
		exe: null,
		exitCode: null,
		exitSignal: null,
		...fields,
	};
}

const NONE: ReadonlySet<string> = new Set();
const shape = (events: readonly LineageEvent[], hops: readonly LineageHop[] = [], collapsed = NONE) =>
	lineageRows(buildLineage(events), hops, collapsed).map((row) => `${"-".repeat(row.level - 1)}${row.id}`);

test("a child stands under the process that forked it, with its span and names", () => {
	const lineage = buildLineage([
		event({ kind: "snapshot", process: "a", pid: 10, name: "apache2", alignedTimeMs: 5 }),
		event({ kind: "fork", process: "b", pid: 11, name: "apache2", creatorParent: "a", alignedTimeMs: 10 }),
		event({ kind: "exec", process: "b", name: "bash", exe: "/bin/bash", parent: "a", alignedTimeMs: 11 }),
		event({ kind: "exit", process: "b", exitCode: 3, alignedTimeMs: 40 }),
	]);
	const node = lineage.nodes.get("web-01/b");
	assert.equal(node?.parent?.name, "apache2");
	assert.equal(node?.parentLink, "creator");
	assert.deepEqual([node?.startMs, node?.endMs, node?.exitCode, node?.name], [10, 40, 3, "bash"]);
	assert.deepEqual(node?.names, ["apache2", "bash"]);
	assert.deepEqual([node?.isStartSeen, node?.parent?.isStartSeen], [true, false]);
	assert.deepEqual(lineage.extent, { startMs: 5, endMs: 40 });
});

test("an orphan stays under its creator although its current parent is another", () => {
	const lineage = buildLineage([
		event({ process: "init" }),
		event({ process: "sh" }),
		event({ process: "child", creatorParent: "sh" }),
		event({ kind: "exec", process: "child", parent: "init", creatorParent: "sh" }),
	]);
	assert.equal(lineage.nodes.get("web-01/child")?.parent?.process, "sh");
});

test("a process whose creator is outside the trace stands under its current parent and says so", () => {
	const lineage = buildLineage([
		event({ process: "sh" }),
		event({ process: "c", creatorParent: "gone", parent: "sh" }),
	]);
	const node = lineage.nodes.get("web-01/c");
	assert.deepEqual([node?.parent?.process, node?.parentLink, node?.rootCause], ["sh", "current", null]);
});

test("a root says whether its parent was not recorded or is outside the trace", () => {
	const lineage = buildLineage([event({ process: "a" }), event({ process: "b", creatorParent: "elsewhere" })]);
	assert.equal(lineage.nodes.get("web-01/a")?.rootCause, "parent_not_recorded");
	assert.equal(lineage.nodes.get("web-01/b")?.rootCause, "parent_outside");
});

test("a parent of the same key on another host is no parent", () => {
	const lineage = buildLineage([event({ process: "a" }), event({ agent: "db-01", process: "b", creatorParent: "a" })]);
	assert.equal(lineage.nodes.get("db-01/b")?.rootCause, "parent_outside");
});

test("a pid used twice is two processes", () => {
	const lineage = buildLineage([
		event({ process: "first", pid: 77, name: "sh" }),
		event({ kind: "exit", process: "first", pid: 77 }),
		event({ process: "second", pid: 77, name: "nc" }),
	]);
	assert.deepEqual(
		[...lineage.nodes.values()].map((node) => [node.pid, node.name, node.events.length]),
		[
			[77, "sh", 2],
			[77, "nc", 1],
		],
	);
});

test("records that make a cycle of parents are cut where the first process stands", () => {
	const events = [
		event({ process: "self", creatorParent: "self" }),
		event({ process: "x", creatorParent: "y" }),
		event({ process: "y", creatorParent: "x" }),
		event({ process: "z", creatorParent: "y" }),
	];
	assert.deepEqual(shape(events), ["host:web-01", "-web-01/self", "-web-01/x", "--web-01/y", "---web-01/z"]);
	const lineage = buildLineage(events);
	assert.equal(lineage.nodes.get("web-01/x")?.rootCause, "parent_cycle");
	assert.equal(lineage.nodes.get("web-01/x")?.descendantCount, 2);
});

test("events of no process stand with their host, and a host without events is a row", () => {
	const lineage = buildLineage([event({ kind: "gap", process: "0" })], ["db-01"]);
	assert.deepEqual(
		lineage.hosts.map((host) => [host.agent, host.ownEvents.length, host.processCount]),
		[
			["web-01", 1, 0],
			["db-01", 0, 0],
		],
	);
	assert.deepEqual(
		lineageRows(lineage, [], NONE).map((row) => row.isExpanded),
		[null, null],
	);
});

test("a collapsed row hides what is below it and counts it", () => {
	const events = [
		event({ process: "a" }),
		event({ process: "b", creatorParent: "a" }),
		event({ process: "c", creatorParent: "b" }),
		event({ process: "d", creatorParent: "a" }),
	];
	const rows = lineageRows(buildLineage(events), [], new Set(["web-01/b", "no such row"]));
	assert.deepEqual(
		rows.map((row) => [row.id, row.isExpanded, row.hiddenCount, row.parentIndex]),
		[
			["host:web-01", true, 0, -1],
			["web-01/a", true, 0, 0],
			["web-01/b", false, 1, 1],
			["web-01/d", null, 0, 1],
		],
	);
	assert.equal(lineageRows(buildLineage(events), [], new Set(["host:web-01"]))[0]?.hiddenCount, 4);
});

const hop = (id: string, process: string, to: string | null): LineageHop => ({
	id,
	from: { agent: "web-01", process },
	to: to === null ? null : { agent: "db-01", process: to },
	followTarget: null,
	timeMs: 1,
});

test("a hop is a row under its process and an edge to the row of its other end", () => {
	const events = [
		event({ process: "ssh" }),
		event({ agent: "db-01", process: "sshd" }),
		event({ agent: "db-01", process: "bash", creatorParent: "sshd" }),
	];
	const hops = [{ ...hop("h1", "ssh", "sshd"), followTarget: { agent: "db-01", process: "bash" } }];
	const expected = ["host:web-01", "-web-01/ssh", "--hop:h1", "host:db-01", "-db-01/sshd", "--db-01/bash"];
	assert.deepEqual(shape(events, hops), expected);
	const lineage = buildLineage(events);
	const ends = (collapsed: readonly string[]) =>
		hopEdges(lineage, lineageRows(lineage, hops, new Set(collapsed)), hops).map((edge) => [
			edge.fromIndex,
			edge.toIndex,
		]);
	assert.deepEqual(ends([]), [[2, 5]]);
	assert.deepEqual(ends(["db-01/sshd"]), [[2, 4]], "drawn to the nearest row that shows");
	assert.deepEqual(ends(["web-01/ssh", "host:db-01"]), [[1, 2]]);
});

test("a hop without its process stands under its host, and one without a seen end has no target", () => {
	const hops = [hop("h2", "not in trace", null)];
	const lineage = buildLineage([event({ process: "a" })]);
	const rows = lineageRows(lineage, hops, NONE);
	assert.deepEqual(
		rows.map((row) => row.id),
		["host:web-01", "hop:h2", "web-01/a"],
	);
	assert.deepEqual(
		hopEdges(lineage, rows, hops).map((edge) => edge.toIndex),
		[null],
	);
});

test("the rows are the same for the same events in any order", () => {
	const events = Array.from({ length: 40 }, (_, i) =>
		event({ process: `p${i}`, creatorParent: i === 0 ? null : `p${(i * 7) % i}`, alignedTimeMs: 100 + (i >> 2) }),
	);
	const expected = shape(events);
	fc.assert(
		fc.property(fc.shuffledSubarray(events, { minLength: events.length }), (shuffled) => {
			assert.deepEqual(shape(shuffled), expected);
		}),
		{ numRuns: 30 },
	);
});

test("whatever parents the records name, every process is in exactly one tree", () => {
	const name = fc.integer({ min: 0, max: 12 }).map((i) => `p${i}`);
	const records = fc.array(fc.record({ process: name, creatorParent: fc.option(name), parent: fc.option(name) }));
	fc.assert(
		fc.property(records, (fields) => {
			const lineage = buildLineage(fields.map(event));
			const ids = lineageRows(lineage, [], NONE).flatMap((row) => (row.kind === "process" ? [row.id] : []));
			assert.deepEqual([...ids].sort(), [...new Set(fields.map((each) => processId("web-01", each.process)))].sort());
		}),
	);
});

test("kernel time decides within one millisecond, beyond what a double can hold", () => {
	const lineage = buildLineage([
		event({ process: "later", alignedTimeMs: 1, kernelTimeNs: "9007199254740993" }),
		event({ process: "first", alignedTimeMs: 1, kernelTimeNs: "9007199254740992" }),
		event({ process: "shorter", alignedTimeMs: 1, kernelTimeNs: "99" }),
	]);
	assert.deepEqual(
		[...lineage.nodes.values()].map((node) => node.process),
		["shorter", "first", "later"],
	);
});

test("ten thousand processes become rows quickly, in a chain as in a fan", () => {
	for (const parentOf of [(i: number) => `p${i - 1}`, () => "p0"]) {
		const events = Array.from({ length: 10_000 }, (_, i) =>
			event({ process: `p${i}`, creatorParent: i === 0 ? null : parentOf(i) }),
		);
		const startedAt = performance.now();
		assert.equal(lineageRows(buildLineage(events), [], NONE).length, 10_001);
		assert.ok(performance.now() - startedAt < 1000);
	}
});

test("a gap has a span of positive width that reaches back to the last event seen", () => {
	const gap = { agent: "web-01", from: "5", to: "9", cause: "ring full", atMs: 2000, sinceMs: null };
	const events = [
		{ agent: "db-01", alignedTimeMs: 1900 },
		{ agent: "web-01", alignedTimeMs: 1500 },
		{ agent: "web-01", alignedTimeMs: 2000 },
	];
	const spans = gapSpans(
		[
			{ ...gap, scope: "stream" },
			{ ...gap, scope: "cpu" },
			{ ...gap, scope: "stream", agent: "px-01", to: "x" },
			{ ...gap, scope: "count", from: "1", to: "12", sinceMs: 700 },
			{ ...gap, scope: "count", sinceMs: 2000 },
		],
		events,
	);
	assert.deepEqual(
		spans.map(({ startMs, endMs, missingCount }) => [startMs, endMs, missingCount]),
		[
			[1500, 2000, 5n],
			[1000, 2000, 5n],
			[1000, 2000, null],
			[700, 2000, 12n],
			[1000, 2000, 5n],
		],
	);
});
