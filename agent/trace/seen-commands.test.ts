import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { encodeAs } from "#core/codec/index.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { DiskFailure } from "../outbox/storage.ts";
import { SeenCommands, seenListShape } from "./seen-commands.ts";

function directory(t: TestContext): string {
	const path = mkdtempSync(join(tmpdir(), "seen-"));
	t.after(() => rmSync(path, { recursive: true, force: true }));
	return path;
}

function commandOf(number: number, expiresAtMs = 1000) {
	const id = new Uint8Array(16);
	new DataView(id.buffer).setUint32(0, number);
	return { id, payloadHash: new Uint8Array(32).fill(number), expiresAtMs };
}

test("an id is known after a restart, and only then no longer answered in this run", (t) => {
	const path = directory(t);
	const seen = SeenCommands.open(path);
	assert.ok(seen.record(commandOf(1), 0).ok);
	assert.ok(seen.isAnswered(commandOf(1).id, commandOf(1).payloadHash));
	assert.ok(
		!seen.isAnswered(commandOf(1).id, commandOf(2).payloadHash),
		"other bytes under a used id are no repetition",
	);
	const again = SeenCommands.open(path);
	assert.ok(again.has(commandOf(1).id));
	assert.ok(!again.isAnswered(commandOf(1).id, commandOf(1).payloadHash));
	assert.ok(!again.has(commandOf(2).id));
});

test("ids are kept beyond their expiry and pruned later", (t) => {
	const seen = SeenCommands.open(directory(t));
	seen.record(commandOf(1, 1000), 0);
	seen.record(commandOf(2, 9e9), 1000 + AGENT_LIMITS.seenCommandsKeepMs);
	assert.ok(seen.has(commandOf(1).id));
	seen.record(commandOf(3, 9e9), 1001 + AGENT_LIMITS.seenCommandsKeepMs);
	assert.ok(!seen.has(commandOf(1).id));
});

test("a damaged list stops the agent at every byte that matters", (t) => {
	const path = directory(t);
	SeenCommands.open(path).record(commandOf(1), 0);
	const file = join(path, "seen-commands.cbor");
	const whole = readFileSync(file);
	for (let cut = 0; cut < whole.length; cut++) {
		writeFileSync(file, whole.subarray(0, cut));
		assert.throws(() => SeenCommands.open(path), DiskFailure);
	}
});

test("a full list refuses the next command instead of forgetting one", (t) => {
	const path = directory(t);
	const entries = Array.from({ length: AGENT_LIMITS.seenCommandsMax - 1 }, (_, number) => commandOf(number + 10, 9e12));
	// Written at once: one call each would sync 4,095 times.
	writeFileSync(join(path, "seen-commands.cbor"), encodeAs(seenListShape, entries));
	const seen = SeenCommands.open(path);
	assert.ok(seen.record(commandOf(1, 9e12), 0).ok);
	const refused = seen.record(commandOf(2, 9e12), 0);
	assert.ok(!refused.ok && refused.code === "seen_list_full");
	assert.ok(seen.has(commandOf(10).id));
});
