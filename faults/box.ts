/**
 * A throw-away enclave whose processes a row holds one by one: real sqld, signer, Security Center and proxies on free loopback ports,
 * with fault proxies and small disks between where a row asks for them. Guarantees that `close` leaves no process, mount or file,
 * also after a start that failed half-way.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readYaml } from "#core/config/yaml-text.ts";
import { assertInvariant, type Result } from "#core/result.ts";
import { POLICY } from "../bench/box.ts";
import {
	addedProxyYaml,
	type CenterConfig,
	centerConfigSetting,
	centerYaml,
	type ProxyConfig,
	proxyConfigSetting,
} from "../host/config/box-config.ts";
import { centerProcess } from "../host/enclave/center-process.ts";
import { openDeskOf } from "../host/enclave/desk.ts";
import { boxPaths } from "../host/enclave/layout.ts";
import { proxyProcess } from "../host/enclave/proxy-process.ts";
import { addNode, createEnclavePki, type EnclavePki, openEnclavePki } from "../host/pki/enclave.ts";
import type { NodeFiles } from "../host/pki/node-files.ts";
import { signerProcess } from "../host/signer/process.ts";
import * as sqldModule from "../host/sqld/sqld.ts";
import { type DataDirLock, lockDataDir } from "../host/supervisor/data-dir-lock.ts";
import type { DiskDesk } from "../host/supervisor/disk-desk.ts";
import { freeLoopbackPort } from "../host/supervisor/free-port.ts";
import type { ProcessSpec } from "../host/supervisor/supervisor.ts";
import { AgentProcess } from "./agent-process.ts";
import { BoxProcess } from "./box-process.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { type AgentTruth, sumReports } from "./ledger-of-truth.ts";
import { FAULT_LIMITS } from "./limits.ts";
import { plantedModule } from "./planted-module.ts";
import type { RowContext, RowOutcome } from "./row.ts";
import { StoreReader, signedSize } from "./store-view.ts";

const ENCLAVE = "faults";
const CENTER_ID = "sc-1";
const LOCAL = { dnsNames: ["localhost"], ips: ["127.0.0.1"] };
export const OPERATOR_ID = "operator";

export interface BoxOptions {
	readonly agents: readonly string[];
	/** Proxies beside each other below the Security Center; 1 when not given. */
	readonly proxies?: number;
	/** Puts a fault proxy before the first proxy's socket, or between it and the Security Center. */
	readonly hasAgentSideFaults?: boolean;
	readonly hasUpstreamFaults?: boolean;
	/** Small disks by directory below the data directory, bytes each. */
	readonly disks?: Readonly<Record<string, number>>;
	/** Nobody says how full a disk is, so that only the disk itself refuses. */
	readonly isDiskUnmeasured?: boolean;
	/** The enclave was made so long ago. */
	readonly pkiAgeMs?: number;
	/** One of them for the first agent's folder. */
	readonly agentDirectory?: string;
}

export interface FaultBox {
	readonly dataDir: string;
	readonly pki: EnclavePki;
	readonly center: CenterConfig;
	/** The operator's invitation. */
	readonly invitation: string;
	/** In the order px-1, px-2. */
	readonly proxies: readonly ProxyConfig[];
	readonly process: (name: string) => BoxProcess;
	readonly names: readonly string[];
	readonly agent: (id: string) => AgentProcess;
	/** Certificate folder of an agent, for one that speaks by hand. */
	readonly nodeOf: (id: string) => NodeFiles;
	/** Where agents reach a proxy: its fault proxy where there is one. */
	readonly agentPort: (proxy?: number) => number;
	readonly agentSide: FaultProxy;
	readonly upstreamSide: FaultProxy;
	readonly store: StoreReader;
	readonly close: () => Promise<void>;
}

function must<T>(result: Result<T, string>): T {
	if (!result.ok) throw new Error(result.detail);
	return result.value;
}

const proxyName = (index: number) => `px-${index + 1}`;

interface Plan {
	readonly dataDir: string;
	readonly pki: EnclavePki;
	readonly invitation: string;
	readonly center: CenterConfig;
	readonly proxies: readonly ProxyConfig[];
	readonly specs: readonly ProcessSpec[];
}

