/**
 * The promise about the agent's disk, kept by a real agent process: while a trace runs and after it, no file of its directories
 * holds an id or a name that tells who looks for what, and nothing listable says that a trace began.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
	appendFileSync,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { base64Of, concatBytes, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { processKeyOf } from "#core/model/ids.ts";
import { ed25519PublicKey } from "#crypto";
import { encodeFrame, FrameReader, type OutgoingFrame, tagNumber } from "./capture/frame.ts";
import { Hop, until } from "./testing/hop.ts";
import { commandOf, createLab, genesis, type Lab, nextTrust, OPERATORS, signCommand } from "./testing/lab.ts";

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));
const MACHINE = { machineId: "0123456789abcdef0123456789abcdef", bootId: "b0b0" };
const keyOf = (tgid: number) => processKeyOf({ ...MACHINE, tgid, startTicks: BigInt(tgid) });

const SEARCHED = ["marguerite.oyelaran", "ottokar.szabo"] as const;
const NAMES = { "marguerite.oyelaran": "Marguerite Oyelaran", "ottokar.szabo": "Ottokar Szabó" } as const;
const TRACE_ID = "T-20261122-qzvwxkj7";
/** A hit is traced with its rule in the reason. */
const RULE_ID = "7f0c9b1e-5d2a-4c61-9e83-b1d0a4f2c6e5";
const REASON = `Web shell on the ticket desk, rule ${RULE_ID}`;
const COMMAND_ID = Uint8Array.from({ length: 16 }, (_, index) => 0x91 + index * 7);

/** Version 1 with operators whose names nothing else holds. */
const trust = nextTrust(genesis, {
	operators: SEARCHED.map((id, index) => ({
		id,
		name: NAMES[id],
		publicKey: ed25519PublicKey(OPERATORS[id]),
		roles: [index === 0 ? ("analyst" as const) : ("approver" as const)],
	})),
	successorKeys: SEARCHED.map((id) => ed25519PublicKey(OPERATORS[id])),
});

/** What must not be found: text as UTF-8; bytes raw, as hex and as base64. */
function needles(): Map<string, Uint8Array> {
	const found = new Map<string, Uint8Array>();
	for (const text of [TRACE_ID, RULE_ID, "ticket desk", ...SEARCHED, ...Object.values(NAMES)])
		found.set(text, utf8(text));
	const keys = Object.values(OPERATORS).map((seed) => ed25519PublicKey(seed));
	for (const bytes of [COMMAND_ID, ...keys]) {
		found.set(`${hexOf(bytes)} raw`, bytes);
		found.set(`${hexOf(bytes)} hex`, utf8(hexOf(bytes)));
		found.set(`${hexOf(bytes)} base64`, utf8(base64Of(bytes).slice(0, 20)));
	}
	return found;
}

const filesBelow = (directory: string) =>
	readdirSync(directory, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath, entry.name))
		.sort();

/** Every file of the agent (its data, its identity, its configuration, its log), searched for every needle. */
function search(lab: Lab, lines: readonly string[]): string[] {
	const found: string[] = [];
	const files = [
		...filesBelow(lab.dataDir),
		...filesBelow(join(lab.directory, "agent")),
		join(lab.directory, "agent.yaml"),
	];
	assert.ok(files.length > 10, files.join());
	const contents = files.map((file) => [file, readFileSync(file)] as const);
	for (const [name, needle] of needles())
		for (const [file, content] of [...contents, ["the log", Buffer.from(lines.join(""))] as const]) {
			if (content.includes(Buffer.from(needle))) found.push(`${name} in ${file}`);
			if (file.includes(name)) found.push(`${name} is the name of ${file}`);
		}
	return found;
}

interface Running {
	readonly child: ChildProcess;
	readonly lines: string[];
	send(frame: OutgoingFrame): void;
	/** Sends SIGTERM and returns the exit code. */
	stop(): Promise<number>;
}

