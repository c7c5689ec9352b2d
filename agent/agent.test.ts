import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { duplexPair } from "node:stream";
import { type TestContext, test } from "node:test";
import { verifyBatchEvents } from "#core/model/batch.ts";
import type { Event } from "#core/model/event.ts";
import { processKeyOf } from "#core/model/ids.ts";
import { PROPOSED_CAPTURE_POLICY } from "#core/trust/capture-policy.ts";
import { Agent } from "./agent.ts";
import {
	type CaptureFrame,
	encodeFrame,
	FrameReader,
	type OutgoingFrame,
	tagBytes,
	tagNumber,
} from "./capture/frame.ts";
import { FLAG_BITS, type TagName } from "./capture/layout.ts";
import { parseConfig } from "./config/config.ts";
import { loadIdentity } from "./config/identity.ts";
import { openDataDir } from "./data-dir.ts";
import { openSealedDisk } from "./disk-key/disk-key.ts";
import { AGENT_LIMITS } from "./limits.ts";
import { Hop, until } from "./testing/hop.ts";
import { commandOf, createLab, fileText, genesis, type Lab, nextTrust, signCommand } from "./testing/lab.ts";
import { TrustStore } from "./trust-store.ts";

const MACHINE = { machineId: "0123456789abcdef0123456789abcdef", bootId: "b0b0" };
const keyOf = (tgid: number, startTicks = BigInt(tgid)) => processKeyOf({ ...MACHINE, tgid, startTicks });

/** procmond's end of the socket, by hand. */
class Collector {
	readonly socket: Duplex;
	readonly received: CaptureFrame[] = [];
	readonly #reader = new FrameReader();
	#cpuSeq = 0n;
	answersSlots = true;

	constructor(socket: Duplex) {
		this.socket = socket;
		socket.on("data", (chunk: Buffer) => {
			const frames = this.#reader.push(chunk);
			assert.ok(frames.ok);
			for (const frame of frames.value) if (frame.kind !== null) this.#take(frame);
		});
	}

