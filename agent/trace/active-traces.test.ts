import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SealedFiles } from "../disk-key/sealed-files.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { DISK } from "../testing/rig.ts";
import { activeTracesFile, readActiveTraces, writeActiveTraces } from "./active-traces.ts";

const silent = () => {};

function file(t: TestContext) {
	const path = mkdtempSync(join(tmpdir(), "active-"));
	t.after(() => rmSync(path, { recursive: true, force: true }));
	return activeTracesFile(new SealedFiles(path, DISK));
}

test("the list has one size, without a trace and with every slot taken by the longest id", (t) => {
	const at = file(t);
	const sizeWith = (ids: readonly string[]) => {
		writeActiveTraces(at, ids, silent);
		assert.deepEqual(readActiveTraces(at, silent), ids);
		return readFileSync(at.path).length;
	};
	const ids = Array.from({ length: AGENT_LIMITS.traceSlotsMax }, (_, index) =>
		`T-20261122-${index}`.padEnd("T-20261122-".length + 32, "x"),
	);
	assert.equal(new Set([sizeWith([]), sizeWith(ids.slice(0, 1)), sizeWith(ids)]).size, 1);
});

test("a damaged list is named and empty", (t) => {
	const at = file(t);
	writeActiveTraces(at, ["T-20261122-abc123"], silent);
	const whole = readFileSync(at.path);
	const codes: string[] = [];
	for (let length = 0; length < whole.length; length += 11) {
		writeFileSync(at.path, whole.subarray(0, length));
		assert.deepEqual(
			readActiveTraces(at, (code) => codes.push(code)),
			[],
		);
	}
	assert.deepEqual(new Set(codes), new Set(["active_traces_damaged"]));
});
