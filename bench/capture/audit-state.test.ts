import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { parseAuditRules, parseAuditStatus } from "./audit-state.ts";

const STATUS = `enabled 1
failure 1
pid 815
rate_limit 0
backlog_limit 8192
lost 12
backlog 0
backlog_wait_time 60000
backlog_wait_time_actual 3
loginuid_immutable 0 unlocked
`;

test("the audit system's state is read, and the waiting time is not taken for the time that was waited", () => {
	deepEqual(parseAuditStatus(STATUS), {
		isEnabled: true,
		failure: 1,
		daemonPid: 815,
		backlogLimit: 8192,
		backlogWaitTime: 60_000,
		lost: 12,
	});
});

test("a state without one of its fields is none: what is not known cannot be restored", () => {
	for (const name of ["enabled", "failure", "pid", "backlog_limit", "backlog_wait_time"])
		equal(parseAuditStatus(STATUS.replace(new RegExp(`^${name} .*\n`, "m"), "")), null, name);
	equal(parseAuditStatus("You must be root to run this program.\n"), null);
});

test("rules are lines that begin with an option", () => {
	deepEqual(parseAuditRules("No rules\n"), []);
	deepEqual(parseAuditRules("-a never,task\n-a always,exit -F arch=b64 -S execve -F key=x\n"), [
		"-a never,task",
		"-a always,exit -F arch=b64 -S execve -F key=x",
	]);
});
