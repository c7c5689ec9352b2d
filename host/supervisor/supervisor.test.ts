import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fail } from "#core/result.ts";
import { lockDataDir } from "./data-dir-lock.ts";
import { type ProcessSpec, runSupervisor, type StateChange, type Supervisor } from "./supervisor.ts";

const QUICK = { backoffFirstMs: 10, backoffMaxMs: 50, backoffResetMs: 60_000, restartsMax: 2 };
let dataDir: string;
let running: Supervisor | undefined;

beforeEach(() => {
	dataDir = mkdtempSync(join(tmpdir(), "daemoneye-box-"));
});
afterEach(async () => {
	await running?.stop();
	running = undefined;
	rmSync(dataDir, { recursive: true });
});

/** A child that listens on `<name>.sock` in the data directory, with more of its script. */
function listener(name: string, script = ""): ProcessSpec {
	const path = join(dataDir, `${name}.sock`);
	const code = `
		const { rmSync, appendFileSync, writeFileSync } = require("node:fs");
		const { createServer } = require("node:net");
		rmSync(${JSON.stringify(path)}, { force: true });
		process.on("SIGTERM", () => { appendFileSync("order", ${JSON.stringify(`-${name}`)}); process.exit(0); });
		createServer((socket) => socket.end()).listen(${JSON.stringify(path)}, () => appendFileSync("order", "+${name}"));
		console.log("hello from ${name}");
		${script}`;
	return { name, command: process.execPath, args: ["-e", code], cwd: dataDir, health: { kind: "unix", path } };
}

function read(name: string): string {
	return readFileSync(join(dataDir, name), "utf8");
}

async function start(processes: readonly ProcessSpec[], onState?: (change: StateChange) => void): Promise<Supervisor> {
	const result = await runSupervisor({ dataDir, processes, limits: QUICK, ...(onState ? { onState } : {}) });
	if (!result.ok) throw new Error(result.detail);
	running = result.value;
	return result.value;
}

function isAlive(pid: number): boolean {
	try {
		// A zombie is dead: whoever inherited it has only not asked yet.
		return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
	} catch {
		return false;
	}
}

async function until(condition: () => boolean): Promise<void> {
	for (let i = 0; i < 200 && !condition(); i++) await sleep(25);
	ok(condition(), "the condition came true within five seconds");
}

test("processes start one after another when the one before is healthy, and stop in reverse", async () => {
	const supervisor = await start([listener("a"), listener("b")]);
	deepEqual([...supervisor.pids().keys()], ["a", "b"]);
	await supervisor.stop();
	equal(read("order"), "+a+b-b-a");
	equal((await supervisor.finished).ok, true);
	match(read("logs/a.log"), /hello from a/);
	equal(statSync(join(dataDir, "logs/a.log")).mode & 0o777, 0o600);
});

test("a child that cannot start stops the ones before it and says its last words", async () => {
	const broken = { ...listener("b"), args: ["-e", "console.error('port is taken'); process.exit(3)"] };
	const result = await runSupervisor({ dataDir, processes: [listener("a"), broken], limits: QUICK });
	ok(!result.ok);
	equal(result.code, "child_failed");
	match(result.detail, /^b ended with status 3 before it was ready.*port is taken/s);
	equal(read("order"), "+a-a");
	ok(lockDataDir(dataDir).ok, "the data directory is free again");
});

test("a command that does not exist, a child that never answers and an interrupted start have their own words", async () => {
	const run = (spec: ProcessSpec, signal?: AbortSignal) =>
		runSupervisor({ dataDir, processes: [spec], limits: QUICK, ...(signal ? { signal } : {}) });
	const missing = await run({ ...listener("a"), command: "/no/such/command" });
	ok(!missing.ok);
	match(missing.detail, /no\/such\/command/);
	const idle = { ...listener("a"), args: ["-e", "setInterval(() => {}, 1000)"], startTimeoutMs: 200 };
	const silent = await run(idle);
	ok(!silent.ok);
	match(silent.detail, /did not answer its health check within 200 ms/);
	const interrupted = await run({ ...idle, startTimeoutMs: 60_000 }, AbortSignal.timeout(150));
	ok(!interrupted.ok);
	equal(interrupted.code, "start_interrupted");
});

test("what must follow a start runs after every start, and its failure fails the start", async () => {
	let runs = 0;
	const spec: ProcessSpec = {
		...listener("a"),
		afterHealthy: async () => {
			runs++;
			return { ok: true, value: undefined };
		},
	};
	const supervisor = await start([spec]);
	process.kill(supervisor.pids().get("a") as number, "SIGKILL");
	await until(() => runs === 2);
	await supervisor.stop();
	const refusing: ProcessSpec = {
		...spec,
		afterHealthy: async () => ({ ok: false, code: "x", detail: "no durability" }),
	};
	const result = await runSupervisor({ dataDir, processes: [refusing], limits: QUICK });
	ok(!result.ok);
	match(result.detail, /could not be prepared: no durability/);
});

