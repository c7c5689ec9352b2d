import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { visible } from "./console-output.ts";
import { hostNodeId } from "./start.ts";

const directory = mkdtempSync(join(tmpdir(), "daemoneye-cli-"));
after(() => rmSync(directory, { recursive: true }));

function daemoneye(...args: string[]) {
	const { status, stdout, stderr } = spawnSync("cli/daemoneye", args, { encoding: "utf8" });
	return { status, stdout, stderr };
}

test("the overview names every verb, and each verb's help has an example and its exit codes", () => {
	const overview = daemoneye("--help");
	assert.equal(overview.status, 0);
	for (const verb of ["start", "restart", "status", "proxy", "verify"]) {
		assert.match(overview.stdout, new RegExp(`^  ${verb} `, "m"));
		const help = daemoneye(verb, "--help");
		assert.equal(help.status, 0);
		assert.match(help.stdout, /example: /);
		assert.match(help.stdout, /exit: 0 /);
		assert.match(help.stdout, /--json/);
	}
});

test("no verb, an unknown verb and an unknown option are usage errors that show the way", () => {
	assert.equal(daemoneye().status, 2);
	const unknown = daemoneye("stat");
	assert.equal(unknown.status, 2);
	assert.match(unknown.stderr, /There is no verb "stat"[\s\S]+status/);
	const option = daemoneye("status", "--dta", "x");
	assert.equal(option.status, 2);
	assert.match(option.stderr, /--dta[\s\S]+usage: daemoneye status/);
	assert.equal(daemoneye("start", "--port-base", "80").status, 2);
});

test("status of a folder without an enclave says what would make one", () => {
	const status = daemoneye("status", "--data", join(directory, "nothing"));
	assert.equal(status.status, 1);
	assert.match(status.stderr, /There is no enclave in .+`npm start` makes one/);
	assert.deepEqual(readdirSync(directory), []);
});

test("a start whose port is taken says which and leaves nothing running", async () => {
	const server = createServer();
	const base = await new Promise<number>((done) => {
		server.listen(0, "127.0.0.1", () => done((server.address() as { port: number }).port));
	});
	try {
		const data = join(directory, "taken");
		const { status, stderr } = spawnSync("cli/daemoneye", ["start", "--data", data, "--port-base", String(base)], {
			encoding: "utf8",
		});
		assert.equal(status, 1);
		assert.match(stderr, new RegExp(`localhost:${base} cannot be used \\(EADDRINUSE\\)`));
		assert.equal(existsSync(data), false, "a data folder must not remember ports that never worked");
	} finally {
		server.close();
	}
});

test("a host's name becomes a node id", () => {
	for (const [name, id] of [
		["Web_01.Corp", "web-01.corp"],
		["-x-", "x"],
		["___", "this-host"],
		["a".repeat(80), "a".repeat(63)],
	] as const)
		assert.equal(hostNodeId(name), id);
});

test("control characters and bidi overrides in foreign text are shown, never obeyed", () => {
	assert.equal(visible("a\u001b[31mb\u202ec\n"), "a\\u001b[31mb\\u202ec\\u000a");
});
