import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { encodeAs } from "#core/codec/index.ts";
import { eventShape } from "#core/model/event.ts";
import { loadDrafts } from "./load-events.ts";

test("a load is as many valid events as asked for, the same every time, and masks its arguments", () => {
	const drafts = loadDrafts(1000, 1_800_000_000_000);
	equal(drafts.length, 1000);
	deepEqual(loadDrafts(1000, 1_800_000_000_000), drafts);
	const bytes = drafts.map((draft, seq) => encodeAs(eventShape, { ...draft, seq }).length);
	equal(
		bytes.every((length) => length > 100 && length < 1000),
		true,
	);
	equal(JSON.stringify(drafts.map(({ payload }) => payload.cmdline ?? [])).includes("mirror"), false);
});

test("every process begins with a fork and has its own key", () => {
	const drafts = loadDrafts(500, 0);
	const keys = drafts.filter(({ kind }) => kind === "fork").map(({ process }) => Buffer.from(process).toString("hex"));
	equal(new Set(keys).size, keys.length);
	equal(drafts[0]?.kind, "fork");
});
