/** Where an enclave on one machine keeps what is not PKI: configurations, worker data, agents. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The Security Center of an enclave. */
export const CENTER_ID = "sc-1";
/** The proxy that every single-machine enclave is made with. */
export const FIRST_PROXY = "px-1";

/** package.json's version, one number for everything that is built from this tree. Read when asked: a build may have been replaced. */
export function softwareVersion(): string {
	const text = readFileSync(join(import.meta.dirname, "../../package.json"), "utf8");
	return (JSON.parse(text) as { version: string }).version;
}

export interface BoxPaths {
	readonly centerConfig: string;
	proxyConfig(id: string): string;
	/** The clear link of the first sign-in; deleted once it was used. */
	readonly firstLink: string;
	readonly centerData: string;
	proxyWal(id: string): string;
	/** Where a worker asks how full its disk is. */
	diskSocket(name: string): string;
	agentConfig(id: string): string;
	agentData(id: string): string;
}

export function boxPaths(dataDir: string): BoxPaths {
	return {
		centerConfig: join(dataDir, "config", "center.yaml"),
		proxyConfig: (id) => join(dataDir, "config", id === FIRST_PROXY ? "proxy.yaml" : `proxy-${id}.yaml`),
		firstLink: join(dataDir, "config", "first-link"),
		centerData: join(dataDir, "center"),
		proxyWal: (id) => join(dataDir, id === FIRST_PROXY ? "proxy" : `proxy-${id}`, "wal"),
		diskSocket: (name) => join(dataDir, "run", `${name}.disk`),
		agentConfig: (id) => join(dataDir, "config", `agent-${id}.yaml`),
		agentData: (id) => join(dataDir, "agents", id),
	};
}

/** The proxies that are started here, the first one first: those with a configuration. */
export function proxiesOf(dataDir: string): string[] {
	const directory = join(dataDir, "config");
	const names = existsSync(directory) ? readdirSync(directory) : [];
	const added = names.flatMap((name) => /^proxy-(.+)\.yaml$/.exec(name)?.[1] ?? []);
	return [FIRST_PROXY, ...added.sort()];
}

/** What the build made, found from this file: the product is started from its own folder. */
export const BUILT = {
	centerWorker: join(import.meta.dirname, "../../dist/workers/sc/index.js"),
	proxyWorker: join(import.meta.dirname, "../../dist/workers/px/index.js"),
	console: join(import.meta.dirname, "../../dist/web"),
	procmond: join(import.meta.dirname, "../../agent/procmond/build/procmond"),
	launch: join(import.meta.dirname, "../../agent/procmond/build/launch"),
	agent: join(import.meta.dirname, "../../dist/agent/agent.mjs"),
} as const;
