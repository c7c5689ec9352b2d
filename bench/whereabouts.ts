/** Where a figure was measured: the machine and the commit. Without them a number cannot be compared with another. */
import { execFileSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import type { Machine } from "./figure.ts";

export function thisMachine(): Machine {
	const processors = cpus();
	return {
		cpu: processors[0]?.model.trim() ?? "unknown",
		cores: processors.length,
		memoryMib: Math.round(totalmem() / 2 ** 20),
		kernel: release(),
		node: process.version,
	};
}

/** The checked-out commit, `-dirty` when the working tree differs from it, `unknown` outside a checkout. */
export function thisCommit(): string {
	const git = (...args: string[]) =>
		execFileSync("git", args, {
			cwd: import.meta.dirname,
			encoding: "utf8",
			stdio: ["ignore", "pipe", "ignore"],
		}).trim();
	try {
		const isDirty = git("status", "--porcelain") !== "";
		return `${git("rev-parse", "--short=12", "HEAD")}${isDirty ? "-dirty" : ""}`;
	} catch {
		// An unpacked release has no git: the figure says so instead of failing.
		return "unknown";
	}
}
