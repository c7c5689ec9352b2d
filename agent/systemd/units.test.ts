import { deepEqual, equal, match } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "../config/config.ts";

type Unit = ReadonlyMap<string, readonly string[]>;

/** Every value of every key, in order; section names are left out because no key of ours is in two of them. */
function readUnit(name: string): Unit {
	const unit = new Map<string, string[]>();
	for (const line of readFileSync(join(import.meta.dirname, name), "utf8").split("\n")) {
		const at = line.indexOf("=");
		if (at < 0 || /^[#;[]/.test(line)) continue;
		const key = line.slice(0, at);
		unit.set(key, [...(unit.get(key) ?? []), line.slice(at + 1)]);
	}
	return unit;
}

function holds(unit: Unit, expected: Readonly<Record<string, string>>): void {
	for (const [key, value] of Object.entries(expected)) deepEqual(unit.get(key), [value], key);
}

const PROCMOND = "daemoneye-procmond.service";
const AGENT = "daemoneye-agent.service";

test("both units lock themselves in and are started again for ever", () => {
	for (const name of [PROCMOND, AGENT]) {
		holds(readUnit(name), {
			NoNewPrivileges: "yes",
			AmbientCapabilities: "",
			ProtectSystem: "strict",
			RestrictNamespaces: "yes",
			SystemCallArchitectures: "native",
			SystemCallErrorNumber: "EPERM",
			Restart: "always",
			RestartSec: "1",
			StartLimitIntervalSec: "0",
			LimitCORE: "0",
			MemorySwapMax: "0",
		});
		match(readUnit(name).get("MemoryMax")?.[0] ?? "", /^\d+M$/);
	}
});

test("the agent's unit has no capability, no other user and no way to a device", () => {
	holds(readUnit(AGENT), {
		User: "daemoneye",
		Group: "daemoneye",
		CapabilityBoundingSet: "",
		PrivateTmp: "yes",
		PrivateDevices: "yes",
		ProtectHome: "yes",
		ProtectProc: "invisible",
		RestrictAddressFamilies: "AF_UNIX AF_INET AF_INET6",
		StateDirectoryMode: "0700",
	});
	deepEqual(readUnit(AGENT).get("SystemCallFilter"), ["@system-service", "~@privileged @setuid"]);
});

test("procmond's unit has what it loads with and no address on a network", () => {
	const unit = readUnit(PROCMOND);
	const capabilities = "CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_SETPCAP";
	holds(unit, {
		CapabilityBoundingSet: capabilities,
		RestrictAddressFamilies: "AF_UNIX AF_NETLINK",
		IPAddressDeny: "any",
		RuntimeDirectoryMode: "0750",
		Group: "daemoneye",
	});
	// Root without its default capabilities would have none at all here.
	equal(unit.has("SecureBits"), false);
});

test("the two meet at one socket, and each names the other", () => {
	const listen = readUnit(PROCMOND).get("ExecStart")?.[0] ?? "";
	const connect = readUnit(AGENT).get("ExecStart")?.[0] ?? "";
	match(listen, /launch --listen \/run\/daemoneye\/link --peer-user daemoneye -- \S+\/procmond$/);
	match(connect, /launch --connect \/run\/daemoneye\/link --peer-user root -- \S+\/node .*agent\.mjs --config \S+$/);
	deepEqual(readUnit(PROCMOND).get("RuntimeDirectory"), ["daemoneye"]);
});

test("the configuration of the README is a whole one, and lies where the agent's unit lets it", () => {
	const text = /```yaml\n([^`]*)```/.exec(readFileSync(join(import.meta.dirname, "README.md"), "utf8"))?.[1] ?? "";
	const unit = readUnit(AGENT);
	const path = /--config (\S+)$/.exec(unit.get("ExecStart")?.[0] ?? "")?.[1] ?? "";
	equal(path, "/etc/daemoneye/agent.yaml");
	const config = parseConfig(text, path);
	if (!config.ok) throw new Error(config.detail);
	const { tls, identity, dataDir } = config.value;
	const state = `/var/lib/${unit.get("StateDirectory")?.[0]}/`;
	for (const each of [...Object.values(tls), ...Object.values(identity), dataDir])
		equal(each.startsWith(state), true, each);
});

const analyze = spawnSync("systemd-analyze", ["--version"]).status === 0;

test("systemd accepts every line it knows", { skip: analyze ? false : "systemd-analyze is not here" }, () => {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-units-"));
	try {
		for (const name of [PROCMOND, AGENT]) {
			// The programs are not installed where this runs.
			const text = readFileSync(join(import.meta.dirname, name), "utf8").replace(
				/\/usr\/lib\/daemoneye\/\w+/,
				"/bin/true",
			);
			writeFileSync(join(directory, name), text);
		}
		const { status, stderr } = spawnSync("systemd-analyze", ["verify", PROCMOND, AGENT], {
			cwd: directory,
			encoding: "utf8",
		});
		const newer = /Unknown key (name )?'Restart(Steps|MaxDelaySec)'/;
		const complaints = stderr.split("\n").filter((line) => line.includes("daemoneye-") && !newer.test(line));
		deepEqual(complaints, []);
		equal(status, 0, stderr);
	} finally {
		rmSync(directory, { recursive: true });
	}
});
