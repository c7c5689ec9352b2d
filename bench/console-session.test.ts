import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { takeNotes } from "./console-session.ts";

test("notes are taken when they are complete; comments and the retry line are not notes", () => {
	const text =
		'retry: 2000\n\n: \n\ndata: {"kind":"hit","id":1}\n\ndata: {"kind":"events","traceId":"T"}\n\ndata: {"ki';
	const { notes, rest } = takeNotes(text);
	deepEqual(
		notes.map(({ kind }) => kind),
		["hit", "events"],
	);
	equal(rest, 'data: {"ki');
	deepEqual(takeNotes("data: {").notes, []);
});
