import assert from "node:assert/strict";
import { test } from "node:test";
import { CgroupTable, containerIdOf, systemdUnitOf } from "./cgroups.ts";

const ID = "3f8a1c0d".repeat(8);
const OTHER = "b19e77aa".repeat(8);
const POD = "pod1f2e3d4c_5b6a_7980_a1b2_c3d4e5f60718";

/** Path, container id, unit: as runtimes and systemd write them. */
const PATHS: readonly (readonly [string, string | null, string | null])[] = [
	["/", null, null],
	["/init.scope", null, "init.scope"],
	["/system.slice/ssh.service", null, "ssh.service"],
	["/system.slice/docker.service", null, "docker.service"],
	["/system.slice/system-getty.slice/getty@tty1.service", null, "getty@tty1.service"],
	["/user.slice/user-1000.slice", null, "user-1000.slice"],
	["/user.slice/user-1000.slice/session-3.scope", null, "session-3.scope"],
	["/user.slice/user-1000.slice/user@1000.service/init.scope", null, "user@1000.service"],
	["/user.slice/user-1000.slice/user@1000.service/app.slice/app-vim-77.scope", null, "user@1000.service"],
	// What a user names below their manager is a claim: no unit, no container but podman's form.
	["/user.slice/user-1000.slice/user@1000.service/app.slice/sshd.service", null, "user@1000.service"],
	["/user.slice/user-1000.slice/user@1000.service/system.slice/sshd.service", null, "user@1000.service"],
	[`/user.slice/user-1000.slice/user@1000.service/docker/${ID}`, null, "user@1000.service"],
	["/user.slice/user-1000.slice/user@1000.service/lxc/db", null, "user@1000.service"],
	[`/user.slice/user-1000.slice/user@1000.service/kubepods/${POD}/crio-${ID}`, null, "user@1000.service"],
	[`/user.slice/user-1000.slice/user@1000.service/x.slice/libpod-${ID}.scope/${OTHER}`, ID, "user@1000.service"],
	[`/docker/${ID}/user.slice/user-1000.slice/user@1000.service/docker/${OTHER}`, ID, null],
	["/system.slice/var-lib.mount", null, "var-lib.mount"],
	["/system.slice/ssh.service/system.slice/cron.service", null, "ssh.service"],
	["/system.slice/foo.service/worker/1", null, "foo.service"],
	["/system.slice/dev-disk-by\\x2duuid-1.service", null, "dev-disk-by-uuid-1.service"],
	["/system.slice/_cgroup.service", null, "cgroup.service"],
	// Docker: systemd driver, cgroupfs driver, rootless, in docker.
	[`/system.slice/docker-${ID}.scope`, ID, `docker-${ID}.scope`],
	[`/docker/${ID}`, ID, null],
	[`/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${ID}.scope`, null, "user@1000.service"],
	[`/docker/${OTHER}/docker/${ID}`, ID, null],
	[`/docker/${ID}/system.slice/nginx.service`, ID, null],
	// Kubernetes: containerd and CRI-O, systemd and cgroupfs drivers.
	[
		`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-${POD}.slice/cri-containerd-${ID}.scope`,
		ID,
		`cri-containerd-${ID}.scope`,
	],
	[`/kubepods/besteffort/${POD}/${ID}`, ID, null],
	[`/kubepods.slice/kubepods-${POD}.slice/crio-${ID}.scope`, ID, `crio-${ID}.scope`],
	[`/kubepods.slice/kubepods-${POD}.slice/crio-conmon-${ID}.scope`, null, `crio-conmon-${ID}.scope`],
	[`/kubepods/${POD}/crio-${ID}`, ID, null],
	[`/system.slice/containerd.service/kubepods-besteffort-${POD}.slice:cri-containerd:${ID}`, ID, "containerd.service"],
	[`/kubepods.slice/kubepods-${POD}.slice`, null, `kubepods-${POD}.slice`],
	[`/k8s.io/${ID}`, ID, null],
	// Podman: rootful, rootless, in a unit of its own.
	[`/machine.slice/libpod-${ID}.scope/container`, ID, `libpod-${ID}.scope`],
	[`/machine.slice/libpod-conmon-${ID}.scope`, null, `libpod-conmon-${ID}.scope`],
	[`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope`, ID, "user@1000.service"],
	[`/system.slice/web.service/libpod-payload-1/${ID}`, ID, "web.service"],
	// LXC and Proxmox.
	["/lxc/web-01", "web-01", null],
	["/lxc/101/ns/init.scope", "101", null],
	["/lxc.payload.db/system.slice/postgresql.service", "db", null],
	["/lxc.payload/db", "db", null],
	["/lxc.monitor.db", null, null],
	// systemd-nspawn, machined, and what looks like it but is an emulator.
	["/machine.slice/machine-deb12.scope/payload", "deb12", "machine-deb12.scope"],
	["/machine.slice/machine-my\\x2dbox.scope", "my-box", "machine-my-box.scope"],
	["/machine.slice/systemd-nspawn@build.service/payload/init.scope", "build", "systemd-nspawn@build.service"],
	["/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", null, "machine-qemu-1-vm.scope"],
	// ECS and Fargate.
	[`/ecs/${"ab12".repeat(8)}/${ID}`, ID, null],
	[`/ecs/${"ab12".repeat(8)}/${"ab12".repeat(8)}-3054012820`, `${"ab12".repeat(8)}-3054012820`, null],
	// Near misses.
	[`/system.slice/${ID.slice(1)}`, null, "system.slice"],
	["/docker/builder", null, null],
	["/system.slice/docker-compose.service", null, "docker-compose.service"],
	[`/app/${ID.toUpperCase()}`, null, null],
];

for (const [path, containerId, unit] of PATHS)
	test(`${path.replaceAll(ID, "ID").replaceAll(OTHER, "OTHER")} shows ${containerId === null ? "no" : "its"} container`, () => {
		assert.equal(containerIdOf(path), containerId);
		assert.equal(systemdUnitOf(path), unit);
	});

test("hostile names stay within their fields", () => {
	assert.equal(containerIdOf(`/lxc/${"x".repeat(300)}`)?.length, 64);
	assert.equal(systemdUnitOf(`/${"u".repeat(300)}.service`)?.length, 256);
	assert.equal(systemdUnitOf("/a\\x1bb\\x00.service"), "a\\x1bb\\x00.service");
	for (const path of ["", "//", "/lxc/", "/lxc", "/.service", "/.scope/", "\0"]) {
		assert.equal(containerIdOf(path), null, path);
		assert.equal(systemdUnitOf(path), null, path);
	}
});

test("a path that comes later is known to who points at the cgroup already", () => {
	const table = new CgroupTable();
	const cgroup = table.of(9n);
	assert.equal(cgroup.path, null);
	table.learn(9n, `/docker/${ID}`);
	assert.deepEqual([cgroup.path, cgroup.containerId, cgroup.systemdUnit], [`/docker/${ID}`, ID, null]);
	assert.equal(table.of(9n), cgroup);
});

test("the table keeps what was used last and never more than its bound", () => {
	const table = new CgroupTable(3);
	const first = table.of(1n);
	table.learn(2n, "/b");
	table.of(3n);
	assert.equal(table.of(1n), first);
	table.of(4n);
	assert.equal(table.size, 3);
	assert.equal(table.of(1n), first);
	assert.equal(table.of(2n).path, null, "the one that was not used is forgotten");
	assert.equal(table.size, 3);
});
