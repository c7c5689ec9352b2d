/**
 * What the kernel says about a process, read from /proc of the root PID namespace. The demo uses it to find the
 * hosts' first processes and its own owner's identity, and its test uses it to prove that the intrusion's process
 * tree is real. A process that ends while it is read is absent, never half-filled.
 */

import { readFileSync } from "node:fs";

export type ProcessView = {
	/** Process id in the root PID namespace. */
	readonly pid: number;
	/** Current parent in the root PID namespace. */
	readonly parentPid: number;
	/** Process id in the innermost PID namespace: 1 for the first process of a demo host. */
	readonly innerPid: number;
	/** Effective user id. */
	readonly uid: number;
	readonly comm: string;
	readonly argv: readonly string[];
	/** Start after boot in clock ticks, /proc/pid/stat field 22: with the pid it names the process for good. */
	readonly startTicks: bigint;
};

/** Reads one process; undefined when it does not exist (any more). */
export function readProcess(pid: number): ProcessView | undefined {
	const status = readProcText(`/proc/${pid}/status`);
	const stat = readProcText(`/proc/${pid}/stat`);
	const cmdline = readProcText(`/proc/${pid}/cmdline`);
	if (status === undefined || stat === undefined || cmdline === undefined) return undefined;
	const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1]?.split(/\s+/) ?? [];
	return {
		pid,
		parentPid: Number(field("PPid")[0]),
		innerPid: Number(field("NSpid").at(-1)),
		uid: Number(field("Uid")[1]),
		comm: field("Name").join(" "),
		argv: cmdline.split("\0").slice(0, -1),
		startTicks: startTicksOf(stat),
	};
}

/** Every process of one cgroup (not of those below it). */
export function processesInCgroup(cgroupDirectory: string): readonly ProcessView[] {
	const list = readProcText(`${cgroupDirectory}/cgroup.procs`) ?? "";
	const views = list.split("\n").filter((line) => line !== "");
	return views.map((line) => readProcess(Number(line))).filter((view) => view !== undefined);
}

/** Start time of a process in clock ticks; undefined when it does not exist. */
export function processStartTicks(pid: number): bigint | undefined {
	const stat = readProcText(`/proc/${pid}/stat`);
	return stat === undefined ? undefined : startTicksOf(stat);
}

/** True when a socket listens on the port in the network namespace of the process. */
export function listensOn(pid: number, port: number): boolean {
	const table = readProcText(`/proc/${pid}/net/tcp`) ?? "";
	const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
	return table.split("\n").some((line) => {
		const [, local, , state] = line.trim().split(/\s+/);
		// State 0A is TCP_LISTEN (include/net/tcp_states.h).
		return state === "0A" && local?.endsWith(suffix) === true;
	});
}

// The name in parentheses may hold spaces and parentheses itself, so fields are counted after the last one.
function startTicksOf(stat: string): bigint {
	return BigInt(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? 0);
}

function readProcText(path: string): string | undefined {
	try {
		return readFileSync(path, "utf8");
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ESRCH" || code === "ENODEV") return undefined;
		throw error;
	}
}
