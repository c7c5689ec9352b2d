import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { after, before, test } from "node:test";
import { getTableConfig } from "drizzle-orm/sqlite-core";
import { readBatch, verifyBatchEvents } from "#core/model/batch.ts";
import { bytesNamed, processNamed, type SealedTestBatch, TestAgent } from "#core/testing/test-agent.ts";
import type { AgentState } from "../../../durable/drain.ts";
import { MIGRATIONS } from "../../../migrations/index.ts";
import { SERVER_RULES, type ServerRule } from "../../../rules/index.ts";
import { noSqld, type RunningStore, startStore } from "../testing/running-store.ts";
import { alarmsOf, clearAlarm, storeAlarm } from "./alarms.ts";
import { type Client, openStore } from "./client.ts";
import { DETECT_LIMITS, evaluateRule, firstOfEachHost } from "./detect.ts";
import { type Delivery, type IncomingBatch, type StoredDelivery, storeDeliveries } from "./ingest.ts";
import { applyMigrations } from "./migrate.ts";
import { storeStates } from "./nodes.ts";
import { storeProxy } from "./proxies.ts";
import * as schema from "./schema.ts";

const options = { skip: noSqld };
let running: RunningStore;
before(async () => {
	if (noSqld === false) running = await startStore();
});
after(async () => {
	await running?.stop();
});

function incoming(agent: TestAgent, sealed: SealedTestBatch): IncomingBatch {
	const read = readBatch(sealed.bytes);
	if (!read.ok) throw new Error(read.detail);
	const events = verifyBatchEvents(read.value, agent.publicKey);
	if (!events.ok) throw new Error(events.detail);
	const salt = bytesNamed(`salt ${sealed.seq}`, 16);
	return { ...sealed, header: read.value.headerBytes, salt, events: events.value, refusal: "" };
}

async function storeOne(client: Client, agent: string, batches: readonly IncomingBatch[], nowMs: number) {
	return (await storeDeliveries(client, [{ agent, batches }], nowMs))[0] as StoredDelivery;
}

async function count(sql: string): Promise<number> {
	return Number((await running.store.reader.execute(sql)).rows[0]?.[0]);
}

test("the typed tables are the migrated tables, column by column", options, async () => {
	for (const table of Object.values(schema)) {
		const { name, columns } = getTableConfig(table);
		const info = await running.store.reader.execute(`SELECT name, "notnull" FROM pragma_table_info('${name}')`);
		deepEqual(
			columns.map((each) => [each.name, each.notNull && !each.primary]),
			info.rows.map((row) => [row.name, row.notnull === 1]),
			name,
		);
	}
});

test("migrations are applied once, also by two callers at once", options, async () => {
	await Promise.all([
		applyMigrations(running.store.writer, MIGRATIONS),
		applyMigrations(running.store.writer, MIGRATIONS),
	]);
	equal(await count("SELECT count(*) FROM migrations"), MIGRATIONS.length);
});

test(
	"a batch delivered again, alone or beside new ones, adds nothing; the reader's token cannot write",
	options,
	async () => {
		const agent = new TestAgent("twice-01");
		const first = incoming(
			agent,
			agent.batch("bulk", [
				{ kind: "fork", process: processNamed("w"), payload: { pid: 5, name: "sh", creatorParent: processNamed("v") } },
				{ kind: "exit", process: processNamed("w"), payload: { pid: 5, exitCode: 0 } },
			]),
		);
		const second = incoming(
			agent,
			agent.batch("bulk", [{ kind: "exec", process: processNamed("x"), payload: { pid: 6 } }]),
		);
		const one = await storeOne(running.store.writer, agent.id, [first], 1);
		const two = await storeOne(
			running.store.writer,
			agent.id,
			[{ ...first, salt: bytesNamed("other", 16) }, second],
			2,
		);
		equal(two.stored[0]?.row, one.stored[0]?.row);
		deepEqual(two.stored[0]?.salt, first.salt);
		equal(two.stored[0]?.receivedMs, 1);
		const of = (table: string) =>
			`SELECT count(*) FROM ${table} t JOIN nodes n ON n.id = t.agent_row WHERE n.node_id = 'twice-01'`;
		equal(await count(of("events")), 3);
		equal(await count(of("batches")), 2);
		equal(await count(of("processes")), 3);
		await rejects(running.store.reader.execute("DELETE FROM events"));
	},
);

