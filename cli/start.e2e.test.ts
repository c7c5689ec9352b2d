/**
 * `daemoneye start` as a newcomer runs it: the real processes, twice over the same data, in plain HTTP on this machine and over
 * HTTPS under a name. Nothing may be left running or half-made.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { operatorClient } from "./operator-client.ts";

const directory = mkdtempSync(join(tmpdir(), "daemoneye-start-"));
after(() => rmSync(directory, { recursive: true }));
const isBuilt = existsSync("dist/workers/sc/index.js");
const options = { skip: isBuilt ? (false as const) : "nothing is built", timeout: 120_000 };

interface Started {
	readonly child: ChildProcess;
	readonly answer: { readonly ok: boolean; readonly console: string };
	stop(): Promise<number | null>;
}

/** Six ports in a row are rarely free among those that the kernel hands out to connections: these lie below. */
const portBase = () => String(randomInt(12_000, 32_000));

/** Starts with `--json` and waits for its one line. */
async function start(...args: string[]): Promise<Started> {
	const child = spawn(process.execPath, ["cli/main.ts", "start", "--json", ...args], {
		stdio: ["ignore", "pipe", "pipe"],
	});
	const ended = new Promise<number | null>((done) => child.on("close", done));
	let trouble = "";
	child.stderr.on("data", (chunk) => {
		trouble += chunk;
	});
	for await (const line of createInterface({ input: child.stdout })) {
		return {
			child,
			answer: JSON.parse(line),
			stop: () => {
				child.kill("SIGINT");
				return ended;
			},
		};
	}
	throw new Error(`start ended with ${await ended}: ${trouble}`);
}

/** Processes that have this data folder on their command line. */
function leftovers(dataDir: string): string[] {
	const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
	return stdout.split("\n").filter((line) => line.includes(dataDir) && !line.includes("cli/main.ts"));
}

function modesOf(path: string): [string, number][] {
	return readdirSync(path, { withFileTypes: true, recursive: true })
		.filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath, entry.name))
		.map((file) => [file, statSync(file).mode & 0o077]);
}

/** The agent found its proxy again, and the proxy its Security Center. */
async function agentIsBack(data: string): Promise<void> {
	const linked = /px-1 is linked for \d+ s, 1 agents connected/;
	const untilMs = Date.now() + 30_000;
	for (;;) {
		const { stdout } = spawnSync("cli/daemoneye", ["status", "--data", data], { encoding: "utf8" });
		if (linked.test(stdout)) return;
		assert(Date.now() < untilMs, stdout);
		await sleep(200);
	}
}

