/**
 * The demo's hold on the intruder's machine: the `attacker.ts` program in a network namespace and cgroup of its own.
 * One order at a time; an order that is not answered in time, or a program that ends, is a failure with the reason.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { fail, ok, type Result } from "#core/result.ts";
import type { AttackerOrder, AttackerReport } from "./attacker.ts";
import { demoLimits } from "./limits.ts";
import { hostEnvironment, insideCgroup, lastLine, type Tools } from "./spawning.ts";

const attackerProgram = fileURLToPath(new URL("attacker.ts", import.meta.url));

export type Intruder = {
	/** Process id in the root PID namespace; it also holds the intruder's network namespace. */
	readonly pid: number;
	/** Gives one order and resolves with its report. */
	order(order: AttackerOrder): Promise<Result<AttackerReport, "intrusion_failed">>;
};

/** Starts the program; it is ready to be wired when this resolves. */
export async function startIntruder(
	tools: Tools,
	cgroupDirectory: string,
): Promise<Result<Intruder, "namespace_refused">> {
	const argv = [tools.unshare, "--net", "--", process.execPath, attackerProgram];
	const [file = "", ...args] = insideCgroup(cgroupDirectory, argv);
	const child = spawn(file, args, {
		env: { ...hostEnvironment },
		stdio: ["ignore", "ignore", "pipe", "ipc"],
		detached: true,
	});
	let stderr = "";
	child.stderr?.on("data", (chunk) => {
		stderr = (stderr + chunk).slice(-4096);
	});
	const ready = await nextReport(child, demoLimits.hostReadyMaxMs);
	if (!ready.ok) return fail("namespace_refused", `attacker: ${lastLine(stderr) || ready.detail}`);
	return ok({ pid: child.pid ?? 0, order: (order) => giveOrder(child, order) });
}

async function giveOrder(
	child: ChildProcess,
	order: AttackerOrder,
): Promise<Result<AttackerReport, "intrusion_failed">> {
	if (!child.connected) return fail("intrusion_failed", "the attacker program has ended");
	const answer = nextReport(child, demoLimits.commandMaxMs);
	child.send(order);
	const report = await answer;
	return report.ok && report.value.kind === "failed" ? fail("intrusion_failed", report.value.detail) : report;
}

function nextReport(child: ChildProcess, maxMs: number): Promise<Result<AttackerReport, "intrusion_failed">> {
	return new Promise((resolve) => {
		const settle = (result: Result<AttackerReport, "intrusion_failed">) => {
			clearTimeout(timer);
			child.off("message", onMessage).off("close", onClose).off("error", onError);
			resolve(result);
		};
		const onMessage = (message: unknown) => settle(ok(message as AttackerReport));
		const onClose = () => settle(fail("intrusion_failed", "the attacker program ended"));
		const onError = (error: Error) => settle(fail("intrusion_failed", error.message));
		const timer = setTimeout(() => settle(fail("intrusion_failed", `no answer within ${maxMs} ms`)), maxMs);
		child.on("message", onMessage).on("close", onClose).on("error", onError);
	});
}