/** The agent's own process with this test in procmond's place on descriptor 3. */
function start(t: TestContext, config: string, env: NodeJS.ProcessEnv = {}): Running {
	const child = spawn(process.execPath, ["--no-warnings", MAIN, "--config", config], {
		stdio: ["ignore", "ignore", "pipe", "pipe"],
		env: { PATH: process.env.PATH, ...env },
	});
	t.after(() => child.kill("SIGKILL"));
	const lines: string[] = [];
	child.stderr?.on("data", (chunk: Buffer) => lines.push(chunk.toString()));
	const socket = child.stdio[3] as Duplex;
	const reader = new FrameReader();
	const send = (frame: OutgoingFrame) => socket.write(encodeFrame(frame));
	socket.on("error", () => lines.push("the socket closed\n"));
	socket.on("data", (chunk: Buffer) => {
		const frames = reader.push(chunk);
		assert.ok(frames.ok);
		for (const frame of frames.value) {
			if (frame.kind === "configure") send(readyFrame());
			if (frame.kind === "trace_add")
				send({ kind: "trace_state", tags: { SLOT: tagNumber(frame, "SLOT") ?? 0, COUNT: 1, CAUSE: "" } });
		}
	});
	const stop = async () => {
		const ended = once(child, "exit");
		child.kill("SIGTERM");
		return (await ended)[0] as number;
	};
	return { child, lines, send, stop };
}

function readyFrame(): OutgoingFrame {
	const now = { WALL_NS: BigInt(Date.now()) * 1_000_000n, PROGRAMS: "fork,exec", MISSING: "" };
	return {
		kind: "ready",
		ktimeNs: 1_000_000_000n,
		tags: { MACHINE_ID: `${MACHINE.machineId}\n`, BOOT_ID: MACHINE.bootId, ...now },
	};
}

let cpuSeq = 0n;
function execOf(tgid: number, exe: string): OutgoingFrame {
	const tags = { EXE: exe, ARGV: exe, COMM: "sh" };
	return { kind: "exec", tgid, startTicks: BigInt(tgid), cpuSeq: ++cpuSeq, ktimeNs: 2_000_000_000n, tags };
}

interface Stage {
	readonly lab: Lab;
	readonly hop: Hop;
	readonly config: string;
}

async function stage(t: TestContext): Promise<Stage> {
	const lab = await createLab();
	const hop = new Hop(lab.proxy);
	await hop.listen();
	t.after(async () => {
		await hop.close();
		lab.remove();
	});
	hop.trust = [trust.bytes];
	return { lab, hop, config: lab.config(hop.port) };
}

const has = (hop: Hop, kind: string) => hop.events.some((event) => event.kind === kind);

async function startTrace({ hop }: Stage): Promise<void> {
	const command = commandOf({
		traceId: TRACE_ID,
		targetPid: 10,
		targetProcess: keyOf(10),
		initiatedBy: "marguerite.oyelaran",
		reason: REASON,
		trustVersion: 1,
		commandId: COMMAND_ID,
	});
	hop.command(signCommand(command, SEARCHED), COMMAND_ID);
	await until("the answer", () => has(hop, "command_answer"));
	const answer = hop.events.find(({ kind }) => kind === "command_answer");
	assert.equal(answer?.payload.isAccepted, true, answer?.payload.cause);
}

/** Names and sizes of what a listing shows; of the log's segments the names only, because they grow with everything. */
function listing({ lab }: Stage): string[] {
	const files = [...filesBelow(lab.dataDir), ...filesBelow(join(lab.directory, "agent"))];
	return files.map((file) => (file.includes("/outbox/") ? file : `${file} ${statSync(file).size}`));
}

