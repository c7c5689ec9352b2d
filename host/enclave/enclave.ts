/**
 * A whole enclave on one machine: PKI and configurations when there are none, then sqld, signer, Security Center, proxy and
 * agents under one supervisor. Guarantees that a start which fails leaves nothing running and nothing half-made, and that a second
 * start finds everything the first one left. Must never change an existing configuration or identity.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { splitHostPort } from "#core/config/strict-tree.ts";
import { readYaml } from "#core/config/yaml-text.ts";
import { assertInvariant, ok, type Result } from "#core/result.ts";
import {
	type BoxPorts,
	type CenterConfig,
	centerConfigSetting,
	centerYaml,
	type ProxyConfig,
	proxyConfigSetting,
	proxyYaml,
} from "../config/box-config.ts";
import { makePrivateDirectory, writeFileDurably } from "../durable-files.ts";
import { addNode, createEnclavePki, type EnclavePki, type GenesisPolicy, openEnclavePki } from "../pki/enclave.ts";
import { signerPaths } from "../pki/layout.ts";
import type { Invitee } from "../signer/invitations.ts";
import { signerProcess } from "../signer/process.ts";
import { prepareSqld, type Sqld } from "../sqld/sqld.ts";
import type { ProcessSpec, StateChange, Supervisor } from "../supervisor/supervisor.ts";
import { type AgentOptions, agentProcess, makeAgentFiles } from "./agent-process.ts";
import { settleAgentUser } from "./agent-user.ts";
import { BUILT, boxPaths, CENTER_ID, FIRST_PROXY, proxiesOf } from "./layout.ts";
import { checkBuilt, checkDataFolder, checkDisk, checkPorts } from "./preflight.ts";
import { centerHealth } from "./readiness.ts";
import { superviseBox } from "./supervised-box.ts";
import {
	type Configs,
	describeWorkers,
	directoriesOf,
	nodeOf,
	readConfigs,
	replaceProcess,
	workerNamesOf,
} from "./worker-processes.ts";

export interface EnclaveStart {
	readonly dataDir: string;
	readonly enclave: string;
	/** Used at the first start only. */
	readonly ports: BoxPorts;
	/** At the first start: the name browsers reach the console by, over HTTPS. Absent: this machine only, plain HTTP. */
	readonly consoleHost?: string;
	readonly policy: GenesisPolicy;
	readonly invitees: readonly Invitee[];
	readonly agents: readonly AgentOptions[];
	readonly onStep?: (text: string) => void;
	readonly onState?: (change: StateChange) => void;
	readonly signal?: AbortSignal;
}

export interface FirstLink {
	readonly operatorId: string;
	readonly url: string;
}

export interface RunningEnclave {
	readonly supervisor: Supervisor;
	readonly consoleUrl: string;
	readonly rootFingerprint: string;
	/** One-time sign-in links that nobody has used yet. */
	readonly firstLinks: readonly FirstLink[];
	readonly pki: EnclavePki;
	readonly center: CenterConfig;
	/** Of the first proxy. */
	readonly proxy: ProxyConfig;
	/** Batches the store held when the Security Center came up, before anything could add to them. */
	readonly storedBefore: number;
}

/** Failures of start carry the code of the part that failed; the detail is the sentence for the person. */
export type EnclaveFailure = { readonly ok: false; readonly code: string; readonly detail: string };

async function ensurePki(start: EnclaveStart): Promise<Result<EnclavePki, string>> {
	const { dataDir } = start;
	const nowMs = Date.now();
	if (!existsSync(join(dataDir, "pki"))) {
		start.onStep?.("making the enclave's keys and certificates");
		const consoleNames = start.consoleHost === undefined ? [] : [start.consoleHost];
		const local = { dnsNames: ["localhost"], ips: ["127.0.0.1"] };
		const created = await createEnclavePki(dataDir, {
			enclave: start.enclave,
			policy: start.policy,
			nodes: [
				{ role: "sc", id: CENTER_ID, ...local },
				{ role: "px", id: FIRST_PROXY, ...local },
				{ role: "console", id: "console", ...local, dnsNames: [...local.dnsNames, ...consoleNames] },
			],
			invitees: start.invitees,
			nowMs,
		});
		if (!created.ok) return created;
		const paths = boxPaths(dataDir);
		makePrivateDirectory(join(dataDir, "config"));
		const links = created.value.invitations.map(({ operatorId, token }) => ({ operatorId, token }));
		writeFileDurably(paths.firstLink, `${JSON.stringify(links)}\n`);
		writeFileDurably(paths.centerConfig, centerYaml(start.ports, start.consoleHost));
		writeFileDurably(paths.proxyConfig(FIRST_PROXY), proxyYaml(start.ports, paths.proxyWal(FIRST_PROXY)));
	}
	const opened = openEnclavePki(dataDir, nowMs);
	if (!opened.ok) return opened;
	for (const { id } of start.agents) {
		if (opened.value.nodes.some(({ uri }) => uri.endsWith(`/agent/${id}`))) continue;
		const added = await addNode(dataDir, { role: "agent", id, proxies: proxiesOf(dataDir) }, nowMs);
		if (!added.ok) return added;
	}
	return openEnclavePki(dataDir, nowMs);
}

function firstOf({ proxies }: Configs): ProxyConfig {
	const first = proxies.get(FIRST_PROXY);
	assertInvariant(first !== undefined, "an enclave on one machine has its first proxy");
	return first;
}

