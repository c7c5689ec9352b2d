/**
 * The yardstick bpftrace: a script that prints the facts our endpoint tells (programs with arguments, parent and user, forks,
 * exits with their code, connections) to a file of ours. tracefs, which it needs, is mounted in a mount namespace of its own, so
 * it is gone with the process.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { findTool, type Program, startProgram } from "./programs.ts";
import { until } from "./waiting.ts";
import type { Watcher } from "./watcher.ts";

const SCRIPT = `
tracepoint:sched:sched_process_fork { printf("fork %d %d\\n", args->parent_pid, args->child_pid); }
tracepoint:syscalls:sys_enter_execve {
	printf("argv %d ", pid);
	join(args->argv);
}
tracepoint:sched:sched_process_exec {
	$task = (struct task_struct *)curtask;
	printf("exec %d %d %d %d %s\\n", pid, $task->real_parent->tgid, uid, gid, str(args->filename));
}
tracepoint:sched:sched_process_exit {
	$task = (struct task_struct *)curtask;
	printf("exit %d %d %d\\n", pid, tid, $task->exit_code);
}
tracepoint:syscalls:sys_enter_connect {
	$to = (struct sockaddr_in *)args->uservaddr;
	printf("connect %d %d %d %d\\n", pid, $to->sin_family, $to->sin_addr.s_addr, $to->sin_port);
}
`;
const PROBES = SCRIPT.match(/^tracepoint:/gm)?.length ?? 0;

/** `join` prints the arguments alone; lines of several CPUs run into one another, but a name stays whole. */
export function countPrinted(output: string, name: string): number {
	return output.split(name).length - 1;
}

function attachedProbes(pid: number): number {
	try {
		const directory = `/proc/${pid}/fd`;
		return readdirSync(directory).filter((fd) => readlinkSync(join(directory, fd)) === "anon_inode:[perf_event]")
			.length;
	} catch {
		// A descriptor that was closed while they were listed: the next look counts again.
		return 0;
	}
}

class Bpftrace implements Watcher {
	readonly name = "bpftrace";
	readonly #file: string;
	readonly #directory: string;
	#program: Program | null = null;

	constructor(file: string, directory: string) {
		this.#file = file;
		this.#directory = directory;
	}

	get #output(): string {
		return join(this.#directory, "output.txt");
	}

	async start(signal: AbortSignal): Promise<Result<void, string>> {
		rmSync(this.#output, { force: true });
		const script = join(this.#directory, "script.bt");
		writeFileSync(script, SCRIPT);
		const mounted = 'mount -t tracefs tracefs /sys/kernel/tracing && exec "$@"';
		const argv = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", mounted, "sh"];
		const program = startProgram([...argv, this.#file, "-o", this.#output, script]);
		this.#program = program;
		let hasEnded = false;
		void program.ended.then(() => {
			hasEnded = true;
		});
		const isUp = () => hasEnded || attachedProbes(program.pid ?? 0) >= PROBES;
		const isAttached = await until(isUp, { maxMs: CAPTURE_LIMITS.startMsMax, signal });
		if (isAttached && !hasEnded) return ok(undefined);
		const { stdout, stderr } = await program.stop("SIGKILL");
		return fail(
			"bpftrace_failed",
			`bpftrace did not start: ${`${stdout}${stderr}`.trim().slice(-300) || "it said nothing"}`,
		);
	}

	/** It writes when its buffer is full, so what has been printed is known when it has ended. */
	async finish(expected: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, number>> {
		await this.close();
		const output = existsSync(this.#output) ? readFileSync(this.#output, "latin1") : "";
		rmSync(this.#output, { force: true });
		return new Map([...expected.keys()].map((name) => [name, countPrinted(output, name)]));
	}

	async close(): Promise<void> {
		// SIGINT is how it is told to print the rest and detach.
		await this.#program?.stop("SIGINT");
		this.#program = null;
	}
}

export function openBpftrace(parent: string): Result<Watcher, string> {
	const file = findTool("bpftrace", "bpftrace");
	if (!file.ok) return file;
	const directory = join(parent, "bpftrace");
	mkdirSync(directory, { recursive: true, mode: 0o700 });
	return ok(new Bpftrace(file.value, directory));
}
