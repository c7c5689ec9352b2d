/**
 * The whole path as one test: `npm run demo -- --once` in a network namespace of its own, with a capture on its only way out.
 * It must hold, and nothing may try to leave. The capture is proved alive by one packet of our own at the end.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { verifyPackage } from "#core/verify/index.ts";

const REQUIRED = (process.env.REQUIRE ?? "").split(",");

/** Why this cannot run here; under REQUIRE the test runs and fails instead. */
function missing(): string | false {
	const has = (tool: string) => spawnSync("sh", ["-c", `command -v ${tool}`]).status === 0;
	if (process.getuid?.() !== 0) return REQUIRED.includes("root") ? false : "root is needed";
	if (!existsSync("/sys/kernel/btf/vmlinux")) return REQUIRED.includes("btf") ? false : "a kernel with BTF is needed";
	if (!has("apache2")) return REQUIRED.includes("apache2") ? false : "apache2 is needed";
	if (!has("sshd")) return REQUIRED.includes("sshd") ? false : "openssh-server is needed";
	return has("tcpdump") || REQUIRED.includes("root") ? false : "tcpdump is needed";
}

/** A namespace whose default route ends in a cable to nowhere: whatever tries to leave is seen there, whoever sent it. */
const SCRIPT = `
set -e
ip link set lo up
sysctl -qw net.ipv6.conf.default.disable_ipv6=1
ip link add out type veth peer name nowhere
ip addr add 192.0.2.1/24 dev out
ip link set nowhere up
ip link set out up
ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:01 dev out nud permanent
ip route add default via 192.0.2.254
tcpdump --immediate-mode -i out -U -w "$1/out.pcap" 2>"$1/tcpdump.log" &
capture=$!
trap 'kill $capture' EXIT
until grep -q listening "$1/tcpdump.log"; do sleep 0.05; done
status=0
"$2" demo/main.ts --once --json --package "$1/story.depkg" >"$1/report" 2>"$1/trouble" || status=$?
"$2" -e 'const s = require("dgram").createSocket("udp4"); s.send("x", 9, "198.51.100.7", () => s.close())'
round=0
until tcpdump -nr "$1/out.pcap" 2>/dev/null | grep -q 198.51.100.7 || [ $round -gt 300 ]; do round=$((round + 1)); sleep 0.1; done
exit $status
`;

function packetsIn(file: string): number {
	return (
		execFileSync("tcpdump", ["-nr", file], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split("\n")
			.length - 1
	);
}

test("the intrusion is seen, traced over two hosts, exported and verified, and nothing leaves", {
	skip: missing(),
	timeout: 180_000,
}, async () => {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-story-"));
	try {
		const played = spawnSync("unshare", ["--net", "sh", "-c", SCRIPT, "sh", directory, process.execPath], {
			timeout: 170_000,
		});
		const read = (name: string) =>
			existsSync(join(directory, name)) ? readFileSync(join(directory, name), "utf8") : "";
		const trouble = `${played.stderr}${read("trouble")}`;
		const lines = read("report").trimEnd().split("\n");
		assert.equal(played.status, 0, `${trouble}\n${lines.at(-1)}`);
		const report = JSON.parse(lines.at(-1) ?? "null");
		assert.equal(report.ok, true);
		assert.equal(report.verdict, "PASS");
		assert.deepEqual(report.hosts, ["db-01", "web-01"]);
		assert.equal(report.hit.rule, "web-server-spawns-shell");
		assert.match(report.trace_id, /^T-\d{8}-/);
		assert.deepEqual([report.stitched[0].from, report.stitched[0].to], ["web-01", "db-01"]);
		assert(report.stitched[0].confidence > 0.8, `confidence ${report.stitched[0].confidence}`);
		for (const kind of ["exec", "fork", "connect", "file_create", "file_rename", "file_unlink", "trace_seal"])
			assert(report.trace.events_by_kind[kind] > 0, `no ${kind} in the trace`);
		assert(report.ledger.size > 0);
		// The test's own, sent last and so captured last: one that left before it would be there as well.
		const captured = packetsIn(join(directory, "out.pcap"));
		assert(captured > 0, "the capture was blind");
		assert.equal(captured, 1, "a packet tried to leave");
		const stranger = await verifyPackage(new Uint8Array(readFileSync(join(directory, "story.depkg"))), {
			rootFingerprint: "0".repeat(64),
			nowMs: Date.now(),
		});
		assert.equal(stranger.verdict, "FAIL", "a package under a root the reader does not trust");
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
});
