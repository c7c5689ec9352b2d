/** What one rooted endpoint, or a stranger on the network, must not be able to do to everybody else. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import type { TraceCommand } from "#core/model/command.ts";
import { bytesNamed, processNamed, type TestAgent } from "#core/testing/test-agent.ts";
import { FEED_LIMITS } from "../../durable/feed-listeners.ts";
import type {
	AlarmsAnswer,
	CommandAnswer,
	EventsAnswer,
	HitsAnswer,
	LedgerAnswer,
	TraceAnswer,
	TracesAnswer,
} from "./api/answers.ts";
import { arriveHost, ingest, until } from "./testing/hosts.ts";
import { TestOperator } from "./testing/operator.ts";
import { type RunningSc, startSc } from "./testing/running-sc.ts";
import { noSqld } from "./testing/running-store.ts";

const options = { skip: noSqld };
let sc: RunningSc;
let ana: TestOperator;
/** Rooted: its batches are well sealed, and what they say is the attacker's choice. */
let rooted: TestAgent;
let honest: TestAgent;

before(async () => {
	if (noSqld !== false) return;
	sc = await startSc("solo");
	ana = new TestOperator(sc, "ana");
	equal((await ana.redeem()).status, 200);
	equal((await ana.signIn()).status, 200);
	[rooted, honest] = [await arriveHost(sc, "db-01"), await arriveHost(sc, "web-01")];
});
after(async () => {
	await sc?.stop();
});

let commands = 0;
async function submit(over: Partial<TraceCommand>): Promise<CommandAnswer> {
	const { envelope } = ana.command({ commandId: bytesNamed(`command ${commands++}`, 16), ...over });
	const answer = await ana.post("/api/commands", { envelope: base64Of(envelope) });
	equal(answer.status, 202, await answer.clone().text());
	return (await answer.json()) as CommandAnswer;
}
const seal = (traceId: string, cause = "stopped") => ({
	kind: "trace_seal" as const,
	traceId,
	payload: { cause, eventCount: 1, gapCount: 0 },
});
const alarmCodes = async () =>
	(await ana.get<AlarmsAnswer>("/api/alarms")).alarms.map(({ agent, code }) => `${agent} ${code}`);
const lastBatchOf = async (agent: string) => {
	const { rows } = await sc.store.store.reader.execute({
		sql: "SELECT count(*) AS n FROM batches b JOIN nodes n ON n.id = b.agent_row WHERE n.node_id = ? AND b.has_events",
		args: [agent],
	});
	return Number(rows[0]?.n);
};

test("a web server without a name does not stop detection for the others", options, async () => {
	await ingest(
		sc,
		rooted,
		rooted.batch("bulk", [
			{ kind: "exec", process: processNamed("nameless"), payload: { pid: 1, exe: "/opt/x/nginx" } },
			{
				kind: "exec",
				process: processNamed("its shell"),
				payload: { pid: 2, name: "bash", creatorParent: processNamed("nameless") },
			},
		]),
	);
	await until(
		"the first hit",
		() => ana.get<HitsAnswer>("/api/hits"),
		({ hits }) => hits[0]?.summary === "nginx → bash",
	);
	await ingest(
		sc,
		honest,
		honest.batch("bulk", [
			{ kind: "snapshot", process: processNamed("apache"), payload: { pid: 1, name: "apache2" } },
			{
				kind: "exec",
				process: processNamed("shell"),
				payload: { pid: 2, name: "bash", creatorParent: processNamed("apache") },
			},
		]),
	);
	await until(
		"the other host's hit",
		() => ana.get<HitsAnswer>("/api/hits"),
		({ hits }) => hits[0]?.agent === "web-01" && hits[0].summary === "apache2 → bash",
	);
});

test("two thousand made-up seals cost one alarm, and no operator waits for them", options, async () => {
	const { size } = await ana.get<LedgerAnswer>("/api/ledger");
	const made = Array.from({ length: 2000 }, (_, i) => seal(`T-20261122-${String(i).padStart(6, "0")}`));
	const told = ingest(sc, rooted, rooted.batch("trace", made.slice(0, 1000)), rooted.batch("trace", made.slice(1000)));
	const startedMs = performance.now();
	await submit({ traceId: "T-20261122-first0", targetAgent: "web-01" });
	const waitedMs = performance.now() - startedMs;
	ok(waitedMs < 5000, `the operator waited ${waitedMs} ms`);
	await told;
	await until(
		"the rooted host's batches",
		() => lastBatchOf("db-01"),
		(n) => n === 3,
	);
	deepEqual(await alarmCodes(), ["db-01 trace_not_commanded"]);
	// Two acts of the operator, three batches at the most, one alarm.
	ok((await ana.get<LedgerAnswer>("/api/ledger")).size <= size + 6);
	deepEqual(
		(await ana.get<TracesAnswer>("/api/traces")).traces.map(({ id }) => id),
		["T-20261122-first0"],
	);
});

test("tampering is one alarm per way, however often and in whatever words it is told", options, async () => {
	const told = (call: string, cause: string) => ({
		kind: "tamper" as const,
		payload: { pid: 7, name: "x", call, cause },
	});
	const own = [told("kill", "own_process"), told("ptrace", "own_process"), told("bpf", "own_object")];
	const madeUp = Array.from({ length: 300 }, (_, i) => told(`call ${i}`, `cause ${i}`));
	await ingest(sc, rooted, rooted.batch("alert", [...own, ...madeUp, told("bpf", "kernel_code")]));
	const ofKind = async () => (await alarmCodes()).filter((code) => code === "db-01 sensor_tampered");
	equal((await until("the alarms", ofKind, (codes) => codes.length >= 3)).length, 3);
});

