import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { missingForKernel } from "../kernel-needs.ts";
import { openLineage } from "../lineage.ts";
import { catchLives } from "./lives.ts";
import { buildProgram } from "./programs.ts";

test("every process that lives a few milliseconds is caught with parent, arguments and exit", {
	skip: missingForKernel(),
	timeout: 60_000,
}, async (t) => {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-lives-"));
	t.after(() => rmSync(directory, { recursive: true, force: true }));
	const lineage = await openLineage();
	assert.ok(lineage.ok, lineage.ok ? "" : lineage.detail);
	t.after(() => lineage.value.close());
	const program = buildProgram("short-lives", directory);
	assert.ok(program.ok, program.ok ? "" : program.detail);
	const context = { signal: t.signal, onStep: () => undefined, report: () => undefined };
	const options = { context, count: 200, lifeMsMax: 10, tiers: ["ebpf"] } as const;
	const caught = await catchLives(lineage.value, program.value, options);
	assert.ok(caught.ok, caught.ok ? "" : caught.detail);
	assert.deepEqual(caught.value.get("ebpf"), { seen: 1, parent: 1, argv: 1, exit: 1, whole: 1 });
});
