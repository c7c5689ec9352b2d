/**
 * What running processes cost, from /proc: resident memory and CPU time. Guarantees that a process which ended is an error and
 * never a zero.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { fail, ok, type Result } from "#core/result.ts";
import { BUILT } from "../host/enclave/layout.ts";

/** USER_HZ of every Linux that runs Node. */
const TICKS_PER_SECOND = 100;

/** CPU time of a process in seconds, user and system, from the text of /proc/PID/stat (proc(5)). */
export function cpuSecondsOf(stat: string): number {
	// The name in parentheses may hold spaces and parentheses itself: fields are counted after the last one.
	const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
	return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** A size in MiB from the text of /proc/PID/status: the resident set, or what of it is the process's own and not a file's. */
export function residentMibOf(status: string, field: "VmRSS" | "RssAnon" = "VmRSS"): number {
	const kib = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
	if (kib === undefined) throw new RangeError(`a status without ${field}`);
	return Number(kib) / 1024;
}

export interface Reading {
	readonly atMs: number;
	readonly cpuSeconds: number;
	readonly residentMib: number;
	/** Anonymous memory: what remains when the pages of binaries and libraries, shared with others, are left out. */
	readonly privateMib: number;
}

/** Throws when the process is gone: then there is nothing to publish. */
export function readCost(pid: number): Reading {
	const status = readFileSync(`/proc/${pid}/status`, "utf8");
	return {
		atMs: performance.now(),
		cpuSeconds: cpuSecondsOf(readFileSync(`/proc/${pid}/stat`, "utf8")),
		residentMib: residentMibOf(status),
		privateMib: residentMibOf(status, "RssAnon"),
	};
}

/** Share of one core between two readings, in percent. */
export function cpuPercent(first: Reading, last: Reading): number {
	return ((last.cpuSeconds - first.cpuSeconds) / ((last.atMs - first.atMs) / 1000)) * 100;
}

function link(path: string): string | null {
	try {
		return readlinkSync(path);
	} catch {
		// The process ended, or is not ours to read.
		return null;
	}
}

function socketInode(pid: number): number | null {
	const inode = /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/3`) ?? "")?.[1];
	return inode === undefined ? null : Number(inode);
}

/**
 * The collector of an agent. The launcher made their socketpair in one call and gave each side its end as descriptor 3, so the two
 * inodes were numbered one after the other; parent and child they are not.
 */
export function collectorOf(agentPid: number): Result<number, "collector_missing"> {
	const own = socketInode(agentPid);
	const collectors = readdirSync("/proc")
		.map(Number)
		.filter((pid) => pid > 0 && link(`/proc/${pid}/exe`) === BUILT.procmond)
		.map((pid) => ({ pid, inode: socketInode(pid) }));
	const found = collectors.find(({ inode }) => own !== null && inode !== null && Math.abs(inode - own) === 1);
	return found === undefined
		? fail("collector_missing", `no collector is joined to the agent (pid ${agentPid})`)
		: ok(found.pid);
}
