/**
 * One proxy as workerd runs it: its mTLS socket for agents, a loopback socket for health, its upstream as the only way out.
 * Must never bind the console's address or reach anything but the upstream.
 */
import { readFileSync } from "node:fs";
import { base64Of } from "#core/bytes/bytes.ts";
import { splitHostPort } from "#core/config/strict-tree.ts";
import type { Result } from "#core/result.ts";
import type { ProxyConfig } from "../config/box-config.ts";
import type { NodeFiles } from "../pki/node-files.ts";
import type { ProcessSpec } from "../supervisor/supervisor.ts";
import type { WorkerdSpec } from "../workerd/config.ts";
import { prepareWorkerd, type WorkerdCode } from "../workerd/process.ts";
import { BUILT, boxPaths } from "./layout.ts";
import { nodeProofOf, rootOf } from "./node-proof.ts";

export interface ProxyOptions {
	readonly dataDir: string;
	readonly name: string;
	readonly config: ProxyConfig;
	readonly node: NodeFiles;
	/** The node it delivers to. */
	readonly upstreamUri: string;
}

const OBJECTS = ["AgentChannel", "Uplink"] as const;

function proxySpec(options: ProxyOptions): WorkerdSpec {
	const { config, node } = options;
	const { paths } = node;
	const keyPair = { key: paths.tlsKey, chain: paths.chain };
	const upstream = splitHostPort(config.upstream);
	return {
		services: [
			{ kind: "disk", name: "wal", path: config.wal_path, isWritable: true },
			{
				kind: "https",
				name: "upstream",
				address: config.upstream,
				certificateHost: upstream.host,
				trusted: paths.ca,
				keyPair,
			},
			{ kind: "http", name: "supervisor", address: `unix:${boxPaths(options.dataDir).diskSocket(options.name)}` },
			{
				kind: "worker",
				name: "px",
				modules: [{ name: "index.js", kind: "esModule", path: BUILT.proxyWorker }],
				storage: "wal",
				durableObjects: OBJECTS.map((className) => ({
					className,
					uniqueKey: `px-${className}`,
					isPinned: className === "Uplink",
				})),
				bindings: [
					{ name: "NODE_URI", kind: "text", value: node.uri },
					{ name: "ROOT_CERT", kind: "text", value: rootOf(paths) },
					{ name: "NODE_PROOF", kind: "text", value: nodeProofOf(paths) },
					{ name: "GENESIS", kind: "text", value: base64Of(new Uint8Array(readFileSync(paths.genesis))) },
					{ name: "SIGNING_SEED", kind: "environment", variable: "SIGNING_SEED" },
					{ name: "UPSTREAM", kind: "service", service: "upstream" },
					{ name: "UPSTREAM_URI", kind: "text", value: options.upstreamUri },
					{ name: "UPSTREAM_HOST", kind: "text", value: upstream.host },
					{
						name: "PROXY",
						kind: "json",
						value: { fsync_interval_ms: config.fsync_interval_ms, flow: config.flow },
					},
					{ name: "DISK", kind: "json", value: config.disk },
					{ name: "SUPERVISOR", kind: "service", service: "supervisor" },
					{ name: "AGENT_CHANNEL", kind: "durableObject", className: "AgentChannel" },
					{ name: "UPLINK", kind: "durableObject", className: "Uplink" },
				],
			},
		],
		sockets: [
			{
				name: "links",
				address: config.listen,
				service: "px",
				entrypoint: "Links",
				tls: { keyPair, clientRoot: paths.ca },
			},
			{ name: "health", address: config.health, service: "px" },
		],
	};
}

export function proxyProcess(options: ProxyOptions): Result<ProcessSpec, WorkerdCode> {
	return prepareWorkerd({
		name: options.name,
		dataDir: options.dataDir,
		spec: proxySpec(options),
		secrets: { SIGNING_SEED: base64Of(new Uint8Array(readFileSync(options.node.paths.signingKey))) },
		health: { kind: "http", url: `http://${options.config.health}/healthz` },
	});
}
