import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { processKeyOf } from "#core/model/ids.ts";
import { parseConfig } from "./config/config.ts";
import { Hop, until } from "./testing/hop.ts";
import { commandOf, createLab, type Lab, signCommand } from "./testing/lab.ts";

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));
const BUILD = fileURLToPath(new URL("./procmond/build/", import.meta.url));
/** As the host side starts it. */
const NODE_FLAGS = [
	"--max-old-space-size=64",
	"--max-semi-space-size=1",
	"--optimize-for-size",
	"--single-threaded-gc",
	"--v8-pool-size=1",
	"--max-inlined-bytecode-size-cumulative=100",
	"--max-optimized-bytecode-size=4096",
];

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
	return spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" });
}

async function lab(t: TestContext): Promise<Lab> {
	const made = await createLab();
	t.after(() => made.remove());
	return made;
}

function exampleOf(help: string): string {
	return /\n( {2}agent:\n(?: {4}.*\n)+)/.exec(help)?.[1]?.replace(/^ {2}/gm, "") ?? "";
}

test("help shows every key that the parser knows", () => {
	const lines = exampleOf(run("--help").stdout).trimEnd().split("\n");
	const groups = lines.flatMap((line, at) => (/^ *\w+:$/.test(line) ? [at] : []));
	assert.ok(groups.length >= 8);
	for (const at of groups) {
		const indent = " ".repeat((lines[at] as string).search(/\w/) + 2);
		// The parser's refusal of a foreign key names all that it knows in its place.
		const refused = parseConfig(lines.toSpliced(at + 1, 0, `${indent}zzzzzzzzzzzz: 1`).join("\n"), "/agent.yaml");
		assert.ok(!refused.ok);
		const known = /known here: ([\w, ]+)/.exec(refused.detail)?.[1]?.split(", ") ?? [];
		assert.ok(known.length > 0, refused.detail);
		const end = lines.findIndex((line, below) => below > at && !line.startsWith(indent));
		const shown = lines.slice(at + 1, end === -1 ? undefined : end).flatMap((line) => {
			const key = /^( *)(\w+):/.exec(line);
			return key?.[1] === indent ? [key[2]] : [];
		});
		assert.deepEqual(shown.toSorted(), known.toSorted(), lines[at]);
	}
});

test("help shows an example that the parser accepts, and a good configuration passes the check", async (t) => {
	const { config } = await lab(t);
	const help = run("--help");
	assert.equal(help.status, 0);
	assert.match(help.stdout, /Exit codes/);
	const example = exampleOf(help.stdout);
	assert.ok(parseConfig(example, "/etc/daemoneye/agent.yaml").ok, example);
	const good = run("--config", config(7443), "--check");
	assert.equal(good.status, 0, good.stderr);
	assert.match(good.stdout, /web-01 of lab/);
});

test("each kind of wrong start has its exit code and one sentence", async (t) => {
	const made = await lab(t);
	const path = made.config(7443);
	const text = readFileSync(path, "utf8");
	const startWith = (change: (yaml: string) => string, ...args: string[]) => {
		writeFileSync(path, change(text));
		return run("--config", path, ...args);
	};
	assert.equal(run().status, 2);
	assert.equal(run("--bogus").status, 2);
	assert.equal(run("--config", "/nonexistent").status, 2);
	assert.equal(startWith((yaml) => yaml.replace("site_tag", "site_tga")).status, 2);
	const missing = startWith((yaml) => yaml.replace("signing.key", "gone.key"), "--check");
	assert.equal(missing.status, 2);
	assert.match(missing.stderr, /agent\.identity\.signing_key .* cannot be read/);
	const noCollector = startWith((yaml) => yaml);
	assert.equal(noCollector.status, 5, noCollector.stderr);
	assert.match(noCollector.stderr, /start the agent by the launcher/);
	const proxy = startWith((yaml) => yaml.replaceAll("/agent/", "/proxy/"), "--check");
	assert.equal(proxy.status, 4);
	assert.match(proxy.stderr, /is no agent/);
	copyFileSync(made.proxy.signingKey, made.agent.signingKey);
	const key = startWith((yaml) => yaml, "--check");
	assert.equal(key.status, 4);
	assert.match(key.stderr, /is not the key of agent\.identity\.binding/);
});

const isBuilt = existsSync(`${BUILD}launch`) && existsSync(`${BUILD}procmond`) && process.getuid?.() === 0;

/** The agent under the launcher with the real collector. */
function launch(config: string): { child: ChildProcess; lines: string[] } {
	const agent = [process.execPath, ...NODE_FLAGS, MAIN, "--config", config];
	const child = spawn(`${BUILD}launch`, ["--procmond", `${BUILD}procmond`, "--", ...agent], {
		stdio: ["ignore", "ignore", "pipe"],
	});
	const lines: string[] = [];
	child.stderr?.on("data", (chunk: Buffer) => lines.push(chunk.toString()));
	return { child, lines };
}

test("with the real collector a trace follows a shell from command to seal", {
	skip: isBuilt ? false : "needs procmond and root",
	timeout: 60_000,
}, async (t) => {
	const made = await lab(t);
	const hop = new Hop(made.proxy);
	await hop.listen();
	const { child, lines } = launch(made.config(hop.port));
	const shell = spawn("/bin/sh", ["-c", "while read line; do /bin/cat $line >/dev/null; done"], {
		stdio: ["pipe", "ignore", "ignore"],
	});
	t.after(async () => {
		shell.kill("SIGKILL");
		child.kill("SIGTERM");
		await hop.close();
	});
	const pid = shell.pid ?? 0;
	await until(
		`the shell in ${lines.join("")}`,
		() => hop.events.some(({ kind, payload }) => (kind === "snapshot" || kind === "exec") && payload.pid === pid),
		20_000,
	);
	const seen = hop.events.find(({ payload }) => payload.pid === pid);
	assert.ok(seen);
	const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
	const startTicks = BigInt(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "0");
	const read = (path: string) => readFileSync(path, "utf8").trim();
	const key = processKeyOf({
		machineId: read("/etc/machine-id"),
		bootId: read("/proc/sys/kernel/random/boot_id"),
		tgid: pid,
		startTicks,
	});
	assert.deepEqual(seen.process, key, "the key of the collector is the key of /proc");
	const command = commandOf({ targetPid: pid, targetProcess: key });
	hop.command(signCommand(command), command.commandId);
	await until("the answer", () => hop.events.some(({ kind }) => kind === "command_answer"));
	assert.equal(hop.events.find(({ kind }) => kind === "command_answer")?.payload.isAccepted, true, lines.join(""));
	shell.stdin.write("/etc/hostname\n");
	const traced = () => hop.events.filter((event) => event.traceId !== undefined);
	await until("the child's exec in the trace", () =>
		traced().some(({ kind, payload }) => kind === "exec" && payload.exe?.endsWith("cat") === true),
	);
	const exec = traced().find(({ kind }) => kind === "exec");
	assert.deepEqual(exec?.payload.cmdline, ["/bin/cat", "***"]);
	assert.equal(exec?.payload.depth, 1);
	if (seen.tier === "ebpf")
		await until("the file it opened", () => traced().some(({ payload }) => payload.path === "/etc/hostname"));
	child.kill("SIGTERM");
	const [code] = await once(child, "exit");
	assert.equal(code, 0, lines.join(""));
	await until("the seal", () =>
		hop.events.some(({ kind, payload }) => kind === "trace_seal" && payload.cause === "agent_stopped"),
	);
	assert.deepEqual(hop.refusals, []);
});
