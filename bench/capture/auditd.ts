/**
 * The yardstick auditd: the kernel's audit system with rules for the facts our endpoint tells (programs with arguments, forks,
 * exits, connections), written by auditd to a file of ours. Guarantees that the machine's audit state is afterwards what it was,
 * also after Ctrl-C. Must never touch the machine's own audit configuration or log.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";
import { lastLine } from "../../demo/spawning.ts";
import {
	AUDIT_KEY,
	type AuditBefore,
	dropOwnRules,
	leaveProcessesAlone,
	readAuditState,
	restoreAudit,
	takeAudit,
} from "./audit-state.ts";
import { CAPTURE_LIMITS } from "./limits.ts";
import { findTool, type Program, runProgram, startProgram } from "./programs.ts";
import { until } from "./waiting.ts";
import type { Watcher } from "./watcher.ts";

const CALLS = ["execve", "execveat", "fork", "vfork", "clone", "clone3", "exit_group", "connect", "accept", "accept4"];
/** Debian's own settings for a machine that audits. */
const SETTINGS = [
	["-b", "8192"],
	["--backlog_wait_time", "60000"],
	["-f", "1"],
];

/** Debian's file with the log elsewhere, unrotated, and records written as they come from the kernel. */
function configText(directory: string): string {
	const settings = {
		local_events: "yes",
		write_logs: "yes",
		log_file: join(directory, "audit.log"),
		log_format: "RAW",
		flush: "INCREMENTAL_ASYNC",
		freq: 50,
		max_log_file: 4096,
		max_log_file_action: "IGNORE",
		num_logs: 2,
		priority_boost: 4,
		name_format: "NONE",
		space_left: 75,
		space_left_action: "IGNORE",
		admin_space_left: 50,
		admin_space_left_action: "IGNORE",
		disk_full_action: "IGNORE",
		disk_error_action: "IGNORE",
		plugin_dir: join(directory, "plugins"),
		q_depth: 2000,
		overflow_action: "IGNORE",
	};
	return Object.entries(settings)
		.map(([name, value]) => `${name} = ${value}\n`)
		.join("");
}

/** The kernel writes an argument in quotation marks when it is plain text. */
export function countAudited(log: string, name: string): number {
	return log.split(`a0="${name}"`).length - 1;
}

class Auditd implements Watcher {
	readonly name = "auditd";
	readonly #files: { readonly auditd: string; readonly auditctl: string; readonly directory: string };
	readonly #before: AuditBefore;
	#daemon: Program | null = null;
	#isTouched = false;
	#isLeftAlone: boolean;

	constructor(files: { auditd: string; auditctl: string; directory: string }, before: AuditBefore) {
		this.#files = files;
		this.#before = before;
		this.#isLeftAlone = before.isLeftAlone;
	}

	async start(signal: AbortSignal): Promise<Result<void, string>> {
		const { auditd, auditctl, directory } = this.#files;
		this.#isTouched = true;
		if (this.#isLeftAlone) {
			const prepared = await leaveProcessesAlone(auditctl, false);
			if (!prepared.ok) return prepared;
			this.#isLeftAlone = false;
		}
		for (const setting of SETTINGS) {
			const set = await runProgram([auditctl, ...setting]);
			if (!set.ok) return set;
		}
		rmSync(this.#log, { force: true });
		const daemon = startProgram([auditd, "-n", "-s", "enable", "-c", directory]);
		this.#daemon = daemon;
		let hasEnded = false;
		void daemon.ended.then(() => {
			hasEnded = true;
		});
		const isReading = async () => {
			const state = await readAuditState(auditctl);
			return state.ok && state.value.isEnabled && state.value.daemonPid === daemon.pid;
		};
		const isUp = await until(async () => hasEnded || (await isReading()), {
			maxMs: CAPTURE_LIMITS.startMsMax,
			signal,
		});
		if (!isUp || hasEnded) return fail("auditd_failed", `auditd did not start: ${await this.#lastWords()}`);
		const calls = CALLS.flatMap((call) => ["-S", call]);
		const rules = await runProgram([auditctl, "-a", "always,exit", "-F", "arch=b64", ...calls, "-k", AUDIT_KEY]);
		return rules.ok ? ok(undefined) : rules;
	}

	get #log(): string {
		return join(this.#files.directory, "audit.log");
	}

	async #lastWords(): Promise<string> {
		const ended = await this.#daemon?.stop("SIGKILL");
		return lastLine(ended?.stderr ?? "") || "it said nothing";
	}

	/** Records are on their way through the backlog for a moment. */
	async finish(expected: ReadonlyMap<string, number>, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
		const count = () => {
			const log = existsSync(this.#log) ? readFileSync(this.#log, "latin1") : "";
			return new Map([...expected.keys()].map((name) => [name, countAudited(log, name)]));
		};
		const isComplete = () => [...count()].every(([name, found]) => found >= (expected.get(name) ?? 0));
		await until(isComplete, { maxMs: CAPTURE_LIMITS.yardstickDrainMsMax, signal });
		const recorded = count();
		await this.#stop();
		rmSync(this.#log, { force: true });
		return recorded;
	}

	async #stop(): Promise<void> {
		const { auditctl } = this.#files;
		await dropOwnRules(auditctl);
		await runProgram([auditctl, "-e", "0"]);
		await this.#daemon?.stop("SIGTERM");
		this.#daemon = null;
		// Once audit has run, the kernel prepares every new process for it; what is measured next must not pay for that.
		await leaveProcessesAlone(auditctl, true);
		this.#isLeftAlone = true;
	}

	async close(): Promise<void> {
		if (!this.#isTouched) return;
		this.#isTouched = false;
		const { auditctl } = this.#files;
		if (this.#daemon !== null) await this.#stop();
		const { state, isLeftAlone } = this.#before;
		if (this.#isLeftAlone !== isLeftAlone) await leaveProcessesAlone(auditctl, isLeftAlone);
		await restoreAudit(auditctl, state);
	}
}

/** Takes the audit system for the bench; `close` of what it returns gives it back. */
export async function openAuditd(parent: string): Promise<Result<Watcher, string>> {
	const auditd = findTool("auditd", "auditd");
	if (!auditd.ok) return auditd;
	const auditctl = findTool("auditctl", "auditd");
	if (!auditctl.ok) return auditctl;
	const before = await takeAudit(auditctl.value);
	if (!before.ok) return before;
	const directory = join(parent, "auditd");
	mkdirSync(join(directory, "plugins"), { recursive: true, mode: 0o700 });
	writeFileSync(join(directory, "auditd.conf"), configText(directory), { mode: 0o600 });
	return ok(new Auditd({ auditd: auditd.value, auditctl: auditctl.value, directory }, before.value));
}