	#take(frame: CaptureFrame): void {
		this.received.push(frame);
		if (frame.kind === "trace_add" && this.answersSlots)
			this.send({ kind: "trace_state", tags: { SLOT: tagNumber(frame, "SLOT") ?? 0, COUNT: 2, CAUSE: "" } });
	}

	send(frame: OutgoingFrame): void {
		this.socket.write(encodeFrame(frame));
	}

	event(frame: OutgoingFrame): void {
		this.send({ startTicks: BigInt(frame.tgid ?? 0), cpuSeq: ++this.#cpuSeq, ktimeNs: 2_000_000_000n, ...frame });
	}

	skip(count: number): void {
		this.#cpuSeq += BigInt(count);
	}

	ready(): void {
		this.send({
			kind: "ready",
			ktimeNs: 1_000_000_000n,
			tags: {
				MACHINE_ID: `${MACHINE.machineId}\n`,
				BOOT_ID: MACHINE.bootId,
				WALL_NS: 1_700_000_000_000_000_000n,
				PROGRAMS: "fork,exec",
				MISSING: "",
			},
		});
	}

	fork(tgid: number, parent: number): void {
		this.event({ kind: "fork", tgid, tags: { PARENT_TGID: parent, PARENT_TICKS: BigInt(parent), COMM: "sh" } });
	}

	exec(tgid: number, ...argv: string[]): void {
		this.event({ kind: "exec", tgid, tags: { EXE: argv[0] ?? "", ARGV: argv.join("\0"), COMM: "sh" } });
	}

	connect(tgid: number): void {
		const address = Uint8Array.of(10, 0, 0, 9);
		this.event({
			kind: "connect",
			tgid,
			tags: { FAMILY: 2, LADDR: address, LPORT: 40_000, RADDR: address, RPORT: 22, RESULT: 0 },
		});
	}

	open(tgid: number, path: string): void {
		this.event({ kind: "file_open", tgid, tags: { PATH: path, OPEN_FLAGS: 1, COMM: "sh" } });
	}

	exit(tgid: number): void {
		this.event({ kind: "exit", tgid, tags: { EXIT_CODE: 0x700 } });
	}
}

interface Run {
	readonly agent: Agent;
	readonly collector: Collector;
	readonly codes: string[];
	readonly fatal: { kind: string; error: Error }[];
	stop(): void;
}

async function startAgent({ lab, hop, runs }: Stage, extra = ""): Promise<Run> {
	const { port } = hop;
	const path = lab.config(port, extra);
	const config = parseConfig(fileText(path), path);
	assert.ok(config.ok, config.ok ? "" : config.detail);
	const identity = await loadIdentity(config.value, Date.now());
	assert.ok(identity.ok, identity.ok ? "" : identity.detail);
	const dataDir = openDataDir(config.value.dataDir);
	assert.ok(dataDir.ok, dataDir.ok ? "" : dataDir.detail);
	const codes: string[] = [];
	const log = (code: string, fields = {}) => codes.push(`${code} ${JSON.stringify(fields)}`);
	const disk = openSealedDisk(dataDir.value);
	assert.ok(disk.ok, disk.ok ? "" : disk.detail);
	const trust = TrustStore.open(disk.value.files, identity.value.genesis, log);
	assert.ok(trust.ok);
	const [ours, theirs] = duplexPair();
	const collector = new Collector(theirs);
	const fatal: Run["fatal"] = [];
	const agent = new Agent({
		config: config.value,
		identity: identity.value,
		dataDir: dataDir.value,
		disk: disk.value,
		trust: trust.value,
		log,
		socket: ours,
		onFatal: (kind, error) => fatal.push({ kind, error }),
	});
	let isStopped = false;
	const stop = () => {
		if (isStopped) return;
		isStopped = true;
		agent.stop("agent_stopped");
		dataDir.value.release();
	};
	const run = { agent, collector, codes, fatal, stop };
	runs.push(run);
	return run;
}

interface Stage {
	readonly lab: Lab;
	readonly hop: Hop;
	readonly runs: Run[];
}

async function stage(t: TestContext): Promise<Stage> {
	const lab = await createLab();
	const hop = new Hop(lab.proxy);
	await hop.listen();
	const runs: Run[] = [];
	t.after(async () => {
		for (const run of runs) run.stop();
		await hop.close();
		lab.remove();
	});
	return { lab, hop, runs };
}

const ofKind = (hop: Hop, kind: Event["kind"]) => hop.events.filter((event) => event.kind === kind);

/** Sends a signed command and waits for its answer event. */
async function order(hop: Hop, command: ReturnType<typeof commandOf>, envelope = signCommand(command)): Promise<Event> {
	const before = ofKind(hop, "command_answer").length;
	hop.command(envelope, command.commandId);
	await until("an answer", () => ofKind(hop, "command_answer").length > before);
	return ofKind(hop, "command_answer").at(-1) as Event;
}

test("events of the collector reach the hop masked, keyed, timed and with their tier", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const run = await startAgent(at);
	assert.equal(run.collector.received.length, 0);
	run.collector.ready();
	run.collector.fork(10, 1);
	run.collector.exec(10, "/bin/mysql", "--password=hunter2", "-u", "root");
	await until("the exec", () => ofKind(hop, "exec").length === 1);
	assert.equal(run.collector.received[0]?.kind, "configure");
	const [exec] = ofKind(hop, "exec");
	assert.ok(exec);
	assert.deepEqual(exec.process, keyOf(10));
	assert.deepEqual(exec.payload.creatorParent, keyOf(1));
	assert.deepEqual(exec.payload.cmdline, ["/bin/mysql", "--password=***", "-u", "***"]);
	assert.equal(exec.payload.isCmdlineMasked, true);
	assert.equal(exec.wallTimeMs, 1_700_000_001_000);
	assert.equal(exec.execCount, 1);
	assert.equal(exec.tier, "ebpf");
	assert.equal(ofKind(hop, "source").length, 1);
	assert.equal(hop.hellos[0]?.status?.siteTag, "lab");
	assert.deepEqual(run.fatal, []);
});

