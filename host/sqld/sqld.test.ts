import { equal, match, ok } from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { freeLoopbackPort } from "../supervisor/free-port.ts";
import { runSupervisor } from "../supervisor/supervisor.ts";
import { findSqld, makeDurable, prepareSqld, type Sqld } from "./sqld.ts";

let dataDir: string;
beforeEach(() => {
	dataDir = mkdtempSync(join(tmpdir(), "daemoneye-sqld-"));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

async function query(sqld: Sqld, token: string | null, sql: string): Promise<string> {
	const answer = await fetch(`${sqld.url}/v2/pipeline`, {
		method: "POST",
		headers: token === null ? {} : { authorization: `Bearer ${token}` },
		body: JSON.stringify({ requests: [{ type: "execute", stmt: { sql } }] }),
	});
	return `${answer.status} ${await answer.text()}`;
}

async function prepare(): Promise<Sqld> {
	const [httpPort, adminPort] = [await freeLoopbackPort(), await freeLoopbackPort()];
	const sqld = prepareSqld({ dataDir, httpPort, adminPort });
	if (!sqld.ok) throw new Error(sqld.detail);
	return sqld.value;
}

const skip = findSqld() === null;

test("sqld commits with fsync, and answers only those with a token", { skip }, async () => {
	const sqld = await prepare();
	const box = await runSupervisor({ dataDir, processes: [sqld.process] });
	ok(box.ok, box.ok ? "" : box.detail);
	try {
		match(await query(sqld, sqld.readWriteToken, "PRAGMA synchronous"), /^200 .*"value":"2"/);
		match(await query(sqld, sqld.readWriteToken, "CREATE TABLE t(a)"), /^200 .*"type":"ok"/);
		match(await query(sqld, sqld.readOnlyToken, "SELECT count(*) FROM t"), /^200 .*"value":"0"/);
		match(await query(sqld, sqld.readOnlyToken, "INSERT INTO t VALUES (1)"), /Write permission/);
		match(await query(sqld, null, "SELECT 1"), /^401/);
		match(await query(sqld, `${sqld.readOnlyToken.slice(0, -4)}AAAA`, "SELECT 1"), /^401/);
		const pid = box.value.pids().get("sqld");
		const commandLine = readFileSync(`/proc/${pid}/cmdline`, "latin1");
		ok(!commandLine.includes(sqld.process.env?.LIBSQL_ADMIN_AUTH_KEY ?? "?"));
		for (const each of readdirSync(join(dataDir, "sqld"), { recursive: true, withFileTypes: true }))
			equal(statSync(join(each.parentPath, each.name)).mode & 0o077, 0, each.name);
	} finally {
		await box.value.stop();
	}
});

test("an admin address that refuses, or a setting that does not stay, is a failure and not a start", async () => {
	const relaxed = createServer((_request, response) => response.end(JSON.stringify({ durability_mode: "relaxed" })));
	await new Promise<void>((resolve) => relaxed.listen(0, "127.0.0.1", resolve));
	const { port } = relaxed.address() as { port: number };
	const kept = await makeDurable(`http://127.0.0.1:${port}`, "k");
	equal(!kept.ok && kept.code, "durability_not_strong");
	relaxed.close();
	const gone = await makeDurable(`http://127.0.0.1:${port}`, "k");
	equal(!gone.ok && gone.code, "admin_unreachable");
});
