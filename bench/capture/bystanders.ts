/**
 * The boxes that would be other machines: store, signer, Security Center and proxy run on this one only because a bench has no
 * second. While a storm is timed they get SCHED_IDLE, the class that runs when nobody else wants the CPU; what they used is
 * read apart. Must never be applied to collector or agent.
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

/** Moves all their threads; threads that start later inherit the class. */
export async function setIdleClass(bystanders: Bystanders, isIdle: boolean): Promise<Result<void, string>> {
	for (const pid of bystanders.values()) {
		const moved = await runProgram(["chrt", "--all-tasks", isIdle ? "--idle" : "--other", "--pid", "0", String(pid)]);
		if (!moved.ok) return moved;
	}
	return { ok: true, value: undefined };
}

/** CPU seconds so far, by name. */
export function cpuSecondsBy(pids: ReadonlyMap<string, number>): Map<string, number> {
	return new Map([...pids].map(([name, pid]) => [name, readCost(pid).cpuSeconds]));
}