test(
	"a host's fidelity is its newest word, in whatever order batches come, and a start is full again",
	options,
	async () => {
		const agent = new TestAgent("tired-01");
		const word = (level: number, cause: string) =>
			agent.batch("alert", [{ kind: "fidelity", payload: { fidelityLevel: level, cause } }]);
		const stored = async (batch: SealedTestBatch, nowMs = agent.timeMs) => {
			await storeOne(running.store.writer, agent.id, [incoming(agent, batch)], nowMs);
			const sql = "SELECT fidelity_level, fidelity_cause FROM nodes WHERE node_id = 'tired-01'";
			return Object.values((await running.store.reader.execute(sql)).rows[0] ?? {}).join(" ");
		};
		equal(await stored(agent.batch("bulk", [{ kind: "exec", process: processNamed("t") }])), "0 ");
		const first = word(1, "psi_cpu");
		agent.timeMs += 1000;
		const second = word(2, "psi_memory");
		equal(await stored(second), "2 psi_memory");
		equal(await stored(first), "2 psi_memory", "an older word came later");
		equal(await stored(second), "2 psi_memory");
		agent.timeMs += 1000;
		equal(await stored(agent.batch("alert", [{ kind: "source", payload: { cause: "no BTF" } }])), "0 ");
		agent.timeMs += 1000;
		equal(await stored(word(3, "cgroup_memory")), "3 cgroup_memory");
		agent.timeMs += 1000;
		equal(await stored(word(0, "psi_memory")), "0 ", "full again: no cause is left");
		const receivedMs = agent.timeMs;
		agent.timeMs += 86_400_000;
		equal(await stored(word(1, "psi_io"), receivedMs), "1 psi_io");
		agent.timeMs = receivedMs + 1000;
		equal(await stored(word(0, "psi_io")), "0 ", "its clock was ahead for a while");
	},
);

test("the same number with other bytes leaves the stored batch and its events alone", options, async () => {
	const agent = new TestAgent("fork-01");
	const twin = new TestAgent("fork-01");
	const real = incoming(agent, agent.batch("bulk", [{ kind: "exec", process: processNamed("a") }]));
	const other = incoming(twin, twin.batch("bulk", [{ kind: "exit", process: processNamed("a") }]));
	await storeOne(running.store.writer, agent.id, [real], 1);
	const { stored } = await storeOne(running.store.writer, agent.id, [other], 2);
	deepEqual(stored[0]?.hash, real.hash);
	const kinds = await running.store.reader.execute(
		"SELECT kind FROM events e JOIN nodes n ON n.id = e.agent_row WHERE n.node_id = 'fork-01'",
	);
	deepEqual(
		kinds.rows.map((row) => row.kind),
		["exec"],
	);
});

test("an alarm reported again is one row with its count, another one is another, newest first", options, async () => {
	const alarm = { agent: "a", code: "batch_fork", detail: "d", evidence: Uint8Array.of(1) };
	await storeAlarm(running.store.writer, alarm, 1);
	await storeAlarm(running.store.writer, { ...alarm, evidence: null }, 2);
	await storeAlarm(running.store.writer, alarm, 3);
	await storeAlarm(running.store.writer, { agent: "a", code: "c", detail: "one", evidence: null, sameAs: "x" }, 4);
	await storeAlarm(running.store.writer, { agent: "a", code: "c", detail: "two", evidence: null, sameAs: "x" }, 5);
	const listed = await alarmsOf(running.store.reader, { max: 10, perAgentMax: 10 });
	deepEqual(
		listed.map(({ code, detail, times, firstAtMs, lastAtMs, hasEvidence }) =>
			[code, detail, times, firstAtMs, lastAtMs, hasEvidence].join(" "),
		),
		["c one 2 4 5 false", "batch_fork d 2 1 3 true", "batch_fork d 1 2 2 false"],
	);
});

test("a host with many alarms hides nobody else's, and the list is bounded", options, async () => {
	await storeAlarm(running.store.writer, { agent: "quiet", code: "c", detail: "first", evidence: null }, 10);
	for (let i = 0; i < 9; i++)
		await storeAlarm(running.store.writer, { agent: "noisy", code: "c", detail: `${i}`, evidence: null }, 20 + i);
	const agents = async (limits: { max: number; perAgentMax: number }) =>
		(await alarmsOf(running.store.reader, limits)).map(({ agent }) => agent);
	deepEqual((await agents({ max: 4, perAgentMax: 3 })).join(" "), "noisy noisy noisy quiet");
	equal((await agents({ max: 2, perAgentMax: 3 })).length, 2);
});

