/**
 * The demo's hosts for real: built, broken into, and removed without a trace. Needs root, Apache and sshd; without
 * them the tests are skipped by name, unless the environment's REQUIRE (a comma-separated list: root, apache2, sshd)
 * says they must be there.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { cgroup2Mount, createDemoCgroup, findLeftovers, removeDemoCgroup, sweep } from "./cgroups.ts";
import { startHost } from "./host.ts";
import { createHosts, type DemoHosts } from "./hosts.ts";
import { type ProcessView, processesInCgroup, readProcess } from "./processes.ts";
import { findTools, toolDirectories, waitUntil } from "./spawning.ts";

const required = (process.env.REQUIRE ?? "").split(",");
const options = { skip: await skipReason(), timeout: 60_000 };

/** Why the tests cannot run here; false when they can or must. */
async function skipReason(): Promise<string | false> {
	const missing: string[] = [];
	if (!(await canMakeHosts())) missing.push("root");
	const tools = findTools(toolDirectories());
	if (!tools.ok && /apache2/.test(tools.detail)) missing.push("apache2");
	if (!tools.ok && /ssh/.test(tools.detail)) missing.push("sshd");
	const maySkip = missing.length > 0 && !missing.some((name) => required.includes(name));
	return maySkip ? `needs ${missing.join(", ")}` : false;
}

