/**
 * Can somebody on the watched host tell that a trace began? Looks as nobody and as root before and after idle intervals and starts
 * of traces, with the same work in each, and times system calls in the watched process untraced and traced. Guarantees that the
 * looks are of real processes: collector, agent, enclave and target all run. Must never judge: the report says what differs.
 */
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { processKeyOf } from "#core/model/ids.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { processStartTicks } from "../../demo/processes.ts";
import { commandTogether, newTraceId } from "../../demo/story.ts";
import type { BenchContext } from "../bench.ts";
import { type ConsoleSession, openConsole } from "../console-session.ts";
import { collectorOf } from "../process-cost.ts";
import { WATCHED_AGENT_ID, type WatchedBox } from "../watched-box.ts";
import { type Difference, type Filter, type Round, traceOfTrace } from "./compare.ts";
import { LOOKERS, type Look, type Looker, takeLook } from "./look.ts";

export const STEALTH_LIMITS = {
	/** A difference that is noise is seen without a trace too, or not every time. */
	idleRounds: 2,
	tracedRounds: 2,
	/** What a start sets in motion is over by then: the command, the map update, the first events. */
	settleMs: 1500,
	callsPerTiming: 100_000,
	/** A shell that does not answer within this is gone. */
	shellAnswerMsMax: 60_000,
} as const;

/** Percentiles in ns of one call, one entry per run. */
export interface CallTimes {
	readonly call: string;
	readonly p50: number;
	readonly p90: number;
	readonly p99: number;
}

/** CPU time of the endpoint's processes that anybody may read, spent while the target made its calls, in ms. */
export interface VisibleCpu {
	readonly agentMs: number;
	readonly procmondMs: number;
}

export interface StealthReport {
	readonly differences: Readonly<Record<Looker, readonly Difference[]>>;
	readonly untraced: readonly CallTimes[];
	readonly traced: readonly CallTimes[];
	/** What an active probe sees: a burst of calls, and what the sensor's counters say of it. */
	readonly cpuUntraced: readonly VisibleCpu[];
	readonly cpuTraced: readonly VisibleCpu[];
	/** Lines that each looker saw: a look that saw nothing proves nothing. */
	readonly itemsSeen: Readonly<Record<Looker, number>>;
	/** Times at which a trace ran when it was looked at. */
	readonly tracesRun: number;
}

export interface StealthOptions {
	/** Called at each start of a trace: a test plants here what must be found. */
	readonly atTraceStart?: (target: { readonly pid: number; readonly agentPid: number }) => void;
}

const KTHREADD = 2;
/** Of /proc/PID/stat. */
const MS_PER_TICK = 10;

type Shell = ReturnType<WatchedBox["lineage"]["spawn"]>;

interface Target {
	readonly shell: Shell;
	readonly pid: number;
	readonly process: string;
	/** Runs a line in the shell and gives what it printed. */
	run(line: string): Promise<string>;
}

async function openTarget(box: WatchedBox): Promise<Result<Target, string>> {
	const shell = box.lineage.spawn(["/bin/sh"]);
	shell.stdout.setEncoding("utf8");
	const run = (line: string) =>
		new Promise<string>((resolve, reject) => {
			let text = "";
			const timer = setTimeout(
				() => reject(new Error("the target shell does not answer")),
				STEALTH_LIMITS.shellAnswerMsMax,
			);
			const take = (part: string) => {
				text += part;
				if (!text.includes("END-OF-LINE")) return;
				clearTimeout(timer);
				shell.stdout.off("data", take);
				resolve(text.slice(0, text.indexOf("END-OF-LINE")));
			};
			shell.stdout.on("data", take);
			shell.stdin.write(`${line}\necho END-OF-LINE\n`);
		});
	const pid = Number(await run("echo $$"));
	const startTicks = processStartTicks(pid);
	if (startTicks === undefined) return fail("shell_missing", "the target shell ended at once");
	const read = (path: string) => readFileSync(path, "utf8").trim();
	const identity = { machineId: read("/etc/machine-id"), bootId: read("/proc/sys/kernel/random/boot_id") };
	return ok({ shell, pid, run, process: hexOf(processKeyOf({ ...identity, tgid: pid, startTicks })) });
}

