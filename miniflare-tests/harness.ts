/**
 * The one file that knows how the runtime is started for tests: a real enclave PKI, the real proxy worker and a Security Center
 * that records, each in its own `workerd serve` with files on disk, joined by mTLS. Processes can be killed at any moment.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { base64Of } from "#core/bytes/bytes.ts";
import { readPinnedTrust, signTrustDocument, trustHash } from "#core/trust/trust-document.ts";
import { ed25519PublicKey } from "#crypto";
import type { BoxDiskState, DiskReading } from "../durable/box-disk.ts";
import { nodeProofOf, rootOf } from "../host/enclave/node-proof.ts";
import { serverNameOf } from "../host/pki/certificates.ts";
import { createEnclavePki } from "../host/pki/enclave.ts";
import { enclavePaths, type NodePaths, nodeDirectory, nodePaths } from "../host/pki/layout.ts";
import { freeLoopbackPort } from "../host/supervisor/free-port.ts";
import { type BindingSpec, renderWorkerdConfig, type ServiceSpec, type SocketSpec } from "../host/workerd/config.ts";
import { findWorkerd } from "../host/workerd/process.ts";
import { bundleWorker } from "../tools/build-workers.ts";

export const ENCLAVE = "lab.test";
export const AGENTS = ["web-01", "web-02"] as const;

/** One workerd process; its data outlive it. */
export interface Box {
	/** SIGKILL: nothing is flushed, nobody is told. */
	kill(): Promise<void>;
	start(): Promise<void>;
	/** Stops and continues the process without a word to it. */
	signal(name: "SIGSTOP" | "SIGCONT"): void;
	/** Resident memory, and the most there was since the start. */
	rssBytes(): { now: number; peak: number };
	readonly logPath: string;
}

export interface TestEnclave {
	readonly px: Box;
	readonly sc: Box;
	/** mTLS socket of the proxy, and what its certificate is called. */
	readonly proxyPort: number;
	readonly proxyName: string;
	readonly proxyUri: string;
	readonly centerPort: number;
	readonly centerName: string;
	/** The enclave's own directory, to issue more nodes. */
	readonly pkiDir: string;
	readonly pathsOf: (role: "agent" | "px" | "sc", id: string) => NodePaths;
	readonly health: () => Promise<{
		uplink: Record<string, unknown> & { isUp: boolean; walBytes: number };
		disk: BoxDiskState;
	}>;
	/** Asks the test center: GET without a body, POST with one. */
	readonly center: <T>(path: string, body?: Record<string, string>) => Promise<T>;
	/** What the proxy's supervisor says of its disk from now on. */
	readonly setDisk: (reading: DiskReading) => void;
	/** Where the proxy's objects lie. */
	readonly proxyDataPath: string;
	/** Of everything that the proxy's channels have on disk. */
	readonly channelBytes: () => number;
	/** How many channels have files at a hop: the runtime's own metadata is no channel. */
	readonly channelFiles: (box: "px" | "sc") => number;
	/** What both boxes logged: for the message of a failed test. */
	readonly logs: () => string;
	readonly stop: () => Promise<void>;
}

function openBox(
	directory: string,
	spec: { services: ServiceSpec[]; sockets: SocketSpec[]; healthUrl: string; env: Record<string, string> },
): Box {
	const configPath = join(directory, "config.capnp");
	writeFileSync(configPath, renderWorkerdConfig(spec, directory));
	const logPath = join(directory, "log");
	let child: ChildProcess | null = null;
	return {
		logPath,
		signal: (name) => child?.kill(name),
		rssBytes() {
			const status = readFileSync(`/proc/${child?.pid}/status`, "utf8");
			const of = (name: string) => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
			return { now: of("VmRSS"), peak: of("VmHWM") };
		},
		async start() {
			const log = openSync(logPath, "a");
			const command = findWorkerd();
			if (command === null) throw new Error("npm brought no workerd");
			child = spawn(command, ["serve", configPath, "config"], { stdio: ["ignore", log, log], env: spec.env });
			for (let tries = 0; tries < 300; tries++) {
				if (child.exitCode !== null) throw new Error(`workerd ended: ${readFileSync(logPath, "utf8").slice(-2000)}`);
				const answer = await fetch(spec.healthUrl).catch(() => null);
				if (answer?.ok) return;
				await sleep(20);
			}
			throw new Error(`workerd did not answer: ${readFileSync(logPath, "utf8").slice(-2000)}`);
		},
		async kill() {
			if (child === null || child.exitCode !== null || child.signalCode !== null) return;
			const ended = once(child, "exit");
			child.kill("SIGKILL");
			await ended;
		},
	};
}

