/**
 * One more proxy in an enclave: an identity from its issuing CA and a configuration that names its upstreams. Guarantees that a refused
 * option leaves nothing behind, and that an existing proxy is never changed. Must never start anything: `start` finds what lies here.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { splitHostPort } from "#core/config/strict-tree.ts";
import { readYaml } from "#core/config/yaml-text.ts";
import { parseNodeUri } from "#core/identity/node-uri.ts";
import { fail, ok, type Result } from "#core/result.ts";
import {
	addedProxyYaml,
	centerConfigSetting,
	type ProxyConfig,
	proxyConfigSetting,
	type UpstreamSetting,
} from "../config/box-config.ts";
import { type ConfigFileCode, readYamlFile } from "../config/yaml-file.ts";
import { makePrivateDirectory, writeFileDurably } from "../durable-files.ts";
import { type AddNodeCode, addNode, openEnclavePki } from "../pki/enclave.ts";
import { type NodeFiles, openNodeFiles } from "../pki/node-files.ts";
import type { ProcessSpec, Replaced, StateChange, Supervisor } from "../supervisor/supervisor.ts";
import { boxPaths, CENTER_ID, proxiesOf, softwareVersion } from "./layout.ts";
import { proxyProcess } from "./proxy-process.ts";
import { superviseBox } from "./supervised-box.ts";

export interface AddedProxyOptions {
	readonly dataDir: string;
	readonly id: string;
	/** In order of preference: ids of nodes of this data directory, or `role/id@host:port` of others. */
	readonly upstream: readonly string[];
	/** `host:port` of its links, and of its health (loopback). */
	readonly listen: string;
	readonly health: string;
	/** Names and addresses that agents dial beside `localhost`. */
	readonly dnsNames: readonly string[];
	readonly ips: readonly string[];
	/** It runs on a machine of its own: its configuration goes into its node folder, to be carried there. */
	readonly isElsewhere: boolean;
	readonly nowMs: number;
}

export interface AddedProxy {
	readonly uri: string;
	readonly nodeDirectory: string;
	readonly config: string;
	/** As written. */
	readonly upstream: readonly string[];
}

export type AddProxyCode = AddNodeCode | ConfigFileCode | "upstream_unknown" | "upstream_is_itself" | "proxy_invalid";

/** Where a proxy on its own machine finds its configuration: with the rest of what was carried there. */
export const CARRIED_CONFIG = "proxy.yaml";
/** The seed's own place (SEED §13). */
const CARRIED_WAL = "/var/lib/daemoneye/proxy/wal";

/** `px-1` → `px/px-1@localhost:7443`; a written way stays as it is. */
function wayTo(dataDir: string, id: string, isElsewhere: boolean): Result<string, AddProxyCode> {
	if (id.includes("@")) return ok(id);
	if (isElsewhere)
		return fail("upstream_unknown", `Name the address of ${id} as the other machine sees it: px/${id}@host:port.`);
	const paths = boxPaths(dataDir);
	if (id === CENTER_ID) {
		const center = readYamlFile(paths.centerConfig, centerConfigSetting);
		return center.ok ? ok(`sc/${id}@localhost:${splitHostPort(center.value.center.listen).port}`) : center;
	}
	if (!proxiesOf(dataDir).includes(id))
		return fail("upstream_unknown", `There is no node ${id} here: ${CENTER_ID}, ${proxiesOf(dataDir).join(", ")} are.`);
	const proxy = readYamlFile(paths.proxyConfig(id), proxyConfigSetting);
	return proxy.ok ? ok(`px/${id}@localhost:${splitHostPort(proxy.value.proxy.listen).port}`) : proxy;
}

