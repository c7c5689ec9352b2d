/** Where an enclave on one machine keeps what is not PKI: configurations, worker data, agents. */
import { join } from "node:path";

export interface BoxPaths {
	readonly centerConfig: string;
	readonly proxyConfig: string;
	/** The clear link of the first sign-in; deleted once it was used. */
	readonly firstLink: string;
	readonly centerData: string;
	readonly proxyWal: string;
	/** Where a worker asks how full its disk is. */
	diskSocket(name: string): string;
	agentConfig(id: string): string;
	agentData(id: string): string;
}

export function boxPaths(dataDir: string): BoxPaths {
	return {
		centerConfig: join(dataDir, "config", "center.yaml"),
		proxyConfig: join(dataDir, "config", "proxy.yaml"),
		firstLink: join(dataDir, "config", "first-link"),
		centerData: join(dataDir, "center"),
		proxyWal: join(dataDir, "proxy", "wal"),
		diskSocket: (name) => join(dataDir, "run", `${name}.disk`),
		agentConfig: (id) => join(dataDir, "config", `agent-${id}.yaml`),
		agentData: (id) => join(dataDir, "agents", id),
	};
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
