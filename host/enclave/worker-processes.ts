/**
 * The workers of an enclave on one machine, the Security Center and its proxies, described from what lies in the data folder now; and one
 * of them replaced while all runs. Guarantees that what can be known to fail fails before anything is stopped. Must never move a worker
 * to other data: what waits there would be left behind.
 */
import { fail, ok, type Result } from "#core/result.ts";
import { type CenterConfig, centerConfigSetting, type ProxyConfig, proxyConfigSetting } from "../config/box-config.ts";
import { type ConfigFileCode, readYamlFile } from "../config/yaml-file.ts";
import { type EnclavePki, openEnclavePki } from "../pki/enclave.ts";
import type { NodeFiles } from "../pki/node-files.ts";
import type { Sqld } from "../sqld/sqld.ts";
import type { ProcessSpec, Replaced, Supervisor } from "../supervisor/supervisor.ts";
import { CENTER_PROCESS, centerProcess } from "./center-process.ts";
import { boxPaths, CENTER_ID, proxiesOf, softwareVersion } from "./layout.ts";
import { checkBuilt } from "./preflight.ts";
import { proxyProcess } from "./proxy-process.ts";

export interface Configs {
	readonly center: CenterConfig;
	/** By id, the first proxy first. */
	readonly proxies: ReadonlyMap<string, ProxyConfig>;
}

export function readConfigs(dataDir: string): Result<Configs, ConfigFileCode> {
	const paths = boxPaths(dataDir);
	const center = readYamlFile(paths.centerConfig, centerConfigSetting);
	if (!center.ok) return center;
	const proxies = new Map<string, ProxyConfig>();
	for (const id of proxiesOf(dataDir)) {
		const proxy = readYamlFile(paths.proxyConfig(id), proxyConfigSetting);
		if (!proxy.ok) return proxy;
		proxies.set(id, proxy.value.proxy);
	}
	return ok({ center: center.value.center, proxies });
}

export function nodeOf(pki: EnclavePki, role: string, id: string): NodeFiles | undefined {
	// The console's certificate carries a Security Center's name by its own rules; its folder tells it apart.
	return pki.nodes.find(({ paths }) => paths.directory.endsWith(`/${role}-${id}`));
}

/** Where each worker's objects lie, by the worker's name. */
export function directoriesOf(dataDir: string, { proxies }: Configs): Map<string, string> {
	const wals = [...proxies].map(([id, { wal_path }]) => [id, wal_path] as const);
	return new Map([...wals, [CENTER_PROCESS, boxPaths(dataDir).centerData]]);
}

/** In the order they are started and replaced. */
export function workerNamesOf({ proxies }: Configs): string[] {
	return [CENTER_PROCESS, ...proxies.keys()];
}

export interface WorkersOf {
	readonly dataDir: string;
	readonly pki: EnclavePki;
	readonly configs: Configs;
	/** Its tokens are the ones that the running server knows. */
	readonly sqld: Sqld;
}

/** The Security Center first: who is above understands what comes from below before it comes. */
export function describeWorkers({ dataDir, pki, configs, sqld }: WorkersOf): Result<ProcessSpec[], string> {
	const center = nodeOf(pki, "sc", CENTER_ID);
	if (center === undefined) return fail("pki_incomplete", `${dataDir} lacks the node ${CENTER_ID}.`);
	const version = softwareVersion();
	const sc = centerProcess({
		dataDir,
		config: configs.center,
		pki,
		node: center,
		consoleNode: nodeOf(pki, "console", "console"),
		sqld,
		softwareVersion: version,
	});
	if (!sc.ok) return sc;
	const proxies: ProcessSpec[] = [];
	for (const [id, config] of configs.proxies) {
		const node = nodeOf(pki, "px", id);
		if (node === undefined) return fail("pki_incomplete", `${dataDir} lacks the node ${id}.`);
		const px = proxyProcess({
			...{ dataDir, name: id, config, node, center: { role: "sc", id: CENTER_ID } },
			softwareVersion: version,
		});
		if (!px.ok) return px;
		proxies.push(px.value);
	}
	return ok([sc.value, ...proxies]);
}

export interface RunningBox {
	readonly dataDir: string;
	readonly supervisor: Supervisor;
	readonly sqld: Sqld;
	/** What it was started by. */
	readonly configs: Configs;
}

/** What cannot change under running processes, by its key. */
function fixedOf(configs: Configs, name: string): Record<string, string | undefined> {
	const { store } = configs.center;
	if (name === CENTER_PROCESS) return { "store.http": store.http, "store.admin": store.admin };
	return { wal_path: configs.proxies.get(name)?.wal_path };
}

/** Replaces a worker by what is built and configured now; any other process starts again by what it was started by. */
export async function replaceProcess(box: RunningBox, name: string): Promise<Result<Replaced, string>> {
	const { dataDir, supervisor, sqld } = box;
	if (name !== CENTER_PROCESS && !box.configs.proxies.has(name)) return supervisor.replace(name);
	const built = checkBuilt();
	if (!built.ok) return built;
	const pki = openEnclavePki(dataDir, Date.now());
	if (!pki.ok) return pki;
	const configs = readConfigs(dataDir);
	if (!configs.ok) return configs;
	const now = fixedOf(configs.value, name);
	const changed = Object.entries(fixedOf(box.configs, name)).find(([key, value]) => now[key] !== value);
	if (changed !== undefined)
		return fail("needs_stop", `${changed[0]} of ${name} has changed: that takes a stop and a start of everything.`);
	const workers = describeWorkers({ dataDir, pki: pki.value, configs: configs.value, sqld });
	if (!workers.ok) return workers;
	return supervisor.replace(
		name,
		workers.value.find((each) => each.name === name),
	);
}