test("clear arguments need the trust document's leave, which comes over the link and is verified", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const stranger = nextTrust(genesis, { isMaskingRequired: false }, new Uint8Array(32).fill(99));
	hop.trust = [stranger.bytes];
	const run = await startAgent(at, "  trace: {privacy_mask_args: false}\n");
	run.collector.ready();
	run.collector.exec(10, "/bin/a", "secret");
	await until("the first exec", () => ofKind(hop, "exec").length === 1);
	assert.ok(run.codes.some((line) => line.includes("trust_quorum_missing")));
	hop.trust = [nextTrust(genesis, { isMaskingRequired: false }).bytes];
	hop.drop();
	await until("the second hello", () => hop.hellos.length === 2);
	await until("the document", () => run.codes.some((line) => line.startsWith("trust_changed")));
	run.collector.exec(10, "/bin/a", "secret");
	await until("the second exec", () => ofKind(hop, "exec").length === 2);
	assert.deepEqual(
		ofKind(hop, "exec").map(({ payload }) => payload.cmdline),
		[
			["/bin/a", "***"],
			["/bin/a", "secret"],
		],
	);
	const disk = openSealedDisk({ path: at.lab.dataDir, outboxPath: `${at.lab.dataDir}/outbox` });
	assert.ok(disk.ok);
	const again = TrustStore.open(disk.value.files, genesis.bytes, () => {});
	assert.ok(again.ok && again.value.document.version === 1, "the version is on disk");
});

/** The lanes that hold events of a kind. */
function lanesOf(hop: Hop, kind: Event["kind"]): string[] {
	const batches = [...hop.streams.values()].flatMap((stream) => stream.batches);
	const holding = batches.filter((batch) => {
		const events = verifyBatchEvents(batch, hop.signingKey);
		return events.ok && events.value.some((event) => event.kind === kind);
	});
	return holding.map((batch) => batch.header.lane);
}

const textOf = (frame: CaptureFrame, tag: TagName) => Buffer.from(tagBytes(frame, tag) ?? []).toString();

test("the collector hears the capture policy at the start, and again with each trust document in force", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const run = await startAgent(at);
	const policies = () => run.collector.received.filter((frame) => frame.kind === "policy");
	run.collector.ready();
	await until("the link", () => hop.isUp);
	assert.deepEqual(
		run.collector.received.map((frame) => frame.kind),
		["configure", "policy"],
	);
	const stranger = nextTrust(genesis, { capturePolicy: PROPOSED_CAPTURE_POLICY }, new Uint8Array(32).fill(99));
	hop.trust = [stranger.bytes];
	hop.drop();
	await until("the refusal", () => run.codes.some((line) => line.includes("trust_quorum_missing")));
	assert.equal(policies().length, 1, "a document that is refused changes nothing");
	const capturePolicy = { ...PROPOSED_CAPTURE_POLICY, environmentNames: ["LD_PRELOAD"] };
	hop.trust = [nextTrust(genesis, { capturePolicy }).bytes];
	hop.drop();
	await until("the policy", () => policies().length === 2);
	assert.deepEqual(
		policies().map((frame) => textOf(frame, "ENV_NAMES")),
		["", "LD_PRELOAD"],
	);
	run.collector.event({ kind: "exec", tgid: 10, tags: { EXE: "/bin/a", ENV: "LD_PRELOAD=/tmp/secret.so" } });
	await until("the exec", () => ofKind(hop, "exec").length === 1);
	assert.deepEqual(ofKind(hop, "exec")[0]?.payload.environment, ["LD_PRELOAD=***"]);
});