function childrenByParent(): Map<number, number[]> {
	const lines = execFileSync("/bin/ps", ["-e", "-o", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
	const children = new Map<number, number[]>();
	for (const line of lines) {
		const [pid = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
		children.set(parent, [...(children.get(parent) ?? []), pid]);
	}
	return children;
}

function below(root: number, children: ReadonlyMap<number, number[]>): number[] {
	return (children.get(root) ?? []).flatMap((pid) => [pid, ...below(pid, children)]);
}

/** The test, the other boxes of the enclave and the workload are not the endpoint; what they hold is not what it shows. */
function foreignTo(box: WatchedBox, endpoint: ReadonlySet<number>): Filter {
	const mine = () =>
		new Set([process.pid, ...below(process.pid, childrenByParent())].filter((pid) => !endpoint.has(pid)));
	const agentHome = join(box.dataDir, "agents");
	const isForeignSocket = (item: string) => {
		const inode = /inode (\d+)/.exec(item)?.[1];
		if (inode === undefined) return false;
		return ![...endpoint].some((pid) => holdsSocket(pid, inode));
	};
	return {
		isForeign(section, item, look) {
			if (section === "held") return true;
			if (section.startsWith("bpf.")) return look.get("held")?.has(heldName(section, item)) ?? false;
			if (section === "process") {
				const [pid = 0, parent = 0] = item.trim().split(/\s+/).map(Number);
				const own = mine();
				// Kernel threads come and go with the load; a program cannot make one.
				return parent === KTHREADD || own.has(pid) || own.has(parent) || parent === process.pid;
			}
			if (section === "socket") return isForeignSocket(item);
			if (section === "changed") return item.startsWith(box.directory) && !item.startsWith(agentHome);
			return section === "dmesg" && !/bpf|procmond|daemoneye|ptrace|audit/i.test(item);
		},
	};
}

/** `bpf.prog`, `17: tracing …` as a holder's descriptor names it: `prog 17`. */
function heldName(section: string, item: string): string {
	return `${section.slice("bpf.".length)} ${item.split(":", 1)[0]}`;
}

function holdsSocket(pid: number, inode: string): boolean {
	try {
		const listing = execFileSync("/bin/ls", ["-l", `/proc/${pid}/fd`], {
			encoding: "utf8",
			stdio: ["ignore", "pipe", "ignore"],
		});
		return listing.includes(`socket:[${inode}]`);
	} catch {
		// The process has ended, so it holds nothing any more.
		return false;
	}
}

interface Stage {
	readonly box: WatchedBox;
	readonly session: ConsoleSession;
	readonly target: Target;
	readonly endpointPids: readonly number[];
	readonly marker: string;
	readonly context: BenchContext;
	readonly options: StealthOptions;
}

/** The same in every interval, so that only the trace differs. */
const WORK = "for i in 1 2 3 4 5; do /bin/true; cat /etc/hostname > /dev/null; done; : > /dev/null";

async function lookAround({ marker, endpointPids, target }: Stage): Promise<Result<Record<Looker, Look>, string>> {
	const looks: Partial<Record<Looker, Look>> = {};
	for (const looker of LOOKERS) {
		const look = await takeLook(looker, { marker, endpointPids, targetPid: target.pid });
		if (!look.ok) return look;
		looks[looker] = look.value;
	}
	closeSync(openSync(marker, "w"));
	return ok(looks as Record<Looker, Look>);
}

async function startTrace(stage: Stage, traceId: string): Promise<Result<unknown, string>> {
	const { session, target, context } = stage;
	const aim = { agent: WATCHED_AGENT_ID, process: target.process, pid: target.pid, name: "sh" };
	const alone = { analyst: session.operator, approver: null, signal: context.signal };
	return commandTogether(alone, { traceId, target: aim, reason: "is it seen", act: "start" });
}

async function stopTrace(stage: Stage, traceId: string): Promise<Result<unknown, string>> {
	const { session, target, context } = stage;
	const aim = { agent: WATCHED_AGENT_ID, process: target.process, pid: target.pid, name: "sh" };
	const alone = { analyst: session.operator, approver: null, signal: context.signal };
	return commandTogether(alone, { traceId, target: aim, reason: "looked at", act: "stop" });
}

/** The files are open to every user unless /proc is mounted with hidepid. */
function cpuMsOf(pid: number): number {
	const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
	return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

async function timeCalls(stage: Stage, timer: string, cpu: VisibleCpu[]): Promise<CallTimes[]> {
	const [agent = 0, procmond = 0] = stage.endpointPids;
	const before = { agentMs: cpuMsOf(agent), procmondMs: cpuMsOf(procmond) };
	const text = await stage.target.run(`${timer} ${STEALTH_LIMITS.callsPerTiming}`);
	await sleep(STEALTH_LIMITS.settleMs);
	cpu.push({ agentMs: cpuMsOf(agent) - before.agentMs, procmondMs: cpuMsOf(procmond) - before.procmondMs });
	return text
		.trim()
		.split("\n")
		.map((line) => {
			const [call = "", p50, p90, p99] = line.split(" ");
			return { call, p50: Number(p50), p90: Number(p90), p99: Number(p99) };
		});
}

interface Gathered {
	readonly idle: Record<Looker, Round>[];
	readonly traced: Record<Looker, Round>[];
	readonly untracedTimes: CallTimes[];
	readonly tracedTimes: CallTimes[];
	readonly cpuUntraced: VisibleCpu[];
	readonly cpuTraced: VisibleCpu[];
	tracesRun: number;
}

function roundsOf(before: Record<Looker, Look>, after: Record<Looker, Look>): Record<Looker, Round> {
	return {
		nobody: { before: before.nobody, after: after.nobody },
		root: { before: before.root, after: after.root },
	};
}

async function idleRound(stage: Stage, timer: string, into: Gathered): Promise<Result<void, string>> {
	const before = await lookAround(stage);
	if (!before.ok) return before;
	await stage.target.run(WORK);
	into.untracedTimes.push(...(await timeCalls(stage, timer, into.cpuUntraced)));
	const after = await lookAround(stage);
	if (!after.ok) return after;
	into.idle.push(roundsOf(before.value, after.value));
	return ok(undefined);
}

async function tracedRound(stage: Stage, timer: string, into: Gathered): Promise<Result<void, string>> {
	const { box, target, options } = stage;
	const before = await lookAround(stage);
	if (!before.ok) return before;
	const traceId = newTraceId(Date.now());
	const started = await startTrace(stage, traceId);
	if (!started.ok) return started;
	options.atTraceStart?.({ pid: target.pid, agentPid: box.agentPid });
	await target.run(WORK);
	into.tracedTimes.push(...(await timeCalls(stage, timer, into.cpuTraced)));
	const after = await lookAround(stage);
	if (!after.ok) return after;
	const stopped = await stopTrace(stage, traceId);
	if (!stopped.ok) return stopped;
	into.tracesRun++;
	into.traced.push(roundsOf(before.value, after.value));
	return ok(undefined);
}

function reportOf(stage: Stage, gathered: Gathered): StealthReport {
	const filter = foreignTo(stage.box, new Set(stage.endpointPids));
	const of = (looker: Looker) =>
		traceOfTrace(
			gathered.idle.map((round) => round[looker]),
			gathered.traced.map((round) => round[looker]),
			filter,
		);
	const seen = (looker: Looker) =>
		[...(gathered.traced[0]?.[looker].after.values() ?? [])].reduce((sum, items) => sum + items.size, 0);
	return {
		differences: { nobody: of("nobody"), root: of("root") },
		untraced: gathered.untracedTimes,
		traced: gathered.tracedTimes,
		cpuUntraced: gathered.cpuUntraced,
		cpuTraced: gathered.cpuTraced,
		itemsSeen: { nobody: seen("nobody"), root: seen("root") },
		tracesRun: gathered.tracesRun,
	};
}

function buildTimer(directory: string): string {
	const binary = join(directory, "call-timer");
	execFileSync("cc", ["-O2", "-Wall", "-o", binary, join(import.meta.dirname, "..", "call-timer.c")]);
	return binary;
}

export async function measureStealth(
	box: WatchedBox,
	context: BenchContext,
	options: StealthOptions = {},
): Promise<Result<StealthReport, string>> {
	const session = await openConsole(box.enclave);
	if (!session.ok) return session;
	const collector = collectorOf(box.agentPid);
	if (!collector.ok) return collector;
	const target = await openTarget(box);
	if (!target.ok) return target;
	const marker = join(box.directory, "marker");
	closeSync(openSync(marker, "w"));
	const endpointPids = [box.agentPid, collector.value];
	const stage: Stage = { box, context, options, marker, endpointPids, session: session.value, target: target.value };
	const timer = buildTimer(box.directory);
	const gathered: Gathered = {
		idle: [],
		traced: [],
		untracedTimes: [],
		tracedTimes: [],
		cpuUntraced: [],
		cpuTraced: [],
		tracesRun: 0,
	};
	await sleep(STEALTH_LIMITS.settleMs);
	try {
		for (let round = 1; round <= STEALTH_LIMITS.idleRounds + STEALTH_LIMITS.tracedRounds; round++) {
			const isTraced = round > STEALTH_LIMITS.idleRounds;
			context.onStep(`${isTraced ? "traced" : "idle"}: looking, working, looking again`);
			const done = await (isTraced ? tracedRound : idleRound)(stage, timer, gathered);
			if (!done.ok) return done;
		}
		return ok(reportOf(stage, gathered));
	} finally {
		target.value.shell.kill("SIGKILL");
	}
}
