/**
 * The cgroups the demo's hosts run in. A cgroup is the only thing of the demo that outlives its processes:
 * namespaces, mounts and network devices are held by nothing but the processes inside, so emptying the cgroups and
 * removing them removes everything. The name carries the owner's pid and start time: a demo that still runs is never
 * mistaken for a leftover.
 */

import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { fail, InvariantError, ok, type Result } from "#core/result.ts";
import { demoLimits } from "./limits.ts";
import { processesInCgroup, processStartTicks } from "./processes.ts";
import { waitUntil } from "./spawning.ts";

export const cgroupPrefix = "daemoneye-demo-";

/**
 * Where the cgroup v2 hierarchy is mounted, from the text of /proc/self/mountinfo (proc(5)); on hybrid machines not
 * /sys/fs/cgroup.
 */
export function findCgroup2Mount(mountinfo: string): string | undefined {
	for (const line of mountinfo.split("\n")) {
		const fields = line.split(" ");
		const separator = fields.indexOf("-");
		if (separator > 0 && fields[separator + 1] === "cgroup2") return unescapeOctal(fields[4] ?? "");
	}
	return undefined;
}

// The kernel writes space, tab, newline and backslash of a mount point as a backslash and three octal digits.
function unescapeOctal(text: string): string {
	return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Mount point of cgroup v2 on this machine. */
export function cgroup2Mount(): Result<string, "cgroup2_missing"> {
	const mount = findCgroup2Mount(readFileSync("/proc/self/mountinfo", "utf8"));
	return mount === undefined ? fail("cgroup2_missing", "no cgroup v2 hierarchy is mounted on this machine") : ok(mount);
}

/** Makes the demo's cgroup with one child per name and returns its path below the mount, starting with `/`. */
export function createDemoCgroup(
	mount: string,
	random: string,
	names: readonly string[],
): Result<string, "cgroup2_missing"> {
	const path = `/${cgroupPrefix}${process.pid}-${processStartTicks(process.pid)}-${random}`;
	try {
		mkdirSync(mount + path);
		for (const name of names) mkdirSync(`${mount}${path}/${name}`);
		return ok(path);
	} catch (error) {
		tryRemove(mount + path);
		return fail("cgroup2_missing", `cannot make a cgroup below ${mount}: ${(error as Error).message}`);
	}
}

/**
 * Kills every process in the cgroup and below and removes both; an absent cgroup is already done. Throws when a
 * process survives SIGKILL for longer than the limit.
 */
export async function removeDemoCgroup(directory: string): Promise<void> {
	// The first process of each host goes first: it takes its PID namespace with it while its own parent still lives
	// to reap it. Killed together, they would stay as zombies until the machine's PID 1 finds the time.
	const children = listDirectories(directory) ?? [];
	const inits = children.flatMap((child) =>
		processesInCgroup(`${directory}/${child}`).filter(({ innerPid, pid }) => innerPid === 1 && pid !== 1),
	);
	for (const { pid } of inits) kill(pid);
	const gone = () => inits.every(({ pid, startTicks }) => processStartTicks(pid) !== startTicks);
	await waitUntil(gone, demoLimits.destroyMaxMs);
	const removed = await waitUntil(() => tryRemove(directory), demoLimits.destroyMaxMs);
	if (!removed)
		throw new InvariantError(`the processes in ${directory} did not end within ${demoLimits.destroyMaxMs} ms`);
}

/** One round: kill what runs, remove what is empty. True when nothing is left. */
function tryRemove(directory: string): boolean {
	const children = listDirectories(directory);
	if (children === undefined) return true;
	killAll(directory, children);
	try {
		for (const child of children) rmdirSync(`${directory}/${child}`);
		rmdirSync(directory);
		return true;
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT") return listDirectories(directory) === undefined;
		// Busy: the killed processes are still on their way out.
		if (code === "EBUSY") return false;
		throw error;
	}
}

function killAll(directory: string, children: readonly string[]): void {
	try {
		writeFileSync(`${directory}/cgroup.kill`, "1");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
		// Kernels before 5.14 have no cgroup.kill; the caller repeats the round until a fork cannot have escaped it.
		for (const child of children) for (const { pid } of processesInCgroup(`${directory}/${child}`)) kill(pid);
	}
}

function kill(pid: number): void {
	try {
		process.kill(pid, "SIGKILL");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
	}
}

function listDirectories(directory: string): readonly string[] | undefined {
	try {
		const entries = readdirSync(directory, { withFileTypes: true });
		return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		throw error;
	}
}

/** Cgroup directories of demos whose owning process is gone. Empty when cgroup v2 is not mounted. */
export function findLeftovers(): readonly string[] {
	const mount = cgroup2Mount();
	if (!mount.ok) return [];
	const names = (listDirectories(mount.value) ?? []).filter((name) => name.startsWith(cgroupPrefix));
	return names.filter((name) => !ownerLives(name)).map((name) => `${mount.value}/${name}`);
}

function ownerLives(name: string): boolean {
	const [pid, startTicks] = name.slice(cgroupPrefix.length).split("-");
	return processStartTicks(Number(pid))?.toString() === startTicks;
}

/** Removes what demos that were killed left behind, and names it. Demos that still run are not touched. */
export async function sweep(): Promise<readonly string[]> {
	const leftovers = findLeftovers();
	for (const directory of leftovers) await removeDemoCgroup(directory);
	return leftovers;
}
