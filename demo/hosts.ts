/**
 * The demo's public face: two Linux hosts on one kernel, `web-01` with Apache and `db-01` with sshd, joined by a
 * private network, and an intruder who breaks into the first and goes on to the second. Everything is real: the
 * services, the exploit, the login. Nothing here speaks to the product or writes an event, and nothing of the machine
 * outside the hosts' namespaces and cgroups is changed. `destroy` leaves nothing; if this process is killed instead,
 * the hosts end by themselves and `sweep` of `cgroups.ts` removes the empty cgroups that remain.
 */

import type { ChildProcess, SpawnOptions } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fail, InvariantError, ok, type Result } from "#core/result.ts";
import { cgroup2Mount, createDemoCgroup, removeDemoCgroup } from "./cgroups.ts";
import type { DemoCode } from "./codes.ts";
import { type HostPlan, type RunningHost, startHost } from "./host.ts";
import { privatePlaces, stageHostFiles, webPlaces } from "./host-files.ts";
import { type Intruder, startIntruder } from "./intruder.ts";
import { type HostName, Intrusion, type StageRecord } from "./intrusion.ts";
import { chooseAddresses, type DemoAddresses, wire } from "./network.ts";
import { findTools, type Tools, toolDirectories } from "./spawning.ts";

export type DemoHost = {
	readonly name: HostName;
	/** The host's cgroup below the cgroup v2 mount, starting with `/`: what scopes a collector to this host. */
	readonly cgroupPath: string;
	/** The host's IPv4 addresses; loopback excluded. */
	readonly addresses: readonly string[];
	/** File that names the host's network namespace (`nsenter --net=`), valid while the host lives. */
	readonly netnsPath: string;
	/** The host's PID 1, as a process id of the root PID namespace. */
	readonly pidOfInit: number;
};

export type DemoHosts = {
	readonly hosts: readonly [DemoHost, DemoHost];
	readonly addresses: DemoAddresses;
	/** Mount point of cgroup v2, to which the cgroup paths are relative. */
	readonly cgroupMount: string;
	/** Stage 1: one HTTP request makes Apache start a shell, which looks around and calls back. It stays alive. */
	exploit(): Promise<Result<StageRecord, "intrusion_failed">>;
	/** Stage 2: the shell takes the key, logs in to db-01 over SSH and works on files there. The session stays open. */
	stage2(): Promise<Result<StageRecord, "intrusion_failed">>;
	/** Stage 3: another round through the same SSH session; may be repeated. */
	stage3(): Promise<Result<StageRecord, "intrusion_failed">>;
	/** Spawns a program inside a host. Ending the returned process early does not end the program; `destroy` does. */
	runInHost(name: HostName, argv: readonly string[], options?: SpawnOptions): ChildProcess;
	/**
	 * Ends both hosts and the intruder and removes every trace of them. May be called at any time and more than once.
	 */
	destroy(): Promise<void>;
};

export type CreateOptions = {
	/** An existing directory; what the hosts are started from is made in it and removed again. */
	readonly runDir: string;
	/** Called with one sentence before each step of the building. */
	readonly onStep?: (step: string) => void;
	/** Aborting it stops the building before the next step, with the code `cancelled` and nothing left. */
	readonly signal?: AbortSignal;
};

/** Builds both hosts with their services listening, or removes what was begun and says why it cannot be. Needs root. */
export async function createHosts(options: CreateOptions): Promise<Result<DemoHosts, DemoCode>> {
	if (process.geteuid?.() !== 0) return fail("not_root", "namespaces and cgroups can be made by root only");
	const tools = findTools(toolDirectories());
	if (!tools.ok) return tools;
	const mount = cgroup2Mount();
	if (!mount.ok) return mount;
	const random = randomBytes(4).toString("hex");
	const cgroup = createDemoCgroup(mount.value, random, ["web-01", "db-01", "attacker"]);
	if (!cgroup.ok) return cgroup;
	const ground: Ground = {
		tools: tools.value,
		cgroupMount: mount.value,
		cgroupPath: cgroup.value,
		stagingDirectory: join(options.runDir, `hosts-${random}`),
		addresses: chooseAddresses((below) => randomInt(below)),
		proceed: (step) => {
			if (options.signal?.aborted === true) return fail("cancelled", `cancelled before ${step}`);
			options.onStep?.(step);
			return ok(undefined);
		},
	};
	// A defect while building must not leave hosts running either.
	const built = await build(ground).catch(async (error: unknown) => {
		await removeAll(ground);
		throw error;
	});
	if (built.ok) return ok(present(ground, built.value));
	await removeAll(ground);
	return built;
}

