import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { centerConfigSetting, centerYaml, DEFAULT_PORTS, proxyConfigSetting, proxyYaml } from "./box-config.ts";
import { readYamlFile } from "./yaml-file.ts";

const directory = mkdtempSync(join(tmpdir(), "daemoneye-config-"));
after(() => rmSync(directory, { recursive: true }));

function file(text: string): string {
	const path = join(directory, "box.yaml");
	writeFileSync(path, text);
	return path;
}

test("the files a first start writes are read back, with a path that needs quoting", () => {
	const proxy = readYamlFile(file(proxyYaml(DEFAULT_PORTS, '/data "x": #y')), proxyConfigSetting);
	assert(proxy.ok, JSON.stringify(proxy));
	assert.equal(proxy.value.proxy.wal_path, '/data "x": #y');
	assert.deepEqual(proxy.value.proxy.flow, { priorities: ["trace", "alert", "bulk"], compression: "zstd" });
	const { used_percent_max, free_bytes_enough } = proxy.value.proxy.disk;
	assert.deepEqual(used_percent_max, { bulk: 85, alert: 90, trace: 95 });
	assert.deepEqual(free_bytes_enough, { bulk: 8 * 1024 ** 3, alert: 5 * 1024 ** 3, trace: 2 * 1024 ** 3 });
	const center = readYamlFile(file(centerYaml(DEFAULT_PORTS)), centerConfigSetting);
	assert(center.ok, JSON.stringify(center));
	assert.deepEqual(center.value.center.console, { listen: "localhost:8460", origin: "http://localhost:8460" });
});

test("an upstream is one way or a list of different ones, each an address with or without its node's name", () => {
	const read = (upstream: string) => {
		const text = proxyYaml(DEFAULT_PORTS, "/w").replace(/upstream: .*/, `upstream: ${upstream}`);
		const proxy = readYamlFile(file(text), proxyConfigSetting);
		return proxy.ok ? proxy.value.proxy.upstream : proxy.detail;
	};
	assert.deepEqual(read("px-region-1.local:7443"), [{ address: "px-region-1.local:7443", node: null }]);
	assert.deepEqual(read('["px/px-r1@10.0.0.1:7443", "sc/sc-1@[::1]:7444", "b:1"]'), [
		{ address: "10.0.0.1:7443", node: { role: "px", id: "px-r1" } },
		{ address: "[::1]:7444", node: { role: "sc", id: "sc-1" } },
		{ address: "b:1", node: null },
	]);
	assert.match(String(read("[]")), /proxy\.upstream: must be one value or a list of up to 8/);
	assert.match(String(read("[a:1, a:1]")), /up to 8 different ones/);
	assert.match(String(read("[a:1, a]")), /must be host:port/);
	assert.match(String(read("agent/web-01@a:1")), /must be host:port/);
	const nine = Array.from({ length: 9 }, (_, index) => `a:${index + 1}`);
	assert.equal(read(`[${nine.slice(1).join(", ")}]`).length, 8);
	assert.match(String(read(`[${nine.join(", ")}]`)), /up to 8/);
});

test("the seed's own example is read once `health` is added", () => {
	const seed = `proxy:
  listen: 0.0.0.0:7443
  upstream: px-region-1.local:7443
  wal_path: /var/lib/daemoneye/proxy/wal
  fsync_interval_ms: 100
  flow:
    priorities: [trace, alert, bulk]
    compression: zstd
  health: 127.0.0.1:7480
`;
	assert(readYamlFile(file(seed), proxyConfigSetting).ok);
});

const refusals: [string, string, string, RegExp][] = [
	[
		"an unknown key",
		"proxy:\n  listen: a:1\n  upstrem: b:2\n",
		"config_key_unknown",
		/box\.yaml line 3: proxy\.upstrem: unknown key, did you mean upstream\?\.$/,
	],
	["a doubled key", "proxy: {}\nproxy: {}\n", "config_not_yaml", /box\.yaml line 2 is no YAML: /],
	["a tab for indentation", "proxy:\n\tlisten: a:1\n", "config_not_yaml", /box\.yaml line 2 is no YAML: /],
	["an alias", "a: &x [1]\nproxy: *x\n", "config_not_yaml", /alias/i],
	[
		"a value out of bounds",
		`${proxyYaml(DEFAULT_PORTS, "/x").replace("_ms: 100", "_ms: 1001")}`,
		"config_value_wrong",
		/fsync_interval_ms: must be a whole number from 0 to 1000\.$/,
	],
	[
		"a lane that is none",
		`${proxyYaml(DEFAULT_PORTS, "/x").replace("[trace, alert, bulk]", "[trace, bulk]")}`,
		"config_value_wrong",
		/must list each of trace, alert, bulk once\.$/,
	],
	[
		"a watermark of bulk above that of traces",
		`${proxyYaml(DEFAULT_PORTS, "/x")}  disk:\n    used_percent_max: {bulk: 96}\n`,
		"config_value_wrong",
		/proxy\.disk\.used_percent_max: must not fall from bulk to alert to trace\.$/,
	],
	[
		"more room asked for traces than for bulk",
		`${proxyYaml(DEFAULT_PORTS, "/x")}  disk:\n    free_bytes_enough: {trace: 9000000000}\n`,
		"config_value_wrong",
		/proxy\.disk\.free_bytes_enough: must not fall from trace to alert to bulk\.$/,
	],
	["an empty file", "", "config_key_missing", /: is missing\.$/],
];
for (const [name, text, code, detail] of refusals)
	test(`${name} is refused with its line`, () => {
		const read = readYamlFile(file(text), proxyConfigSetting);
		assert(!read.ok);
		assert.equal(read.code, code);
		assert.match(read.detail, detail);
	});

test("a file that is not there is named", () => {
	const read = readYamlFile(join(directory, "absent.yaml"), proxyConfigSetting);
	assert(!read.ok && read.code === "config_unreadable");
});
