/**
 * From the kernel to the console: how old a trace event is when a console holds it. A shell in a watched cgroup is traced and starts
 * programs at a modest rate; a console follows the live feed and fetches what is new. Latency = this machine's clock when the
 * answer was read, less the event's kernel time on the same clock. Event times are whole milliseconds, rounded down: up to one
 * millisecond is counted that did not pass.
 */
import type { ChildProcessByStdio } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { processKeyOf } from "#core/model/ids.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { OperatorClient } from "../cli/operator-client.ts";
import { processStartTicks } from "../demo/processes.ts";
import { commandTogether, newTraceId, type StoryEvent } from "../demo/story.ts";
import type { BenchContext } from "./bench.ts";
import { type ConsoleSession, openConsole } from "./console-session.ts";
import { quantile } from "./figure.ts";
import { BENCH_LIMITS } from "./limits.ts";
import { WATCHED_AGENT_ID, type WatchedBox } from "./watched-box.ts";

type Shell = ChildProcessByStdio<Writable, Readable, null>;

interface Seen {
	readonly timeMs: number;
	readonly latencyMs: number;
}

/** Fetches what is new whenever the feed says so, one fetch at a time, as the page does. */
class TraceReader {
	readonly seen: Seen[] = [];
	trouble: string | null = null;
	readonly #operator: OperatorClient;
	readonly #traceId: string;
	#after = 0;
	#isReading = false;
	#hasNews = false;

	constructor(operator: OperatorClient, traceId: string) {
		this.#operator = operator;
		this.#traceId = traceId;
	}

	async news(): Promise<void> {
		this.#hasNews = true;
		if (this.#isReading) return;
		this.#isReading = true;
		while (this.#hasNews) {
			this.#hasNews = false;
			await this.#readPage();
		}
		this.#isReading = false;
	}

	async #readPage(): Promise<void> {
		const path = `/api/traces/${this.#traceId}/events?after=${this.#after}&limit=1000`;
		const page = await this.#operator.get<{ events: StoryEvent[]; nextAfter: number; hasMore: boolean }>(path);
		if (!page.ok) {
			this.trouble ??= page.detail;
			return;
		}
		const heldAtMs = Date.now();
		// What the agent itself says (a seal, an answer) has no kernel time of its own.
		for (const { tier, timeMs } of page.value.events)
			if (tier === "ebpf") this.seen.push({ timeMs, latencyMs: heldAtMs - timeMs });
		this.#after = page.value.nextAfter;
		if (page.value.hasMore) this.#hasNews = true;
	}
}

/** The shell once it has become itself inside the cgroup; its process key as the agent computes it. */
async function openShell(box: WatchedBox): Promise<Result<{ shell: Shell; process: string; pid: number }, string>> {
	const shell = box.lineage.spawn(["/bin/sh"]);
	const { pid } = shell;
	if (pid === undefined) return fail("shell_missing", "/bin/sh could not be started");
	shell.stdin.write("echo ready\n");
	await new Promise((resolve) => shell.stdout.once("data", resolve));
	const startTicks = processStartTicks(pid);
	if (startTicks === undefined) return fail("shell_missing", "the shell ended at once");
	const read = (path: string) => readFileSync(path, "utf8").trim();
	const key = processKeyOf({
		machineId: read("/etc/machine-id"),
		bootId: read("/proc/sys/kernel/random/boot_id"),
		tgid: pid,
		startTicks,
	});
	return ok({ shell, process: hexOf(key), pid });
}

/** Lets the shell start programs at the set rate for one run; when the run began and ended by the wall clock. */
async function startPrograms(shell: Shell, signal: AbortSignal): Promise<{ fromMs: number; toMs: number }> {
	const fromMs = Date.now();
	const startedAt = performance.now();
	const count = (BENCH_LIMITS.latencyRunMs / 1000) * BENCH_LIMITS.tracedCommandsPerSecond;
	for (let index = 0; index < count && !signal.aborted; index++) {
		shell.stdin.write("/bin/true\n");
		const dueMs = startedAt + ((index + 1) * 1000) / BENCH_LIMITS.tracedCommandsPerSecond;
		await sleep(Math.max(0, dueMs - performance.now()));
	}
	return { fromMs, toMs: Date.now() };
}

async function measureRuns(shell: Shell, reader: TraceReader, context: BenchContext): Promise<Result<void, string>> {
	const p50s: number[] = [];
	const p99s: number[] = [];
	for (let run = 1; run <= BENCH_LIMITS.shortRuns; run++) {
		const { fromMs, toMs } = await startPrograms(shell, context.signal);
		await sleep(BENCH_LIMITS.latencyDrainMs);
		if (context.signal.aborted) return fail("interrupted", "interrupted while events arrived");
		if (reader.trouble !== null) return fail("console_failed", reader.trouble);
		const inRun = reader.seen.filter(({ timeMs }) => timeMs >= fromMs && timeMs <= toMs);
		if (inRun.length < BENCH_LIMITS.latencyEventsMin)
			return fail(
				"events_missing",
				`${inRun.length} trace events came, at least ${BENCH_LIMITS.latencyEventsMin} must`,
			);
		const latencies = inRun.map(({ latencyMs }) => latencyMs);
		p50s.push(quantile(latencies, 0.5));
		p99s.push(quantile(latencies, 0.99));
		context.onStep(
			`run ${run} of ${BENCH_LIMITS.shortRuns}: ${inRun.length} events, p50 ${Math.round(p50s.at(-1) ?? 0)} ms, p99 ${Math.round(p99s.at(-1) ?? 0)} ms`,
		);
	}
	context.report({ metric: "kernel_to_console_p50", unit: "ms", goal: "<= 100", runs: p50s });
	context.report({ metric: "kernel_to_console_p99", unit: "ms", goal: "<= 500", runs: p99s });
	return ok(undefined);
}

async function traceAndMeasure(
	box: WatchedBox,
	session: ConsoleSession,
	context: BenchContext,
): Promise<Result<void, string>> {
	const { operator } = session;
	const opened = await openShell(box);
	if (!opened.ok) return opened;
	const { shell, process, pid } = opened.value;
	const traceId = newTraceId(Date.now());
	const target = { agent: WATCHED_AGENT_ID, process, pid, name: "sh" };
	const aim = { traceId, target, reason: "measuring the latency of a trace" };
	const alone = { analyst: operator, approver: null, signal: context.signal };
	const started = await commandTogether(alone, { ...aim, act: "start" });
	if (!started.ok) return started;
	const reader = new TraceReader(operator, traceId);
	const following = new AbortController();
	const feed = session.follow((note) => {
		if (note.kind === "events" && note.traceId === traceId) void reader.news();
	}, following.signal);
	void feed.then((ended) => {
		if (!ended.ok) reader.trouble ??= ended.detail;
	});
	const measured = await measureRuns(shell, reader, context);
	following.abort();
	await feed;
	shell.kill("SIGKILL");
	return measured;
}

export async function measureLatency(box: WatchedBox, context: BenchContext): Promise<Result<void, string>> {
	const session = await openConsole(box.enclave);
	if (!session.ok) return session;
	return traceAndMeasure(box, session.value, context);
}