/** Makes the identity and the configuration; the next start of the enclave runs it. */
export async function addProxy(options: AddedProxyOptions): Promise<Result<AddedProxy, AddProxyCode>> {
	const { dataDir, id, isElsewhere, nowMs } = options;
	const pki = openEnclavePki(dataDir, nowMs);
	if (!pki.ok) return pki;
	const upstream: string[] = [];
	for (const each of options.upstream) {
		const way = wayTo(dataDir, each, isElsewhere);
		if (!way.ok) return way;
		upstream.push(way.value);
	}
	const paths = boxPaths(dataDir);
	const walPath = isElsewhere ? CARRIED_WAL : paths.proxyWal(id);
	const text = addedProxyYaml({ listen: options.listen, health: options.health, upstream, walPath });
	const read = readYaml(text, "--upstream, --listen or --health", proxyConfigSetting);
	if (!read.ok) return fail("proxy_invalid", read.detail);
	if (read.value.proxy.upstream.some(({ node }) => node?.role === "px" && node.id === id))
		return fail("upstream_is_itself", `${id} cannot be its own upstream.`);
	if (!isElsewhere && existsSync(paths.proxyConfig(id)))
		return fail("node_exists", `${paths.proxyConfig(id)} is there already; nothing was changed.`);
	const dnsNames = isElsewhere ? options.dnsNames : ["localhost", ...options.dnsNames];
	const ips = isElsewhere ? options.ips : ["127.0.0.1", ...options.ips];
	const added = await addNode(dataDir, { role: "px", id, dnsNames, ips }, nowMs);
	if (!added.ok) return added;
	const nodeDirectory = added.value.paths.directory;
	const config = isElsewhere ? join(nodeDirectory, CARRIED_CONFIG) : paths.proxyConfig(id);
	writeFileDurably(config, text);
	return ok({ uri: added.value.uri, nodeDirectory, config, upstream });
}

export interface ProxyBox {
	/** The folder that was carried here. */
	readonly nodeDirectory: string;
	/** Lock, generated configuration, logs. */
	readonly dataDir: string;
	readonly onState?: (change: StateChange) => void;
	readonly signal?: AbortSignal;
}

export interface RunningProxy {
	readonly supervisor: Supervisor;
	readonly uri: string;
	readonly config: ProxyConfig;
}

function isNamed(upstream: readonly UpstreamSetting[]): boolean {
	return upstream.every(({ node }) => node !== null);
}

function describe(box: ProxyBox, node: NodeFiles, config: ProxyConfig): Result<ProcessSpec, string> {
	const name = parseNodeUri(node.uri);
	if (!name.ok || name.value.role !== "px") return fail("not_a_proxy", `${node.uri} is no proxy.`);
	if (!isNamed(config.upstream))
		return fail(
			"upstream_unnamed",
			`Say who answers at each upstream, as in px/px-1@host:port: this machine knows no other node of ${name.value.enclave}.`,
		);
	const center = { role: "sc", id: CENTER_ID } as const;
	const software = { softwareVersion: softwareVersion() };
	return proxyProcess({ dataDir: box.dataDir, name: name.value.id, config, node, center, ...software });
}

interface PresentProxy {
	readonly uri: string;
	readonly config: ProxyConfig;
	readonly process: ProcessSpec;
}

/** What the folder says now. */
function readBox(box: ProxyBox): Result<PresentProxy, string> {
	const node = openNodeFiles(box.nodeDirectory, Date.now());
	if (!node.ok) return node;
	const read = readYamlFile(join(box.nodeDirectory, CARRIED_CONFIG), proxyConfigSetting);
	if (!read.ok) return read;
	const config = read.value.proxy;
	const process = describe(box, node.value, config);
	return process.ok ? ok({ uri: node.value.uri, config, process: process.value }) : process;
}

/** Replaces the worker by what the folder says now, its data staying where they are. */
async function replaceIn(box: ProxyBox, running: RunningProxy, name: string): Promise<Result<Replaced, string>> {
	const now = readBox(box);
	if (!now.ok) return now;
	if (now.value.config.wal_path !== running.config.wal_path || now.value.uri !== running.uri)
		return fail("needs_stop", `wal_path or the name of ${running.uri} has changed: that takes a stop and a start.`);
	return running.supervisor.replace(name, name === now.value.process.name ? now.value.process : undefined);
}

/** Starts one proxy on a machine of its own. */
export async function startProxyBox(box: ProxyBox): Promise<Result<RunningProxy, string>> {
	const present = readBox(box);
	if (!present.ok) return present;
	const { uri, config, process } = present.value;
	makePrivateDirectory(box.dataDir);
	const { name } = process;
	const supervisor = await superviseBox({
		dataDir: box.dataDir,
		processes: [process],
		addresses: { "proxy.listen": config.listen, "proxy.health": config.health },
		directories: new Map([[name, config.wal_path]]),
		workers: [name],
		replaceIn: (running) => (asked) => replaceIn(box, { supervisor: running, uri, config }, asked),
		...(box.onState === undefined ? {} : { onState: box.onState }),
		...(box.signal === undefined ? {} : { signal: box.signal }),
	});
	return supervisor.ok ? ok({ supervisor: supervisor.value, uri, config }) : supervisor;
}