/** A worker and the disk of its objects; every class is bound by its name in capitals. */
function workerService(
	name: string,
	path: string,
	options: { storage: string; classes: readonly string[]; bindings: readonly BindingSpec[] },
): ServiceSpec[] {
	const { storage, classes, bindings } = options;
	mkdirSync(storage, { recursive: true });
	const objects = classes.map((className) => {
		const binding = className.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
		return { name: binding, kind: "durableObject" as const, className };
	});
	const durableObjects = classes.map((className) => {
		return { className, uniqueKey: `${name}-${className}`, isPinned: className !== "AgentChannel" };
	});
	const modules = [{ name: "index.js", kind: "esModule" as const, path }];
	const data = `${name}-data`;
	return [
		{ kind: "disk", name: data, path: storage, isWritable: true },
		{ kind: "worker", name, modules, storage: data, durableObjects, bindings: [...bindings, ...objects] },
	];
}

interface Ports {
	readonly proxy: number;
	readonly health: number;
	readonly center: number;
	readonly control: number;
}

/** Everything the boxes of one test are made from. */
interface Plan {
	readonly base: string;
	readonly pkiDir: string;
	readonly ports: Ports;
	readonly pathsOf: TestEnclave["pathsOf"];
	readonly bundles: { readonly px: string; readonly sc: string };
}

const uriOf = (role: string, id: string) => `spiffe://${ENCLAVE}/${role}/${id}`;
const tlsOf = (paths: NodePaths) => ({ keyPair: { key: paths.tlsKey, chain: paths.chain }, clientRoot: paths.ca });

async function makePlan(base: string): Promise<Plan> {
	const pkiDir = join(base, "pki");
	const nodes = [
		{ role: "sc" as const, id: "main" },
		{ role: "px" as const, id: "px-1" },
		...AGENTS.map((id) => ({ role: "agent" as const, id })),
	];
	const ceilings = { traceApprovals: 0, isMaskingRequired: true, traceDepthMax: 8, traceDurationSecsMax: 3600 };
	const created = await createEnclavePki(pkiDir, {
		enclave: ENCLAVE,
		policy: { mode: "solo", ...ceilings },
		nodes,
		invitees: [{ operatorId: "ada", roles: ["analyst"] }],
		nowMs: Date.now(),
	});
	if (!created.ok) throw new Error(created.detail);
	const bundles = { px: join(base, "px.js"), sc: join(base, "sc.js") };
	await bundleWorker({ entryPoint: "workers/px/index.ts", outfile: bundles.px });
	await bundleWorker({ entryPoint: "miniflare-tests/workers/center.ts", outfile: bundles.sc });
	const [proxy, health, center, control] = (await Promise.all([0, 1, 2, 3].map(() => freeLoopbackPort()))) as [
		number,
		number,
		number,
		number,
	];
	const pathsOf: Plan["pathsOf"] = (role, id) => nodePaths(nodeDirectory(pkiDir, role, id));
	return { base, pkiDir, ports: { proxy, health, center, control }, pathsOf, bundles };
}

function directoryOf(plan: Plan, name: string): string {
	const directory = join(plan.base, name);
	mkdirSync(directory, { recursive: true });
	return directory;
}