async function makePlan(
	dataDir: string,
	options: BoxOptions,
	context: RowContext & { upstreamPort: (port: number) => Promise<number> },
): Promise<Plan> {
	const proxyNames = Array.from({ length: options.proxies ?? 1 }, (_, index) => proxyName(index));
	const madeAtMs = Date.now() - (options.pkiAgeMs ?? 0);
	const created = must(
		await createEnclavePki(dataDir, {
			enclave: ENCLAVE,
			policy: POLICY,
			nodes: [
				{ role: "sc", id: CENTER_ID, ...LOCAL },
				...proxyNames.map((id) => ({ role: "px" as const, id, ...LOCAL })),
			],
			invitees: [{ operatorId: OPERATOR_ID, roles: ["viewer", "analyst", "approver", "exporter"] }],
			nowMs: madeAtMs,
		}),
	);
	for (const id of options.agents) must(await addNode(dataDir, { role: "agent", id }, madeAtMs));
	const pki = must(openEnclavePki(dataDir, Date.now()));
	const ports = new Set<number>();
	while (ports.size < 4 + 2 * proxyNames.length) ports.add(await freeLoopbackPort());
	const free = [...ports];
	const next = () => free.pop() as number;
	const [links, http, admin, consolePort] = [next(), next(), next(), next()];
	const ofCenter = { centerLinks: links, console: consolePort, storeHttp: http, storeAdmin: admin };
	const centerText = centerYaml({ ...ofCenter, proxyLinks: 0, proxyHealth: 0 });
	const { center } = must(readYaml(centerText, "center.yaml", centerConfigSetting));
	const upstream = await context.upstreamPort(links);
	const proxies = proxyNames.map((name) => {
		// Only the first proxy's way up is spoiled: the second shows that the Security Center is well.
		const port = name === proxyName(0) ? upstream : links;
		const places = { listen: `127.0.0.1:${next()}`, health: `127.0.0.1:${next()}`, upstream: [`localhost:${port}`] };
		const text = addedProxyYaml({ ...places, walPath: join(dataDir, name, "wal") });
		return must(readYaml(text, "proxy.yaml", proxyConfigSetting)).proxy;
	});
	const { prepareSqld } = await plantedModule("host/sqld/sqld.ts", sqldModule, context.builds.planted);
	const sqld = must(prepareSqld({ dataDir, httpPort: http, adminPort: admin }));
	const node = (id: string) => {
		const found = pki.nodes.find(({ uri }) => uri.endsWith(`/${id}`));
		assertInvariant(found !== undefined, `${id} was issued`);
		return found;
	};
	const sc = must(
		centerProcess({
			...{ dataDir, config: center, pki, node: node(CENTER_ID), consoleNode: undefined, sqld: sqld },
			...{ softwareVersion: "faults", worker: context.builds.center },
		}),
	);
	const px = proxyNames.map((name, index) =>
		must(
			proxyProcess({
				...{ dataDir, name, config: proxies[index] as ProxyConfig, node: node(name) },
				center: { role: "sc", id: CENTER_ID },
				...{ softwareVersion: "faults", worker: context.builds.proxy },
			}),
		),
	);
	const invitation = created.invitations[0]?.token ?? "";
	return { dataDir, pki, invitation, center, proxies, specs: [sqld.process, signerProcess(dataDir), sc, ...px] };
}

/** Mounts a small disk; only root can. */
function mountDisk(path: string, bytes: number): void {
	mkdirSync(path, { recursive: true, mode: 0o700 });
	execFileSync("mount", [
		"-t",
		"tmpfs",
		"-o",
		`size=${bytes},nr_inodes=${FAULT_LIMITS.smallDiskInodes},mode=0700`,
		"tmpfs",
		path,
	]);
}

const portOf = (address: string) => Number(address.slice(address.lastIndexOf(":") + 1));

/** What a box has to give back, in the order in which it is taken. */
class Holdings {
	readonly directory = mkdtempSync(join(tmpdir(), "daemoneye-faults-"));
	readonly dataDir = join(this.directory, "data");
	readonly processes = new Map<string, BoxProcess>();
	readonly agents = new Map<string, AgentProcess>();
	readonly #wires: FaultProxy[] = [];
	readonly #mounts: string[] = [];
	#lock: DataDirLock | null = null;
	#desk: DiskDesk | null = null;
	#closing: Promise<void> | null = null;

