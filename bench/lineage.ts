/**
 * A cgroup of our own for a collector to watch, and the programs that run in it. Guarantees that everything started here is gone
 * after `close`: the cgroup is killed whole. A bench that was itself killed is cleaned up by the next demo or bench (`sweep`).
 */
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fail, ok, type Result } from "#core/result.ts";
import { cgroup2Mount, createDemoCgroup, removeDemoCgroup, sweep } from "../demo/cgroups.ts";
import { hostEnvironment, insideCgroup } from "../demo/spawning.ts";

export interface Lineage {
	/** Below the cgroup v2 mount: what scopes a collector. */
	readonly cgroupPath: string;
	/** Starts a program inside; the first process is a shell that becomes it. */
	spawn(argv: readonly string[]): ChildProcessByStdio<Writable, Readable, null>;
	close(): Promise<void>;
}

export async function openLineage(): Promise<Result<Lineage, string>> {
	if (process.geteuid?.() !== 0) return fail("not_root", "a cgroup and the ebpf tier need root");
	await sweep();
	const mount = cgroup2Mount();
	if (!mount.ok) return mount;
	const cgroup = createDemoCgroup(mount.value, randomBytes(4).toString("hex"), ["host"]);
	if (!cgroup.ok) return cgroup;
	const directory = join(mount.value, cgroup.value);
	return ok({
		cgroupPath: `${cgroup.value}/host`,
		spawn(argv) {
			const [file = "", ...args] = insideCgroup(join(directory, "host"), argv);
			const child = spawn(file, args, { env: { ...hostEnvironment }, stdio: ["pipe", "pipe", "ignore"] });
			// A write to a program that has ended is told by its exit, which every caller awaits or has caused.
			child.stdin.on("error", () => undefined);
			return child;
		},
		close: () => removeDemoCgroup(directory),
	});
}

/** Compiles the spawner of short programs into `directory`. */
export function buildExecPacer(directory: string): Result<string, "compiler_missing"> {
	const compiler = ["/usr/bin/cc", "/usr/bin/clang"].find((path) => existsSync(path));
	if (compiler === undefined) return fail("compiler_missing", "a C compiler is needed: install gcc or clang");
	const binary = join(directory, "exec-pacer");
	execFileSync(compiler, ["-O2", "-Wall", "-o", binary, join(import.meta.dirname, "exec-pacer.c")]);
	return ok(binary);
}