test(
	"what stands is listed before what is over, and a host that comes and goes hides nothing of its own",
	options,
	async () => {
		const { writer, reader } = running.store;
		const standing = { agent: "flappy", code: "batch_fork", detail: "stands", evidence: null };
		await storeAlarm(writer, standing, 10);
		for (let i = 0; i < 5; i++) {
			const over = { agent: "flappy", code: "agent_silent", detail: `${i}`, evidence: null };
			await storeAlarm(writer, over, 20 + i);
			await clearAlarm(writer, over, 30 + i);
		}
		const listed = (await alarmsOf(reader, { max: 50, perAgentMax: 3 })).filter(({ agent }) => agent === "flappy");
		deepEqual(
			listed.map(({ detail }) => detail),
			["stands", "4", "3"],
		);
	},
);

const exec = (name: string, creator: string | null, exe = `/usr/bin/${name}`) => ({
	kind: "exec" as const,
	process: processNamed(`${name} of ${creator}`),
	payload: { pid: 9, name, exe, ...(creator === null ? {} : { creatorParent: processNamed(creator) }) },
});
const fork = (child: string, name: string, creator: string) => ({
	kind: "fork" as const,
	process: processNamed(child),
	payload: { pid: 8, name, creatorParent: processNamed(creator) },
});

const [rule] = SERVER_RULES as [ServerRule, ...ServerRule[]];
const lastRow = () => count("SELECT coalesce(max(id), 0) FROM events");

/** Stores the events as one batch and answers what the rule says of them. */
async function judge(agent: TestAgent, events: Parameters<TestAgent["batch"]>[1], by: ServerRule = rule) {
	const since = await lastRow();
	await storeOne(running.store.writer, agent.id, [incoming(agent, agent.batch("bulk", events))], 1);
	const window = { since, until: await lastRow(), nowMs: () => agent.timeMs };
	const { hits, steppedOver } = await evaluateRule(running.store, by, window);
	const { rows } = await running.store.reader.execute({
		sql: "SELECT summary FROM hits WHERE id IN (SELECT value FROM json_each(?)) ORDER BY event_row",
		args: [JSON.stringify(hits)],
	});
	return { since, window, steppedOver, summaries: rows.map((row) => row.summary) };
}
const snapshot = (process: string, name: string, exe: string) => ({
	kind: "snapshot" as const,
	process: processNamed(process),
	payload: { pid: 1, name, exe },
});

test("a web server without a name, or with an overlong one, is a hit all the same", options, async () => {
	const agent = new TestAgent("nameless-01");
	const process = processNamed("nameless");
	const { summaries, steppedOver } = await judge(agent, [
		{ kind: "exec", process, payload: { pid: 1, exe: "/opt/x/nginx" } },
		exec("bash", "nameless"),
		{ kind: "exec", process: processNamed("deep"), payload: { pid: 1, exe: `/${"a".repeat(4000)}/nginx` } },
		{ ...exec("bash", "deep"), payload: { pid: 9, exe: "/bin/sh", creatorParent: processNamed("deep") } },
	]);
	deepEqual(summaries, ["nginx → bash", "nginx → sh"]);
	deepEqual(steppedOver, []);
});

test("of shells below each other the first hits, named by the shell and not by its script", options, async () => {
	const agent = new TestAgent("cgi-01");
	const shell = { ...exec("lookup.cgi", "worker", "/usr/bin/bash"), process: processNamed("cgi shell") };
	const { summaries } = await judge(agent, [
		snapshot("master", "apache2", "/usr/sbin/apache2"),
		fork("worker", "apache2", "master"),
		shell,
		// The same process executes the next shell, and that one starts two more, one through an interpreter.
		{ ...exec("bash", "worker"), process: shell.process },
		{ ...exec("bash", "cgi shell"), process: processNamed("interactive") },
		{ ...exec("perl", "interactive"), process: processNamed("perl") },
		exec("dash", "perl"),
	]);
	deepEqual(summaries, ["apache2 → bash"]);
	const later = await judge(agent, [{ ...exec("sh", "interactive"), process: processNamed("later") }]);
	deepEqual(later.summaries, []);
});

test("a process that only calls itself a shell does not hide the shell below it", options, async () => {
	const agent = new TestAgent("renamed-01");
	const { summaries } = await judge(agent, [
		snapshot("master", "apache2", "/usr/sbin/apache2"),
		fork("liar", "bash", "master"),
		exec("sh", "liar"),
	]);
	deepEqual(summaries, ["apache2 → sh"]);
});

