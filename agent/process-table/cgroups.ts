/**
 * What a cgroup says of the processes in it: its path, the container and the systemd unit that the path shows. procmond tells a
 * path once per cgroup, processes point at one record. Guarantees a bound; a record that is forgotten stays with the processes
 * that have it, and with their children. The unit is the one that the host's systemd made; names further in belong to whoever the
 * tree was delegated to, and are claims. Must never ask a container runtime: a path is what everybody on the host can check.
 */
import { AGENT_LIMITS } from "../limits.ts";

export interface Cgroup {
	/** Id in the cgroup v2 tree; the kernel does not use one twice. */
	readonly id: bigint;
	/** Below the cgroup v2 mount; null until procmond tells it. */
	path: string | null;
	containerId: string | null;
	systemdUnit: string | null;
}

const CONTAINER_ID_LENGTH_MAX = 64;
const UNIT_LENGTH_MAX = 256;

/** One name of a path that is a container's own; the group is its id. Tried in order. */
const CONTAINER_NAMES: readonly RegExp[] = [
	// docker-ID.scope, cri-containerd-ID.scope, crio-ID(.scope), libpod-ID.scope: by systemd, or as CRI-O writes it without.
	/^(?:docker|cri-containerd|containerd|nerdctl|crio|libpod|podman)-([0-9a-f]{12,64})(?:\.scope)?$/,
	// kubepods-…slice:cri-containerd:ID, where containerd gives systemd's notation to cgroupfs.
	/^[^:]+:(?:cri-containerd|crio|docker):([0-9a-f]{64})$/,
	// /docker/ID, /kubepods/…/podUID/ID, /k8s.io/ID, /ecs/TASK/ID: nobody else names a cgroup with a whole SHA-256.
	/^([0-9a-f]{64})$/,
	// Fargate: TASK-NUMBER.
	/^([0-9a-f]{32}-[0-9]{6,12})$/,
	/^lxc\.payload\.(.+)$/,
	/^systemd-nspawn@(.+)\.service$/,
	// machine-NAME.scope is nspawn's and machined's; a qemu one holds the emulator, whose guest is no container of this kernel.
	/^machine-(?!qemu-)(.+)\.scope$/,
];
/** A user names everything below this as they like; a rootless container of podman lies there, so only its form is taken. */
const USER_MANAGER = /^user@.+\.service$/;
const ROOTLESS_NAMES: readonly RegExp[] = [/^(?:libpod|podman)-([0-9a-f]{12,64})\.scope$/];
/** Units that may hold processes, besides slices. */
const UNIT = /^.+\.(?:service|scope|socket|mount|swap)$/;
const SLICE = /^.+\.slice$/;
/** `/lxc/NAME` and `/lxc.payload/NAME`: the name stands one level below. */
const LXC_PARENT = /^lxc(?:\.payload)?$/;

/** Undoes systemd's escapes (`\x2d`), printable ASCII only, and the `_` before names that clash with the kernel's files. */
function unescaped(name: string): string {
	const bare = name.startsWith("_") ? name.slice(1) : name;
	return bare.replace(/\\x([0-7][0-9a-f])/g, (written, hex: string) => {
		const code = Number.parseInt(hex, 16);
		return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : written;
	});
}

/**
 * The innermost container that a cgroup path names, or null. Below a user's manager only podman's form counts, and that is the
 * user's own claim; a container that holds a nested tree can claim names in it as well.
 */
export function containerIdOf(path: string): string | null {
	const names = path.split("/").map(unescaped);
	const manager = names.findIndex((name) => USER_MANAGER.test(name));
	for (let i = names.length - 1; i > 0; i--) {
		const name = names[i] as string;
		const isOfUser = manager !== -1 && i > manager;
		if (!isOfUser && LXC_PARENT.test(names[i - 1] as string) && name !== "")
			return name.slice(0, CONTAINER_ID_LENGTH_MAX);
		for (const pattern of isOfUser ? ROOTLESS_NAMES : CONTAINER_NAMES) {
			const id = pattern.exec(name)?.[1];
			if (id !== undefined) return id.slice(0, CONTAINER_ID_LENGTH_MAX);
		}
	}
	return null;
}

/** The first name after the leading slices when it is a unit (as systemd's `cg_path_get_unit`), else the last of them, or null. */
export function systemdUnitOf(path: string): string | null {
	const names = path.split("/").slice(1).map(unescaped);
	const end = names.findIndex((name) => !SLICE.test(name));
	const slices = end === -1 ? names : names.slice(0, end);
	const first = names[slices.length];
	const unit = first !== undefined && UNIT.test(first) ? first : slices.at(-1);
	return unit === undefined ? null : unit.slice(0, UNIT_LENGTH_MAX);
}

export class CgroupTable {
	readonly #cgroupsMax: number;
	/** Oldest use first. */
	readonly #byId = new Map<bigint, Cgroup>();

	constructor(cgroupsMax: number = AGENT_LIMITS.cgroupsMax) {
		this.#cgroupsMax = cgroupsMax;
	}

	get size(): number {
		return this.#byId.size;
	}

	/** The record of a cgroup; an empty one when its path has not been told. */
	of(id: bigint): Cgroup {
		const known = this.#byId.get(id);
		if (known !== undefined) {
			this.#byId.delete(id);
			this.#byId.set(id, known);
			return known;
		}
		if (this.#byId.size >= this.#cgroupsMax) this.#byId.delete(this.#byId.keys().next().value as bigint);
		const cgroup: Cgroup = { id, path: null, containerId: null, systemdUnit: null };
		this.#byId.set(id, cgroup);
		return cgroup;
	}

	/** Takes what procmond says of a cgroup. Processes that point at it already know it too. */
	learn(id: bigint, path: string): void {
		const cgroup = this.of(id);
		cgroup.path = path;
		cgroup.containerId = containerIdOf(path);
		cgroup.systemdUnit = systemdUnitOf(path);
	}
}
