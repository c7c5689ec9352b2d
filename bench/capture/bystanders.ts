/**
 * The boxes that would be other machines: store, signer, Security Center and proxy run on this one only because a bench has no
 * second. In a timed storm the proxy, to which the endpoint ships, keeps to the first CPU and to SCHED_IDLE, the class that runs
 * when nobody else wants the CPU; the boxes behind it stand still meanwhile, and their disk and caches with them. What they used is
 * read apart. Must never be applied to collector or agent, and never leave a box stopped.
 */
import type { Result } from "#core/result.ts";
import type { RunningEnclave } from "../../host/enclave/enclave.ts";
import { readCost } from "../process-cost.ts";
import { runProgram } from "./programs.ts";

export type Bystanders = ReadonlyMap<string, number>;

/** Everything the enclave's supervisor runs, by name. */
export function bystandersOf(enclave: RunningEnclave): Bystanders {
	return enclave.supervisor.pids();
}

const isProxy = (name: string): boolean => name.startsWith("px-");

/** Moves all threads of the proxies aside, or back; threads that start later inherit both. */
export async function setAside(bystanders: Bystanders, isAside: boolean): Promise<Result<void, string>> {
	for (const [name, pid] of bystanders) {
		if (!isProxy(name)) continue;
		const policy = isAside ? "--idle" : "--other";
		const moved = await runProgram(["chrt", "--all-tasks", policy, "--pid", "0", String(pid)]);
		if (!moved.ok) return moved;
		// A mask may name CPUs that are not there.
		const pinned = await runProgram(["taskset", "--all-tasks", "--pid", isAside ? "1" : "ffff", String(pid)]);
		if (!pinned.ok) return pinned;
	}
	return { ok: true, value: undefined };
}

/** Runs `storm` while everything behind the proxies stands still. */
export async function inStillness<T>(bystanders: Bystanders, storm: () => Promise<T>): Promise<T> {
	const behind = [...bystanders].filter(([name]) => !isProxy(name)).map(([, pid]) => pid);
	for (const pid of behind) process.kill(pid, "SIGSTOP");
	try {
		return await storm();
	} finally {
		for (const pid of behind) process.kill(pid, "SIGCONT");
	}
}

/** CPU seconds so far, by name. */
export function cpuSecondsBy(pids: ReadonlyMap<string, number>): Map<string, number> {
	return new Map([...pids].map(([name, pid]) => [name, readCost(pid).cpuSeconds]));
}