function centerBox(plan: Plan): Box {
	const { base, ports, bundles } = plan;
	const paths = plan.pathsOf("sc", "main");
	const links = { address: `127.0.0.1:${ports.center}`, service: "sc", entrypoint: "Links", tls: tlsOf(paths) };
	return openBox(directoryOf(plan, "sc"), {
		healthUrl: `http://127.0.0.1:${ports.control}/healthz`,
		env: {},
		services: workerService("sc", bundles.sc, {
			storage: join(base, "sc", "data"),
			classes: ["AgentChannel", "PeerLink", "PeerDirectory", "Recorder"],
			bindings: [
				{ name: "NODE_URI", kind: "text", value: uriOf("sc", "main") },
				{ name: "ROOT_CERT", kind: "text", value: rootOf(paths) },
			],
		}),
		sockets: [
			{ name: "links", ...links },
			{ name: "control", address: `127.0.0.1:${ports.control}`, service: "sc" },
		],
	});
}

function proxyBox(plan: Plan, proxySettings: unknown): Box {
	const { base, ports, bundles } = plan;
	const paths = plan.pathsOf("px", "px-1");
	const certificateHost = serverNameOf(ENCLAVE, "sc", "main");
	const worker = workerService("px", bundles.px, {
		storage: join(base, "px", "data"),
		classes: ["AgentChannel", "Uplink", "PeerLink"],
		bindings: [
			{ name: "NODE_URI", kind: "text", value: uriOf("px", "px-1") },
			{ name: "ROOT_CERT", kind: "text", value: rootOf(paths) },
			{ name: "NODE_PROOF", kind: "text", value: nodeProofOf(paths) },
			{ name: "GENESIS", kind: "text", value: base64Of(new Uint8Array(readFileSync(paths.genesis))) },
			{ name: "SIGNING_SEED", kind: "environment", variable: "SIGNING_SEED" },
			{ name: "UPSTREAM", kind: "service", service: "upstream" },
			{ name: "UPSTREAM_URI", kind: "text", value: uriOf("sc", "main") },
			{ name: "UPSTREAM_HOST", kind: "text", value: certificateHost },
			{ name: "PROXY", kind: "json", value: proxySettings },
			{ name: "DISK", kind: "json", value: (proxySettings as { disk?: unknown }).disk ?? {} },
			{ name: "SUPERVISOR", kind: "service", service: "supervisor" },
		],
	});
	const address = `127.0.0.1:${ports.center}`;
	const { keyPair } = tlsOf(paths);
	return openBox(directoryOf(plan, "px"), {
		healthUrl: `http://127.0.0.1:${ports.health}/healthz`,
		env: { SIGNING_SEED: base64Of(new Uint8Array(readFileSync(paths.signingKey))) },
		services: [
			...worker,
			{ kind: "http", name: "supervisor", address: `unix:${diskSocketOf(plan)}` },
			{ kind: "https", name: "upstream", address, certificateHost, trusted: paths.ca, keyPair },
		],
		sockets: [
			{
				name: "links",
				address: `127.0.0.1:${ports.proxy}`,
				service: "px",
				entrypoint: "Links",
				tls: tlsOf(paths),
			},
			{ name: "health", address: `127.0.0.1:${ports.health}`, service: "px" },
		],
	});
}

function channelFilesOf({ base }: Plan): string[] {
	const directory = join(base, "px", "data", "px-AgentChannel");
	return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
}

