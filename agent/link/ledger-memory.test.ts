import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SealedFiles } from "../disk-key/sealed-files.ts";
import { DISK } from "../testing/rig.ts";
import { LedgerMemory } from "./ledger-memory.ts";

const rootOf = (byte: number) => new Uint8Array(32).fill(byte);

function place(t: TestContext) {
	const directory = mkdtempSync(join(tmpdir(), "agent-ledger-"));
	t.after(() => rmSync(directory, { recursive: true }));
	const codes: string[] = [];
	return {
		files: new SealedFiles(directory, DISK),
		file: join(directory, "ledger-seen.sealed"),
		codes,
		log: (code: string) => codes.push(code),
	};
}

test("the newest tree is remembered over a restart, and only its own root fits its size", (t) => {
	const { files, log, codes } = place(t);
	const memory = LedgerMemory.open(files, log);
	assert.ok(memory.take({ size: 5, root: rootOf(5) }));
	assert.ok(memory.take({ size: 9, root: rootOf(9) }));
	assert.ok(memory.take({ size: 5, root: rootOf(1) }), "an older tree says nothing about the newest");
	assert.ok(!memory.take({ size: 9, root: rootOf(8) }));
	memory.persist();
	const again = LedgerMemory.open(files, log);
	assert.ok(!again.take({ size: 9, root: rootOf(8) }));
	assert.ok(again.take({ size: 9, root: rootOf(9) }));
	assert.ok(again.take({ size: 10, root: rootOf(8) }));
	assert.deepEqual(codes, []);
});

test("a damaged memory is named and begins again", (t) => {
	const { files, file, log, codes } = place(t);
	const memory = LedgerMemory.open(files, log);
	memory.take({ size: 9, root: rootOf(9) });
	memory.persist();
	const whole = readFileSync(file);
	for (let length = 0; length < whole.length; length++) {
		writeFileSync(file, whole.subarray(0, length));
		assert.ok(LedgerMemory.open(files, log).take({ size: 9, root: rootOf(8) }));
	}
	assert.deepEqual(new Set(codes), new Set(["ledger_memory_damaged"]));
});

test("nothing is written before a tree was seen", (t) => {
	const { files, file, log } = place(t);
	LedgerMemory.open(files, log).persist();
	assert.throws(() => readFileSync(file), /ENOENT/);
});
