import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { hexOf } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { type SignedEnvelope, signedEnvelopeShape, traceCommandShape } from "#core/model/command.ts";
import { ok } from "#core/result.ts";
import { BARE_CAPTURE_POLICY } from "#core/trust/capture-policy.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
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
import { type Collects, Traces } from "./traces.ts";

interface Desk {
	readonly commands: Commands;
	readonly traces: Traces;
	readonly answers: EventDraft[];
	readonly table: ProcessTable;
	/** What procmond was asked to collect, one per slot. */
	readonly asked: Collects[];
}

function desk(t: TestContext, trust: TrustDocument = genesis.document): Desk {
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
	const asked: Collects[] = [];
	const table = new ProcessTable({ machineId: "m", bootId: "b" });
	const commands = new Commands({
		agentId: "web-01",
		clock,
		log: () => {},
		seen: SeenCommands.open(new SealedFiles(directory, DISK)),
		traces,
		trust: () => trust,
		table: () => table,
		defaultDepth: 3,
		addSlot: async ({ collects }) => {
			asked.push(collects);
			return ok({ processCount: 1 });
		},
		emit: (answer) => answers.push(answer),
		settle: () => {},
	});
	return { commands, traces, answers, table, asked };
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

test("memory headers are collected only when the command asks and the capture policy allows", async (t) => {
	const allowing = { ...genesis.document, capturePolicy: { ...BARE_CAPTURE_POLICY, allowsMemoryHeaders: true } };
	const asks = async (trust: TrustDocument, collectMemoryHeaders?: boolean) => {
		const { commands, answers, table, asked } = desk(t, trust);
		const { key } = table.observe({ tgid: 7, startTicks: 9n });
		const wish = collectMemoryHeaders === undefined ? {} : { collectMemoryHeaders };
		await commands.handle(signCommand(commandOf({ targetPid: 7, targetProcess: key, ...wish })));
		assert.equal(answers[0]?.payload.isAccepted, true, answers[0]?.payload.cause);
		return [asked[0]?.memoryHeaders, answers[0]?.payload.cause];
	};
	assert.deepEqual(await asks(allowing, true), [true, undefined]);
	assert.deepEqual(await asks(allowing), [false, undefined]);
	assert.deepEqual(await asks(allowing, false), [false, undefined]);
	const [isCollected, cause] = await asks(genesis.document, true);
	assert.equal(isCollected, false);
	assert.match(String(cause), /^memory headers are not collected/);
});
