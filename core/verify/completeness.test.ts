/** What a package leaves out: it is named, PASS is never said over it, and one host's word does not cost the others theirs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { textOf } from "#core/bytes/bytes.ts";
import { type BatchHeader, readBatch, sealBatch, sealEvent, ZERO_HASH } from "#core/model/batch.ts";
import type { Event, EventPayload } from "#core/model/event.ts";
import { readZip } from "#core/package/index.ts";
import { openBatch } from "#core/package/layout.ts";
import { bytesNamed, processNamed, type SealedTestBatch, TestAgent } from "#core/testing/test-agent.ts";
import type { PackageVerdict } from "./index.ts";
import {
	makeTestPackage,
	NOW_MS,
	sealTestPackage,
	signedCommand,
	TRACE_ID,
	type Variation,
} from "./testing/enclave.ts";
import { verifyPackage } from "./verify-package.ts";

const nowMs = NOW_MS + 86_400_000;
const BOTH = ["ana", "ben"];
const traceId = TRACE_ID;

async function verifyVariation(variation: Variation): Promise<PackageVerdict> {
	const { input, rootFingerprint } = await makeTestPackage(variation);
	return verifyPackage(sealTestPackage(input), { rootFingerprint, nowMs });
}

const findings = ({ checks }: PackageVerdict): string[] =>
	checks.filter(({ outcome }) => outcome === "fail" || outcome === "gaps").map(({ name, code }) => `${name}: ${code}`);
const detailsOf = ({ checks }: PackageVerdict): string =>
	checks.flatMap(({ outcome, detail }) => (outcome === "gaps" || outcome === "fail" ? [detail] : [])).join("\n");

/** The batch with other events, or under another header, sealed by its host. */
function rewritten(
	batch: SealedTestBatch,
	agent: TestAgent,
	change: { events?: (events: readonly Event[]) => readonly Event[]; header?: Partial<BatchHeader> },
): SealedTestBatch {
	const opened = openBatch(batch.bytes);
	assert(opened.ok);
	const { eventCount: _, eventsRoot: __, ...header } = { ...batch.header, ...change.header };
	const events = (change.events ?? ((same) => same))(opened.value.events);
	const seed = header.lane === "trace" ? agent.seed : null;
	const numbered = events.map((event, i) => sealEvent({ ...event, seq: header.firstEvent + i }, seed));
	const sealed = sealBatch(header, numbered, agent.seed);
	const read = readBatch(sealed.bytes);
	assert(read.ok);
	return { ...batch, ...sealed, stream: header.stream, seq: header.seq, header: read.value.header };
}

/** The story with another seal at its end. */
const sealedAs =
	(payload: EventPayload) =>
	(told: readonly SealedTestBatch[], web: TestAgent): SealedTestBatch[] => [
		...told.slice(0, -1),
		rewritten(told.at(-1) as SealedTestBatch, web, { events: ([seal]) => [{ ...(seal as Event), payload }] }),
	];

const isLastTraceBatch = ({ lane, seq }: SealedTestBatch): boolean => lane === "trace" && seq === 2;

// --- Seals ---

test("a trace that ended as it was meant to passes, whichever of the clean ends it was", async () => {
	for (const cause of ["stopped", "duration_reached", "lineage_ended"]) {
		const verdict = await verifyVariation({ batches: sealedAs({ cause, eventCount: 3, gapCount: 0 }) });
		assert.equal(verdict.verdict, "PASS", detailsOf(verdict));
	}
});

test("a trace that was cut short is named with the cause, though nothing that was sealed is missing", async () => {
	const causes = ["event_limit", "collector_lost", "collector_refused", "agent_stopped", "agent_restarted", "other"];
	for (const cause of [...causes, undefined]) {
		const counts = { eventCount: 3, gapCount: 0 };
		const payload = cause === undefined ? counts : { ...counts, cause };
		const verdict = await verifyVariation({ batches: sealedAs(payload) });
		assert.deepEqual([verdict.verdict, findings(verdict)], ["PASS WITH GAPS", ["gaps: gap_declared"]]);
		assert.match(detailsOf(verdict), new RegExp(`web-01: the trace was cut short \\(${cause ?? "no cause given"}\\)`));
	}
});

