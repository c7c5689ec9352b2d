/**
 * Disks that fail: cut, flipped and zeroed files, errors and full disks under running processes, old copies that come back. A failed
 * write must never be answered as a good one; what cannot be read must be named.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LANES } from "#core/model/batch.ts";
import type { AgentProcess } from "./agent-process.ts";
import { type FaultBox, judgeBox } from "./box.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { ProbeAnswer, ProbeOrder } from "./outbox-probe.ts";
import type { RowContext, RowOutcome } from "./row.ts";
import { attach } from "./strace.ts";

const AGENT = "agent-1";
/** Nobody listens here: what the agent holds then, it holds alone. */
const DEAD_PORT = 9;
const MIB = 1024 * 1024;

async function probe(context: RowContext, order: ProbeOrder): Promise<ProbeAnswer> {
	const output = execFileSync(process.execPath, ["--no-warnings", context.builds.outboxProbe, JSON.stringify(order)], {
		encoding: "utf8",
		maxBuffer: MIB,
	});
	return JSON.parse(output) as ProbeAnswer;
}

/** The agent's largest file of the outbox. */
function largestSegment(agent: AgentProcess): { path: string; bytes: Buffer } {
	const files = readdirSync(agent.outboxDirectory).map((name) => {
		const path = join(agent.outboxDirectory, name);
		return { path, bytes: readFileSync(path) };
	});
	const [first] = files.sort((a, b) => b.bytes.length - a.bytes.length);
	if (first === undefined) throw new Error("the outbox is empty");
	return first;
}

/**
 * Rows 9, 10 and 11: an outbox that no hop has seen is damaged in every way of the order on copies; then one damage is done to the
 * real file, and the agent comes back to a hop.
 */
function damageOutbox(
	context: RowContext,
	order: Omit<ProbeOrder, "directory">,
	damage: (bytes: Buffer) => Buffer,
): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		await agent.start({ until: "held", port: DEAD_PORT, feed: { rounds: 6, everyMs: 5, events: 4, lanes: LANES } });
		await agent.ended;
		const { opened, findings } = await probe(context, { ...order, directory: agent.directory });
		context.step(`${opened} damaged copies opened`);
		const { path, bytes } = largestSegment(agent);
		writeFileSync(path, damage(bytes));
		await agent.start({ until: "freed" });
		const outcome = await judgeBox(box, context, { agents: [agent] });
		const named = outcome.report?.gapsNamed ?? 0;
		const unnamed = named === 0 ? ["the damaged file cost a batch, and no gap record names it"] : [];
		return { ...outcome, violations: [...findings, ...unnamed, ...outcome.violations] };
	});
}

/** Row 9. */
export function truncateOutbox(context: RowContext): Promise<RowOutcome> {
	return damageOutbox(context, { kind: "truncate", reach: 2 }, (bytes) => bytes.subarray(0, bytes.length - 10));
}

/** Row 10, the agent's half. */
export function flipOutbox(context: RowContext): Promise<RowOutcome> {
	return damageOutbox(context, { kind: "flip", reach: 1 }, (bytes) => {
		const flipped = Buffer.from(bytes);
		const middle = Math.floor(bytes.length / 2);
		flipped[middle] = (flipped[middle] as number) ^ 0x55;
		return flipped;
	});
}

/** Row 11. */
export function zeroOutbox(context: RowContext): Promise<RowOutcome> {
	return damageOutbox(context, { kind: "zero", reach: 512 }, (bytes) => {
		const zeroed = Buffer.from(bytes);
		zeroed.fill(0, 1024, 1536);
		return zeroed;
	});
}

/** Takes all room of a small disk but a little. */
function fillDisk(directory: string): () => void {
	const balloon = join(directory, "balloon");
	// Whoever writes here meanwhile takes some of the room that was just counted.
	for (let tries = 1; ; tries++) {
		const { bavail, bsize } = statfsSync(directory);
		const bytes = Math.max(bsize, bavail * bsize - tries * FAULT_LIMITS.fullDiskSlackBytes);
		const { status, stderr } = spawnSync("fallocate", ["-l", String(bytes), balloon], { encoding: "utf8" });
		if (status === 0) break;
		rmSync(balloon, { force: true });
		if (tries >= FAULT_LIMITS.fillTriesMax) throw new Error(stderr.trim());
	}
	return () => rmSync(balloon, { force: true });
}

/** Starts whatever has ended meanwhile, as the supervisor would. */
async function reviveAll(box: FaultBox): Promise<string[]> {
	const revived: string[] = [];
	for (const name of box.names) {
		const each = box.process(name);
		if (each.isRunning && !(await each.hasEnded())) continue;
		revived.push(name);
		await each.gone();
		await each.start();
	}
	return revived;
}

