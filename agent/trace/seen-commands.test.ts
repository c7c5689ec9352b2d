import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { encodeAs } from "#core/codec/index.ts";
import { SealedFiles } from "../disk-key/sealed-files.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { DiskFailure } from "../outbox/storage.ts";
import { DISK } from "../testing/rig.ts";
import { SEEN_BYTES_MAX, SeenCommands, seenListShape } from "./seen-commands.ts";

function files(t: TestContext): SealedFiles {
	const path = mkdtempSync(join(tmpdir(), "seen-"));
	t.after(() => rmSync(path, { recursive: true, force: true }));
	return new SealedFiles(path, DISK);
}

/** As many entries as asked, of the largest size, written at once: one call each would sync for every one. */
function fillFile(at: SealedFiles, count: number): void {
	const entries = Array.from({ length: count }, (_, number) => commandOf(number + 10, Number.MAX_SAFE_INTEGER));
	at.file("seen-commands", { contentBytesMax: SEEN_BYTES_MAX }).write(encodeAs(seenListShape, entries));
}

function commandOf(number: number, expiresAtMs = 1000) {
	const id = new Uint8Array(16);
	new DataView(id.buffer).setUint32(0, number);
	return { id, payloadHash: new Uint8Array(32).fill(number), expiresAtMs };
}

test("an id is known after a restart, and only then no longer answered in this run", (t) => {
	const at = files(t);
	const seen = SeenCommands.open(at);
	assert.ok(seen.record(commandOf(1), 0).ok);
	assert.ok(seen.isAnswered(commandOf(1).id, commandOf(1).payloadHash));
	assert.ok(
		!seen.isAnswered(commandOf(1).id, commandOf(2).payloadHash),
		"other bytes under a used id are no repetition",
	);
	const again = SeenCommands.open(at);
	assert.ok(again.has(commandOf(1).id));
	assert.ok(!again.isAnswered(commandOf(1).id, commandOf(1).payloadHash));
	assert.ok(!again.has(commandOf(2).id));
});

test("ids are kept beyond their expiry and pruned later", (t) => {
	const seen = SeenCommands.open(files(t));
	seen.record(commandOf(1, 1000), 0);
	seen.record(commandOf(2, 9e9), 1000 + AGENT_LIMITS.seenCommandsKeepMs);
	assert.ok(seen.has(commandOf(1).id));
	seen.record(commandOf(3, 9e9), 1001 + AGENT_LIMITS.seenCommandsKeepMs);
	assert.ok(!seen.has(commandOf(1).id));
});

test("a damaged list stops the agent at every byte that matters", (t) => {
	const at = files(t);
	SeenCommands.open(at).record(commandOf(1), 0);
	const file = at.file("seen-commands").path;
	const whole = readFileSync(file);
	// Every cut of the head and some of each 4 KiB behind it: all of 256 KiB would take minutes and say the same.
	for (let cut = 0; cut < whole.length; cut += cut < 200 ? 1 : 1021) {
		writeFileSync(file, whole.subarray(0, cut));
		assert.throws(() => SeenCommands.open(at), DiskFailure, `cut at ${cut}`);
	}
	for (let flipped = 0; flipped < whole.length; flipped += flipped < 200 ? 1 : 1021) {
		const damaged = Uint8Array.from(whole);
		damaged[flipped] = (damaged[flipped] as number) ^ 1;
		writeFileSync(file, damaged);
		assert.throws(() => SeenCommands.open(at), DiskFailure, `byte ${flipped}`);
	}
});

test("the file stands from the first start and has one size, empty and full", (t) => {
	const at = files(t);
	const seen = SeenCommands.open(at);
	const size = () => readFileSync(at.file("seen-commands").path).length;
	const before = size();
	assert.ok(seen.record(commandOf(1, Number.MAX_SAFE_INTEGER), 0).ok);
	assert.equal(size(), before);
	fillFile(at, AGENT_LIMITS.seenCommandsMax);
	assert.equal(size(), before);
	const stored = at.file("seen-commands").read();
	assert.ok(
		stored.ok && stored.value !== null && stored.value.length > before * 0.9,
		"the size is no more than needed",
	);
});

test("a full list refuses the next command instead of forgetting one", (t) => {
	const at = files(t);
	fillFile(at, AGENT_LIMITS.seenCommandsMax - 1);
	const seen = SeenCommands.open(at);
	assert.ok(seen.record(commandOf(1, 9e12), 0).ok);
	const refused = seen.record(commandOf(2, 9e12), 0);
	assert.ok(!refused.ok && refused.code === "seen_list_full");
	assert.ok(seen.has(commandOf(10).id));
});