test("a seal that counts nothing is named: batches may have been taken out behind it", async () => {
	const verdict = await verifyVariation({
		batches: (told, web) =>
			sealedAs({ cause: "stopped" })(
				told.filter((batch) => !isLastTraceBatch(batch)),
				web,
			),
	});
	assert.deepEqual([verdict.verdict, findings(verdict)], ["PASS WITH GAPS", ["gaps: gap_declared"]]);
	assert.match(detailsOf(verdict), /web-01: a seal does not say how many events it seals/);
});

test("more events than were sealed are named like fewer", async () => {
	const verdict = await verifyVariation({ batches: sealedAs({ cause: "stopped", eventCount: 2, gapCount: 0 }) });
	assert.deepEqual(findings(verdict), ["gaps: gap_declared"]);
	assert.match(detailsOf(verdict), /web-01: 2 events were sealed and 3 are here/);
});

test("events that a host sealed again in another stream count once, equal events of one stream each", async () => {
	const stream = bytesNamed("the stream after", 8);
	const start = { stream, seq: 1, prevHash: ZERO_HASH, firstEvent: 0 };
	const twice = (events: readonly Event[]) => [...events, ...events];
	type Change = (one: readonly Event[]) => readonly Event[];
	const again = (eventCount: number, events: Change, copied: Change = (same) => same) =>
		verifyVariation({
			batches: (told, web) => {
				const sealed = sealedAs({ cause: "stopped", eventCount, gapCount: 0 })(told, web);
				const first = sealed.map((batch) => (isLastTraceBatch(batch) ? rewritten(batch, web, { events }) : batch));
				const copy = first
					.filter(isLastTraceBatch)
					.map((batch) => rewritten(batch, web, { header: start, events: copied }));
				return [...first, ...copy];
			},
		});
	for (const verdict of [await again(3, (one) => one), await again(4, twice), await again(4, (one) => one, twice)])
		assert.equal(verdict.verdict, "PASS", detailsOf(verdict));
	assert.match(detailsOf(await again(3, twice)), /3 events were sealed and 4 are here/);
});

// --- Starts ---

const secondId = bytesNamed("the second start", 16);
const secondStart = signedCommand(
	{ targetAgent: "web-01", commandId: secondId, targetProcess: processNamed("second shell") },
	BOTH,
);
const accepted = (agent: TestAgent, commandId = bytesNamed(`command ${agent.id}`, 16)) =>
	agent.batch("alert", [{ kind: "command_answer", traceId, payload: { commandId, isAccepted: true } }]);
const snapshot = (name: string) => ({ kind: "snapshot", process: processNamed(name), traceId, payload: {} }) as const;
const exit = (name: string) => ({ kind: "exit", process: processNamed(name), traceId, payload: {} }) as const;
const sealOf = (eventCount: number) =>
	({ kind: "trace_seal", traceId, payload: { cause: "stopped", eventCount, gapCount: 0 } }) as const;

test("two starts that one seal ends pass where the second joined the first", async () => {
	const verdict = await verifyVariation({
		moreCommands: [secondStart],
		batches: () => {
			const web = new TestAgent("web-01", NOW_MS);
			return [
				web.batch("trace", [snapshot("shell")]),
				accepted(web),
				web.batch("trace", [snapshot("second shell")]),
				accepted(web, secondId),
				web.batch("trace", [exit("shell"), exit("second shell"), sealOf(4)]),
			];
		},
	});
	assert.equal(verdict.verdict, "PASS", detailsOf(verdict));
});

