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
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { base64Of } from "#core/bytes/bytes.ts";
import { readPinnedTrust, signTrustDocument, trustHash } from "#core/trust/trust-document.ts";
import { ed25519PublicKey } from "#crypto";
import type { BoxDiskState, DiskReading } from "../durable/box-disk.ts";
import type { UplinkHealth } from "../durable/faces.ts";
import type { WatchSettings } from "../durable/watch-face.ts";
import { nodeProofOf, rootOf } from "../host/enclave/node-proof.ts";
import { serverNameOf } from "../host/pki/certificates.ts";
import { createEnclavePki } from "../host/pki/enclave.ts";
import { enclavePaths, type NodePaths, nodeDirectory, nodePaths } from "../host/pki/layout.ts";
import { freeLoopbackPort } from "../host/supervisor/free-port.ts";
import {
	type BindingSpec,
	bundleModules,
	renderWorkerdConfig,
	type ServiceSpec,
	type SocketSpec,
} from "../host/workerd/config.ts";
import { findWorkerd } from "../host/workerd/process.ts";
import { bundleWorker } from "../tools/build-workers.ts";
import { type ChangeName, pluginsOf } from "./test-builds.ts";

export const ENCLAVE = "lab.test";
export const AGENTS = ["web-01", "web-02"] as const;

export const TEST_METRICS_TOKEN = "0123456789abcdef".repeat(4);

/** One workerd process; its data outlive it. */
export interface Box {
	/** SIGKILL: nothing is flushed, nobody is told. */
	kill(): Promise<void>;
	start(): Promise<void>;
	/** SIGSTOP and SIGCONT: its connections stand and nothing comes from them, as on a half-open link. */
	freeze(): void;
	thaw(): void;
	/** Resident memory, and the most there was since the start. */
	rssBytes(): { now: number; peak: number };
	readonly logPath: string;
}

/** A proxy as a test sees it. */
export interface TestProxy {
	readonly box: Box;
	/** mTLS socket, and what its certificate is called. */
	readonly port: number;
	readonly name: string;
	readonly uri: string;
	readonly health: () => Promise<{ uplink: Record<string, unknown> & UplinkHealth; disk: BoxDiskState }>;
	/** Asks its loopback socket. */
	readonly ask: <T>(path: string) => Promise<T>;
}

/** One proxy of a test's tree. */
export interface ProxyPlan {
	readonly id: string;
	/** `sc` or ids of other proxies, in order of preference. */
	readonly upstream: string | readonly string[];
}

export interface TestEnclave {
	/** Every proxy by its id; the fields beside it speak of the first. */
	readonly proxies: Readonly<Record<string, TestProxy>>;
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
	readonly health: TestProxy["health"];
	/** The proxy's loopback socket. */
	readonly healthUrl: string;
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

/** A question on a connection of its own: a kept one may be closed by the server just when it is used again. */
function askPlain(url: string, body?: string): Promise<{ status: number; text: string }> {
	const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
	const asked = request(url, { agent: false, method: body === undefined ? "GET" : "POST" }, (answer) => {
		text(answer).then((whole) => resolve({ status: answer.statusCode ?? 0, text: whole }), reject);
	});
	asked.on("error", reject);
	asked.end(body);
	return promise;
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
				const answer = await askPlain(spec.healthUrl).catch(() => null);
				if (answer?.status === 200) return;
				await sleep(20);
			}
			throw new Error(`workerd did not answer: ${readFileSync(logPath, "utf8").slice(-2000)}`);
		},
		freeze: () => void child?.kill("SIGSTOP"),
		thaw: () => void child?.kill("SIGCONT"),
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
	const modules = bundleModules(path);
	const data = `${name}-data`;
	return [
		{ kind: "disk", name: data, path: storage, isWritable: true },
		{ kind: "worker", name, modules, storage: data, durableObjects, bindings: [...bindings, ...objects] },
	];
}

interface ProxyPorts {
	readonly links: number;
	readonly health: number;
}

interface Ports {
	readonly center: number;
	readonly control: number;
	readonly proxies: Readonly<Record<string, ProxyPorts>>;
}

/** Builds that differ from the release. */
export interface TestBuilds {
	readonly px?: ChangeName;
	readonly sc?: ChangeName;
}

/** What `startTestEnclave` sets up beside the center. */
export interface EnclavePlan {
	readonly tree?: readonly ProxyPlan[];
	/** The worker that every proxy runs. */
	readonly proxyWorker?: string;
	/** The first proxy's objects lie on a small file system of their own. */
	readonly proxyDiskMiB?: number;
	readonly builds?: TestBuilds;
	readonly watch?: WatchSettings;
}

/** Everything the boxes of one test are made from. */
interface Plan {
	readonly base: string;
	readonly pkiDir: string;
	readonly ports: Ports;
	readonly pathsOf: TestEnclave["pathsOf"];
	readonly bundles: { readonly px: string; readonly sc: string };
	readonly proxies: readonly ProxyPlan[];
}

