/**
 * A collector without an agent: framedump starts procmond, and its frames are read as lines of JSON. Guarantees that a collector
 * which does not become ready is an error with its own words. Must never be mistaken for the endpoint: nothing is signed or sent.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";
import { lastLine } from "../../demo/spawning.ts";
import { BUILT } from "../../host/enclave/layout.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { startProgram } from "./programs.ts";
import { until } from "./waiting.ts";

export type Tier = "ebpf" | "netlink" | "proc";

/** What the bench reads of a frame; names of TLVs are those of docs/procmond-frames.md. */
export interface Frame {
	readonly kind: string;
	readonly tier: number;
	readonly tgid: number;
	/** CLOCK_BOOTTIME, ns; beyond 2^53 only after 104 days of uptime, where differences are still good to 2 ns. */
	readonly ktime: number;
	/** Names of programs, with commas between. */
	readonly PROGRAMS?: string;
	readonly MISSING?: string;
	readonly CAUSE?: string;
	/** NUL between arguments. */
	readonly ARGV?: string;
	readonly PARENT_TGID?: number;
	readonly CPU_HEADS?: readonly number[];
	/** Given up per class since the last such frame. */
	readonly SHED?: readonly number[];
	readonly CPU_DROPS?: readonly number[];
	readonly COUNT?: number;
}

/** One line of framedump, null for a line that is none. */
export function parseFrameLine(line: string): Frame | null {
	if (!line.startsWith('{"kind":"')) return null;
	try {
		return JSON.parse(line) as Frame;
	} catch {
		// A line cut short by the collector's end.
		return null;
	}
}

export interface DumpOptions {
	readonly source: Tier;
	/** Path below the cgroup v2 mount; empty = the whole machine. */
	readonly scope: string;
	/** Kinds that are handed on; the rest is dropped before it reaches this process, which would else compete for the CPU. */
	readonly kinds: readonly string[];
	readonly onFrame: (frame: Frame) => void;
	readonly signal: AbortSignal;
}

export interface Dump {
	readonly ready: Frame;
	/** CLOCK_BOOTTIME at its start, ms, as frames are stamped; ten milliseconds fine. */
	readonly startedAtMs: number;
	/** A line for framedump: `add SLOT TGID TICKS DEPTH COLLECT`, `remove SLOT`. */
	command(line: string): void;
	stop(): Promise<void>;
}

/** Longest life of one dump: a bench that was killed leaves none behind for long. */
const SECONDS_MAX = 900;

export async function openDump(options: DumpOptions): Promise<Result<Dump, string>> {
	const framedump = join(dirname(BUILT.procmond), "framedump");
	if (!existsSync(framedump)) return fail("collector_missing", "the collector is not built: run `npm run setup`");
	const dump = [framedump, "--procmond", BUILT.procmond, "--source", options.source, "--scope", options.scope];
	const limits = ["--poll-ms", String(CAPTURE_LIMITS.pollTierMs), "--seconds", String(SECONDS_MAX)];
	const wanted = `^\\{"kind":"(${["ready", ...options.kinds].join("|")})"`;
	const script = 'wanted=$1; shift; "$@" | grep -E --line-buffered "$wanted"';
	let ready: Frame | null = null;
	const startedAtMs = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
	const program = startProgram(["/bin/sh", "-c", script, "dump", wanted, ...dump, ...limits], (line) => {
		const frame = parseFrameLine(line);
		if (frame?.kind === "ready") ready = frame;
		if (frame !== null) options.onFrame(frame);
	});
	let hasEnded = false;
	void program.ended.then(() => {
		hasEnded = true;
	});
	const stop = async () => {
		program.child.stdin.write("quit\n");
		const timer = setTimeout(() => program.child.kill("SIGKILL"), CAPTURE_LIMITS.startMsMax);
		await program.ended;
		clearTimeout(timer);
	};
	const { signal } = options;
	await until(() => ready !== null || hasEnded, { maxMs: CAPTURE_LIMITS.startMsMax, signal });
	if (ready === null) {
		await stop();
		const { stderr } = await program.ended;
		return fail("collector_failed", `${options.source}: ${lastLine(stderr) || "it did not become ready"}`);
	}
	return ok({
		ready,
		startedAtMs,
		command: (line: string) => void program.child.stdin.write(`${line}\n`),
		stop,
	});
}