test("watched files of untraced processes are baseline, tampering is an alert, and what nobody asked for goes nowhere", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const { collector } = await startAgent(at);
	collector.ready();
	collector.send({ kind: "cgroup", cgroupId: 9n, tags: { CGROUP_PATH: "/system.slice/web.service" } });
	const watched = 1 << FLAG_BITS.watched;
	const credential = 1 << FLAG_BITS.credential;
	collector.open(10, "/home/a");
	collector.event({ kind: "file_rename", tgid: 10, flags: watched, cgroupId: 9n, tags: { PATH: "/etc/a" } });
	collector.event({ kind: "file_open", tgid: 10, flags: credential, tags: { PATH: "/etc/shadow" } });
	collector.event({ kind: "memory_header", tgid: 10, tags: { CONTENT: "\x7fELF" } });
	collector.event({ kind: "file_hash", tags: { PATH: "/bin/x", SHA256: new Uint8Array(32) } });
	collector.event({ kind: "view_partial", tgid: 10, tags: { CAUSE: "io_uring" } });
	collector.event({ kind: "view_partial", tgid: 10, tags: { CAUSE: "io_uring" } });
	collector.event({ kind: "tamper", tgid: 10, tags: { CALL: "kill", REQUEST: 9n } });
	collector.exit(10);
	await until("the exit", () => ofKind(hop, "exit").length === 1 && ofKind(hop, "tamper").length === 1);
	const kinds = hop.events.filter(({ kind }) => !["source", "exit", "tamper"].includes(kind)).map(({ kind }) => kind);
	assert.deepEqual(kinds, ["file_rename", "file_open", "file_hash", "view_partial"]);
	assert.equal(ofKind(hop, "file_rename")[0]?.payload.systemdUnit, "web.service");
	assert.deepEqual(lanesOf(hop, "tamper"), ["alert"]);
});

test("tampering by a traced process is an alert as well", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const { collector } = await startAgent(at);
	collector.ready();
	collector.fork(10, 1);
	await until("the link", () => hop.isUp && ofKind(hop, "fork").length === 1);
	await order(hop, commandOf({ targetPid: 10, targetProcess: keyOf(10) }));
	collector.event({ kind: "tamper", tgid: 10, tags: { CALL: "bpf", REQUEST: 9n } });
	collector.event({ kind: "ptrace", tgid: 10, tags: { TARGET_TGID: 1, TARGET_TICKS: 1n } });
	await until("both", () => ofKind(hop, "tamper").length === 1 && ofKind(hop, "ptrace").length === 1);
	assert.deepEqual(lanesOf(hop, "tamper"), ["alert"]);
	assert.equal(ofKind(hop, "ptrace")[0]?.traceId, "T-20261122-abc123");
});

test("a flood of attacks on the collector has its own ceiling in the alert lane, and says what it gave up", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const { collector } = await startAgent(at);
	collector.ready();
	for (let i = 0; i < 500; i++) collector.event({ kind: "tamper", tgid: 10, tags: { CALL: "kill", REQUEST: 9n } });
	collector.exec(11, "/bin/other");
	await until("the gap", () => ofKind(hop, "gap").length > 0 && ofKind(hop, "exec").length === 1);
	const told = ofKind(hop, "tamper").length;
	assert.ok(told >= AGENT_LIMITS.tamperEventsPerSecMax && told < 100, `${told} were told`);
	const { payload } = ofKind(hop, "gap")[0] as Event;
	assert.match(payload.cause ?? "", /^alert_limit: process /);
	assert.equal(payload.gapTo, 500n - BigInt(told));
});

test("attempts that a user is refused leave room for an act that succeeded and for root's", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const { collector } = await startAgent(at);
	collector.ready();
	const user = { uid: 1000, gid: 1000, euid: 1000 };
	const refused = { CALL: "ptrace", REQUEST: 16n, RESULT: -1 };
	for (let i = 0; i < 500; i++) collector.event({ kind: "tamper", tgid: 10, ...user, tags: refused });
	collector.event({ kind: "tamper", tgid: 11, ...user, tags: { CALL: "signal", REQUEST: 19n, RESULT: 0 } });
	collector.event({ kind: "tamper", tgid: 12, tags: refused });
	await until("the gap", () => ofKind(hop, "gap").length > 0 && ofKind(hop, "tamper").length > 2);
	const told = ofKind(hop, "tamper").map(({ payload: { euid, result } }) => [euid, result]);
	assert.deepEqual(told.slice(-2), [
		[1000, 0],
		[0, -1],
	]);
	assert.ok(told.length < 50, `${told.length} were told`);
	const { payload } = ofKind(hop, "gap")[0] as Event;
	assert.match(payload.cause ?? "", /^refused_limit: process /);
	assert.equal(payload.gapTo, 502n - BigInt(told.length));
});

