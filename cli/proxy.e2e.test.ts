/**
 * `daemoneye proxy` as an operator uses it: a site proxy below the first one on the same machine, and another below it that runs from
 * its own folder as on a machine of its own. Both must lead to the Security Center, and stop without leaving a process.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freeLoopbackPort } from "../host/supervisor/free-port.ts";

const directory = mkdtempSync(join(tmpdir(), "daemoneye-proxy-"));
const data = join(directory, "data");
const children = new Set<ChildProcess>();
after(async () => {
	// Of a test that failed half-way.
	await Promise.all(
		[...children].map((child) => child.kill("SIGINT") && new Promise((done) => child.on("close", done))),
	);
	rmSync(directory, { recursive: true });
});
const isBuilt = existsSync("dist/workers/px/index.js");
const options = { skip: isBuilt ? (false as const) : "nothing is built", timeout: 150_000 };

async function running(...args: string[]): Promise<{ child: ChildProcess; stop(): Promise<number | null> }> {
	const child = spawn(process.execPath, ["cli/main.ts", ...args, "--json"], { stdio: ["ignore", "pipe", "pipe"] });
	children.add(child);
	const ended = new Promise<number | null>((done) => child.on("close", done));
	void ended.then(() => children.delete(child));
	let trouble = "";
	child.stderr.on("data", (chunk) => {
		trouble += chunk;
	});
	for await (const line of createInterface({ input: child.stdout })) {
		assert.equal((JSON.parse(line) as { ok: boolean }).ok, true, line);
		return {
			child,
			stop: () => {
				child.kill("SIGINT");
				return ended;
			},
		};
	}
	throw new Error(`${args[0]} ended with ${await ended}: ${trouble}`);
}

function proxy(...args: string[]) {
	const { status, stdout, stderr } = spawnSync("cli/daemoneye", ["proxy", ...args, "--json"], { encoding: "utf8" });
	return { status, stderr, answer: stdout === "" ? null : (JSON.parse(stdout) as Record<string, unknown>) };
}

interface Uplink {
	readonly isForwarding: boolean;
	readonly path: readonly string[];
}

async function untilForwarding(port: number): Promise<Uplink> {
	for (let tries = 0; tries < 300; tries++) {
		const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null);
		const { uplink } = answer?.ok ? ((await answer.json()) as { uplink: Uplink }) : { uplink: null };
		if (uplink?.isForwarding) return uplink;
		await sleep(100);
	}
	throw new Error(`the proxy at ${port} does not forward`);
}

test(
	"a site proxy is added below the first one, and a third runs below it from the folder that was carried",
	options,
	async () => {
		const first = await freeLoopbackPort();
		const base = first < 60_000 ? first : first - 10_000;
		assert.equal(await (await running("start", "--data", data, "--port-base", String(base))).stop(), 0);
		const [links, health, farLinks, farHealth] = [base + 10, base + 11, base + 12, base + 13];
		const places = ["--data", data, "--listen", `127.0.0.1:${links}`, "--health", `127.0.0.1:${health}`];
		const unknown = proxy("add", ...places, "--id", "px-site-1", "--upstream", "px-9");
		assert.deepEqual([unknown.status, unknown.answer?.code], [1, "upstream_unknown"]);
		const itself = proxy("add", ...places, "--id", "px-site-1", "--upstream", "px/px-site-1@localhost:1");
		assert.deepEqual([itself.status, itself.answer?.code], [1, "upstream_is_itself"]);
		assert.deepEqual(
			readdirSync(join(data, "nodes")).filter((name) => name.includes("site")),
			[],
		);
		const added = proxy("add", ...places, "--id", "px-site-1", "--upstream", "px-1,sc-1");
		assert.equal(added.status, 0, added.stderr);
		assert.deepEqual(added.answer?.upstream, [`px/px-1@localhost:${base + 2}`, `sc/sc-1@localhost:${base + 1}`]);
		assert.equal(proxy("add", ...places, "--id", "px-site-1", "--upstream", "px-1").answer?.code, "node_exists");
		const far = proxy(
			...["add", "--data", data, "--id", "px-far", "--upstream", `px/px-site-1@localhost:${links}`, "--elsewhere"],
			...["--listen", `127.0.0.1:${farLinks}`, "--health", `127.0.0.1:${farHealth}`],
		);
		assert.equal(far.status, 0, far.stderr);

		const enclave = await running("start", "--data", data);
		const uri = (role: string, id: string) => `spiffe://solo/${role}/${id}`;
		assert.deepEqual((await untilForwarding(health)).path, [
			uri("px", "px-site-1"),
			uri("px", "px-1"),
			uri("sc", "sc-1"),
		]);
		const config = join(String(far.answer?.nodeDirectory), "proxy.yaml");
		spawnSync("sed", ["-i", `s#wal_path: .*#wal_path: "${join(directory, "far", "wal")}"#`, config]);
		const box = await running(
			"proxy",
			"run",
			"--node",
			String(far.answer?.nodeDirectory),
			"--data",
			join(directory, "far"),
		);
		const { path } = await untilForwarding(farHealth);
		assert.deepEqual(path.slice(0, 3), [uri("px", "px-far"), uri("px", "px-site-1"), uri("px", "px-1")]);
		assert.equal(await box.stop(), 0);
		assert.equal(await enclave.stop(), 0);
		const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
		assert.deepEqual(
			stdout.split("\n").filter((line) => line.includes(directory)),
			[],
		);
	},
);