test("a row without a summary is stepped over by name, and its neighbours hit", options, async () => {
	const agent = new TestAgent("null-01");
	const sql = "SELECT id AS event_row, name AS summary FROM events WHERE id > :since AND id <= :until";
	const { since, window, summaries, steppedOver } = await judge(
		agent,
		[exec("a", null), { kind: "exec", process: processNamed("b"), payload: { pid: 9 } }, exec("c", null)],
		{ ...rule, id: "null-summary", sql },
	);
	deepEqual(summaries, ["a", "c"]);
	deepEqual(
		steppedOver.map(({ ruleId, first, last }) => [ruleId, first, last]),
		[["null-summary", since + 2, since + 2]],
	);
	equal((await firstOfEachHost(running.store, steppedOver))[0]?.agent, "null-01");
	const wild = { ...rule, sql: "SELECT 1 AS event_row, 'x' AS summary WHERE :since < :until" };
	equal((await evaluateRule(running.store, wild, window)).hits.length, 0);
});

test("events that a rule's SQL fails on are found by halving, whatever else is in the window", options, async () => {
	const agent = new TestAgent("poison-01");
	const sql = `SELECT id AS event_row, json_extract(filename, '$.a') AS summary FROM events
		WHERE id > :since AND id <= :until`;
	const good = { kind: "exec" as const, process: processNamed("g"), payload: { pid: 9, filename: '{"a":"good"}' } };
	const bad = { ...good, payload: { pid: 9, filename: "{" } };
	const events = [...Array(40).fill(good), bad, ...Array(40).fill(good), bad];
	const { since, summaries, steppedOver } = await judge(agent, events, { ...rule, id: "poisoned", sql });
	equal(summaries.length, 80);
	deepEqual(
		steppedOver.map(({ first, last }) => [first - since, last - since]),
		[
			[41, 41],
			[82, 82],
		],
	);
	match(steppedOver[0]?.cause ?? "", /JSON/i);
});

test(
	"a rule that fails on everything ends with what it did not judge, and a store that is away throws",
	options,
	async () => {
		const broken = { ...rule, sql: "SELECT none AS event_row FROM events WHERE id > :since AND id <= :until" };
		const window = { since: 0, until: 20_000, nowMs: () => 1 };
		const { hits, steppedOver } = await evaluateRule(running.store, broken, window);
		equal(hits.length, 0);
		equal(
			steppedOver.reduce((sum, { first, last }) => sum + last - first + 1, 0),
			20_000,
		);
		ok(steppedOver.length < DETECT_LIMITS.failuresMax);
		const away = openStore({ fetch: () => Promise.reject(new TypeError("network")) }, running.tokens);
		await rejects(evaluateRule(away, rule, window), /network/);
		const refused = openStore({ fetch: async () => new Response("no", { status: 502 }) }, running.tokens);
		await rejects(evaluateRule(refused, rule, window));
	},
);

test(
	"deliveries of several hosts in one transaction are each answered for, and one that fails keeps none of them",
	options,
	async () => {
		const hosts = ["grp-01", "grp-02", "grp-03"].map((id) => new TestAgent(id));
		const exec = [{ kind: "exec" as const, process: processNamed("x"), payload: { pid: 6 } }];
		const deliveries = hosts.map((host) => ({
			agent: host.id,
			batches: [incoming(host, host.batch("bulk", exec)), incoming(host, host.batch("bulk", exec))],
		}));
		const [broken, ...others] = deliveries as [Delivery, Delivery, Delivery];
		// Nothing that a batch may say does this: it stands for whatever the store would refuse.
		const refused = {
			...broken,
			batches: broken.batches.map((batch) => ({ ...batch, salt: null as unknown as Uint8Array })),
		};
		const countOf = () =>
			count("SELECT count(*) FROM batches b JOIN nodes n ON n.id = b.agent_row WHERE n.node_id LIKE 'grp-%'");
		await rejects(storeDeliveries(running.store.writer, [refused, ...others], 5));
		equal(await countOf(), 0);
		const stored = await storeDeliveries(running.store.writer, deliveries, 5);
		equal(await countOf(), 6);
		deepEqual(
			stored.map((each) => each.stored.map(({ hash }) => hash)),
			deliveries.map(({ batches }) => batches.map(({ hash }) => hash)),
		);
	},
);

test(
	"the words of many hosts are one transaction, and each host's clock is judged by its own and its proxy's",
	options,
	async () => {
		const { writer, reader } = running.store;
		const nowMs = Date.now();
		const wordOf = (agent: string, via: string, offMs: number) =>
			({
				...{ agent, via, isUp: true, heardAtMs: nowMs, waiting: [] },
				health: {
					timeMs: nowMs + offMs,
					streams: [],
					oldestUnackedMs: 1,
					outboxBytes: 2,
					rssBytes: 3,
					eventCount: 4,
					gapCount: 5,
				},
			}) as unknown as AgentState;
		await writer.execute("INSERT INTO nodes (node_id, role, clock_offset_ms) VALUES ('px-clk', 'px', 1000)");
		await storeStates(writer, [wordOf("clk-01", "px-clk", 30), wordOf("clk-02", "px-other", 70)], nowMs);
		const { rows } = await reader.execute(
			"SELECT node_id, clock_offset_ms FROM nodes WHERE node_id LIKE 'clk-%' ORDER BY node_id",
		);
		deepEqual(
			rows.map((row) => [row[0], row[1]]),
			[
				["clk-01", 1030],
				["clk-02", 70],
			],
		);
	},
);