test("what was shed is a fidelity event and a gap for each class, and running traces count it", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const { collector } = await startAgent(at);
	collector.ready();
	collector.fork(10, 1);
	await until("the link", () => hop.isUp && ofKind(hop, "fork").length === 1);
	await order(hop, commandOf({ targetPid: 10, targetProcess: keyOf(10) }));
	const SHED = new Uint8Array(40);
	SHED[0] = 5;
	SHED[16] = 1;
	collector.send({ kind: "fidelity", tags: { LEVEL: 1, CAUSE: "psi_memory", SHED, SINCE_NS: 3n } });
	await until("the gaps", () => ofKind(hop, "gap").length === 2 && ofKind(hop, "fidelity").length === 1);
	assert.deepEqual(
		ofKind(hop, "gap").map(({ payload }) => [payload.cause, payload.gapTo]),
		[
			["shed: file_detail (psi_memory)", 5n],
			["shed: network_detail (psi_memory)", 1n],
		],
	);
	await order(hop, commandOf({ act: "stop" }));
	await until("the seal", () => ofKind(hop, "trace_seal").length === 1);
	assert.equal(ofKind(hop, "trace_seal")[0]?.payload.gapCount, 2);
});

test("a pid that came again before its exit was seen is one gap", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const { collector } = await startAgent(at);
	collector.ready();
	collector.fork(10, 1);
	collector.event({ kind: "fork", tgid: 10, startTicks: 99n, tags: { PARENT_TGID: 1, PARENT_TICKS: 1n } });
	await until("the gap", () => ofKind(hop, "gap").length > 0);
	assert.deepEqual(
		ofKind(hop, "gap").map(({ payload }) => [payload.cause, payload.gapTo]),
		[["exit_missed", 1n]],
	);
});

test("missing numbers become a gap event that names CPU and range", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const run = await startAgent(at);
	run.collector.ready();
	run.collector.exec(10, "/bin/a");
	run.collector.skip(3);
	run.collector.exec(11, "/bin/b");
	await until("the gap", () => ofKind(hop, "gap").length === 1);
	const { payload } = ofKind(hop, "gap")[0] as Event;
	assert.deepEqual(
		[payload.gapScope, payload.gapCpu, payload.gapFrom, payload.gapTo, payload.cause],
		["cpu", 0, 2n, 4n, "not_delivered"],
	);
});

test("a trace opens with its lineage, follows children to its depth, is told once, and is sealed by a stop", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const run = await startAgent(at);
	const { collector } = run;
	collector.ready();
	collector.fork(10, 1);
	collector.fork(11, 10);
	collector.fork(50, 1);
	await until("the baseline", () => ofKind(hop, "fork").length === 3 && hop.isUp);
	const target = { targetPid: 10, targetProcess: keyOf(10), depth: 2 };
	const answer = await order(hop, commandOf(target));
	assert.equal(answer.payload.isAccepted, true);
	assert.equal(answer.payload.processCount, 2);
	assert.equal(answer.traceId, "T-20261122-abc123");
	assert.ok(hop.frames.some((frame) => frame.type === "command_received"));
	const add = collector.received.find((frame) => frame.kind === "trace_add");
	assert.deepEqual([add?.tgid, add?.startTicks], [10, 10n]);
	collector.exec(11, "/bin/sh", "-c", "id");
	collector.open(11, "/etc/passwd");
	collector.connect(11);
	collector.fork(12, 11);
	collector.fork(13, 12);
	collector.exec(13, "/bin/deep");
	collector.exec(50, "/bin/other");
	const stop = await order(hop, commandOf({ act: "stop" }));
	assert.equal(stop.payload.isAccepted, true);
	await until("the seal", () => ofKind(hop, "trace_seal").length === 1);
	const traced = hop.events.filter((event) => event.traceId !== undefined && event.kind !== "command_answer");
	assert.deepEqual(
		traced.map(({ kind, payload }) => [kind, payload.pid, payload.depth]),
		[
			// What memory held of the lineage comes first.
			["fork", 10, 0],
			["fork", 11, 1],
			["snapshot", 10, 0],
			["snapshot", 11, 1],
			["exec", 11, 1],
			["file_open", 11, 1],
			["connect", 11, 1],
			["fork", 12, 2],
			["trace_seal", undefined, undefined],
		],
	);
	const seal = traced.at(-1)?.payload;
	assert.deepEqual([seal?.cause, seal?.eventCount, seal?.gapCount], ["stopped", 8, 0]);
	await until("the baseline", () => ofKind(hop, "exec").length === 3);
	const baseline = ofKind(hop, "exec").filter((event) => event.traceId === undefined);
	assert.deepEqual(baseline.map(({ payload }) => payload.pid).sort(), [13, 50]);
	assert.equal(ofKind(hop, "connect").length, 1);
	await until("the removal", () => collector.received.some((frame) => frame.kind === "trace_remove"));
	// What a hop holds of the trace lane is signed event by event: verifyBatchEvents in the hop refuses otherwise.
	assert.deepEqual(hop.refusals, []);
});