/** A real file system of its own under the proxy's objects, to be filled. Root only. */
function mountProxyDisk(plan: Plan, sizeMiB: number): () => void {
	const directory = directoryOf(plan, join("px", "data"));
	execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m`, "tmpfs", directory]);
	return () => execFileSync("umount", [directory]);
}

const diskSocketOf = ({ base }: Plan) => join(base, "px.disk");

/** Stands for the supervisor: says of the proxy's disk what the test wants; until it says something, nothing is known. */
function diskDesk(plan: Plan): { set(reading: DiskReading): void; close(): void } {
	let reading: DiskReading | null = null;
	const server = createServer((_request, response) => {
		response.writeHead(reading === null ? 503 : 200, { "content-type": "application/json" });
		response.end(JSON.stringify(reading ?? {}));
	}).listen(diskSocketOf(plan));
	return {
		set: (next) => {
			reading = next;
		},
		close: () => {
			server.close();
			server.closeAllConnections();
		},
	};
}

/** Starts an enclave of one proxy, one center and two agents' identities; `proxyDiskMiB`: on a small file system of its own. */
export async function startTestEnclave(
	proxySettings: unknown = {},
	options: { readonly proxyDiskMiB?: number } = {},
): Promise<TestEnclave> {
	const base = mkdtempSync(join(tmpdir(), "daemoneye-links-"));
	const plan = await makePlan(base);
	const unmount = options.proxyDiskMiB === undefined ? () => undefined : mountProxyDisk(plan, options.proxyDiskMiB);
	const { ports, pathsOf, pkiDir } = plan;
	const sc = centerBox(plan);
	const px = proxyBox(plan, proxySettings);
	const desk = diskDesk(plan);
	const stop = async () => {
		await Promise.all([px.kill(), sc.kill()]);
		desk.close();
		unmount();
		rmSync(base, { recursive: true });
	};
	await Promise.all([sc.start(), px.start()]).catch(async (error: Error) => {
		await stop();
		throw error;
	});
	return {
		px,
		sc,
		proxyPort: ports.proxy,
		proxyName: serverNameOf(ENCLAVE, "px", "px-1"),
		proxyUri: uriOf("px", "px-1"),
		centerPort: ports.center,
		centerName: serverNameOf(ENCLAVE, "sc", "main"),
		pkiDir,
		pathsOf,
		setDisk: desk.set,
		proxyDataPath: join(base, "px", "data"),
		channelBytes: () => channelFilesOf(plan).reduce((sum, path) => sum + statSync(path).size, 0),
		health: async () => (await fetch(`http://127.0.0.1:${ports.health}/healthz`)).json() as never,
		center: async (path, body) => {
			const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
			const answer = await fetch(`http://127.0.0.1:${ports.control}${path}`, init);
			if (!answer.ok) throw new Error(`${path}: ${answer.status} ${(await answer.text()).slice(0, 300)}`);
			return answer.json() as never;
		},
		channelFiles: (box) => {
			const directory = join(base, box, "data", `${box}-AgentChannel`);
			const names = existsSync(directory) ? readdirSync(directory) : [];
			return names.filter((name) => name.endsWith(".sqlite") && name !== "metadata.sqlite").length;
		},
		logs: () => [px, sc].map(({ logPath }) => readFileSync(logPath, "utf8")).join("\n"),
		stop,
	};
}

/** Trust version 1 of the enclave, as its signer would make it: one operator, signed by the genesis key. */
export function firstTrustVersion(pkiDir: string): Uint8Array {
	const paths = enclavePaths(pkiDir);
	const genesis = readPinnedTrust(new Uint8Array(readFileSync(paths.genesis)));
	if (!genesis.ok) throw new Error(genesis.detail);
	const seed = new Uint8Array(readFileSync(paths.signer.genesisKey));
	const publicKey = ed25519PublicKey(seed);
	const ada = { id: "ada", name: "ada", publicKey, roles: ["analyst" as const] };
	const next = { version: 1, prevHash: trustHash(genesis.value.payload), operators: [ada] };
	return signTrustDocument({ ...genesis.value.document, ...next }, [{ publicKey, seed }]).bytes;
}

/** Waits for a condition by asking again; the last answer stands in the error. */
export async function until<T>(
	what: string,
	ask: () => Promise<T> | T,
	isMet: (answer: T) => boolean,
	timeoutMs = 10_000,
): Promise<T> {
	const endMs = Date.now() + timeoutMs;
	for (;;) {
		const answer = await ask();
		if (isMet(answer)) return answer;
		if (Date.now() > endMs) throw new Error(`${what} did not come; last: ${JSON.stringify(answer)?.slice(0, 800)}`);
		await sleep(20);
	}
}
