/**
 * Many seeds over worker processes, as many as there are CPUs: each process runs one world at a time. Guarantees that every seed that
 * was asked for has a verdict or the run says that it has not; a process that dies or hangs is a failed seed, named.
 */
import { type ChildProcess, fork } from "node:child_process";
import { PLANTED_ENV } from "./hooks.ts";
import type { Verdict } from "./simulate.ts";

export interface PoolOptions {
	readonly from: number;
	readonly count: number;
	readonly processes: number;
	/** Name of the planted bug, or empty. */
	readonly planted: string;
	/** Stops at the first red seed. */
	readonly isFailFast: boolean;
	readonly signal: AbortSignal;
	readonly onVerdict: (verdict: Verdict) => void;
	/** A seed whose process ended or said nothing for a minute. */
	readonly onLost: (seed: number, detail: string) => void;
}

/** A seed takes a fraction of a second; what takes this long hangs. */
const SEED_MS_MAX = 60_000;

export async function runPool(options: PoolOptions): Promise<void> {
	const { from, count, processes, planted, signal } = options;
	let next = from;
	let isStopped = false;
	const stop = () => {
		isStopped = true;
	};
	signal.addEventListener("abort", stop);
	const env = { ...process.env, [PLANTED_ENV]: planted };

	function work(): Promise<void> {
		return new Promise((resolve) => {
			const child: ChildProcess = fork(new URL("./seed-process.ts", import.meta.url), { env, stdio: "inherit" });
			let seed: number | null = null;
			let watchdog: NodeJS.Timeout | null = null;
			const give = () => {
				if (watchdog !== null) clearTimeout(watchdog);
				seed = null;
				if (isStopped || next >= from + count) {
					child.disconnect();
					return;
				}
				seed = next++;
				child.send(seed);
				watchdog = setTimeout(() => child.kill("SIGKILL"), SEED_MS_MAX);
			};
			const abort = () => child.kill("SIGKILL");
			signal.addEventListener("abort", abort);
			child.on("message", (verdict) => {
				options.onVerdict(verdict as Verdict);
				if (options.isFailFast && (verdict as Verdict).findings.length > 0) stop();
				give();
			});
			child.on("spawn", give);
			child.on("exit", (code, ended) => {
				if (watchdog !== null) clearTimeout(watchdog);
				signal.removeEventListener("abort", abort);
				if (seed !== null && !signal.aborted) options.onLost(seed, `its process ended with ${code ?? ended}`);
				if (seed !== null && options.isFailFast) stop();
				const isLeft = seed !== null && !isStopped && next < from + count;
				resolve(isLeft ? work() : undefined);
			});
		});
	}

	await Promise.all(Array.from({ length: Math.min(processes, count) }, work));
}