test("files are written and questions asked only under the lock, and either can say no", async () => {
	const written: string[] = [];
	const spec: ProcessSpec = { ...listener("a"), beforeFirstStart: () => written.push("file") };
	const beforeStart = async () => fail("port_taken", "Port 8443 is taken.");
	const refused = await runSupervisor({ dataDir, processes: [spec], beforeStart });
	equal(!refused.ok && refused.code, "port_taken");
	const supervisor = await start([spec]);
	await runSupervisor({ dataDir, processes: [spec] });
	deepEqual(written, ["file"], "neither the refused start nor the second supervisor wrote");
	await supervisor.stop();
	const full: ProcessSpec = {
		...spec,
		beforeFirstStart: () => {
			throw new Error("no space left");
		},
	};
	const failed = await runSupervisor({ dataDir, processes: [listener("b"), full], limits: QUICK });
	ok(!failed.ok);
	match(failed.detail, /files of a could not be written: no space left/);
	match(read("order"), /\+b-b$/);
});

test("a killed child comes back under a new pid", async () => {
	const changes: StateChange[] = [];
	const supervisor = await start([listener("a")], (change) => changes.push(change));
	const first = supervisor.pids().get("a") as number;
	process.kill(first, "SIGKILL");
	await until(() => changes.filter(({ state }) => state === "ready").length === 2);
	ok(supervisor.pids().get("a") !== first);
	deepEqual(
		changes.map(({ state }) => state),
		["starting", "ready", "waiting", "starting", "ready"],
	);
	match(changes[2]?.detail ?? "", /was ended by SIGKILL/);
});

test("a child that keeps failing stops the whole box with a named error", async () => {
	const supervisor = await start([listener("a"), listener("b", "setTimeout(() => process.exit(7), 300)")]);
	const end = await supervisor.finished;
	ok(!end.ok);
	equal(end.code, "child_keeps_failing");
	match(end.detail, /After 2 restarts: b ended with status 7.*hello from b/s);
	match(read("order"), /-a$/);
	ok(lockDataDir(dataDir).ok);
});

test("a child that ignores SIGTERM is killed after its grace", async () => {
	const stubborn = {
		...listener("a", "process.removeAllListeners('SIGTERM'); process.on('SIGTERM', () => {});"),
		stopGraceMs: 100,
	};
	const supervisor = await start([stubborn]);
	const pid = supervisor.pids().get("a") as number;
	const before = performance.now();
	await supervisor.stop();
	ok(performance.now() - before < 2_000);
	equal(isAlive(pid), false);
});

test("an answer from somebody else's process does not make a dead child healthy", async () => {
	const other = createServer();
	await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
	const { port } = other.address() as { port: number };
	const dead: ProcessSpec = {
		name: "a",
		command: "/bin/false",
		args: [],
		health: { kind: "function", check: () => sleep(300, true) },
	};
	const result = await runSupervisor({ dataDir, processes: [dead], limits: QUICK });
	ok(!result.ok);
	match(result.detail, /ended with status 1 while something else answered/);
	const alive: ProcessSpec = {
		...dead,
		command: "/bin/sleep",
		args: ["60"],
		health: { kind: "tcp", host: "127.0.0.1", port },
	};
	await start([alive]);
	other.close();
});

test("children see only the environment they were given, and their files are private", async () => {
	process.env.DAEMONEYE_TEST_LEAK = "1";
	const script = `writeFileSync("env", JSON.stringify(process.env));`;
	await start([{ ...listener("a", script), env: { SECRET: "s" } }]);
	delete process.env.DAEMONEYE_TEST_LEAK;
	deepEqual(Object.keys(JSON.parse(read("env"))).sort(), ["LANG", "PATH", "SECRET"]);
	equal(statSync(join(dataDir, "env")).mode & 0o777, 0o600);
});

test("a second supervisor is refused with the pid of the first", async () => {
	await start([listener("a")]);
	const second = await runSupervisor({ dataDir, processes: [] });
	ok(!second.ok);
	equal(second.code, "data_dir_locked");
	match(second.detail, new RegExp(`process .*\\b${process.pid}\\b`));
	const missing = await runSupervisor({ dataDir: join(dataDir, "none"), processes: [] });
	ok(!missing.ok && missing.code === "data_dir_missing");
});

