import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { hexOf } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { type SignedEnvelope, signedEnvelopeShape, traceCommandShape } from "#core/model/command.ts";
import { ok } from "#core/result.ts";
import { sha256 } from "#crypto";
import { HostClock } from "../clock.ts";
import { SealedFiles } from "../disk-key/sealed-files.ts";
import type { EventDraft } from "../events/draft.ts";
import { LookBack } from "../lookback/look-back.ts";
import { ProcessTable } from "../process-table/process-table.ts";
import { commandOf, genesis, signCommand } from "../testing/lab.ts";
import { DISK } from "../testing/rig.ts";
import { Commands } from "./commands.ts";
import { SeenCommands } from "./seen-commands.ts";
import { Traces } from "./traces.ts";

interface Desk {
	readonly commands: Commands;
	readonly traces: Traces;
	readonly answers: EventDraft[];
}

function desk(t: TestContext): Desk {
	const directory = mkdtempSync(join(tmpdir(), "agent-commands-"));
	t.after(() => rmSync(directory, { recursive: true }));
	const clock = new HostClock({ wallMs: Date.now, bootNs: () => 1n, monotonicMs: () => performance.now() });
	const traces = new Traces({
		clock,
		caps: { eventsPerSecMax: 1000, bytesMax: 1e9 },
		lookBack: new LookBack({ bytesMax: 4096, maxAgeMs: 1000 }),
		emit: () => {},
		removeSlot: () => {},
		onChange: () => {},
	});
	const answers: EventDraft[] = [];
	const table = new ProcessTable({ machineId: "m", bootId: "b" });
	const commands = new Commands({
		agentId: "web-01",
		clock,
		log: () => {},
		seen: SeenCommands.open(new SealedFiles(directory, DISK)),
		traces,
		trust: () => genesis.document,
		table: () => table,
		defaultDepth: 3,
		addSlot: async () => ok({ processCount: 1 }),
		emit: (answer) => answers.push(answer),
		settle: () => {},
	});
	return { commands, traces, answers };
}

function opened(envelope: Uint8Array): SignedEnvelope {
	const read = decodeAs(signedEnvelopeShape, envelope);
	assert(read.ok);
	return read.value;
}

test("an envelope that a hop made of a genuine one is refused without a word about the genuine command", async (t) => {
	const { commands, answers } = desk(t);
	const command = commandOf({ act: "stop" });
	const { payload, signatures } = opened(signCommand(command));
	const other = encodeAs(traceCommandShape, { ...command, depth: 1 });
	for (const [envelope, code] of [
		[{ payload: other, signatures }, "command_signature_invalid"],
		[{ payload, signatures: signatures.slice(0, 1) }, "command_approval_missing"],
		[{ payload, signatures: [] }, "command_signature_missing"],
	] as const) {
		answers.length = 0;
		await commands.handle(encodeAs(signedEnvelopeShape, envelope));
		const [answer] = answers;
		assert.equal(answers.length, 1);
		assert.equal(answer?.payload.isAccepted, false);
		assert.equal(answer?.payload.commandId, undefined);
		assert.equal(answer?.traceId, undefined);
		const name = hexOf(sha256(envelope.payload)).slice(0, 16);
		assert.match(answer?.payload.cause ?? "", new RegExp(`^${code}: .*; payload ${name}$`));
	}
});

test("bytes that are no envelope are named by their own hash", async (t) => {
	const { commands, answers } = desk(t);
	const junk = Uint8Array.of(1, 2, 3);
	await commands.handle(junk);
	assert.match(answers[0]?.payload.cause ?? "", new RegExp(`; envelope ${hexOf(sha256(junk)).slice(0, 16)}$`));
});

test("a genuine command is answered under its own ids, accepted or refused, after any forgery", async (t) => {
	const { commands, answers } = desk(t);
	const command = commandOf({ act: "stop", traceId: "T-20261122-zzz999" });
	const genuine = signCommand(command);
	await commands.handle(encodeAs(signedEnvelopeShape, { ...opened(genuine), signatures: [] }));
	await commands.handle(genuine);
	const answer = answers.at(-1);
	assert.deepEqual(answer?.payload.commandId, command.commandId);
	assert.equal(answer?.traceId, command.traceId);
	assert.match(answer?.payload.cause ?? "", /^trace_unknown: /);
});
