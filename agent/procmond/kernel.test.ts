/**
 * The collector against the real kernel: every BPF program passes the verifier (its log is printed when it does not), and the live
 * checks of `make live-test` hold. Needs root and BTF; skipped by name otherwise, and failing instead where REQUIRE names them. What a
 * live check leaves out is named, and fails where REQUIRE is set.
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

test("what the collector promises holds on this kernel", { skip: missing(), timeout: 900_000 }, (context) => {
	const lived = spawnSync("make", ["-C", "agent/procmond", "--no-print-directory", "-s", "live-test"], {
		encoding: "utf8",
		maxBuffer: OUTPUT_BYTES_MAX,
	});
	assert.equal(lived.status, 0, `${lived.stdout}${lived.stderr}`);
	assert.match(lived.stdout, /^PASS /m);
	assert.doesNotMatch(lived.stdout, /^FAIL/m);
	const skipped = lived.stdout.split("\n").filter((line) => line.startsWith("SKIP "));
	for (const line of skipped) context.diagnostic(line);
	if (REQUIRED.length > 0) assert.deepEqual(skipped, [], "REQUIRE is set, and a check was left out");
});