/** One host, traced twice; the batches of the first time in `first`. */
function tracedTwice(): Record<"first" | "second" | "answers", SealedTestBatch[]> {
	const web = new TestAgent("web-01", NOW_MS);
	const opened = web.batch("trace", [snapshot("shell")]);
	const answer = accepted(web);
	const ended = web.batch("trace", [exit("shell"), sealOf(2)]);
	const openedAgain = web.batch("trace", [snapshot("second shell")]);
	const answerAgain = accepted(web, secondId);
	const endedAgain = web.batch("trace", [exit("second shell"), sealOf(2)]);
	return { first: [opened, ended], second: [openedAgain, endedAgain], answers: [answer, answerAgain] };
}

test("a host traced twice passes with both seals; without the first time the start that lacks one shows", async () => {
	const { first, second, answers } = tracedTwice();
	const moreCommands = [secondStart];
	const whole = await verifyVariation({ moreCommands, batches: () => [...first, ...second, ...answers] });
	assert.equal(whole.verdict, "PASS", detailsOf(whole));
	const late = await verifyVariation({ moreCommands, batches: () => [...second, ...answers] });
	assert.equal(late.verdict, "PASS WITH GAPS");
	assert.match(detailsOf(late), /web-01: 2 starts were taken and one seal ends them/);
	const early = await verifyVariation({ moreCommands, batches: () => [...first, ...answers] });
	assert.equal(early.verdict, "PASS WITH GAPS");
	assert.match(detailsOf(early), /web-01: the trace has no end here/);
});

const startOnDb = signedCommand({ targetAgent: "db-01" }, BOTH);

test("a host that took a start and of which nothing else is here has no end", async () => {
	const verdict = await verifyVariation({
		moreCommands: [startOnDb],
		batches: (told) => [...told, accepted(new TestAgent("db-01", NOW_MS))],
	});
	assert.deepEqual([verdict.verdict, findings(verdict)], ["PASS WITH GAPS", ["gaps: gap_declared"]]);
	assert.match(detailsOf(verdict), /db-01: the trace has no end here/);
});

test("a host that is left out whole shows by its start, in the package or in the ledger alone", async () => {
	const inPackage = await verifyVariation({ moreCommands: [startOnDb] });
	assert.deepEqual(findings(inPackage), ["command_covers_trace: command_unanswered"]);
	assert.match(detailsOf(inPackage), /the answer of db-01 to the command [0-9a-f]{32} is not here/);
	const inLedger = await verifyVariation({
		acts: (acts) => [
			...acts.slice(0, -1),
			{ kind: "trace_start", actor: "ben", subject: "db-01", body: startOnDb, traceId },
			...acts.slice(-1),
		],
	});
	assert.deepEqual(findings(inLedger), ["command_covers_trace: command_unanswered"]);
	assert.match(detailsOf(inLedger), /starts in the ledger are not here: [0-9a-f]{32} to db-01/);
	for (const { verdict } of [inPackage, inLedger]) assert.equal(verdict, "PASS WITH GAPS");
});

test("starts of other traces, stops and starts that are here leave no gap", async () => {
	const stop = signedCommand({ targetAgent: "web-01", act: "stop", commandId: bytesNamed("stop", 16) }, BOTH);
	const other = signedCommand({ targetAgent: "db-01", traceId: "T-20261122-other1" }, BOTH);
	const act = { kind: "trace_start", actor: "ben", subject: "web-01" } as const;
	const verdict = await verifyVariation({
		acts: (acts) => [
			...acts.slice(0, -1),
			{ ...act, body: stop, traceId },
			{ ...act, body: other, traceId: "T-20261122-other1" },
			...acts.slice(-1),
		],
	});
	assert.equal(verdict.verdict, "PASS", detailsOf(verdict));
});

// --- Hosts that nobody asked, and hosts that refused ---

const refusedBy = (agent: TestAgent, commandId: Uint8Array) => {
	const payload = { commandId, isAccepted: false, cause: "target_gone: process 10 has ended" };
	return agent.batch("alert", [{ kind: "command_answer", traceId, payload }]);
};