test("a host seals a trace once per start, whatever it sends", options, async () => {
	const traceId = "T-20261122-sealed";
	const { command } = await submit({ traceId, targetAgent: "db-01" });
	const commandId = bytesNamed(`command ${commands - 1}`, 16);
	equal(command.commandId, hexOf(commandId));
	const { size } = await ana.get<LedgerAnswer>("/api/ledger");
	await ingest(
		sc,
		rooted,
		rooted.batch("alert", [{ kind: "command_answer", traceId, payload: { commandId, isAccepted: true } }]),
		rooted.batch(
			"trace",
			Array.from({ length: 300 }, (_, i) => seal(traceId, `made up ${i}`)),
		),
	);
	const trace = await until(
		"the seal",
		() => ana.get<TraceAnswer>(`/api/traces/${traceId}`),
		(answer) => answer.trace.state === "sealed" && answer.hosts[0]?.seal !== null,
	);
	equal(trace.hosts[0]?.seal?.cause, "made up 0");
	await until("the alarm", alarmCodes, (codes) => codes.includes("db-01 trace_seal_unexpected"));
	// The answer's batch, the seals' batch, one seal, one alarm.
	equal((await ana.get<LedgerAnswer>("/api/ledger")).size, size + 4);
	const desk = await ana.get<TraceAnswer>(`/api/traces/${traceId}`);
	equal(desk.hosts.length, 1);
});

test(
	"what an agent accepts after it refused an altered copy runs, and a later refusal changes nothing",
	options,
	async () => {
		const traceId = "T-20261122-answer";
		await submit({ traceId, targetAgent: "web-01" });
		const commandId = bytesNamed(`command ${commands - 1}`, 16);
		const state = async () => (await ana.get<TraceAnswer>(`/api/traces/${traceId}`)).commands[0]?.state;
		const answer = (isAccepted: boolean, cause: string) => ({
			kind: "command_answer" as const,
			traceId,
			payload: { commandId, isAccepted, cause },
		});
		await ingest(sc, honest, honest.batch("alert", [answer(false, "command_signature_invalid")]));
		await until("the refusal", state, (now) => now === "refused");
		await ingest(sc, honest, honest.batch("alert", [answer(true, "")]));
		await until("the acceptance", state, (now) => now === "accepted");
		await ingest(sc, honest, honest.batch("alert", [answer(false, "command_replayed")]));
		await until(
			"the batch",
			() => lastBatchOf("web-01"),
			(n) => n === 4,
		);
		equal(await state(), "accepted");
	},
);

test("a host that was sent no start of a trace has no events in it, and none is lost", options, async () => {
	const traceId = "T-20261122-answer";
	const event = (name: string) => ({
		kind: "exec" as const,
		process: processNamed(name),
		traceId,
		payload: { pid: 7, name },
	});
	await ingest(sc, rooted, rooted.batch("trace", [event("planted")]));
	await ingest(sc, honest, honest.batch("trace", [event("traced")]));
	const { events } = await until(
		"the traced event",
		() => ana.get<EventsAnswer>(`/api/traces/${traceId}/events`),
		(answer) => answer.events.some(({ name }) => name === "traced"),
	);
	deepEqual([...new Set(events.map(({ agent }) => agent))], ["web-01"]);
	const { alarms } = await until(
		"the alarm",
		() => ana.get<AlarmsAnswer>("/api/alarms"),
		(answer) => answer.alarms[0]?.detail.includes(traceId) === true,
	);
	deepEqual(
		[alarms[0]?.agent, alarms[0]?.code, alarms[0]?.times, alarms[0]?.hasEvidence],
		["db-01", "trace_not_commanded", 1, false],
	);
	const kept = async () => {
		const sql = "SELECT count(*) AS n FROM events WHERE name = 'planted' AND trace_row IS NULL";
		return (await sc.store.store.reader.execute(sql)).rows[0]?.n;
	};
	await until("the event without a trace", kept, (n) => n === 1);
	const stop = ana.command({ act: "stop", traceId, targetAgent: "db-01", commandId: bytesNamed("stop", 16) });
	const refused = await ana.post("/api/commands", { envelope: base64Of(stop.envelope) });
	match(await refused.text(), /command_trace_unknown/);
});

test(
	"strangers who ask for challenges lock nobody out, and a challenge is for the key that asked",
	options,
	async () => {
		const stranger = "11".repeat(32);
		const ask = async () => (await ana.post("/api/session/challenge", { publicKey: stranger })).text();
		for (let i = 0; i < 1100; i += 50) await Promise.all(Array.from({ length: 50 }, ask));
		const ben = new TestOperator(sc, "ana");
		equal((await ben.signIn()).status, 200);
		equal(await ana.signInWithChallengeOf(stranger), "401 challenge_invalid");
	},
);

test("the live feed ends with the session, at the server", options, async () => {
	const second = new TestOperator(sc, "ana");
	equal((await second.signIn()).status, 200);
	const [leaving, staying] = [await second.ask("/api/live"), await ana.ask("/api/live")];
	const read = async (response: Response) => {
		let text = "";
		for await (const chunk of response.body ?? []) {
			text += new TextDecoder().decode(chunk);
			if (text.includes('"kind":"events"')) return text;
		}
		return "ended";
	};
	const [left, stayed] = [read(leaving), read(staying)];
	const signedOutMs = performance.now();
	equal((await second.ask("/api/session", "DELETE")).status, 204);
	equal(await left, "ended");
	// At once, not at the next heartbeat.
	ok(performance.now() - signedOutMs < FEED_LIMITS.heartbeatMs / 2);
	const traceId = "T-20261122-answer";
	await ingest(
		sc,
		honest,
		honest.batch("trace", [{ kind: "exit", process: processNamed("traced"), traceId, payload: { pid: 7 } }]),
	);
	match(await stayed, /T-20261122-answer/);
});
