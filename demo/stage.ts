/**
 * The stage of a demo: a throw-away directory, two real hosts, and an enclave on free ports with one agent scoped to each host.
 * Guarantees that `close` leaves nothing: no process, namespace, cgroup or file. Must never use the machine's own data folder.
 */
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";
import type { BoxPorts } from "../host/config/box-config.ts";
import { type RunningEnclave, startEnclave } from "../host/enclave/enclave.ts";
import { waitForEvents } from "../host/enclave/readiness.ts";
import type { GenesisPolicy } from "../host/pki/enclave.ts";
import type { Invitee } from "../host/signer/invitations.ts";
import { freeLoopbackPort } from "../host/supervisor/free-port.ts";
import { sweep } from "./cgroups.ts";
import { createHosts, type DemoHosts } from "./hosts.ts";

export interface StageOptions {
	readonly policy: GenesisPolicy;
	readonly invitees: readonly Invitee[];
	readonly signal: AbortSignal;
	readonly onStep: (text: string) => void;
	readonly onTrouble: (text: string) => void;
}

export interface Stage {
	readonly directory: string;
	readonly hosts: DemoHosts;
	readonly enclave: RunningEnclave;
	close(): Promise<void>;
}

export const DEMO_LIMITS = { traceDepthMax: 64, traceDurationSecsMax: 3600, isMaskingRequired: true } as const;

async function freePorts(): Promise<BoxPorts> {
	const taken = new Set<number>();
	const next = async () => {
		for (;;) {
			const port = await freeLoopbackPort();
			if (!taken.has(port)) return taken.add(port) && port;
		}
	};
	return {
		console: await next(),
		centerLinks: await next(),
		proxyLinks: await next(),
		proxyHealth: await next(),
		storeHttp: await next(),
		storeAdmin: await next(),
	};
}

const DIRECTORY_PREFIX = "daemoneye-demo-";

/** Folders of demos that were killed: they hold keys, and their owner's pid is in their name. */
function sweepDirectories(): string[] {
	const removed: string[] = [];
	for (const name of readdirSync(tmpdir())) {
		const owner = /^daemoneye-demo-(\d+)-/.exec(name)?.[1];
		if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
		rmSync(join(tmpdir(), name), { recursive: true, force: true });
		removed.push(name);
	}
	return removed;
}

/** Builds everything; on a failure everything that was built is gone again. */
export async function openStage(options: StageOptions): Promise<Result<Stage, string>> {
	for (const removed of [...(await sweep()), ...sweepDirectories()])
		options.onStep(`removed what an earlier demo left: ${removed}`);
	const directory = mkdtempSync(join(tmpdir(), `${DIRECTORY_PREFIX}${process.pid}-`));
	// The agents run as a user of their own, who must pass through; everything below is private.
	chmodSync(directory, 0o711);
	const closers: (() => Promise<void>)[] = [async () => rmSync(directory, { recursive: true, force: true })];
	const close = async () => {
		for (const closer of closers.splice(0).reverse()) await closer();
	};
	const opened = await build(directory, options, closers);
	if (!opened.ok) {
		await close();
		return opened;
	}
	return ok({ ...opened.value, directory, close });
}

async function build(
	directory: string,
	options: StageOptions,
	closers: (() => Promise<void>)[],
): Promise<Result<Pick<Stage, "hosts" | "enclave">, string>> {
	options.onStep("building the hosts web-01 and db-01");
	const hosts = await createHosts({ runDir: directory, signal: options.signal });
	if (!hosts.ok) return hosts;
	closers.push(() => hosts.value.destroy());
	options.onStep("starting the enclave");
	const enclave = await startEnclave({
		dataDir: join(directory, "data"),
		enclave: "demo",
		ports: await freePorts(),
		policy: options.policy,
		invitees: options.invitees,
		agents: hosts.value.hosts.map(({ name, cgroupPath }) => ({
			id: name,
			siteTag: "demo",
			scopeCgroup: cgroupPath,
			source: "ebpf",
		})),
		onStep: options.onStep,
		onState: ({ name, state, detail }) => {
			if (state === "waiting" || state === "failed") options.onTrouble(detail ?? `${name} ${state}`);
		},
		signal: options.signal,
	});
	if (!enclave.ok) return enclave;
	closers.push(() => enclave.value.supervisor.stop());
	const flowing = await waitForEvents(enclave.value, options.signal);
	if (!flowing.ok) return fail(flowing.code, flowing.detail);
	return ok({ hosts: hosts.value, enclave: enclave.value });
}
