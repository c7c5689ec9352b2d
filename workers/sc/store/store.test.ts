import { deepEqual, equal, rejects } from "node:assert/strict";
import { after, before, test } from "node:test";
import { getTableConfig } from "drizzle-orm/sqlite-core";
import { readBatch, verifyBatchEvents } from "#core/model/batch.ts";
import { bytesNamed, processNamed, type SealedTestBatch, TestAgent } from "#core/testing/test-agent.ts";
import { MIGRATIONS } from "../../../migrations/index.ts";
import { SERVER_RULES } from "../../../rules/index.ts";
import { noSqld, type RunningStore, startStore } from "../testing/running-store.ts";
import { evaluateRule } from "./detect.ts";
import { type IncomingBatch, storeAlarm, storeBatches } from "./ingest.ts";
import { applyMigrations } from "./migrate.ts";
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
		const one = await storeBatches(running.store.writer, agent.id, [first], 1);
		const two = await storeBatches(
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

test("the same number with other bytes leaves the stored batch and its events alone", options, async () => {
	const agent = new TestAgent("fork-01");
	const twin = new TestAgent("fork-01");
	const real = incoming(agent, agent.batch("bulk", [{ kind: "exec", process: processNamed("a") }]));
	const other = incoming(twin, twin.batch("bulk", [{ kind: "exit", process: processNamed("a") }]));
	await storeBatches(running.store.writer, agent.id, [real], 1);
	const { stored } = await storeBatches(running.store.writer, agent.id, [other], 2);
	deepEqual(stored[0]?.hash, real.hash);
	const kinds = await running.store.reader.execute(
		"SELECT kind FROM events e JOIN nodes n ON n.id = e.agent_row WHERE n.node_id = 'fork-01'",
	);
	deepEqual(
		kinds.rows.map((row) => row.kind),
		["exec"],
	);
});

test("an alarm reported again is one row, another one is another", options, async () => {
	const alarm = { agent: "a", code: "batch_fork", detail: "d", evidence: Uint8Array.of(1) };
	await storeAlarm(running.store.writer, alarm, 1);
	await storeAlarm(running.store.writer, alarm, 2);
	await storeAlarm(running.store.writer, { ...alarm, evidence: null }, 3);
	equal(await count("SELECT count(*) FROM alarms WHERE code = 'batch_fork'"), 2);
});

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

test("the shell rule hits Apache's shells at any of three levels, once, and nobody else's", options, async () => {
	const agent = new TestAgent("web-09");
	const rule = SERVER_RULES[0];
	if (rule === undefined) throw new Error("no rule");
	const since = await count("SELECT coalesce(max(id), 0) FROM events");
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
	await storeBatches(running.store.writer, agent.id, [incoming(agent, batch)], 1);
	const until = await count("SELECT max(id) FROM events");
	const window = { since, until, nowMs: () => agent.timeMs + 40 };
	equal((await evaluateRule(running.store, rule, window)).length, 2);
	equal((await evaluateRule(running.store, rule, window)).length, 0);
	const hits = await running.store.reader.execute("SELECT summary, latency_ms FROM hits ORDER BY id");
	deepEqual(
		hits.rows.map((row) => row.summary),
		["apache2 → dash", "apache2 → bash"],
	);
	deepEqual(
		hits.rows.map((row) => row.latency_ms),
		[90, 70],
	);
	equal((await evaluateRule(running.store, rule, { ...window, since: until })).length, 0);
});

test("a process key claimed by another host names another process", options, async () => {
	const honest = new TestAgent("honest-01");
	const liar = new TestAgent("liar-01");
	const process = processNamed("shared");
	const told = incoming(honest, honest.batch("bulk", [{ kind: "exec", process, payload: { pid: 1, name: "real" } }]));
	const lie = incoming(liar, liar.batch("bulk", [{ kind: "exec", process, payload: { pid: 2, name: "fake" } }]));
	await storeBatches(running.store.writer, honest.id, [told], 1);
	await storeBatches(running.store.writer, liar.id, [lie], 1);
	const names = await running.store.reader.execute({
		sql: "SELECT name FROM processes WHERE key = ? ORDER BY id",
		args: [process],
	});
	deepEqual(
		names.rows.map((row) => row.name),
		["real", "fake"],
	);
});
