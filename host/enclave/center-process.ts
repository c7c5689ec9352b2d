/**
 * The Security Center as workerd runs it: the console on its own socket, nodes on the mTLS socket, sqld and signer as the only
 * ways out. It holds no signing key. Must never serve the console in plain HTTP beyond loopback.
 */
import { readFileSync } from "node:fs";
import { base64Of } from "#core/bytes/bytes.ts";
import { splitHostPort } from "#core/config/strict-tree.ts";
import type { Result } from "#core/result.ts";
import type { CenterConfig } from "../config/box-config.ts";
import { metricsToken } from "../metrics-token.ts";
import type { EnclavePki } from "../pki/enclave.ts";
import { enclavePaths, signerPaths } from "../pki/layout.ts";
import type { NodeFiles } from "../pki/node-files.ts";
import type { Sqld } from "../sqld/sqld.ts";
import type { ProcessSpec } from "../supervisor/supervisor.ts";
import { bundleModules, type WorkerdSpec } from "../workerd/config.ts";
import { prepareWorkerd, type WorkerdCode } from "../workerd/process.ts";
import { BUILT, boxPaths } from "./layout.ts";
import { rootOf } from "./node-proof.ts";

export interface CenterOptions {
	readonly dataDir: string;
	readonly config: CenterConfig;
	readonly pki: EnclavePki;
	readonly node: NodeFiles;
	/** Certificate of the console; needed when its scheme is https. */
	readonly consoleNode: NodeFiles | undefined;
	readonly sqld: Sqld;
	/** Version of this build, for the packages that leave. */
	readonly softwareVersion: string;
	/** Another build of the worker than the one in dist/. */
	readonly worker?: string;
}

/** Names its log, its configuration and its disk socket. */
export const CENTER_PROCESS = "sc";

const OBJECTS = {
	AGENT_CHANNEL: "AgentChannel",
	PEER_LINK: "PeerLink",
	PEER_DIRECTORY: "PeerDirectory",
	LEDGER: "Ledger",
	TRACE_DESK: "TraceDesk",
	DETECTOR: "Detector",
	FEED: "Feed",
	FLEET_WATCH: "FleetWatch",
} as const;

/** Where this machine itself asks the console, whatever name browsers use. */
export function consoleHealthUrl(config: CenterConfig): string {
	const { host, port } = splitHostPort(config.console.listen);
	const scheme = config.console.origin.startsWith("https:") ? "https" : "http";
	return `${scheme}://${host === "0.0.0.0" ? "127.0.0.1" : host}:${port}/healthz`;
}

/** The root key's word for genesis, for the packages that leave the enclave. */
function genesisSignatureOf(dataDir: string): string {
	return base64Of(new Uint8Array(readFileSync(enclavePaths(dataDir).genesisSignature)));
}

function centerSpec(options: CenterOptions): WorkerdSpec {
	const { config, node, pki, dataDir, consoleNode } = options;
	const { paths } = node;
	const consoleTls =
		config.console.origin.startsWith("https:") && consoleNode !== undefined
			? { tls: { keyPair: { key: consoleNode.paths.tlsKey, chain: consoleNode.paths.chain } } }
			: {};
	return {
		services: [
			{ kind: "disk", name: "objects", path: boxPaths(dataDir).centerData, isWritable: true },
			{ kind: "disk", name: "console", path: BUILT.console, isWritable: false },
			{ kind: "http", name: "sqld", address: config.store.http },
			{ kind: "http", name: "signer", address: `unix:${signerPaths(dataDir).socket}` },
			{ kind: "http", name: "supervisor", address: `unix:${boxPaths(dataDir).diskSocket(CENTER_PROCESS)}` },
			{
				kind: "worker",
				name: "sc",
				modules: bundleModules(options.worker ?? BUILT.centerWorker),
				storage: "objects",
				durableObjects: Object.values(OBJECTS).map((className) => ({
					className,
					uniqueKey: `sc-${className}`,
					isPinned: className !== "AgentChannel",
				})),
				bindings: [
					{ name: "NODE_URI", kind: "text", value: node.uri },
					{ name: "ROOT_CERT", kind: "text", value: rootOf(paths) },
					{ name: "ENCLAVE", kind: "text", value: pki.enclave },
					{ name: "GENESIS", kind: "text", value: base64Of(pki.genesis.bytes) },
					{ name: "GENESIS_SIGNATURE", kind: "text", value: genesisSignatureOf(dataDir) },
					{ name: "INVITATIONS", kind: "text", value: readFileSync(signerPaths(dataDir).invitations, "utf8") },
					{ name: "LEDGER_ORIGIN", kind: "text", value: pki.genesis.document.ledgerOrigin },
					{ name: "SOFTWARE_VERSION", kind: "text", value: options.softwareVersion },
					{ name: "CONSOLE_ORIGIN", kind: "text", value: config.console.origin },
					{ name: "SQLD_RW_TOKEN", kind: "environment", variable: "SQLD_RW_TOKEN" },
					{ name: "SQLD_RO_TOKEN", kind: "environment", variable: "SQLD_RO_TOKEN" },
					{ name: "METRICS_TOKEN", kind: "environment", variable: "METRICS_TOKEN" },
					{ name: "SQLD", kind: "service", service: "sqld" },
					{ name: "SIGNER", kind: "service", service: "signer" },
					{ name: "CONSOLE", kind: "service", service: "console" },
					{ name: "DISK", kind: "json", value: config.disk },
					{ name: "SUPERVISOR", kind: "service", service: "supervisor" },
					...Object.entries(OBJECTS).map(([name, className]) => ({ name, kind: "durableObject" as const, className })),
				],
			},
		],
		sockets: [
			{
				name: "links",
				address: config.listen,
				service: "sc",
				entrypoint: "Links",
				tls: { keyPair: { key: paths.tlsKey, chain: paths.chain }, clientRoot: paths.ca },
			},
			{ name: "console", address: config.console.listen, service: "sc", ...consoleTls },
		],
	};
}

export function centerProcess(options: CenterOptions): Result<ProcessSpec, WorkerdCode> {
	const { sqld } = options;
	return prepareWorkerd({
		name: CENTER_PROCESS,
		dataDir: options.dataDir,
		spec: centerSpec(options),
		secrets: {
			...{ SQLD_RW_TOKEN: sqld.readWriteToken, SQLD_RO_TOKEN: sqld.readOnlyToken },
			METRICS_TOKEN: metricsToken(options.dataDir),
		},
		health: { kind: "http", url: consoleHealthUrl(options.config) },
	});
}
