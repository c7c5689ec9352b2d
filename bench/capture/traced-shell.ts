/** A shell in the watched cgroup that a trace is started on, by the console's own way. */
import { readFileSync } from "node:fs";
import { hexOf } from "#core/bytes/bytes.ts";
import { processKeyOf } from "#core/model/ids.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { processStartTicks } from "../../demo/processes.ts";
import { commandTogether, newTraceId } from "../../demo/story.ts";
import { openConsole } from "../console-session.ts";
import { WATCHED_AGENT_ID, type WatchedBox } from "../watched-box.ts";

export interface TracedShell {
	/** Runs a line in the shell, and settles when it is done. */
	run(line: string): Promise<void>;
	stop(): Promise<Result<unknown, string>>;
}

/** The shell runs and its trace is accepted. */
export async function openTracedShell(box: WatchedBox, signal: AbortSignal): Promise<Result<TracedShell, string>> {
	const session = await openConsole(box.enclave);
	if (!session.ok) return session;
	const shell = box.lineage.spawn(["/bin/sh"]);
	let heard = "";
	// Killed with its cgroup, it answers no more.
	const closed = new Promise<void>((resolve) => shell.once("close", () => resolve()));
	const run = async (line: string) => {
		const { promise, resolve } = Promise.withResolvers<void>();
		const take = (text: Buffer) => {
			heard += text.toString("latin1");
			if (heard.includes("DONE\n")) resolve();
		};
		heard = "";
		shell.stdout.on("data", take);
		shell.stdin.write(`${line}\necho DONE\n`);
		await Promise.race([promise, closed]);
		shell.stdout.off("data", take);
	};
	await run(":");
	const pid = shell.pid ?? 0;
	const startTicks = processStartTicks(pid);
	if (startTicks === undefined) return fail("shell_missing", "the shell ended at once");
	const read = (path: string) => readFileSync(path, "utf8").trim();
	const identity = { machineId: read("/etc/machine-id"), bootId: read("/proc/sys/kernel/random/boot_id") };
	const process = hexOf(processKeyOf({ ...identity, tgid: pid, startTicks }));
	const target = { agent: WATCHED_AGENT_ID, process, pid, name: "sh" };
	const aim = { traceId: newTraceId(Date.now()), target, reason: "counting the bytes of a trace" };
	const alone = { analyst: session.value.operator, approver: null, signal };
	const started = await commandTogether(alone, { ...aim, act: "start" });
	if (!started.ok) return started;
	return ok({
		run,
		async stop() {
			const stopped = await commandTogether(alone, { ...aim, act: "stop" });
			shell.kill("SIGKILL");
			return stopped;
		},
	});
}
