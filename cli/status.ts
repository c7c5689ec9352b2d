/** `daemoneye status`: whether an enclave answers, and how much it holds. Asks the public health answer only. */
import { resolve } from "node:path";
import { centerConfigSetting } from "../host/config/box-config.ts";
import { readYamlFile } from "../host/config/yaml-file.ts";
import { boxPaths } from "../host/enclave/layout.ts";
import { centerHealth } from "../host/enclave/readiness.ts";
import { complain, say } from "./console-output.ts";
import { EXIT, type Verb } from "./verb.ts";

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
	if (values.json === true) say(JSON.stringify({ ok: health !== null, console: url, ...health }));
	else
		say(
			health === null
				? `${url} does not answer: is it started?`
				: `${url} is up and holds ${health.storedBatches} batches`,
		);
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
