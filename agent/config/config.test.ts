import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "./config.ts";

const GOOD = `agent:
  proxy_hint: px-us-east-1a.local:7443
  site_tag: us-east-1a
  tls:
    cert: node.crt
    key: /etc/daemoneye/node.key
    ca: ca.pem
  identity:
    signing_key: signing.key
    binding: binding.cbor
    genesis: genesis.cbor
    root: ca.pem
  data_dir: state
  stream:
    batch_max_events: 2000
    batch_max_ms: 250
  trace:
    default_depth: 6
    privacy_mask_args: true
`;

const refusal = (text: string) => {
	const config = parseConfig(text, "/etc/daemoneye/agent.yaml");
	assert.ok(!config.ok);
	return config.detail;
};

test("the seed's shape is read, with defaults for what it leaves out and paths beside the file", () => {
	const config = parseConfig(GOOD, "/etc/daemoneye/agent.yaml");
	assert.ok(config.ok);
	assert.deepEqual(config.value.targets, [{ host: "px-us-east-1a.local", port: 7443 }]);
	assert.deepEqual(config.value.tls, {
		cert: "/etc/daemoneye/node.crt",
		key: "/etc/daemoneye/node.key",
		ca: "/etc/daemoneye/ca.pem",
	});
	assert.equal(config.value.dataDir, "/etc/daemoneye/state");
	assert.equal(config.value.outboxBytesMax, 268_435_456);
	assert.deepEqual(config.value.capture, { scopeCgroup: "", source: "auto", pollMs: 200, pollsConnections: true });
});

test("an unknown key is refused by name and line, with what was meant", () => {
	assert.match(
		refusal(GOOD.replace("batch_max_events", "batch_max_event")),
		/line 15: agent\.stream\.batch_max_event: unknown key, did you mean batch_max_events\?/,
	);
	assert.match(refusal(`${GOOD}  id: web-01\n`), /line 20: agent\.id: unknown key/);
	assert.match(refusal(`${GOOD}proxy: {}\n`), /proxy: unknown key/);
});

test("a missing key, a wrong type and a value out of range are each named", () => {
	assert.match(refusal(GOOD.replace("  data_dir: state\n", "")), /agent\.data_dir: is missing/);
	assert.match(refusal("agent:\n"), /agent: is missing/);
	assert.match(refusal(""), /: is missing/);
	assert.match(refusal(GOOD.replace("2000", "'2000'")), /line 15: .*batch_max_events: must be a whole number/);
	assert.match(refusal(GOOD.replace("2000", "4097")), /from 1 to 4096/);
	assert.match(refusal(GOOD.replace("true", "yes")), /privacy_mask_args: must be true or false/);
	assert.match(
		refusal(GOOD.replace("px-us-east-1a.local:7443", "px")),
		/line 2: agent\.proxy_hint: must be host:port like/,
	);
	assert.match(refusal(GOOD.replace("7443", "70000")), /port must be from 1 to 65535/);
	assert.match(refusal(`${GOOD}  capture: {source: magic}\n`), /must be one of auto, ebpf, netlink, proc/);
	assert.match(refusal(`${GOOD}  outbox: {bytes_max: 1}\n`), /agent\.outbox\.bytes_max: must be a whole number/);
	assert.match(refusal(`${GOOD}  capture: 7\n`), /agent\.capture: must be a map of keys/);
});

test("the limits themselves are accepted", () => {
	for (const [from, to] of [
		["2000", "4096"],
		["2000", "1"],
		["250", "60000"],
	] as const)
		assert.ok(parseConfig(GOOD.replace(from, to), "a.yaml").ok, to);
});

test("what is no YAML, doubled or longer than a page is refused", () => {
	assert.match(refusal("agent: ["), /line 1 is no YAML/);
	assert.match(refusal(GOOD.replace("site_tag: us-east-1a", "site_tag: a\n  site_tag: b")), /is no YAML/);
	assert.match(refusal(`# ${"x".repeat(70_000)}`), /longer than/);
});

test("several proxies stand in order of preference, with the times of their return", () => {
	const text = GOOD.replace("px-us-east-1a.local:7443", "[px-a:7443, px-b:7443]");
	const config = parseConfig(`${text}  failover: {probe_secs: 5, stable_secs: 60}\n`, "a.yaml");
	assert.ok(config.ok);
	assert.deepEqual(config.value.targets, [
		{ host: "px-a", port: 7443 },
		{ host: "px-b", port: 7443 },
	]);
	assert.deepEqual(config.value.parentTimes, { probeMs: 5000, stableMs: 60_000 });
	assert.match(refusal(GOOD.replace("px-us-east-1a.local:7443", "[px-a:1, px-a:1]")), /up to 8 different ones/);
	assert.match(refusal(GOOD.replace("px-us-east-1a.local:7443", "[]")), /proxy_hint: must be one value or a list/);
});

test("an IPv6 address stands in brackets", () => {
	const config = parseConfig(GOOD.replace("px-us-east-1a.local:7443", '"[::1]:7443"'), "a.yaml");
	assert.ok(config.ok);
	assert.deepEqual(config.value.targets, [{ host: "::1", port: 7443 }]);
});