test("what a trace was told not to collect is not in it", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const run = await startAgent(at);
	run.collector.ready();
	run.collector.fork(10, 1);
	await until("the link", () => hop.isUp && ofKind(hop, "fork").length === 1);
	const collects = { collectCmdlines: false, collectNetwork: false, collectFileMeta: false };
	await order(hop, commandOf({ targetPid: 10, targetProcess: keyOf(10), ...collects }));
	run.collector.exec(10, "/bin/sh", "-c", "id");
	run.collector.open(10, "/etc/shadow");
	run.collector.connect(10);
	run.collector.exec(99, "/bin/last");
	await until("the last exec", () => ofKind(hop, "exec").some(({ payload }) => payload.pid === 99));
	const exec = ofKind(hop, "exec").find((event) => event.traceId !== undefined);
	assert.ok(exec);
	assert.equal(exec.payload.cmdline, undefined);
	assert.equal(exec.payload.isCmdlineMasked, undefined);
	assert.equal(ofKind(hop, "file_open").length, 0);
	assert.deepEqual(
		ofKind(hop, "connect").map((event) => event.traceId),
		[undefined],
		"the connection stays a baseline event",
	);
});

test("commands that must not act are refused by name, and none of them reaches the collector", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const run = await startAgent(at);
	run.collector.ready();
	run.collector.fork(10, 1);
	await until("the link", () => hop.isUp && ofKind(hop, "fork").length === 1);
	const good = { targetPid: 10, targetProcess: keyOf(10) };
	const causeOf = async (command: ReturnType<typeof commandOf>, envelope?: Uint8Array) => {
		const { payload } = await order(hop, command, envelope);
		assert.equal(payload.isAccepted, false);
		return payload.cause?.split(":")[0];
	};
	const alone = commandOf(good);
	assert.equal(await causeOf(alone, signCommand(alone, ["ana"])), "command_approval_missing");
	assert.equal(await causeOf(commandOf({ ...good, targetAgent: "db-01" })), "command_wrong_target");
	assert.equal(await causeOf(commandOf({ ...good, depth: 11 })), "command_ceiling_exceeded");
	assert.equal(await causeOf(commandOf({ ...good, trustVersion: 1 })), "command_trust_version");
	const late = { timestampMs: Date.now() - 90_000, expiresAtMs: Date.now() - 1000 };
	assert.equal(await causeOf(commandOf({ ...good, ...late })), "command_expired");
	assert.equal(await causeOf(commandOf({ ...good, targetProcess: keyOf(10, 999n) })), "target_gone");
	assert.equal(await causeOf(commandOf({ ...good, targetPid: 77 })), "target_gone");
	assert.equal(await causeOf(commandOf({ act: "stop", traceId: "T-20261122-zzz999" })), "trace_unknown");
	const changed = commandOf(good);
	const flipped = signCommand(changed);
	flipped[flipped.length - 1] = (flipped.at(-1) as number) ^ 1;
	assert.equal(await causeOf(changed, flipped), "command_signature_invalid");
	assert.equal(run.collector.received.filter((frame) => !["configure", "policy"].includes(frame.kind)).length, 0);
});

