import { equal } from "node:assert/strict";
import { test } from "node:test";
import { countAudited } from "./auditd.ts";
import { countPrinted } from "./bpftrace.ts";
import { ratioOf } from "./storm.ts";

test("a storm is compared with the mean of its two neighbours, so a machine that drifts evenly does not show", () => {
	equal(ratioOf(1000, 1050, 1100), 1);
	equal(ratioOf(1000, 950, 1000), 0.95);
});

test("programs are counted in the audit log by their first argument alone", () => {
	const log = [
		'type=EXECVE msg=audit(1.2:3): argc=1 a0="storm-ab"',
		'type=EXECVE msg=audit(1.2:4): argc=2 a0="sh" a1="storm-ab"',
		'type=EXECVE msg=audit(1.2:5): argc=1 a0="storm-abc"',
	].join("\n");
	equal(countAudited(log, "storm-ab"), 1);
});

test("programs are counted in the printed lines also where those of two CPUs run into one another", () => {
	equal(countPrinted("argv 7 argv 8 storm-ab\nstorm-ab\nexec 7 1 0 0 /bin/true\n", "storm-ab"), 2);
	equal(countPrinted("", "storm-ab"), 0);
});