/** Root in name is not enough: a container may have no right to namespaces or to the cgroup hierarchy. */
async function canMakeHosts(): Promise<boolean> {
	const mount = cgroup2Mount();
	if (process.geteuid?.() !== 0 || !mount.ok) return false;
	const cgroup = createDemoCgroup(mount.value, "probe", []);
	if (!cgroup.ok) return false;
	await removeDemoCgroup(mount.value + cgroup.value);
	const probe = ["--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "ip", "link", "set", "lo", "up"];
	return spawnSync("unshare", probe, { stdio: "ignore" }).status === 0;
}

let runDir = "";
beforeEach(() => {
	runDir = mkdtempSync(join(tmpdir(), "daemoneye-hosts-"));
});
afterEach(() => rmSync(runDir, { recursive: true, force: true }));

function cgroupOf(demo: DemoHosts, index: 0 | 1): string {
	return demo.cgroupMount + demo.hosts[index].cgroupPath;
}

function processes(demo: DemoHosts, index: 0 | 1): readonly ProcessView[] {
	return processesInCgroup(cgroupOf(demo, index));
}

/** From the process up to the first one of its PID namespace: the names the kernel gives them. */
function ancestry(process: ProcessView | undefined): readonly string[] {
	if (process === undefined) return [];
	if (process.innerPid === 1) return [process.comm];
	return [process.comm, ...ancestry(readProcess(process.parentPid))];
}

const namespaceKinds = ["mnt", "net", "pid", "uts"] as const;

/** The identities of a process's namespaces, such as `net:[4026532000]`. */
function namespacesOf(pid: number | string): readonly string[] {
	return namespaceKinds.flatMap((kind) => {
		try {
			return [readlinkSync(`/proc/${pid}/ns/${kind}`)];
		} catch {
			// Ended while the list was read, or a process that may not be looked at; neither is one of ours.
			return [];
		}
	});
}

/** Every process of the machine that is in one of the namespaces. */
function membersOf(namespaces: readonly string[]): readonly number[] {
	const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
	return all.filter((pid) => namespacesOf(pid).some((namespace) => namespaces.includes(namespace))).map(Number);
}

function assertNothingLeft(demo: DemoHosts, namespaces: readonly string[]): void {
	assert.deepEqual(membersOf(namespaces), [], "processes or namespaces are left");
	const cgroup = cgroupOf(demo, 0).replace(/\/web-01$/, "");
	assert.ok(!existsSync(cgroup), "a cgroup is left");
	const mounts = readFileSync("/proc/self/mountinfo", "utf8");
	assert.ok(!mounts.includes(runDir), "a mount is left");
	assert.deepEqual(readdirSync(runDir), [], "a file is left in the run directory");
}

async function build(): Promise<DemoHosts> {
	const created = await createHosts({ runDir });
	if (!created.ok) throw new Error(`${created.code}: ${created.detail}`);
	return created.value;
}

function demoNamespaces(demo: DemoHosts): readonly string[] {
	const ours = namespacesOf(process.pid);
	const theirs = demo.hosts.flatMap(({ pidOfInit }) => namespacesOf(pidOfInit));
	const intruder = processesInCgroup(cgroupOf(demo, 0).replace(/web-01$/, "attacker")).flatMap(({ pid }) =>
		namespacesOf(pid),
	);
	return [...theirs, ...intruder].filter((namespace) => !ours.includes(namespace));
}

function ended(child: ChildProcess): Promise<number | null> {
	return once(child, "close").then(([status]) => status as number | null);
}

test(
	"the intrusion goes from Apache over bash and ssh to a shell on the second host, and leaves nothing",
	options,
	async () => {
		const before = ["/srv", "/var/backups", "/etc/passwd"].map((path) => statSync(path).mtimeMs);
		const demo = await build();
		const namespaces = demoNamespaces(demo);
		// Four for each host, and the intruder's network.
		assert.equal(new Set(namespaces).size, 9);
		try {
			assert.equal((await demo.stage2()).ok, false, "stage 2 must not run before the exploit");
			const exploit = await demo.exploit();
			assert.ok(exploit.ok, JSON.stringify(exploit));
			assert.match(exploit.value.commands[0]?.output ?? "", /uid=33\(www-data\)[\s\S]*Linux web-01[\s\S]*deploy/);
			const root = processes(demo, 0).find(({ argv }) => argv[2]?.startsWith("getent hosts") === true);
			assert.deepEqual(ancestry(root).slice(0, 2), ["bash", "apache2"]);
			assert.equal(root?.uid, 33);

			const stage2 = await demo.stage2();
			assert.ok(stage2.ok, JSON.stringify(stage2));
			assert.match(stage2.value.commands[0]?.output ?? "", /BEGIN OPENSSH PRIVATE KEY/);
			const ssh = processes(demo, 0).find(({ comm }) => comm === "ssh");
			assert.deepEqual(ancestry(ssh).slice(0, 4), ["ssh", "bash", "bash", "apache2"]);
			const shell = processes(demo, 1).find(({ comm, innerPid }) => comm === "bash" && innerPid !== 1);
			assert.match(ancestry(shell).join(" "), /^bash sshd(-session)? /);

			const inside = join(`/proc/${demo.hosts[1].pidOfInit}/root`, "srv/app/.cache");
			assert.deepEqual(readdirSync(inside).sort(), ["customers.csv", "page"]);
			for (const round of [1, 2]) {
				const stage3 = await demo.stage3();
				assert.ok(stage3.ok, JSON.stringify(stage3));
				assert.match(stage3.value.commands[2]?.output ?? "", /399,199,/);
				assert.ok(existsSync(join(inside, `page-${round}`)) && !existsSync(join(inside, `orders-${round}.csv`)));
			}
			assert.equal(readProcess(root?.pid ?? 0)?.startTicks, root?.startTicks, "the first shell must still live");
		} finally {
			await demo.destroy();
		}
		await demo.destroy();
		assertNothingLeft(demo, namespaces);
		assert.deepEqual(
			["/srv", "/var/backups", "/etc/passwd"].map((path) => statSync(path).mtimeMs),
			before,
		);
	},
);

test(
	"two demos run side by side, each host in its own cgroup, and the database cannot reach the intruder",
	options,
	async () => {
		const [first, second] = await Promise.all([build(), build()]);
		const namespaces = [...demoNamespaces(first), ...demoNamespaces(second)];
		try {
			assert.notEqual(first.addresses.subnet, second.addresses.subnet);
			assert.ok((await first.exploit()).ok && (await second.exploit()).ok);
			assert.deepEqual(await sweep().then(() => findLeftovers()), []);
			assert.ok(existsSync(cgroupOf(first, 0)), "a sweep must not touch a running demo");
			for (const index of [0, 1] as const) {
				const [pidNamespace = ""] = namespacesOf(first.hosts[index].pidOfInit).filter((name) =>
					name.startsWith("pid:"),
				);
				for (const pid of membersOf([pidNamespace])) {
					assert.match(
						readFileSync(`/proc/${pid}/cgroup`, "utf8"),
						new RegExp(`^0::.*${first.hosts[index].cgroupPath}$`, "m"),
					);
				}
			}
			const reach = (address: string, port: number) =>
				ended(first.runInHost("db-01", ["bash", "-c", `exec 3<>/dev/tcp/${address}/${port}`], { stdio: "ignore" }));
			assert.equal(await reach(first.addresses.webBack, 80), 0);
			assert.equal(await reach(first.addresses.attacker, 443), 1);
		} finally {
			await Promise.all([first.destroy(), second.destroy()]);
		}
		for (const demo of [first, second]) assertNothingLeft(demo, namespaces);
	},
);

test("the hosts of a demo that was killed end by themselves, and a sweep removes the rest", options, async () => {
	const program =
		`import { createHosts } from ${JSON.stringify(new URL("hosts.ts", import.meta.url).href)};` +
		`const created = await createHosts({ runDir: ${JSON.stringify(runDir)} });` +
		`await created.value.exploit(); await created.value.stage2();` +
		`console.log(created.value.cgroupMount + created.value.hosts[0].cgroupPath);`;
	const owner = spawn(process.execPath, ["--input-type=module", "-e", program], {
		stdio: ["ignore", "pipe", "inherit"],
	});
	const [line] = await Promise.race([once(owner.stdout, "data"), once(owner, "exit")]);
	assert.equal(owner.exitCode, null, "the owner could not make its hosts");
	const web = String(line).trim();
	const cgroup = web.replace(/\/web-01$/, "");
	assert.ok(processesInCgroup(web).length > 3);
	assert.ok(!findLeftovers().includes(cgroup));
	owner.kill("SIGKILL");
	await ended(owner);
	const empty = () => /^populated 0$/m.test(readFileSync(`${cgroup}/cgroup.events`, "utf8"));
	assert.ok(await waitUntil(empty, 5000), "the hosts outlived their owner");
	assert.ok(findLeftovers().includes(cgroup));
	assert.ok((await sweep()).includes(cgroup));
	assert.ok(!existsSync(cgroup));
});

test("cancelling between two steps is a code, and what was begun is removed", options, async () => {
	const abort = new AbortController();
	const steps: string[] = [];
	const onStep = (step: string) => {
		steps.push(step);
		if (steps.length === 2) abort.abort();
	};
	const created = await createHosts({ runDir, onStep, signal: abort.signal });
	assert.equal(created.ok === false && created.code, "cancelled");
	assert.equal(steps.length, 2);
	assertNoDemoOfThisProcess();
	assert.deepEqual(readdirSync(runDir), []);
});

test("a run directory that is a file throws and leaves no cgroup", options, async () => {
	const file = join(runDir, "file");
	writeFileSync(file, "");
	await assert.rejects(createHosts({ runDir: file }), /ENOTDIR/);
	assertNoDemoOfThisProcess();
});

test("a service that does not start is named with the last line of its log", options, async () => {
	const tools = findTools(toolDirectories());
	const mount = cgroup2Mount();
	assert.ok(tools.ok && mount.ok);
	const cgroup = createDemoCgroup(mount.value, "service", ["broken"]);
	assert.ok(cgroup.ok);
	const directory = mount.value + cgroup.value;
	const staged = join(runDir, "staged");
	mkdirSync(join(staged, "tmp"), { recursive: true });
	try {
		const host = await startHost(tools.value, {
			name: "broken",
			cgroupDirectory: `${directory}/broken`,
			stagedDirectory: staged,
			places: ["tmp"],
			service: { argv: ["/bin/sh", "-c", "echo first; echo no port is free >&2; exit 1"], log: "/tmp/log", port: 1 },
		});
		assert.ok(host.ok, JSON.stringify(host));
		const started = await host.value.startService();
		assert.deepEqual(started, {
			ok: false,
			code: "service_start_failed",
			detail: "/bin/sh on broken: no port is free",
		});
	} finally {
		await removeDemoCgroup(directory);
	}
	assert.ok(!existsSync(directory));
});

test("missing programs are named", () => {
	const tools = findTools([runDir]);
	assert.deepEqual(tools, {
		ok: false,
		code: "tool_missing",
		detail: "not installed: apache2, bash, ip, nsenter, ssh, ssh-keygen, sshd, unshare",
	});
});

function assertNoDemoOfThisProcess(): void {
	const mount = cgroup2Mount();
	assert.ok(mount.ok);
	assert.deepEqual(
		readdirSync(mount.value).filter((name) => name.startsWith(`daemoneye-demo-${process.pid}-`)),
		[],
	);
}