	/** A fault proxy before a port of this machine. */
	async wireTo(port: number): Promise<{ wire: FaultProxy; port: number }> {
		const wire = new FaultProxy(port);
		this.#wires.push(wire);
		return { wire, port: await wire.listen() };
	}

	/** Only when the PKI is made: it asks for an empty folder. */
	mount(disks: Readonly<Record<string, number>>): void {
		for (const [name, bytes] of Object.entries(disks)) {
			mountDisk(join(this.dataDir, name), bytes);
			this.#mounts.push(join(this.dataDir, name));
		}
	}

	/** `objects`: where each worker's objects lie, whose disk it asks about. */
	async startAll(
		specs: readonly ProcessSpec[],
		objects: ReadonlyMap<string, string>,
		signal: AbortSignal,
	): Promise<void> {
		const { dataDir } = this;
		mkdirSync(join(dataDir, "logs"), { mode: 0o700 });
		this.#lock = must(lockDataDir(dataDir));
		this.#desk = must(await openDeskOf(dataDir, objects));
		const { descriptor: lockDescriptor } = this.#lock;
		for (const spec of specs) this.processes.set(spec.name, new BoxProcess(spec, { dataDir, lockDescriptor, signal }));
		for (const each of this.processes.values()) await each.start();
	}

	/** Safe to call twice: an interrupted row closes its box under itself. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	async #close(): Promise<void> {
		await Promise.all([...this.agents.values()].map((agent) => agent.kill()));
		for (const each of [...this.processes.values()].reverse()) await each.kill();
		for (const wire of this.#wires) await wire.close();
		this.#desk?.close();
		this.#lock?.release();
		for (const path of this.#mounts) execFileSync("umount", ["--lazy", path]);
		rmSync(this.directory, { recursive: true, force: true });
	}
}

/** Opens a box with everything running; the caller closes it. */
export async function openBox(context: RowContext, options: BoxOptions): Promise<FaultBox> {
	const holdings = new Holdings();
	context.signal.addEventListener("abort", () => void holdings.close(), { once: true });
	try {
		return await openIn(holdings, context, options);
	} catch (error) {
		for (const each of holdings.processes.values())
			for (const line of each.tail().slice(-2)) context.step(`${each.name}: ${line}`);
		await holdings.close();
		throw error;
	}
}

async function openIn(holdings: Holdings, context: RowContext, options: BoxOptions): Promise<FaultBox> {
	const { dataDir, directory, processes, agents } = holdings;
	mkdirSync(dataDir, { mode: 0o700 });
	const wires: { agentSide?: FaultProxy; upstreamSide?: FaultProxy } = {};
	const upstreamPort = async (port: number) => {
		if (options.hasUpstreamFaults !== true) return port;
		const made = await holdings.wireTo(port);
		wires.upstreamSide = made.wire;
		return made.port;
	};
	const plan = await makePlan(dataDir, options, { ...context, upstreamPort });
	holdings.mount(options.disks ?? {});
	const objects = new Map([
		["sc", boxPaths(dataDir).centerData],
		...plan.proxies.map(({ wal_path }, index) => [proxyName(index), wal_path] as const),
	]);
	await holdings.startAll(plan.specs, options.isDiskUnmeasured === true ? new Map() : objects, context.signal);
	const ports = plan.proxies.map(({ listen }) => portOf(listen));
	if (options.hasAgentSideFaults === true) {
		const made = await holdings.wireTo(ports[0] as number);
		wires.agentSide = made.wire;
		ports[0] = made.port;
	}
	const agentPort = (index = 0) => ports[index] as number;
	for (const [index, id] of options.agents.entries()) {
		const own = index === 0 && options.agentDirectory !== undefined;
		agents.set(
			id,
			new AgentProcess({
				...{ id, node: nodeOf(plan.pki, id), build: context.builds.feedingAgent, enclave: ENCLAVE },
				port: agentPort(index % ports.length),
				directory: own ? join(dataDir, options.agentDirectory as string, "agent") : join(directory, `agent-${id}`),
			}),
		);
	}
	return {
		...{ dataDir, invitation: plan.invitation, pki: plan.pki, center: plan.center, proxies: plan.proxies },
		...{ names: [...processes.keys()], agentPort, store: new StoreReader(dataDir) },
		process: (name) => existing(processes.get(name), name),
		agent: (id) => existing(agents.get(id), id),
		nodeOf: (id) => nodeOf(plan.pki, id),
		get agentSide() {
			return existing(wires.agentSide, "fault proxy before the proxy");
		},
		get upstreamSide() {
			return existing(wires.upstreamSide, "fault proxy behind the proxy");
		},
		close: () => holdings.close(),
	};
}

function existing<T>(found: T | undefined, name: string): T {
	assertInvariant(found !== undefined, `there is no ${name}`);
	return found;
}

function nodeOf(pki: EnclavePki, id: string): NodeFiles {
	const found = pki.nodes.find(({ uri }) => uri.endsWith(`/${id}`));
	assertInvariant(found !== undefined, `${id} was issued`);
	return found;
}

/** An agent as the judge sees it. */
export interface Judged {
	readonly id: string;
	readonly truth: AgentTruth;
}

export interface JudgeOptions {
	readonly agents: readonly Judged[];
	/** How long nothing new may come before what is missing counts as lost. */
	readonly stuckMsMax?: number;
	/** How long all may take, where a row bounds it: a violation of its own, and no loss. */
	readonly settleMsMax?: number;
}

/** Waits until nothing of these agents is on its way any more, or nothing has come for long; answers how long that took. */
async function settle(box: FaultBox, context: RowContext, options: JudgeOptions): Promise<number> {
	const { agents, stuckMsMax = FAULT_LIMITS.stuckMsMax } = options;
	const startedAtMs = performance.now();
	let known = -1;
	let stuckAtMs = 0;
	while (!context.signal.aborted) {
		const views = agents.map(({ id }) => box.store.view(id));
		if (agents.every(({ truth }, index) => views[index] != null && truth.isSettled(views[index]))) break;
		const now = views.reduce((sum, view) => sum + (view?.batches.length ?? 0) + (view?.gaps.length ?? 0), 0);
		if (now !== known) stuckAtMs = performance.now() + stuckMsMax;
		known = now;
		if (
			performance.now() > Math.min(stuckAtMs, startedAtMs + Math.max(FAULT_LIMITS.drainMsMax, options.settleMsMax ?? 0))
		)
			break;
		await sleep(FAULT_LIMITS.settlePollMs);
	}
	return performance.now() - startedAtMs;
}

/**
 * Waits for what is on its way, then judges the agents and the ledger. What still arrives is not lost: only a store in which nothing
 * new appears any more is judged, and a drain that takes longer than a row allows is called slow.
 */
export async function judgeBox(box: FaultBox, context: RowContext, options: JudgeOptions): Promise<RowOutcome> {
	const violations: string[] = [];
	const settledMs = await settle(box, context, options);
	const settleMsMax = options.settleMsMax ?? FAULT_LIMITS.settleMsMax;
	if (settledMs > settleMsMax) violations.push(`all came only after ${Math.round(settledMs)} ms, or not at all`);
	const reports = options.agents.map(({ id, truth }) => {
		const view = box.store.view(id, true);
		if (view === null) throw new Error("the store cannot be read");
		const judged = truth.judge(view);
		violations.push(...judged.violations);
		return judged.report;
	});
	violations.push(...judgeLedger(box));
	return { report: sumReports(reports), violations };
}

/** I6: no halt, and nothing stored claims a place behind the signed tree or one that another has. */
export function judgeLedger(box: FaultBox): string[] {
	const violations: string[] = [];
	const halted = readFileSync(join(box.dataDir, "logs", "sc.log"), "utf8").includes('"ledger_halted"');
	if (halted) violations.push("I6: the ledger halted");
	const places = box.store.places();
	if (new Set(places).size !== places.length) violations.push("I6: two batches have one place in the ledger");
	const size = signedSize(box.dataDir);
	if (places.some((place) => place >= size)) violations.push(`I6: a place behind the signed size ${size}`);
	return violations;
}