test("a refusal by a host that told nothing is no gap, of a command of the package or of none", async () => {
	const stray = await verifyVariation({
		batches: (told) => [...told, refusedBy(new TestAgent("db-01", NOW_MS), bytesNamed("junk", 16))],
	});
	assert.equal(stray.verdict, "PASS", detailsOf(stray));
	const asked = await verifyVariation({
		moreCommands: [startOnDb],
		batches: (told) => [...told, refusedBy(new TestAgent("db-01", NOW_MS), bytesNamed("command db-01", 16))],
	});
	assert.equal(asked.verdict, "PASS", detailsOf(asked));
	assert.match(asked.checks.find(({ name }) => name === "command_covers_trace")?.detail ?? "", /db-01 refused/);
});

/** db-01, which no command names, tells an event under the trace's id in its bulk lane. */
const intruding =
	(seed?: Uint8Array) =>
	(told: readonly SealedTestBatch[]): SealedTestBatch[] =>
		told.map((batch) =>
			batch.header.agent === "db-01"
				? rewritten(batch, new TestAgent("db-01", NOW_MS, seed), {
						events: (events) => events.map((event) => ({ ...event, traceId })),
					})
				: batch,
		);

test("a host without a command is left out by name and costs the others nothing", async () => {
	const { input, rootFingerprint } = await makeTestPackage({ batches: intruding() });
	const archive = sealTestPackage(input);
	const verdict = await verifyPackage(archive, { rootFingerprint, nowMs });
	assert.equal(verdict.verdict, "PASS WITH GAPS");
	assert.deepEqual(findings(verdict), ["command_covers_trace: not_commanded"]);
	assert.match(detailsOf(verdict), /db-01 told 1 event under the trace's id/);
	const files = readZip(archive);
	assert(files.ok);
	const view = textOf(files.value.get("view/events.ndjson") as Uint8Array) ?? "";
	assert.deepEqual([view.includes('"agent":"db-01"'), view.includes('"agent":"web-01"')], [false, true]);
});

test("a seal or an acceptance without a command is left out by name too", async () => {
	const payload = { commandId: bytesNamed("elsewhere", 16), isAccepted: true };
	for (const event of [sealOf(0), { kind: "command_answer", traceId, payload } as const]) {
		const verdict = await verifyVariation({
			batches: (told) => [...told, new TestAgent("db-01", NOW_MS).batch("alert", [event])],
		});
		assert.deepEqual(findings(verdict), ["command_covers_trace: not_commanded"]);
	}
});

test("what a host without a command did not sign still fails", async () => {
	const verdict = await verifyVariation({ batches: intruding(bytesNamed("stranger", 32)) });
	assert.equal(verdict.verdict, "FAIL");
	assert.deepEqual(findings(verdict), ["batch_signatures: batch_signature_invalid"]);
});

test("a host that refused and yet tells of the trace is left out by name beside one that did not", async () => {
	const verdict = await verifyVariation({
		moreCommands: [startOnDb],
		batches: (told) => [
			...intruding()(told),
			refusedBy(new TestAgent("db-01", NOW_MS), bytesNamed("command db-01", 16)),
		],
	});
	assert.equal(verdict.verdict, "PASS WITH GAPS");
	assert.deepEqual(findings(verdict), ["command_covers_trace: command_refused"]);
	assert.match(detailsOf(verdict), /db-01 told 1 event of the trace and says that it refused every command/);
});

test("a collector that refuses after the processes were told is a gap, not a forgery", async () => {
	const verdict = await verifyVariation({
		batches: () => {
			const web = new TestAgent("web-01", NOW_MS);
			const seal = { ...sealOf(1), payload: { cause: "collector_refused", eventCount: 1, gapCount: 0 } };
			const told = web.batch("trace", [snapshot("shell"), seal]);
			return [told, refusedBy(web, bytesNamed("command web-01", 16))];
		},
	});
	assert.equal(verdict.verdict, "PASS WITH GAPS", detailsOf(verdict));
	assert.deepEqual(findings(verdict), ["command_covers_trace: command_refused", "gaps: gap_declared"]);
});
