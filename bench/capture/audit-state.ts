/**
 * The kernel's audit system as `auditctl -s` and `-l` tell it, and back to what it was. Guarantees that rules of ours, which carry
 * a key, are the only ones ever deleted. Must never touch a machine that audits already.
 */
import { existsSync } from "node:fs";
import { fail, ok, type Result } from "#core/result.ts";
import { runProgram } from "./programs.ts";

export const AUDIT_KEY = "daemoneye-bench";

/** What is restored. */
export interface AuditState {
	readonly isEnabled: boolean;
	readonly failure: number;
	/** The daemon that reads records, 0 = none. */
	readonly daemonPid: number;
	readonly backlogLimit: number;
	readonly backlogWaitTime: number;
	/** Records the kernel threw away since the machine started. */
	readonly lost: number;
}

/** Reads `auditctl -s`; null when a field is missing. */
export function parseAuditStatus(text: string): AuditState | null {
	const read = (name: string) => {
		const value = new RegExp(`^${name} (\\d+)`, "m").exec(text)?.[1];
		return value === undefined ? Number.NaN : Number(value);
	};
	const state = {
		// 2 = enabled and locked until the next boot.
		isEnabled: read("enabled") !== 0,
		failure: read("failure"),
		daemonPid: read("pid"),
		backlogLimit: read("backlog_limit"),
		backlogWaitTime: read("backlog_wait_time"),
		lost: read("lost"),
	};
	return Number.isNaN(read("enabled")) || Object.values(state).some((value) => Number.isNaN(Number(value)))
		? null
		: state;
}

/** Rules that are loaded, one per line of `auditctl -l`; the sentence "No rules" is none. */
export function parseAuditRules(text: string): string[] {
	return text.split("\n").filter((line) => line.startsWith("-"));
}

/** A new process is not prepared for auditing: auditd's mere having run makes every process slower until the next boot. */
const UNTOUCHED = "never,task";

export async function readAuditState(auditctl: string): Promise<Result<AuditState, string>> {
	const read = await runProgram([auditctl, "-s"]);
	if (!read.ok) return read;
	const state = parseAuditStatus(read.value);
	return state === null ? fail("audit_unreadable", `${auditctl} -s cannot be read`) : ok(state);
}

/** Deletes the rules that bear our key, also those of a bench that was killed. */
export async function dropOwnRules(auditctl: string): Promise<Result<void, string>> {
	const listed = await runProgram([auditctl, "-l"]);
	if (!listed.ok) return listed;
	const rules = parseAuditRules(listed.value);
	if (rules.some((rule) => rule.includes(AUDIT_KEY))) {
		const dropped = await runProgram([auditctl, "-D", "-k", AUDIT_KEY]);
		if (!dropped.ok) return dropped;
	}
	return ok(undefined);
}

export interface AuditBefore {
	readonly state: AuditState;
	/** New processes were left alone already: by an administrator, or by a bench that was killed. */
	readonly isLeftAlone: boolean;
}

/** The state before us, or why auditd cannot be a yardstick here. */
export async function takeAudit(auditctl: string): Promise<Result<AuditBefore, string>> {
	const dropped = await dropOwnRules(auditctl);
	if (!dropped.ok) return dropped;
	const listed = await runProgram([auditctl, "-l"]);
	if (!listed.ok) return listed;
	const state = await readAuditState(auditctl);
	if (!state.ok) return state;
	const rules = parseAuditRules(listed.value);
	// A daemon that was killed stays the kernel's reader until the next record.
	const hasReader = state.value.daemonPid !== 0 && existsSync(`/proc/${state.value.daemonPid}`);
	if (hasReader || rules.some((rule) => rule !== `-a ${UNTOUCHED}`))
		return fail("audit_in_use", "this machine audits already: the bench does not change that. Stop auditd first");
	return ok({ state: state.value, isLeftAlone: rules.length > 0 });
}

/** New processes are left alone by the audit system (`true`), or as the kernel does it (`false`). */
export async function leaveProcessesAlone(auditctl: string, isLeft: boolean): Promise<Result<void, string>> {
	const changed = await runProgram([auditctl, isLeft ? "-a" : "-d", UNTOUCHED]);
	return changed.ok ? ok(undefined) : changed;
}

export async function restoreAudit(auditctl: string, state: AuditState): Promise<Result<void, string>> {
	const dropped = await dropOwnRules(auditctl);
	if (!dropped.ok) return dropped;
	const settings = [
		["-e", state.isEnabled ? "1" : "0"],
		["-f", String(state.failure)],
		["-b", String(state.backlogLimit)],
		["--backlog_wait_time", String(state.backlogWaitTime)],
	];
	for (const setting of settings) {
		const set = await runProgram([auditctl, ...setting]);
		if (!set.ok) return set;
	}
	return ok(undefined);
}