test(
	"a start makes an enclave, signs its operator in, stops cleanly, and a second start finds everything",
	options,
	async () => {
		const data = join(directory, "solo");
		const first = await start("--data", data, "--port-base", portBase());
		const seed = new Uint8Array(randomBytes(32));
		const url = new URL(first.answer.console);
		const origin = url.origin;
		assert.equal(first.answer.ok, true);
		assert.equal(url.hostname, "localhost");
		assert.match(url.hash, /^#\/join\//);
		const operator = operatorClient(origin, "operator", seed);
		const redeemed = await operator.redeem(url.hash.slice("#/join/".length));
		assert(redeemed.ok, JSON.stringify(redeemed));
		assert((await operator.signIn()).ok);
		const fleet = await operator.get<{ nodes: { role: string; isUp: boolean }[] }>("/api/fleet");
		assert(fleet.ok && fleet.value.nodes.some((node) => node.role === "agent" && node.isUp));

		const second = spawnSync("cli/daemoneye", ["start", "--data", data], { encoding: "utf8" });
		assert.equal(second.status, 1);
		assert.match(second.stderr, /already|locked|in use/i);
		const status = spawnSync("cli/daemoneye", ["status", "--data", data], { encoding: "utf8" });
		assert.match(status.stdout, /holds \d+ batches\npx-1 is linked for \d+ s, 1 agents connected; /);

		const restarted = spawnSync("cli/daemoneye", ["restart", "--data", data], { encoding: "utf8" });
		assert.equal(restarted.status, 0, restarted.stderr);
		assert.match(restarted.stdout, /^sc is replaced: .+\npx-1 is replaced: .+ connections waited \d+ ms\n$/);
		assert((await operator.get("/api/ledger")).ok, "a session goes on at the new process");
		await agentIsBack(data);

		assert.equal(await first.stop(), 0);
		assert.deepEqual(leftovers(data), []);
		assert.equal(spawnSync("cli/daemoneye", ["restart", "--data", data]).status, 1);
		assert.deepEqual(
			modesOf(data).filter(([, mode]) => mode !== 0),
			[],
			"files that others can read",
		);
		assert.equal(spawnSync("cli/daemoneye", ["status", "--data", data]).status, 1);

		const again = await start("--data", data);
		assert.equal(again.answer.console, origin, "a used invitation is not printed again");
		const returning = operatorClient(origin, "operator", seed);
		assert((await returning.signIn()).ok, "the operator's key is still known");
		const ledger = await returning.get<{ size: number }>("/api/ledger");
		assert(ledger.ok && ledger.value.size > 0);
		assert.equal(await again.stop(), 0);
		assert.deepEqual(leftovers(data), []);
	},
);

function getOverTls(url: URL, ca: string): Promise<{ status: number; headers: NodeJS.Dict<string | string[]> }> {
	const { promise, resolve, reject } = Promise.withResolvers<{
		status: number;
		headers: NodeJS.Dict<string | string[]>;
	}>();
	const asked = request({
		host: "127.0.0.1",
		port: url.port,
		path: "/",
		ca,
		servername: url.hostname,
		headers: { host: url.host },
	});
	asked.on("response", (answer) => {
		answer.resume();
		resolve({ status: answer.statusCode ?? 0, headers: answer.headers });
	});
	asked.on("error", reject);
	asked.end();
	return promise;
}

test("under a name the console is HTTPS, proved by the enclave's root and nothing else", options, async () => {
	const data = join(directory, "named");
	const started = await start("--data", data, "--port-base", portBase(), "--host", "sc.site.local");
	try {
		const url = new URL(started.answer.console);
		assert.equal(url.protocol, "https:");
		const answer = await getOverTls(url, readFileSync(join(data, "ca.pem"), "utf8"));
		assert.equal(answer.status, 200);
		assert.match(String(answer.headers["strict-transport-security"]), /max-age=/);
		const stranger = spawnSync(
			"openssl",
			[
				"req",
				"-x509",
				"-newkey",
				"ec",
				"-pkeyopt",
				"ec_paramgen_curve:P-256",
				"-nodes",
				"-keyout",
				"/dev/null",
				"-subj",
				"/CN=x",
			],
			{ encoding: "utf8" },
		);
		await assert.rejects(getOverTls(url, stranger.stdout), /self-signed|unable to (get|verify)/);
	} finally {
		assert.equal(await started.stop(), 0);
	}
});

test("Ctrl-C while starting leaves nothing running and nothing half-made", options, async () => {
	const data = join(directory, "interrupted");
	const child = spawn(process.execPath, ["cli/main.ts", "start", "--data", data, "--port-base", portBase()], {
		stdio: ["ignore", "pipe", "pipe"],
	});
	const ended = new Promise<number | null>((done) => child.on("close", done));
	child.stdout.once("data", () => child.kill("SIGINT"));
	const code = await ended;
	assert(code === 130 || code === 0, `exit ${code}`);
	assert.deepEqual(leftovers(data), []);
	const entries = readdirSync(directory).filter((name) => name.includes("creating"));
	assert.deepEqual(entries, []);
	if (existsSync(data)) {
		const after = await start("--data", data);
		assert.equal(await after.stop(), 0);
	}
});