/** Row 13: one small disk after the other is full for a while. */
export function fillDisks(context: RowContext): Promise<RowOutcome> {
	const disks = { "px-1/wal": 24 * MIB, center: 48 * MIB, sqld: 64 * MIB, "outbox-of-agent": 8 * MIB };
	// Without watermarks: the disk itself must say no, in the middle of a write.
	const options = { agents: [AGENT], disks, agentDirectory: "outbox-of-agent", isDiskUnmeasured: true };
	return inBox(context, options, async (box) => {
		const agent = box.agent(AGENT);
		await agent.start();
		await agent.feed({ rounds: 5, everyMs: 20, events: 20, lanes: LANES });
		const violations: string[] = [];
		for (const disk of Object.keys(disks)) {
			if (context.signal.aborted) break;
			const free = fillDisk(join(box.dataDir, disk));
			const acked = agent.truth.acked;
			await agent.feed({ rounds: 40, everyMs: 25, events: 60, lanes: LANES });
			await sleep(FAULT_LIMITS.fullDiskMs);
			free();
			const ended = !agent.isRunning;
			if (ended) violations.push(`the agent ended on a full ${disk}`);
			const revived = await reviveAll(box);
			context.step(
				`${disk} was full: ${agent.truth.acked - acked} batches acknowledged meanwhile, restarted: ${revived.join(", ") || "none"}`,
			);
		}
		const outcome = await judgeBox(box, context, { agents: [agent] });
		// What waits in memory meanwhile is less than it may hold: nothing has to be given up.
		const given = outcome.report?.gapsNamed ?? 0;
		if (given > 0) violations.push(`a full disk cost ${given} batches that were held`);
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}

/** Row 12: fsync fails once, then for ever, at each process that keeps something. */
export function failSyncs(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		const violations: string[] = [];
		const feed = { rounds: 10, everyMs: 20, events: 4, lanes: LANES };
		for (const when of ["5", "5+"]) {
			await agent.start({ feed, injection: { call: "fdatasync", what: "error=EIO", when } });
			const ended = await Promise.race([agent.ended, sleep(8000, null, { ref: false })]);
			if (ended?.status !== 6)
				violations.push(`the agent did not end by its code for a failed disk: ${ended?.status ?? "it runs on"}`);
			await agent.kill();
		}
		await agent.start();
		await agent.feed(feed);
		for (const name of ["px-1", "sc", "sqld"])
			for (const when of ["3", "3+"]) {
				const tracer = await box.process(name).attach({ call: "fsync", what: "error=EIO", when });
				await agent.feed({ ...feed, rounds: 30 });
				await tracer.detach();
				const revived = await reviveAll(box);
				context.step(
					`${name}, fsync fails ${when === "3" ? "once" : "for a second"}: restarted ${revived.join(", ") || "none"}`,
				);
				await sleep(500);
			}
		const outcome = await judgeBox(box, context, { agents: [agent] });
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}

/** A process that cannot open, or cannot write, while the agent feeds; what ended by it is started again. */
async function refuseCalls(
	box: FaultBox,
	name: string,
	{ call, error, newcomer }: { call: string; error: string; newcomer: AgentProcess | null },
): Promise<{ injected: number; restarted: string }> {
	const agent = box.agent(AGENT);
	const target = name === AGENT ? agent : box.process(name);
	const tracer = await attach(target.pid, { call, what: `error=${error}`, when: "1+" });
	const feed = { rounds: 30, everyMs: 20, events: 4, lanes: LANES };
	await Promise.all([agent.feed(feed), newcomer?.start({ feed })]);
	await sleep(FAULT_LIMITS.refusedCallsMs);
	const injected = await tracer.detach();
	const revived = await reviveAll(box);
	if (agent.isRunning) return { injected, restarted: revived.join(", ") };
	const { status } = await agent.ended;
	await agent.start();
	return { injected, restarted: `${AGENT} (ended with ${status})` };
}

/** Takes every inode of a small disk. */
function takeInodes(directory: string): () => void {
	const taken = join(directory, "inodes");
	mkdirSync(taken);
	try {
		for (let name = 0; ; name++) writeFileSync(join(taken, String(name)), "");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
	}
	return () => rmSync(taken, { recursive: true });
}

/** Row 15: no descriptor, no inode, a disk that became read-only, at each process that keeps something. */
export function refuseFiles(context: RowContext): Promise<RowOutcome> {
	const disks = { "px-1/wal": 64 * MIB, center: 64 * MIB, sqld: 64 * MIB, "outbox-of-agent": 64 * MIB };
	// A hop opens files when an agent comes that it has not seen: one for each turn.
	const newcomers = ["px-1", "sc", "sqld"].map((name) => `new-at-${name}`);
	const options = { agents: [AGENT, ...newcomers], disks, agentDirectory: "outbox-of-agent" };
	return inBox(context, options, async (box) => {
		const agent = box.agent(AGENT);
		const violations: string[] = [];
		await agent.start();
		await agent.feed({ rounds: 5, everyMs: 20, events: 4, lanes: LANES });
		for (const [call, error] of [
			["openat", "EMFILE"],
			["pwrite64", "EROFS"],
		] as const)
			for (const name of [AGENT, "px-1", "sc", "sqld"]) {
				if (context.signal.aborted) break;
				const newcomer = call === "openat" && name !== AGENT ? box.agent(`new-at-${name}`) : null;
				const { injected, restarted } = await refuseCalls(box, name, { call, error, newcomer });
				context.step(`${name}: ${injected} ${call} failed with ${error}, restarted: ${restarted || "none"}`);
				if (injected === 0) violations.push(`${name} called no ${call}: the row tries nothing`);
			}
		const reopened = await judgeBox(box, context, { agents: newcomers.map((id) => box.agent(id)) });
		violations.push(...reopened.violations);
		for (const disk of Object.keys(disks)) {
			if (context.signal.aborted) break;
			const free = takeInodes(join(box.dataDir, disk));
			await agent.feed({ rounds: 20, everyMs: 20, events: 4, lanes: LANES });
			free();
			if (!agent.isRunning) {
				violations.push(`the agent ended without inodes on ${disk}`);
				await agent.start();
			}
			context.step(`${disk} had no inode, restarted: ${(await reviveAll(box)).join(", ") || "none"}`);
		}
		const outcome = await judgeBox(box, context, { agents: [AGENT, ...newcomers].map((id) => box.agent(id)) });
		const given = outcome.report?.gapsNamed ?? 0;
		if (given > 0) violations.push(`files that were refused cost ${given} batches that were held`);
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}

/** Row 16: the agent's disk of some time ago comes back, key and all. */
export function restoreAgentDisk(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		const feed = { rounds: 8, everyMs: 10, events: 4, lanes: LANES };
		const copy = `${agent.directory}.old`;
		await agent.start();
		await agent.feed(feed);
		await judgeBox(box, context, { agents: [agent] });
		await agent.stop();
		cpSync(agent.directory, copy, { recursive: true });
		await agent.start();
		await agent.feed(feed);
		await judgeBox(box, context, { agents: [agent] });
		await agent.stop();
		rmSync(agent.directory, { recursive: true });
		cpSync(copy, agent.directory, { recursive: true });
		// It seals before it has heard a hop: under numbers that the hop knows with other bytes.
		await agent.start({ until: "held", port: DEAD_PORT, feed });
		await agent.ended;
		await agent.start();
		await agent.feed(feed);
		const outcome = await judgeBox(box, context, { agents: [agent] });
		const isTold = (agent.logged.get("stream_ahead") ?? 0) > 0 || (agent.logged.get("stream_resealed") ?? 0) > 0;
		context.step(
			`stream_ahead ${agent.logged.get("stream_ahead") ?? 0}, resealed ${agent.logged.get("stream_resealed") ?? 0}`,
		);
		return isTold ? outcome : { ...outcome, violations: ["nobody noticed the old disk", ...outcome.violations] };
	});
}

/** Row 17: the proxy's disk of some time ago comes back. */
export function restoreProxyDisk(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		const proxy = box.process("px-1");
		const wal = join(box.dataDir, "px-1", "wal");
		const feed = { rounds: 10, everyMs: 10, events: 4, lanes: LANES };
		await agent.start();
		// With batches in it that nobody upstream has yet.
		await box.process("sc").kill();
		await agent.feed(feed);
		await sleep(500);
		await proxy.kill();
		cpSync(wal, `${wal}.old`, { recursive: true });
		await box.process("sc").start();
		await proxy.start();
		await agent.feed(feed);
		await judgeBox(box, context, { agents: [agent] });
		await proxy.kill();
		rmSync(wal, { recursive: true });
		cpSync(`${wal}.old`, wal, { recursive: true });
		await proxy.start();
		await agent.feed(feed);
		return judgeBox(box, context, { agents: [agent] });
	});
}

/**
 * Row 19: the proxy's disk is gone with all that waited on it. What an agent keeps until it is in custody comes again; bulk that the
 * proxy had acknowledged is lost, and a gap record names each of it.
 */
export function destroyProxyDisk(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		const feed = { rounds: 10, everyMs: 10, events: 4, lanes: LANES };
		await agent.start();
		await agent.feed(feed);
		await judgeBox(box, context, { agents: [agent] });
		await box.process("sc").kill();
		await agent.feed(feed);
		await sleep(FAULT_LIMITS.acknowledgedMs);
		await box.process("px-1").kill();
		rmSync(join(box.dataDir, "px-1", "wal"), { recursive: true });
		mkdirSync(join(box.dataDir, "px-1", "wal"), { mode: 0o700 });
		await box.process("sc").start();
		await box.process("px-1").start();
		await agent.feed(feed);
		const outcome = await judgeBox(box, context, { agents: [agent] });
		const named = box.store.view(AGENT)?.gaps ?? [];
		context.step(`gap records of ${named.map(({ first, last }) => `${first}-${last}`).join(", ") || "nothing"}`);
		return outcome;
	});
}