test("no file of a real agent names rule, trace or operator, and a trace that starts changes no listing", {
	timeout: 60_000,
}, async (t) => {
	const at = await stage(t);
	const { lab, hop, config } = at;
	const run = start(t, config);
	await until("the trust document", () => run.lines.join("").includes("trust_changed"), 20_000);
	run.send(execOf(10, "/bin/sh"));
	await until("the baseline", () => has(hop, "exec"));
	await until("the receipts on disk", () => existsSync(join(lab.dataDir, "ledger-seen.sealed")), 10_000);
	assert.ok(!existsSync(lab.agent.genesis), "the clear genesis is gone");
	const idle = listing(at);
	await startTrace(at);
	run.send(execOf(10, "/bin/traced"));
	await until("the traced event", () =>
		hop.events.some((event) => event.traceId === TRACE_ID && event.kind === "exec"),
	);
	assert.deepEqual(listing(at), idle, "no new file and no new size");
	assert.deepEqual(search(lab, run.lines), []);
	assert.equal(await run.stop(), 0, run.lines.join(""));
	assert.deepEqual(search(lab, run.lines), []);
	// The agent that starts again reads all of it, without the file that is gone.
	const again = start(t, config);
	await until("the second hello", () => hop.hellos.length === 2, 20_000);
	assert.equal(await again.stop(), 0, again.lines.join(""));
	assert.deepEqual(search(lab, again.lines), []);
	assert.deepEqual(hop.refusals, []);
	// The search itself: each of these would have been found.
	for (const [name, needle] of needles()) {
		const planted = join(lab.dataDir, "outbox", "planted");
		writeFileSync(planted, concatBytes(new Uint8Array(1000), needle));
		assert.notDeepEqual(search(lab, []), [], name);
		rmSync(planted);
	}
});

test("a source event says that the key is a file, and nothing when systemd holds it", {
	timeout: 60_000,
}, async (t) => {
	for (const source of ["file", "credential"]) {
		const { lab, hop, config } = await stage(t);
		const credentials = join(lab.directory, "credentials");
		mkdirSync(credentials);
		writeFileSync(join(credentials, "daemoneye-disk-key"), new Uint8Array(32).fill(3));
		const run = start(t, config, source === "file" ? {} : { CREDENTIALS_DIRECTORY: credentials });
		await until("the source event", () => has(hop, "source"), 20_000);
		const { cause } = hop.events.find(({ kind }) => kind === "source")?.payload ?? {};
		assert.equal(cause?.includes("disk key: file of mode 0600") === true, source === "file", cause);
		assert.ok(run.lines.join("").includes(`"code":"disk_key","source":"${source}"`));
		assert.equal(existsSync(join(lab.dataDir, "disk.key")), source === "file");
		assert.equal(await run.stop(), 0);
	}
});

test("a start without the key, with another genesis or with a cut trust document ends named and sealed data stays", {
	timeout: 60_000,
}, async (t) => {
	const { lab, hop, config } = await stage(t);
	const first = start(t, config);
	await until("the hello", () => hop.hellos.length === 1, 20_000);
	await first.stop();
	const ended = async (): Promise<[number, string]> => {
		const run = start(t, config);
		const [code] = (await once(run.child, "exit")) as [number];
		return [code, run.lines.join("")];
	};
	const before = filesBelow(lab.dataDir);
	const keyFile = join(lab.dataDir, "disk.key");
	const key = readFileSync(keyFile);
	rmSync(keyFile);
	let [code, said] = await ended();
	assert.equal(code, 6);
	assert.match(said, /holds sealed data, but there is neither a credential .*Put the key back/);
	writeFileSync(keyFile, key, { mode: 0o600 });
	const other = nextTrust(genesis, { version: 0, prevHash: new Uint8Array(32), traceDepthMax: 3 });
	writeFileSync(lab.agent.genesis, other.bytes);
	[code, said] = await ended();
	assert.equal(code, 4);
	assert.match(said, /another document than the one pinned at the first start/);
	rmSync(lab.agent.genesis);
	appendFileSync(join(lab.dataDir, "trust-0.sealed"), "x");
	[code, said] = await ended();
	assert.equal(code, 4);
	assert.match(said, /trust-0\.sealed does not open under the disk key/);
	assert.deepEqual(filesBelow(lab.dataDir), before);
});
