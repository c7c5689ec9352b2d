/**
 * The collector against the real kernel: every BPF program passes the verifier (its log is printed when it does not), and the
 * live checks of `make live-test` hold, script by script, so that one which fails hides no other. A failure begins with the checks
 * that failed and what was seen instead of what they asked for. Needs root and BTF; skipped by name otherwise, and failing instead
 * where REQUIRE names them. What a live check leaves out is named, and fails where REQUIRE is set.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";

const REQUIRED = (process.env.REQUIRE ?? "").split(",").filter((each) => each !== "");
/** Each script says some hundred lines; a failing one some more. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

function missing(): string | false {
	if (process.getuid?.() !== 0 && !REQUIRED.includes("root")) return "root is needed";
	if (!existsSync("/sys/kernel/btf/vmlinux") && !REQUIRED.includes("btf")) return "a kernel with BTF is needed";
	return false;
}

const PROCMOND = "agent/procmond/build/procmond";
/** What the ebpf tier is made of; `on_exit_live` stands in for `on_exit` on kernels that lack a field. */
const PROGRAMS = [
	"on_fork",
	"on_exec",
	"on_exit",
	"on_exit_live",
	"on_sock_state",
	"on_sys_exit",
	"on_process_call",
	"on_signal",
	"on_task",
	"on_network_call",
	"on_send_call",
	"on_receive_call",
	"on_write_call",
	"on_read_call",
	"on_file_call",
	"on_file_name_call",
	"on_sys_enter",
];

test("every BPF program loads, and the verifier says how much it walked", { skip: missing() }, (context) => {
	const loaded = spawnSync(PROCMOND, ["--verify-load"], { encoding: "utf8" });
	assert.equal(loaded.status, 0, `${loaded.stdout}${loaded.stderr}`);
	for (const line of loaded.stdout.trimEnd().split("\n")) context.diagnostic(line);
	for (const program of PROGRAMS) {
		const walked = new RegExp(`^${program} +ok: (\\d+) instructions`, "m").exec(loaded.stdout);
		assert(walked, `${program} is not in the report`);
		assert(Number(walked[1]) < 1_000_000, `${program} is at the verifier's limit`);
	}
});

const FOLDER = "agent/procmond";
/** As in the Makefile's live-test. */
const SCRIPTS = [
	"live_test",
	"live_process",
	"live_network",
	"live_file",
	"hash_live_test",
	"privilege_test",
	"fidelity_test",
	"tiers_test",
];
/** Ten times what the slowest takes on 2 cores with nothing else to do; it would wait for something that never comes. */
const SCRIPT_TIMEOUT_MS = 600_000;
const LAST_LINES = 10;
/** What the library of the scripts puts before each line of evidence. */
const EVIDENCE = "     ";
/** Said by the shell of processes that a script ends itself. */
const NOISE = /^(Terminated|Killed|)$/;

interface Run {
	readonly status: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** What failed, then the evidence of each, then the end of the output; nothing of what passed. */
function explain(run: Run): string {
	const lines = run.stdout.split("\n");
	const failed = new Set(lines.filter((line) => line.startsWith("FAIL ")));
	const evidence: string[] = [];
	for (const [i, line] of lines.entries()) {
		if (!line.startsWith("FAIL ") || lines[i + 1]?.startsWith(EVIDENCE) !== true) continue;
		const end = lines.findIndex((other, j) => j > i && !other.startsWith(EVIDENCE));
		evidence.push(line, ...lines.slice(i + 1, end < 0 ? undefined : end));
	}
	const isToldElsewhere = (line: string) => /^(PASS|FAIL|FAILED:)/.test(line) || line.startsWith(EVIDENCE);
	const rest = lines.filter((line) => !NOISE.test(line) && !isToldElsewhere(line));
	const errors = run.stderr.split("\n").filter((line) => !NOISE.test(line));
	return [
		...failed,
		...(failed.size === 0 ? [`no check failed, and it ended with ${run.status ?? run.signal}`] : []),
		...(failed.size === 0 ? errors.slice(-LAST_LINES) : []),
		...evidence,
		"the last lines:",
		...rest.slice(-LAST_LINES),
		...(failed.size === 0 ? [] : errors.slice(-LAST_LINES)),
	].join("\n");
}

let isBuilt = false;

test("what the live checks need is built", { skip: missing() }, () => {
	const built = spawnSync("make", ["-C", FOLDER, "--no-print-directory", "-s", "live-build"], {
		encoding: "utf8",
		maxBuffer: OUTPUT_BYTES_MAX,
	});
	assert.equal(built.status, 0, explain(built));
	isBuilt = true;
});

for (const script of SCRIPTS)
	test(`what the collector promises holds on this kernel: ${script}`, { skip: missing() }, (context) => {
		assert(isBuilt, "nothing was built; see the test before");
		const lived = spawnSync("sh", [`tests/${script}.sh`, "build/strict"], {
			cwd: FOLDER,
			encoding: "utf8",
			maxBuffer: OUTPUT_BYTES_MAX,
			timeout: SCRIPT_TIMEOUT_MS,
		});
		if (lived.status !== 0 || /^FAIL/m.test(lived.stdout) || !/^PASS /m.test(lived.stdout)) assert.fail(explain(lived));
		const skipped = lived.stdout.split("\n").filter((line) => line.startsWith("SKIP "));
		for (const line of skipped) context.diagnostic(line);
		if (REQUIRED.length > 0) assert.deepEqual(skipped, [], "REQUIRE is set, and a check was left out");
	});
