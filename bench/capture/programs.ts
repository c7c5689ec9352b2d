/**
 * Programs that the capture bench starts. Guarantees that each dies with the bench, however that ends, and that a Ctrl-C in the
 * terminal reaches the bench alone, which then stops them in order. Text never goes through a shell.
 */
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fail, ok, type Result } from "#core/result.ts";
import { lastLine, toolDirectories } from "../../demo/spawning.ts";

export type Piped = ChildProcessByStdio<Writable, Readable, Readable | null>;

export interface Ended {
	/** Null when a signal ended it. */
	readonly status: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

export interface Program {
	readonly pid: number | undefined;
	readonly child: Piped;
	readonly ended: Promise<Ended>;
	/** Signals it, and settles when it is gone. */
	stop(signal: NodeJS.Signals): Promise<Ended>;
}

/** Collects what a program says until it is gone. One that cannot be started has the status 127. */
export function awaitEnd(child: Piped, onLine?: (line: string) => void): Promise<Ended> {
	const { promise, resolve } = Promise.withResolvers<Ended>();
	let [stdout, stderr] = ["", ""];
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		stdout += text;
		if (onLine === undefined) return;
		const lines = stdout.split("\n");
		stdout = lines.pop() ?? "";
		for (const line of lines) onLine(line);
	});
	child.stderr?.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	// What a program that has ended was still to be told is told by its end.
	child.stdin.on("error", () => undefined);
	child.on("error", (error) => resolve({ status: 127, stdout, stderr: error.message }));
	child.on("close", (status) => resolve({ status, stdout, stderr }));
	return promise;
}

export function startProgram(argv: readonly string[], onLine?: (line: string) => void): Program {
	const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], {
		detached: true,
		stdio: ["pipe", "pipe", "pipe"],
	});
	const ended = awaitEnd(child, onLine);
	return {
		pid: child.pid,
		child,
		ended,
		stop(signal) {
			child.kill(signal);
			return ended;
		},
	};
}

/** Runs a tool to its end: what it printed, or what it said last. */
export async function runProgram(argv: readonly string[]): Promise<Result<string, "program_failed">> {
	const { status, stdout, stderr } = await startProgram(argv).ended;
	return status === 0
		? ok(stdout)
		: fail("program_failed", `${argv.join(" ")}: ${lastLine(stderr) || `status ${status}`}`);
}

/** The file of an installed tool; `packageName` is what a person installs. */
export function findTool(name: string, packageName: string): Result<string, "tool_missing"> {
	for (const directory of toolDirectories()) {
		const file = join(directory, name);
		try {
			accessSync(file, constants.X_OK);
			return ok(file);
		} catch {
			// Not here: the next directory.
		}
	}
	return fail(
		"tool_missing",
		`${name} is not installed: install ${packageName} (Debian: apt-get install ${packageName})`,
	);
}

export type ProgramName = "call-timer" | "event-pacer" | "exec-pacer" | "short-lives" | "sleepers" | "spawn-storm";

/** Compiles one of the bench's own programs into `directory`. */
export function buildProgram(name: ProgramName, directory: string): Result<string, "compiler_missing"> {
	const compiler = ["/usr/bin/cc", "/usr/bin/clang"].find((path) => existsSync(path));
	if (compiler === undefined) return fail("compiler_missing", "a C compiler is needed: install gcc or clang");
	const near = join(import.meta.dirname, `${name}.c`);
	const source = existsSync(near) ? near : join(import.meta.dirname, "..", `${name}.c`);
	const binary = join(directory, name);
	execFileSync(compiler, ["-O2", "-Wall", "-o", binary, source]);
	return ok(binary);
}

/** Builds several; their files by name. */
export function buildPrograms<N extends ProgramName>(
	names: readonly N[],
	directory: string,
): Result<Readonly<Record<N, string>>, "compiler_missing"> {
	const files: Partial<Record<N, string>> = {};
	for (const name of names) {
		const built = buildProgram(name, directory);
		if (!built.ok) return built;
		files[name] = built.value;
	}
	return ok(files as Record<N, string>);
}