const uriOf = (role: string, id: string) => `spiffe://${ENCLAVE}/${role}/${id}`;
const tlsOf = (paths: NodePaths) => ({ keyPair: { key: paths.tlsKey, chain: paths.chain }, clientRoot: paths.ca });

const portsOf = async (): Promise<ProxyPorts> => ({
	links: await freeLoopbackPort(),
	health: await freeLoopbackPort(),
});

async function makePlan(base: string, proxies: readonly ProxyPlan[], setUp: EnclavePlan): Promise<Plan> {
	const pkiDir = join(base, "pki");
	const nodes = [
		{ role: "sc" as const, id: "main" },
		...proxies.map(({ id }) => ({ role: "px" as const, id, ips: ["127.0.0.1"] })),
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
	const { px = null, sc = null } = setUp.builds ?? {};
	const proxyWorker = setUp.proxyWorker ?? "workers/px/index.ts";
	await bundleWorker({ entryPoint: proxyWorker, outfile: bundles.px, plugins: pluginsOf(px) });
	const entryPoint = "miniflare-tests/workers/center.ts";
	await bundleWorker({ entryPoint, outfile: bundles.sc, plugins: pluginsOf(sc) });
	const ports: Ports = {
		center: await freeLoopbackPort(),
		control: await freeLoopbackPort(),
		proxies: Object.fromEntries(await Promise.all(proxies.map(async ({ id }) => [id, await portsOf()] as const))),
	};
	const pathsOf: Plan["pathsOf"] = (role, id) => nodePaths(nodeDirectory(pkiDir, role, id));
	return { base, pkiDir, ports, pathsOf, bundles, proxies };
}

function directoryOf(plan: Plan, name: string): string {
	const directory = join(plan.base, name);
	mkdirSync(directory, { recursive: true });
	return directory;
}

function centerBox(plan: Plan, watch: WatchSettings): Box {
	const { base, ports, bundles } = plan;
	const paths = plan.pathsOf("sc", "main");
	const links = { address: `127.0.0.1:${ports.center}`, service: "sc", entrypoint: "Links", tls: tlsOf(paths) };
	return openBox(directoryOf(plan, "sc"), {
		healthUrl: `http://127.0.0.1:${ports.control}/healthz`,
		env: {},
		services: workerService("sc", bundles.sc, {
			storage: join(base, "sc", "data"),
			classes: ["AgentChannel", "PeerLink", "PeerDirectory", "FleetWatch", "Recorder"],
			bindings: [
				{ name: "WATCH", kind: "json", value: watch },
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

/** Address, node name and certificate name of a proxy's upstream. */
function upstreamOf(plan: Plan, id: string): { address: string; uri: string; certificateHost: string } {
	const { center, proxies } = plan.ports;
	if (id === "sc")
		return {
			address: `127.0.0.1:${center}`,
			uri: uriOf("sc", "main"),
			certificateHost: serverNameOf(ENCLAVE, "sc", "main"),
		};
	const certificateHost = serverNameOf(ENCLAVE, "px", id);
	return { address: `127.0.0.1:${proxies[id]?.links}`, uri: uriOf("px", id), certificateHost };
}

function proxyBox(plan: Plan, proxy: ProxyPlan, proxySettings: unknown): TestProxy {
	const { id } = proxy;
	const paths = plan.pathsOf("px", id);
	const ways = [proxy.upstream].flat().map((each, index) => ({ ...upstreamOf(plan, each), name: `UPSTREAM_${index}` }));
	const worker = workerService("px", plan.bundles.px, {
		storage: join(plan.base, id, "data"),
		classes: ["AgentChannel", "Uplink", "PeerLink"],
		bindings: [
			{ name: "NODE_URI", kind: "text", value: uriOf("px", id) },
			{ name: "SOFTWARE_VERSION", kind: "text", value: "0.1.0-test" },
			{ name: "ROOT_CERT", kind: "text", value: rootOf(paths) },
			{ name: "NODE_PROOF", kind: "text", value: nodeProofOf(paths) },
			{ name: "GENESIS", kind: "text", value: base64Of(new Uint8Array(readFileSync(paths.genesis))) },
			{ name: "SIGNING_SEED", kind: "environment", variable: "SIGNING_SEED" },
			{ name: "METRICS_TOKEN", kind: "environment", variable: "METRICS_TOKEN" },
			...ways.map(({ name }) => ({ name, kind: "service" as const, service: name })),
			{
				name: "UPSTREAMS",
				kind: "json",
				value: ways.map(({ name, uri, certificateHost }) => ({ binding: name, uri, host: certificateHost })),
			},
			{ name: "PROXY", kind: "json", value: proxySettings },
			{ name: "DISK", kind: "json", value: (proxySettings as { disk?: unknown }).disk ?? {} },
			{ name: "SUPERVISOR", kind: "service", service: "supervisor" },
		],
	});
	const { links, health } = plan.ports.proxies[id] as ProxyPorts;
	const { keyPair } = tlsOf(paths);
	const healthUrl = `http://127.0.0.1:${health}/healthz`;
	const outward = ways.map(({ name, address, certificateHost }) => {
		return { kind: "https" as const, name, address, certificateHost, trusted: paths.ca, keyPair };
	});
	const box = openBox(directoryOf(plan, id), {
		healthUrl,
		env: {
			SIGNING_SEED: base64Of(new Uint8Array(readFileSync(paths.signingKey))),
			METRICS_TOKEN: TEST_METRICS_TOKEN,
		},
		services: [...worker, ...outward, { kind: "http", name: "supervisor", address: `unix:${diskSocketOf(plan)}` }],
		sockets: [
			{ name: "links", address: `127.0.0.1:${links}`, service: "px", entrypoint: "Links", tls: tlsOf(paths) },
			{ name: "health", address: `127.0.0.1:${health}`, service: "px" },
		],
	});
	return {
		box,
		port: links,
		name: serverNameOf(ENCLAVE, "px", id),
		uri: uriOf("px", id),
		health: async () => JSON.parse((await askPlain(healthUrl)).text) as never,
		ask: async (path) => JSON.parse((await askPlain(new URL(path, healthUrl).href)).text) as never,
	};
}

function channelFilesOf({ base, proxies }: Plan): string[] {
	const id = (proxies[0] as ProxyPlan).id;
	const directory = join(base, id, "data", "px-AgentChannel");
	return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
}

/** A real file system of its own under the first proxy's objects, to be filled. Root only. */
function mountProxyDisk(plan: Plan, sizeMiB: number): () => void {
	const directory = directoryOf(plan, join((plan.proxies[0] as ProxyPlan).id, "data"));
	execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m`, "tmpfs", directory]);
	return () => execFileSync("umount", [directory]);
}

const diskSocketOf = ({ base }: Plan) => join(base, "px.disk");

/** Stands for the supervisor: says of the proxies' disk what the test wants; until it says something, nothing is known. */
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

/** Starts an enclave of a center, two agents' identities, and one proxy or the tree that is asked for. */
export async function startTestEnclave(proxySettings: unknown = {}, setUp: EnclavePlan = {}): Promise<TestEnclave> {
	const { tree = [{ id: "px-1", upstream: "sc" }], proxyDiskMiB } = setUp;
	const base = mkdtempSync(join(tmpdir(), "daemoneye-links-"));
	const plan = await makePlan(base, tree, setUp);
	const unmount = proxyDiskMiB === undefined ? () => undefined : mountProxyDisk(plan, proxyDiskMiB);
	const { ports, pathsOf, pkiDir } = plan;
	const sc = centerBox(plan, setUp.watch ?? {});
	const made = tree.map((proxy) => [proxy.id, proxyBox(plan, proxy, proxySettings)] as const);
	const first = made[0]?.[1] as TestProxy;
	const boxes = [sc, ...made.map(([, { box }]) => box)];
	const desk = diskDesk(plan);
	const stop = async () => {
		await Promise.all(boxes.map((box) => box.kill()));
		desk.close();
		unmount();
		rmSync(base, { recursive: true });
	};
	await Promise.all(boxes.map((box) => box.start())).catch(async (error: Error) => {
		await stop();
		throw error;
	});
	return {
		proxies: Object.fromEntries(made),
		px: first.box,
		sc,
		proxyPort: first.port,
		proxyName: first.name,
		proxyUri: first.uri,
		centerPort: ports.center,
		centerName: serverNameOf(ENCLAVE, "sc", "main"),
		pkiDir,
		pathsOf,
		health: first.health,
		healthUrl: `http://127.0.0.1:${(ports.proxies[(tree[0] as ProxyPlan).id] as ProxyPorts).health}`,
		setDisk: desk.set,
		proxyDataPath: join(base, (tree[0] as ProxyPlan).id, "data"),
		channelBytes: () => channelFilesOf(plan).reduce((sum, path) => sum + statSync(path).size, 0),
		center: async (path, body) => {
			const url = `http://127.0.0.1:${ports.control}${path}`;
			const answer = await askPlain(url, body === undefined ? undefined : JSON.stringify(body));
			if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text.slice(0, 300)}`);
			return JSON.parse(answer.text) as never;
		},
		channelFiles: (box) => {
			const directory = join(base, box === "sc" ? "sc" : (tree[0] as ProxyPlan).id, "data", `${box}-AgentChannel`);
			const names = existsSync(directory) ? readdirSync(directory) : [];
			return names.filter((name) => name.endsWith(".sqlite") && name !== "metadata.sqlite").length;
		},
		logs: () => boxes.map(({ logPath }) => readFileSync(logPath, "utf8")).join("\n"),
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
