import assert from "node:assert/strict";
import { test } from "node:test";
import { buildLineage } from "#core/lineage/index.ts";
import type { EventRow } from "../../../workers/sc/api/answers.ts";
import { keyOf, tellStory } from "../../testing/story.ts";
import { partialCauseText, partialViews } from "./partial-view.ts";

const { events } = tellStory({ isFollowed: false, isHostile: false, nowMs: 0 });
const idOf = (pid: number) => `web-01/${keyOf("web-01", pid)}`;
const viewsOf = (rows: readonly EventRow[]) => partialViews(buildLineage(rows).hosts.flatMap((host) => host.roots));
const causes = (rows: readonly EventRow[], pid: number) =>
	(viewsOf(rows).get(idOf(pid)) ?? []).map(({ cause, from }) => `${cause} ${from?.pid ?? "own"}`);

test("the mark stands on the process that was told of and on what it forked afterwards, and nowhere else", () => {
	assert.deepEqual(causes(events, 4351), ["io_uring own"]);
	assert.deepEqual(causes(events, 4352), ["io_uring 4351"]);
	assert.equal(viewsOf(events).size, 2);
	assert.equal(viewsOf(events.filter(({ kind }) => kind !== "view_partial")).size, 0);
});

test("what was forked before the mark does not inherit it", () => {
	const fork = events.find(({ kind, pid }) => kind === "fork" && pid === 4352) ?? assert.fail();
	const late = events.map((event) =>
		event.kind === "view_partial" ? { ...event, alignedTimeMs: fork.alignedTimeMs + 5000 } : event,
	);
	assert.deepEqual(causes(late, 4352), []);
});

test("a snapshot says it too, with every cause once", () => {
	const told = events.map((event) =>
		event.kind === "snapshot"
			? { ...event, details: { absent: ["tty: none", "view: partial (io_uring, compat32)"] } }
			: event,
	);
	assert.deepEqual(causes(told, 812), ["io_uring own", "compat32 own"]);
	assert.deepEqual(causes(told, 4352), ["io_uring 4351", "compat32 812"], "its own word and what it inherited");
});

test("a known cause is a sentence, another one stays the host's word", () => {
	assert.match(partialCauseText("io_uring"), /io_uring.*no system call/);
	assert.equal(partialCauseText("constructor"), "constructor");
});