/** What a first start would write, to be asked before it is written. */
function configsOf(start: EnclaveStart): Configs {
	const wal = boxPaths(start.dataDir).proxyWal(FIRST_PROXY);
	const center = readYaml(centerYaml(start.ports, start.consoleHost), "center.yaml", centerConfigSetting);
	const proxy = readYaml(proxyYaml(start.ports, wal), "proxy.yaml", proxyConfigSetting);
	assertInvariant(center.ok && proxy.ok, "what a first start writes can be read");
	return { center: center.value.center, proxies: new Map([[FIRST_PROXY, proxy.value.proxy]]) };
}

function addressesOf({ center, proxies }: Configs): Record<string, string> {
	const ofProxies = [...proxies].flatMap(([id, { listen, health }]) => {
		const key = id === FIRST_PROXY ? "proxy" : `proxy-${id}`;
		return [
			[`${key}.listen`, listen],
			[`${key}.health`, health],
		];
	});
	return {
		"console.listen": center.console.listen,
		"center.listen": center.listen,
		"store.http": center.store.http,
		"store.admin": center.store.admin,
		...Object.fromEntries(ofProxies),
	};
}

function describeProcesses(
	start: EnclaveStart,
	pki: EnclavePki,
	configs: Configs,
): Result<{ sqld: Sqld; processes: ProcessSpec[] }, string> {
	const { dataDir } = start;
	const sqld = prepareSqld({
		dataDir,
		httpPort: splitHostPort(configs.center.store.http).port,
		adminPort: splitHostPort(configs.center.store.admin).port,
	});
	if (!sqld.ok) return sqld;
	const workers = describeWorkers({ dataDir, pki, configs, sqld: sqld.value });
	if (!workers.ok) return workers;
	const agents = describeAgents(start, pki, configs);
	if (!agents.ok) return agents;
	const { process } = sqld.value;
	return ok({ sqld: sqld.value, processes: [process, signerProcess(dataDir), ...workers.value, ...agents.value] });
}

function describeAgents(start: EnclaveStart, pki: EnclavePki, configs: Configs): Result<ProcessSpec[], string> {
	const proxy = firstOf(configs);
	if (!existsSync(BUILT.procmond) || !existsSync(BUILT.launch)) return ok([]);
	const made = start.agents.flatMap((agent) => {
		const node = nodeOf(pki, "agent", agent.id);
		return node === undefined ? [] : [{ id: agent.id, files: makeAgentFiles(start.dataDir, agent, { proxy, node }) }];
	});
	if (made.length === 0) return ok([]);
	const settled = settleAgentUser(
		start.dataDir,
		made.map(({ files }) => files),
	);
	if (!settled.ok) return settled;
	start.onStep?.(settled.value.sentence);
	return ok(made.map(({ id, files }) => agentProcess(id, files, settled.value.user)));
}

/** Links that are still good: the signer has not signed version 1 yet. Afterwards the clear tokens are removed. */
function firstLinksOf(dataDir: string, consoleUrl: string): FirstLink[] {
	const { firstLink } = boxPaths(dataDir);
	if (!existsSync(firstLink)) return [];
	if (existsSync(signerPaths(dataDir).firstTrust)) {
		rmSync(firstLink);
		return [];
	}
	const stored = JSON.parse(readFileSync(firstLink, "utf8")) as { operatorId: string; token: string }[];
	return stored.map(({ operatorId, token }) => ({ operatorId, url: `${consoleUrl}/#/join/${token}` }));
}

/** Starts everything, or names the part that failed and leaves nothing running. */
export async function startEnclave(start: EnclaveStart): Promise<Result<RunningEnclave, string>> {
	const ready = checkBuilt();
	if (!ready.ok) return ready;
	const folder = checkDataFolder(start.dataDir);
	if (!folder.ok) return folder;
	const disk = checkDisk(start.dataDir);
	if (!disk.ok) return disk;
	if (!existsSync(join(start.dataDir, "pki"))) {
		// Before anything is made: a data folder must not remember ports that never worked.
		const ports = await checkPorts(addressesOf(configsOf(start)));
		if (!ports.ok) return ports;
	}
	const pki = await ensurePki(start);
	if (!pki.ok) return pki;
	const configs = readConfigs(start.dataDir);
	if (!configs.ok) return configs;
	const { center } = configs.value;
	const described = describeProcesses(start, pki.value, configs.value);
	if (!described.ok) return described;
	const { sqld } = described.value;
	let storedBefore = 0;
	const processes = described.value.processes.map((each) =>
		each.name === "sc"
			? {
					...each,
					afterHealthy: async () => {
						storedBefore = (await centerHealth(center))?.storedBatches ?? 0;
						return ok(undefined);
					},
				}
			: each,
	);
	const supervisor = await superviseBox({
		dataDir: start.dataDir,
		processes,
		addresses: addressesOf(configs.value),
		directories: directoriesOf(start.dataDir, configs.value),
		workers: workerNamesOf(configs.value),
		replaceIn: (running) => {
			const box = { dataDir: start.dataDir, supervisor: running, sqld, configs: configs.value };
			return (name) => replaceProcess(box, name);
		},
		...(start.onState === undefined ? {} : { onState: start.onState }),
		...(start.signal === undefined ? {} : { signal: start.signal }),
	});
	if (!supervisor.ok) return supervisor;
	const consoleUrl = center.console.origin;
	return ok({
		supervisor: supervisor.value,
		consoleUrl,
		rootFingerprint: pki.value.rootFingerprint,
		firstLinks: firstLinksOf(start.dataDir, consoleUrl),
		pki: pki.value,
		center,
		proxy: firstOf(configs.value),
		storedBefore,
	});
}
