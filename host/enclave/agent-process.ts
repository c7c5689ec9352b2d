/**
 * One agent with its collector: its configuration in the seed's shape, written at the first start, and the launcher that joins
 * the two and leaves. Must never pass a secret on the command line; the configuration names files.
 */
import { existsSync } from "node:fs";
import type { ProxyConfig } from "../config/box-config.ts";
import { makePrivateDirectory, writeFileDurably } from "../durable-files.ts";
import type { NodeFiles } from "../pki/node-files.ts";
import type { ProcessSpec } from "../supervisor/supervisor.ts";
import type { AgentFiles, AgentUser } from "./agent-user.ts";
import { BUILT, boxPaths } from "./layout.ts";

export interface AgentOptions {
	readonly id: string;
	readonly siteTag: string;
	/** Path below the cgroup v2 mount; empty = the whole machine. */
	readonly scopeCgroup: string;
	readonly source: "auto" | "ebpf" | "proc";
}

/** A small heap, one thread to collect it, one arena: the agent must not be what the host notices (docs/adr/0012). */
const NODE_FLAGS = [
	"--max-old-space-size=64",
	"--max-semi-space-size=1",
	"--optimize-for-size",
	"--single-threaded-gc",
	"--v8-pool-size=1",
	// What the optimising compiler takes to build one large function was a tenth of the agent, and never came back.
	"--max-inlined-bytecode-size-cumulative=100",
	"--max-optimized-bytecode-size=4096",
	"--no-warnings",
];
/** What glibc keeps for itself otherwise is a tenth of the agent. */
const NODE_ENVIRONMENT = {
	MALLOC_ARENA_MAX: "1",
	MALLOC_TRIM_THRESHOLD_: "131072",
	// Blocks of a page or two and more are mapped by themselves: freed, they leave no hole.
	MALLOC_MMAP_THRESHOLD_: "8192",
};

function agentYaml(options: AgentOptions, context: { proxyHint: string; node: NodeFiles; dataDir: string }): string {
	const { paths } = context.node;
	const text = JSON.stringify;
	return `agent:
  proxy_hint: ${text(context.proxyHint)}
  site_tag: ${text(options.siteTag)}
  tls:
    cert: ${text(paths.chain)}
    key: ${text(paths.tlsKey)}
    ca: ${text(paths.ca)}
  stream:
    batch_max_events: 2000
    batch_max_ms: 250
  trace:
    default_depth: 6
    privacy_mask_args: true
  identity:
    signing_key: ${text(paths.signingKey)}
    binding: ${text(paths.binding)}
    genesis: ${text(paths.genesis)}
    root: ${text(paths.ca)}
  data_dir: ${text(context.dataDir)}
  outbox:
    bytes_max: 268435456
  capture:
    scope_cgroup: ${text(options.scopeCgroup)}
    source: ${options.source}
    poll_ms: 200
`;
}

/** Writes the configuration when there is none, and names what belongs to the agent. */
export function makeAgentFiles(
	dataDir: string,
	options: AgentOptions,
	context: { proxy: ProxyConfig; node: NodeFiles },
): AgentFiles {
	const paths = boxPaths(dataDir);
	const config = paths.agentConfig(options.id);
	const agentData = paths.agentData(options.id);
	makePrivateDirectory(agentData);
	if (!existsSync(config)) {
		const port = context.proxy.listen.slice(context.proxy.listen.lastIndexOf(":") + 1);
		writeFileDurably(
			config,
			agentYaml(options, { proxyHint: `localhost:${port}`, node: context.node, dataDir: agentData }),
		);
	}
	return { directories: [context.node.paths.directory, agentData], config };
}

/** The process of one agent, as the user that `settleAgentUser` chose. */
export function agentProcess(id: string, files: AgentFiles, user: AgentUser | undefined): ProcessSpec {
	const asUser = user === undefined ? [] : ["--agent-user", String(user.uid)];
	const agent = [process.execPath, ...NODE_FLAGS, BUILT.agent, "--config", files.config];
	return {
		name: `agent-${id}`,
		env: NODE_ENVIRONMENT,
		command: BUILT.launch,
		args: ["--procmond", BUILT.procmond, ...asUser, "--", ...agent],
		// Ready when it runs: whether its events arrive is asked of the Security Center.
		health: { kind: "function", check: async () => true },
	};
}