test("when the supervisor is killed its children die, and only then is the data directory free", async () => {
	const module = JSON.stringify(join(import.meta.dirname, "supervisor.ts"));
	const spec = listener("a");
	const program = `
		import { runSupervisor } from ${module};
		const box = await runSupervisor({ dataDir: ${JSON.stringify(dataDir)}, processes: [${JSON.stringify(spec)}] });
		console.log(box.value.pids().get("a"));`;
	const supervisor = spawn(process.execPath, ["--input-type=module-typescript", "-e", program], {
		stdio: ["ignore", "pipe", "inherit"],
	});
	const [chunk] = (await supervisor.stdout.take(1).toArray()) as [Buffer];
	const childPid = Number(chunk.toString());
	ok(isAlive(childPid));
	const locked = lockDataDir(dataDir);
	ok(!locked.ok);
	match(locked.detail, new RegExp(`\\b${childPid}\\b`), "the child holds the lock too");
	supervisor.kill("SIGKILL");
	// The lock goes with the last thread of the child, a moment after its first is gone.
	await until(() => {
		const free = lockDataDir(dataDir);
		if (free.ok) free.value.release();
		return free.ok;
	});
	equal(isAlive(childPid), false);
});

test("a log file keeps its size under the cap, with one predecessor", async () => {
	const { openLogFile } = await import("./log-file.ts");
	const path = join(dataDir, "x.log");
	const log = openLogFile(path, { logBytesMax: 100, logTailLines: 3, logTailLineCharactersMax: 10 });
	for (let i = 0; i < 30; i++) log.write(Buffer.from(`line ${i}\n`));
	log.write(Buffer.from("x".repeat(250)));
	deepEqual(log.tail(), ["line 28", "line 29", "x".repeat(10)]);
	ok(statSync(path).size <= 100 && statSync(`${path}.1`).size <= 100);
	equal(log.lostBytes(), 150);
	log.close();
});

test("a replacement runs by its own specification, and one that does not come up gives way to the former", async () => {
	const supervisor = await start([listener("a"), listener("b")]);
	const before = supervisor.pids();
	const next: ProcessSpec = {
		...listener("b", "appendFileSync('order', '!');"),
		beforeFirstStart: () => appendFileSync(join(dataDir, "order"), "w"),
	};
	const replaced = await supervisor.replace("b", next);
	ok(replaced.ok && replaced.value.name === "b");
	equal(read("order"), "+a+b-bw!+b", "the files are written when the old one is gone");
	equal(supervisor.pids().get("a"), before.get("a"));
	ok(supervisor.pids().get("b") !== before.get("b"));
	const broken = { ...listener("b"), args: ["-e", "console.error('no such key'); process.exit(3)"] };
	const failed = await supervisor.replace("b", broken);
	ok(!failed.ok && failed.code === "replacement_failed");
	match(failed.detail, /b ended with status 3.*no such key.*The former one runs again/s);
	equal(read("order"), "+a+b-bw!+b-bw!+b");
	const unknown = await supervisor.replace("c");
	ok(!unknown.ok && unknown.code === "process_unknown");
	await supervisor.stop();
	const late = await supervisor.replace("b");
	ok(!late.ok && late.code === "process_busy");
});

test("of two replacements at once the second is refused, and a stop answers the one that it overtakes", async () => {
	const slow = {
		...listener("a", "process.removeAllListeners('SIGTERM'); process.on('SIGTERM', () => {});"),
		stopGraceMs: 200,
	};
	const supervisor = await start([slow]);
	const first = supervisor.replace("a");
	const second = await supervisor.replace("a");
	ok(!second.ok && second.code === "process_busy");
	ok((await first).ok);
	const overtaken = supervisor.replace("a");
	await sleep(20);
	await supervisor.stop();
	const answer = await overtaken;
	ok(!answer.ok && answer.code === "process_busy");
	equal((await supervisor.finished).ok, true);
});

test("a process that waits for its next try after a crash is replaced at once", async () => {
	const dying = listener("a", "setTimeout(() => process.exit(7), 400)");
	const changes: StateChange[] = [];
	const result = await runSupervisor({
		...{ dataDir, processes: [dying] },
		limits: { ...QUICK, backoffFirstMs: 60_000, backoffMaxMs: 60_000 },
		onState: (change) => changes.push(change),
	});
	if (!result.ok) throw new Error(result.detail);
	running = result.value;
	await until(() => changes.at(-1)?.state === "waiting");
	const replaced = await result.value.replace("a", listener("a"));
	ok(replaced.ok, "its wait of a minute is over");
});
