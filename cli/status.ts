/** `daemoneye status`: whether an enclave answers, how much it holds, and how its proxy's link is. Asks the public health answers only. */
import { resolve } from "node:path";
import { centerConfigSetting, proxyConfigSetting } from "../host/config/box-config.ts";
import { readYamlFile } from "../host/config/yaml-file.ts";
import { boxPaths, proxiesOf } from "../host/enclave/layout.ts";
import { centerHealth, type ProxyHealth, proxyHealth } from "../host/enclave/readiness.ts";
import { complain, say, visible } from "./console-output.ts";
import { EXIT, type Verb } from "./verb.ts";

/** One line for a person: the link, since when, and what waits on it. */
export function proxySentence(id: string, health: ProxyHealth | null): string {
	if (health === null) return `${id} does not answer`;
	const secs = Math.max(0, Math.round((health.timeMs - health.sinceMs) / 1000));
	const link = health.isUp ? `linked for ${secs} s` : `cut off for ${secs} s (${health.lastError ?? "never linked"})`;
	const waits =
		health.walBytes === 0 ? "nothing waits" : `${health.walBytes} bytes wait, the oldest for ${health.lagMs} ms`;
	return `${id} is ${link}, ${health.agentsUp} agents connected; ${waits}`;
}

async function run(values: Readonly<Record<string, unknown>>): Promise<number> {
	const dataDir = resolve(String(values.data ?? "data"));
	const config = readYamlFile(boxPaths(dataDir).centerConfig, centerConfigSetting);
	if (!config.ok) {
		const isAbsent = config.code === "config_unreadable";
		complain(isAbsent ? `There is no enclave in ${dataDir}: \`npm start\` makes one.` : config.detail);
		return EXIT.failed;
	}
	const url = config.value.center.console.origin;
	const health = await centerHealth(config.value.center);
	const proxies: Record<string, ProxyHealth | null> = {};
	for (const id of proxiesOf(dataDir)) {
		const proxy = readYamlFile(boxPaths(dataDir).proxyConfig(id), proxyConfigSetting);
		if (proxy.ok) proxies[id] = await proxyHealth(proxy.value.proxy);
	}
	if (values.json === true) say(JSON.stringify({ ok: health !== null, console: url, ...health, proxies }));
	else {
		say(
			health === null
				? `${url} does not answer: is it started?`
				: `${url} is up and holds ${health.storedBatches} batches`,
		);
		for (const [id, each] of Object.entries(proxies)) say(visible(proxySentence(id, each)));
	}
	return health === null ? EXIT.failed : EXIT.fine;
}

export const statusVerb: Verb = {
	name: "status",
	summary: "Says whether the enclave of a data folder is up.",
	usage: "[--data DIR] [--json]",
	example: "daemoneye status --data /var/lib/daemoneye",
	options: { data: { type: "string" } },
	optionHelp: { data: "the data folder (default: data)" },
	exitHelp: "0 up, 1 not, 2 usage",
	run,
};
