/**
 * How the supervisor runs workerd: the configuration written privately, the binary itself (not npm's wrapper, which would stand
 * between the supervisor and the process), secrets in the environment only.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import { dirname, join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";
import { makePrivateDirectory, writeFileDurably } from "../durable-files.ts";
import { HOST_LIMITS } from "../limits.ts";
import type { HealthCheck, ProcessSpec } from "../supervisor/supervisor.ts";
import { renderWorkerdConfig, type WorkerdSpec } from "./config.ts";

export interface WorkerdOptions {
	/** Names process, log and configuration: `sc`, `px-1`. */
	readonly name: string;
	readonly dataDir: string;
	readonly spec: WorkerdSpec;
	/** Secrets by the variable names that `environment` bindings use. */
	readonly secrets: Readonly<Record<string, string>>;
	readonly health: HealthCheck;
}

export type WorkerdCode = "workerd_missing";

/** npm's names for platforms and ours for architectures. */
const PACKAGES: Readonly<Record<string, string>> = {
	"linux-x64": "@cloudflare/workerd-linux-64",
	"linux-arm64": "@cloudflare/workerd-linux-arm64",
};

/** The binary of the pinned workerd, or null where npm brought none. */
export function findWorkerd(): string | null {
	const name = PACKAGES[`${platform()}-${arch()}`];
	if (name === undefined) return null;
	try {
		// The platform package is workerd's own dependency: it is looked up from there.
		const require = createRequire(createRequire(import.meta.url).resolve("workerd/package.json"));
		const path = join(dirname(require.resolve(`${name}/package.json`)), "bin", "workerd");
		return existsSync(path) ? path : null;
	} catch {
		// An optional dependency that npm left out on this platform.
		return null;
	}
}

/**
 * Describes the process. Its configuration `run/<name>.capnp` and the directories of writable disk services are made when the
 * supervisor holds the lock, so that a second start changes nothing under the first.
 */
export function prepareWorkerd(options: WorkerdOptions): Result<ProcessSpec, WorkerdCode> {
	const command = findWorkerd();
	if (command === null) return fail("workerd_missing", `npm brought no workerd for ${platform()} ${arch()}.`);
	const directory = join(options.dataDir, "run");
	const path = join(directory, `${options.name}.capnp`);
	const text = renderWorkerdConfig(options.spec, directory);
	return ok({
		name: options.name,
		command,
		args: ["serve", path, "config"],
		cwd: options.dataDir,
		listens: options.spec.sockets.map(({ name, address }) => ({ name, address })),
		socketArgument: (name, descriptor) => `--socket-fd=${name}=${descriptor}`,
		beforeFirstStart: () => {
			makePrivateDirectory(directory);
			for (const service of options.spec.services) {
				if (service.kind === "disk" && service.isWritable) makePrivateDirectory(service.path);
			}
			writeFileDurably(path, text);
		},
		env: options.secrets,
		health: options.health,
		stopGraceMs: HOST_LIMITS.workerdStopGraceMs,
	});
}
