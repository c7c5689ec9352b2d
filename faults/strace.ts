/**
 * Faults in system calls of unmodified processes, by `strace -e inject`. A running process is attached to and let go again; the
 * tracer ends with its tracee. Counts are per thread and begin when the tracer is there.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Injection {
	/** One system call: `pwrite64`. */
	readonly call: string;
	/** `signal=KILL`, `error=EIO`. */
	readonly what: string;
	/** `3` the third, `3+` from the third on. */
	readonly when: string;
	/** Only calls on this file. */
	readonly path?: string;
}

function injectArguments({ call, what, when, path }: Injection): string[] {
	const only = path === undefined ? [] : ["-P", path];
	return ["-f", "-qq", "-o", "/dev/null", ...only, "-e", `trace=${call}`, "-e", `inject=${call}:${what}:when=${when}`];
}

/** The command line that starts a program under an injection. */
export function straced(injection: Injection, command: readonly string[]): string[] {
	return ["strace", ...injectArguments(injection), "--", ...command];
}

export interface Attached {
	/** Lets the process go; answers how many calls were injected into. Safe to call when it has gone. */
	detach(): Promise<number>;
}

/** Attaches to all threads of a process; settles when the tracer holds them. */
export async function attach(pid: number, injection: Injection): Promise<Attached> {
	// Without -qq: the tracer says when it is there.
	const args = injectArguments(injection).filter((each) => each !== "-qq");
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-strace-"));
	const calls = join(directory, "calls");
	args[args.indexOf("/dev/null")] = calls;
	const tracer: ChildProcess = spawn("strace", [...args, "-p", String(pid)], { stdio: ["ignore", "ignore", "pipe"] });
	const exited = once(tracer, "exit");
	await new Promise<void>((resolve, reject) => {
		let said = "";
		tracer.stderr?.on("data", (chunk: Buffer) => {
			said += chunk.toString();
			if (said.includes("attached")) resolve();
		});
		tracer.on("error", reject);
		tracer.on("exit", () => reject(new Error(`strace could not attach to ${pid}: ${said.trim()}`)));
	});
	return {
		async detach() {
			tracer.kill("SIGTERM");
			await exited;
			const injected = existsSync(calls) ? readFileSync(calls, "utf8").split("(INJECTED)").length - 1 : 0;
			rmSync(directory, { recursive: true, force: true });
			return injected;
		},
	};
}