/** What the hosts stand on, known before the first of them starts. */
type Ground = {
	readonly tools: Tools;
	readonly cgroupMount: string;
	readonly cgroupPath: string;
	readonly stagingDirectory: string;
	readonly addresses: DemoAddresses;
	/** Announces a step; refused when the caller has cancelled. */
	readonly proceed: (step: string) => Result<undefined, "cancelled">;
};

type Built = { readonly web: RunningHost; readonly db: RunningHost; readonly intruder: Intruder };

async function build(ground: Ground): Promise<Result<Built, DemoCode>> {
	const { tools, addresses, proceed } = ground;
	const directories = { web: join(ground.stagingDirectory, "web-01"), db: join(ground.stagingDirectory, "db-01") };
	const first = proceed("writing the configuration, the content and the keys of web-01 and db-01");
	if (!first.ok) return first;
	for (const directory of Object.values(directories)) mkdirSync(directory, { recursive: true, mode: 0o700 });
	const staged = await stageHostFiles(tools, directories, addresses);
	if (!staged.ok) return staged;

	const second = proceed("starting the namespaces of web-01, db-01 and the intruder's machine");
	if (!second.ok) return second;
	const [web, db, intruder] = await Promise.all([
		startHost(tools, webPlan(ground, directories.web)),
		startHost(tools, dbPlan(ground, directories.db)),
		startIntruder(tools, join(ground.cgroupMount, ground.cgroupPath, "attacker")),
	]);
	if (!web.ok) return web;
	if (!db.ok) return db;
	if (!intruder.ok) return intruder;
	// The hosts have their own copies by now; the keys need not stay on disk.
	rmSync(ground.stagingDirectory, { recursive: true, force: true });

	const third = proceed(`joining them by ${addresses.subnet}`);
	if (!third.ok) return third;
	const pids = { attacker: intruder.value.pid, web: web.value.initPid, db: db.value.initPid };
	const wired = await wire(tools, pids, addresses);
	if (!wired.ok) return wired;

	const fourth = proceed("starting Apache on web-01 and sshd on db-01");
	if (!fourth.ok) return fourth;
	const started = await Promise.all([web.value.startService(), db.value.startService()]);
	for (const service of started) if (!service.ok) return service;
	return ok({ web: web.value, db: db.value, intruder: intruder.value });
}

function webPlan(ground: Ground, stagedDirectory: string): HostPlan {
	return {
		name: "web-01",
		cgroupDirectory: join(ground.cgroupMount, ground.cgroupPath, "web-01"),
		stagedDirectory,
		places: [...privatePlaces, ...webPlaces],
		service: { argv: [ground.tools.apache2, "-k", "start"], log: "/var/log/apache2/error.log", port: 80 },
	};
}

function dbPlan(ground: Ground, stagedDirectory: string): HostPlan {
	const log = "/var/log/auth.log";
	return {
		name: "db-01",
		cgroupDirectory: join(ground.cgroupMount, ground.cgroupPath, "db-01"),
		stagedDirectory,
		places: privatePlaces,
		// Without -E sshd would write to the machine's own system log through /dev/log.
		service: { argv: [ground.tools.sshd, "-E", log], log, port: 22 },
	};
}

function present(ground: Ground, { web, db, intruder }: Built): DemoHosts {
	const { addresses } = ground;
	const intrusion = new Intrusion(intruder, addresses);
	const describe = (name: HostName, { initPid }: RunningHost, own: readonly string[]): DemoHost => ({
		name,
		cgroupPath: `${ground.cgroupPath}/${name}`,
		addresses: own,
		netnsPath: `/proc/${initPid}/ns/net`,
		pidOfInit: initPid,
	});
	return {
		hosts: [describe("web-01", web, [addresses.webFront, addresses.webBack]), describe("db-01", db, [addresses.db])],
		addresses,
		cgroupMount: ground.cgroupMount,
		exploit: () => intrusion.exploit(),
		stage2: () => intrusion.stage2(),
		stage3: () => intrusion.stage3(),
		runInHost: (name, argv, spawnOptions = {}) => {
			if (argv.length === 0) throw new InvariantError("a program to run in a host needs a name");
			return (name === "web-01" ? web : db).run(argv, spawnOptions);
		},
		destroy: () => removeAll(ground),
	};
}

async function removeAll(ground: Ground): Promise<void> {
	rmSync(ground.stagingDirectory, { recursive: true, force: true });
	await removeDemoCgroup(join(ground.cgroupMount, ground.cgroupPath));
}
