import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { textOf, utf8 } from "#core/bytes/bytes.ts";
import { type ExportFacts, exportActBody } from "./export-act.ts";

const facts: ExportFacts = {
	traceId: "T-20261122-abc123",
	exporter: "ana",
	reason: "case 7",
	batches: [utf8("one"), utf8("two")],
	commands: [utf8("start")],
};

test("the body is one JSON text whose digests a person makes with sha256sum and sort", () => {
	const hash = (text: string) => createHash("sha256").update(text).digest("hex");
	const over = (members: string[]) => hash(`${members.map(hash).sort().join("\n")}\n`);
	const expected = {
		traceId: facts.traceId,
		exporter: "ana",
		reason: "case 7",
		batches: { count: 2, sha256: over(["one", "two"]) },
		commands: { count: 1, sha256: over(["start"]) },
	};
	assert.equal(textOf(exportActBody(facts)), JSON.stringify(expected));
});

test("the order of batches and commands is nothing, every fact is something", () => {
	const body = textOf(exportActBody(facts));
	assert.equal(textOf(exportActBody({ ...facts, batches: [...facts.batches].reverse() })), body);
	const others: Partial<ExportFacts>[] = [
		{ traceId: "T-20261122-abc124" },
		{ exporter: "ben" },
		{ reason: "case 8" },
		{ batches: facts.batches.slice(1) },
		{ batches: [utf8("one"), utf8("twO")] },
		{ batches: [utf8("one"), utf8("one"), utf8("two")] },
		{ commands: [] },
		{ batches: facts.commands, commands: facts.batches },
	];
	for (const other of others) assert.notEqual(textOf(exportActBody({ ...facts, ...other })), body);
});