test("a proxy that speaks of a host as of a proxy does not keep the host out", options, async () => {
	const { writer } = running.store;
	const nowMs = Date.now();
	const signed = { bytes: new Uint8Array(1), number: 1 };
	const word = { proxy: "db-07", via: "px-2", isUp: true, broughtBy: "px-2", heardHereMs: nowMs, word: signed };
	await storeProxy(writer, word as Parameters<typeof storeProxy>[1], { nowMs, silentMs: 45_000 });
	const roleOf = async () =>
		(await running.store.reader.execute("SELECT role FROM nodes WHERE node_id = 'db-07'")).rows[0]?.[0];
	equal(await roleOf(), "px");
	const state = { agent: "db-07", via: "px-1", isUp: true, heardAtMs: nowMs, waiting: [] };
	await storeStates(writer, [state as unknown as AgentState], nowMs);
	equal(await roleOf(), "agent");
	await storeProxy(writer, word as Parameters<typeof storeProxy>[1], { nowMs, silentMs: 45_000 });
	equal(await roleOf(), "agent");
	// One that is linked here has proved itself a proxy.
	await storeProxy(writer, { ...word, proxy: "px-7", via: "" } as Parameters<typeof storeProxy>[1], {
		nowMs,
		silentMs: 1,
	});
	await storeStates(writer, [{ ...state, agent: "px-7" } as unknown as AgentState], nowMs);
	equal((await running.store.reader.execute("SELECT role FROM nodes WHERE node_id = 'px-7'")).rows[0]?.[0], "px");
});

test("the shell rule hits Apache's shells at any of three levels, once, and nobody else's", options, async () => {
	const agent = new TestAgent("web-09");
	const since = await lastRow();
	const hitsBefore = await count("SELECT coalesce(max(id), 0) FROM hits");
	const batch = agent.batch("bulk", [
		{
			kind: "snapshot",
			process: processNamed("master"),
			payload: { pid: 1, name: "apache2", exe: "/usr/sbin/apache2" },
		},
		fork("worker", "apache2", "master"),
		exec("dash", "worker"),
		{ ...exec("perl", "worker"), process: processNamed("cgi") },
		exec("bash", "cgi"),
		{ kind: "snapshot", process: processNamed("login"), payload: { pid: 2, name: "sshd", exe: "/usr/sbin/sshd" } },
		exec("bash", "login"),
		exec("ls", "worker"),
	]);
	await storeOne(running.store.writer, agent.id, [incoming(agent, batch)], 1);
	const until = await lastRow();
	const window = { since, until, nowMs: () => agent.timeMs + 40 };
	equal((await evaluateRule(running.store, rule, window)).hits.length, 2);
	equal((await evaluateRule(running.store, rule, window)).hits.length, 0);
	const hits = await running.store.reader.execute({
		sql: "SELECT summary, latency_ms FROM hits WHERE id > ? ORDER BY id",
		args: [hitsBefore],
	});
	deepEqual(
		hits.rows.map((row) => row.summary),
		["apache2 → dash", "apache2 → bash"],
	);
	deepEqual(
		hits.rows.map((row) => row.latency_ms),
		[90, 70],
	);
	equal((await evaluateRule(running.store, rule, { ...window, since: until })).hits.length, 0);
});

test("a process key claimed by another host names another process", options, async () => {
	const honest = new TestAgent("honest-01");
	const liar = new TestAgent("liar-01");
	const process = processNamed("shared");
	const told = incoming(honest, honest.batch("bulk", [{ kind: "exec", process, payload: { pid: 1, name: "real" } }]));
	const lie = incoming(liar, liar.batch("bulk", [{ kind: "exec", process, payload: { pid: 2, name: "fake" } }]));
	await storeOne(running.store.writer, honest.id, [told], 1);
	await storeOne(running.store.writer, liar.id, [lie], 1);
	const names = await running.store.reader.execute({
		sql: "SELECT name FROM processes WHERE key = ? ORDER BY id",
		args: [process],
	});
	deepEqual(
		names.rows.map((row) => row.name),
		["real", "fake"],
	);
});
