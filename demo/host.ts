/**
 * One running demo host: a PID-1 process with its own network, mount, UTS and PID namespaces inside one cgroup.
 * Nothing pins the namespaces but the host's processes, so killing the cgroup ends all of them. The host also ends by
 * itself when this process does, because its first process waits on a pipe from here.
 */

import { type ChildProcess, type ChildProcessWithoutNullStreams, type SpawnOptions, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Failure, fail, InvariantError, ok, type Result } from "#core/result.ts";
import { demoLimits } from "./limits.ts";
import { listensOn, processesInCgroup } from "./processes.ts";
import { hostEnvironment, insideCgroup, lastLine, type Tools, waitUntil } from "./spawning.ts";

const initScript = fileURLToPath(new URL("host-init.sh", import.meta.url));

export type HostPlan = {
	readonly name: string;
	readonly cgroupDirectory: string;
	/** Private content, one entry per place. */
	readonly stagedDirectory: string;
	/** Places covered with private content, without the leading slash. */
	readonly places: readonly string[];
	/** The host's one service, the log it is judged by, and the port that tells that it serves. */
	readonly service: { readonly argv: readonly string[]; readonly log: string; readonly port: number };
};

export type RunningHost = {
	readonly plan: HostPlan;
	/** The host's PID 1, as a process id of the root PID namespace. */
	readonly initPid: number;
	/** Starts the service and resolves when its port listens. */
	startService(): Promise<Result<unknown, "service_start_failed">>;
	/** Spawns a program inside the host: cgroup, and network, mount, UTS and PID namespace. */
	run(argv: readonly string[], options: SpawnOptions): ChildProcess;
};

/** Starts the host up to the point where its mounts are private and its network can be wired. */
export async function startHost(tools: Tools, plan: HostPlan): Promise<Result<RunningHost, "namespace_refused">> {
	const argv = [
		...[tools.unshare, "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"],
		...["--propagation", "private", "--", tools.bash, initScript, plan.stagedDirectory, plan.name],
		...[plan.places.join(":"), plan.service.log, ...plan.service.argv],
	];
	const [file = "", ...args] = insideCgroup(plan.cgroupDirectory, argv);
	// A session of its own: Ctrl-C in the terminal must reach the caller, who decides, and not the hosts.
	const child = spawn(file, args, { env: { ...hostEnvironment }, stdio: "pipe", detached: true });
	const said = new InitDialogue(child);
	const mounted = await said.next(demoLimits.hostReadyMaxMs);
	if (mounted !== "mounted") return fail("namespace_refused", `${plan.name}: ${mounted ?? (await said.problem())}`);
	const init = processesInCgroup(plan.cgroupDirectory).find(({ innerPid }) => innerPid === 1);
	if (init === undefined) throw new InvariantError(`${plan.name} has mounted but has no process 1`);
	return ok({
		plan,
		initPid: init.pid,
		startService: () => startService(plan, said, init.pid),
		run: (command, options) =>
			runInside(tools, { cgroupDirectory: plan.cgroupDirectory, pid: init.pid, command }, options),
	});
}

async function startService(
	plan: HostPlan,
	said: InitDialogue,
	initPid: number,
): Promise<Result<unknown, "service_start_failed">> {
	said.send("network");
	const answer = await said.next(demoLimits.serviceListenMaxMs);
	const refused = (detail: string): Failure<"service_start_failed"> =>
		fail("service_start_failed", `${plan.service.argv[0]} on ${plan.name}: ${detail}`);
	if (answer !== "started") return refused(answer?.replace(/^failed /, "") ?? (await said.problem()));
	const listens = await waitUntil(() => listensOn(initPid, plan.service.port), demoLimits.serviceListenMaxMs);
	return listens ? ok(undefined) : refused(`port ${plan.service.port} does not listen; see ${plan.service.log} there`);
}

function runInside(
	tools: Tools,
	target: { readonly cgroupDirectory: string; readonly pid: number; readonly command: readonly string[] },
	options: SpawnOptions,
): ChildProcess {
	const enter = [
		tools.nsenter,
		"--target",
		`${target.pid}`,
		"--net",
		"--mount",
		"--uts",
		"--pid",
		"--",
		...target.command,
	];
	const [file = "", ...args] = insideCgroup(target.cgroupDirectory, enter);
	return spawn(file, args, { env: { ...hostEnvironment }, cwd: "/", ...options });
}

/** The line-by-line talk with a host's init: it says where it stands, we say when to go on. */
class InitDialogue {
	readonly #child: ChildProcessWithoutNullStreams;
	readonly #lines: AsyncIterator<string>;
	#stderr = "";
	#closed = false;

	constructor(child: ChildProcessWithoutNullStreams) {
		this.#child = child;
		this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
		child.stderr.on("data", (chunk) => {
			this.#stderr = (this.#stderr + chunk).slice(-4096);
		});
		child.on("close", () => {
			this.#closed = true;
		});
		child.on("error", (error) => {
			this.#stderr = error.message;
		});
		// A host that has ended shows as the end of its output; the broken pipe adds nothing to that.
		child.stdin.on("error", () => undefined);
	}

	/** The next line; undefined when the host ended or stayed silent for `maxMs`. */
	async next(maxMs: number): Promise<string | undefined> {
		let timer: NodeJS.Timeout | undefined;
		const silence = new Promise<undefined>((resolve) => {
			timer = setTimeout(() => resolve(undefined), maxMs);
		});
		const line = await Promise.race([this.#lines.next(), silence]);
		clearTimeout(timer);
		return line === undefined || line.done === true ? undefined : line.value;
	}

	send(line: string): void {
		this.#child.stdin.write(`${line}\n`);
	}

	/**
	 * What went wrong, from what the host wrote to standard error; of a host that ended this may arrive after the end
	 * of its output.
	 */
	async problem(): Promise<string> {
		await waitUntil(() => this.#closed, demoLimits.lastWordsMaxMs);
		return lastLine(this.#stderr) || "no answer from the host's first process";
	}
}