test("a command acts once: a repetition is absorbed, and after a restart it is refused", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const first = await startAgent(at);
	first.collector.ready();
	first.collector.fork(10, 1);
	await until("the link", () => hop.isUp && ofKind(hop, "fork").length === 1);
	const command = commandOf({ targetPid: 10, targetProcess: keyOf(10) });
	const envelope = signCommand(command);
	await order(hop, command, envelope);
	hop.command(envelope, command.commandId);
	const received = () => hop.frames.filter((frame) => frame.type === "command_received").length;
	await until("the second acknowledgement", () => received() === 2);
	assert.equal(first.collector.received.filter((frame) => frame.kind === "trace_add").length, 1);
	first.stop();
	await until("the end of the link", () => !hop.isUp);
	assert.equal(ofKind(hop, "command_answer").length, 1);
	assert.equal(ofKind(hop, "trace_seal").at(-1)?.payload.cause, "agent_stopped");

	const second = await startAgent(at);
	second.collector.ready();
	second.collector.fork(10, 1);
	await until("the link", () => hop.isUp);
	const answer = await order(hop, command, envelope);
	assert.equal(answer.payload.isAccepted, false);
	assert.match(answer.payload.cause ?? "", /^command_replayed/);
	assert.equal(second.collector.received.filter((frame) => frame.kind === "trace_add").length, 0);
});

test("a refusal of the collector ends the trace and answers the command", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const run = await startAgent(at);
	run.collector.answersSlots = false;
	run.collector.ready();
	run.collector.fork(10, 1);
	await until("the link", () => hop.isUp && ofKind(hop, "fork").length === 1);
	const command = commandOf({ targetPid: 10, targetProcess: keyOf(10) });
	const answered = order(hop, command);
	await until("the slot", () => run.collector.received.some((frame) => frame.kind === "trace_add"));
	run.collector.send({ kind: "trace_state", tags: { SLOT: 0, COUNT: 0, CAUSE: "table_full" } });
	assert.match((await answered).payload.cause ?? "", /^collector_refused: procmond refused: table_full/);
	await until("the seal", () => ofKind(hop, "trace_seal").length === 1);
	assert.equal(ofKind(hop, "trace_seal")[0]?.payload.cause, "collector_refused");
});

test("a trace that was running when the agent was killed is sealed by the next start", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const first = await startAgent(at);
	first.collector.ready();
	first.collector.fork(10, 1);
	await until("the link", () => hop.isUp && ofKind(hop, "fork").length === 1);
	await order(hop, commandOf({ targetPid: 10, targetProcess: keyOf(10) }));
	const kept = readFileSync(`${at.lab.dataDir}/active-traces.sealed`);
	first.stop();
	await until("the end of the link", () => !hop.isUp);
	// As a kill leaves it: the list still names the trace.
	writeFileSync(`${at.lab.dataDir}/active-traces.sealed`, kept);
	const second = await startAgent(at);
	second.collector.ready();
	await until("the seal", () => ofKind(hop, "trace_seal").some(({ payload }) => payload.cause === "agent_restarted"));
});

test("a malformed frame ends the agent with the collector's name and seals its traces", async (t) => {
	const at = await stage(t);
	const { hop } = at;
	const run = await startAgent(at);
	run.collector.ready();
	run.collector.fork(10, 1);
	await until("the link", () => hop.isUp && ofKind(hop, "fork").length === 1);
	await order(hop, commandOf({ targetPid: 10, targetProcess: keyOf(10) }));
	run.collector.socket.write(new Uint8Array(80).fill(0xff));
	await until("the end", () => run.fatal.length === 1);
	assert.equal(run.fatal[0]?.kind, "capture");
	assert.match(run.fatal[0]?.error.message ?? "", /cannot be read/);
	await until("the seal", () => ofKind(hop, "trace_seal").length === 1);
	assert.equal(ofKind(hop, "trace_seal")[0]?.payload.cause, "collector_lost");
});

test("the end of procmond is the end of the agent", async (t) => {
	const run = await startAgent(await stage(t));
	run.collector.socket.end();
	await once(run.collector.socket, "finish");
	await until("the end", () => run.fatal.length === 1);
	assert.equal(run.fatal[0]?.kind, "capture");
});

test("one data directory has one agent", async (t) => {
	const { lab } = await stage(t);
	const first = openDataDir(lab.dataDir);
	assert.ok(first.ok);
	const second = openDataDir(lab.dataDir);
	assert.ok(!second.ok && second.code === "data_dir_locked");
	first.value.release();
	const third = openDataDir(lab.dataDir);
	assert.ok(third.ok);
	third.value.release();
});
