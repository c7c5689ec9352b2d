/**
 * What the processes of a run cost while it lasts: CPU between two readings, memory and descriptors at the end. Guarantees that a
 * process which ended is an error and never a zero.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCost } from "../process-cost.ts";
import { TREE_LIMITS } from "./limits.ts";

export interface Cost {
	readonly cpuSeconds: number;
	readonly residentMib: number;
	readonly descriptors: number;
}

export type Costs = ReadonlyMap<string, Cost>;

/** Reads all of them now. */
export function readCosts(pids: ReadonlyMap<string, number>): Map<string, Cost> {
	const out = new Map<string, Cost>();
	for (const [name, pid] of pids) {
		const { cpuSeconds, residentMib } = readCost(pid);
		out.set(name, { cpuSeconds, residentMib, descriptors: readdirSync(`/proc/${pid}/fd`).length });
	}
	return out;
}

/** CPU of each process since `before`; memory and descriptors as they are now. */
export function costsSince(before: Costs, pids: ReadonlyMap<string, number>): Map<string, Cost> {
	const now = readCosts(pids);
	for (const [name, cost] of now)
		now.set(name, { ...cost, cpuSeconds: cost.cpuSeconds - (before.get(name)?.cpuSeconds ?? 0) });
	return now;
}

/** How often a second this disk confirms one record of a batch's size: what commits are made of. */
export function measureFsync(): { perSecond: number } {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-fsync-"));
	const file = openSync(join(directory, "log"), "w", 0o600);
	const record = Buffer.alloc(TREE_LIMITS.fsyncBytes, 0x5a);
	const startedAtMs = performance.now();
	let count = 0;
	try {
		for (; performance.now() - startedAtMs < TREE_LIMITS.fsyncMs; count++) {
			writeSync(file, record);
			fdatasyncSync(file);
		}
		return { perSecond: count / ((performance.now() - startedAtMs) / 1000) };
	} finally {
		closeSync(file);
		rmSync(directory, { recursive: true });
	}
}
