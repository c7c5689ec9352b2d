/**
 * One proxy as workerd runs it: its mTLS socket for agents and for proxies below it, a loopback socket for health, its upstreams as
 * the only ways out. Guarantees that an upstream is the node it is said to be whatever its address: its certificate is asked for the
 * name that only that node's has. Must never bind the console's address or reach anything but the upstreams.
 */
import { readFileSync } from "node:fs";
import { base64Of } from "#core/bytes/bytes.ts";
import { nodeUri, parseNodeUri } from "#core/identity/node-uri.ts";
import { assertInvariant, type Result } from "#core/result.ts";
import type { ProxyConfig } from "../config/box-config.ts";
import { metricsToken } from "../metrics-token.ts";
import { serverNameOf } from "../pki/certificates.ts";
import type { NodeFiles } from "../pki/node-files.ts";
import type { ProcessSpec } from "../supervisor/supervisor.ts";
import { bundleModules, type WorkerdSpec } from "../workerd/config.ts";
import { prepareWorkerd, type WorkerdCode } from "../workerd/process.ts";
import { BUILT, boxPaths } from "./layout.ts";
import { nodeProofOf, rootOf } from "./node-proof.ts";

export interface ProxyOptions {
	readonly dataDir: string;
	readonly name: string;
	readonly config: ProxyConfig;
	readonly node: NodeFiles;
	/** Who answers at an upstream of which only the address is known. */
	readonly center: { readonly role: "sc"; readonly id: string };
	/** Version of this build, told upstream. */
	readonly softwareVersion: string;
	/** Another build of the worker than the one in dist/. */
	readonly worker?: string;
}

const OBJECTS = ["AgentChannel", "Uplink", "PeerLink"] as const;

interface Way {
	readonly binding: string;
	readonly address: string;
	readonly uri: string;
	/** The name that only this node's certificate has. */
	readonly host: string;
}

function waysOf({ config, node, center }: ProxyOptions): Way[] {
	const self = parseNodeUri(node.uri);
	assertInvariant(self.ok, "a node's certificate names it");
	const { enclave } = self.value;
	return config.upstream.map(({ address, node: named }, index) => {
		const { role, id } = named ?? center;
		const uri = nodeUri({ enclave, role, id });
		return { binding: `UPSTREAM_${index}`, address, uri, host: serverNameOf(enclave, role, id) };
	});
}

function proxySpec(options: ProxyOptions): WorkerdSpec {
	const { config, node } = options;
	const { paths } = node;
	const keyPair = { key: paths.tlsKey, chain: paths.chain };
	const ways = waysOf(options);
	return {
		services: [
			{ kind: "disk", name: "wal", path: config.wal_path, isWritable: true },
			...ways.map(({ binding, address, host }) => ({
				kind: "https" as const,
				name: binding,
				address,
				certificateHost: host,
				trusted: paths.ca,
				keyPair,
			})),
			{ kind: "http", name: "supervisor", address: `unix:${boxPaths(options.dataDir).diskSocket(options.name)}` },
			{
				kind: "worker",
				name: "px",
				modules: bundleModules(options.worker ?? BUILT.proxyWorker),
				storage: "wal",
				durableObjects: OBJECTS.map((className) => ({
					className,
					uniqueKey: `px-${className}`,
					isPinned: className !== "AgentChannel",
				})),
				bindings: [
					{ name: "NODE_URI", kind: "text", value: node.uri },
					{ name: "SOFTWARE_VERSION", kind: "text", value: options.softwareVersion },
					{ name: "ROOT_CERT", kind: "text", value: rootOf(paths) },
					{ name: "NODE_PROOF", kind: "text", value: nodeProofOf(paths) },
					{ name: "GENESIS", kind: "text", value: base64Of(new Uint8Array(readFileSync(paths.genesis))) },
					{ name: "SIGNING_SEED", kind: "environment", variable: "SIGNING_SEED" },
					{ name: "METRICS_TOKEN", kind: "environment", variable: "METRICS_TOKEN" },
					...ways.map(({ binding }) => ({ name: binding, kind: "service" as const, service: binding })),
					{
						name: "UPSTREAMS",
						kind: "json",
						value: ways.map(({ binding, uri, host }) => ({ binding, uri, host })),
					},
					{
						name: "PROXY",
						kind: "json",
						value: {
							fsync_interval_ms: config.fsync_interval_ms,
							flow: config.flow,
							failover: config.failover,
						},
					},
					{ name: "DISK", kind: "json", value: config.disk },
					{ name: "SUPERVISOR", kind: "service", service: "supervisor" },
					{ name: "AGENT_CHANNEL", kind: "durableObject", className: "AgentChannel" },
					{ name: "UPLINK", kind: "durableObject", className: "Uplink" },
					{ name: "PEER_LINK", kind: "durableObject", className: "PeerLink" },
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
		secrets: {
			SIGNING_SEED: base64Of(new Uint8Array(readFileSync(options.node.paths.signingKey))),
			METRICS_TOKEN: metricsToken(options.dataDir),
		},
		health: { kind: "http", url: `http://${options.config.health}/healthz` },
	});
}
