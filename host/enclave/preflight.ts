/**
 * What can be known to go wrong before anything is started: each finding is one sentence that says what to do. Guarantees that a
 * start which is bound to fail fails before it has made anything.
 */
import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, resolve } from "node:path";
import { splitHostPort } from "#core/config/strict-tree.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { BUILT } from "./layout.ts";

export type PreflightCode = "not_built" | "data_folder_unusable" | "disk_full" | "port_taken";

/** sqld, workerd and the outbox begin with a few megabytes; below this a start would stop half-way. */
export const FREE_BYTES_MIN = 256 * 1024 * 1024;

function nearestExisting(path: string): string {
	let at = resolve(path);
	while (!existsSync(at)) at = dirname(at);
	return at;
}

export function checkBuilt(): Result<void, PreflightCode> {
	const missing = [BUILT.centerWorker, BUILT.proxyWorker, BUILT.agent, `${BUILT.console}/index.html`].find(
		(path) => !existsSync(path),
	);
	return missing === undefined ? ok(undefined) : fail("not_built", "Nothing is built yet: run `npm run setup` first.");
}

/** The folder, or the nearest one above it that exists, must be a folder we may write into. */
export function checkDataFolder(dataDir: string): Result<void, PreflightCode> {
	const place = nearestExisting(dataDir);
	const advice = "name another folder with --data";
	if (!statSync(place).isDirectory())
		return fail("data_folder_unusable", `${place} is a file, not a folder: ${advice}.`);
	try {
		accessSync(place, constants.W_OK | constants.X_OK);
		return ok(undefined);
	} catch {
		return fail("data_folder_unusable", `You may not write into ${place}: ${advice}, or run as its owner.`);
	}
}

/** `freeBytesMin` is an argument so that a test can ask for more than any disk has. */
export function checkDisk(dataDir: string, freeBytesMin: number = FREE_BYTES_MIN): Result<void, PreflightCode> {
	const place = nearestExisting(dataDir);
	const { bavail, bsize } = statfsSync(place);
	if (bavail * bsize >= freeBytesMin) return ok(undefined);
	const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20);
	return fail(
		"disk_full",
		`Only ${mebibytes(bavail * bsize)} MiB are free at ${place} and ${mebibytes(freeBytesMin)} are needed: free some, or name another folder with --data.`,
	);
}

function canListen(host: string, port: number): Promise<string | null> {
	const { promise, resolve: settle } = Promise.withResolvers<string | null>();
	const server = createServer();
	server.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
	server.listen({ host, port, exclusive: true }, () => server.close(() => settle(null)));
	return promise;
}

/** `addresses` maps a configuration key to its `host:port`. */
export async function checkPorts(addresses: Readonly<Record<string, string>>): Promise<Result<void, PreflightCode>> {
	for (const [key, address] of Object.entries(addresses)) {
		const { host, port } = splitHostPort(address);
		const refused = await canListen(host, port);
		if (refused !== null)
			return fail(
				"port_taken",
				`${address} cannot be used (${refused}): stop what listens there, or change ${key} (at the first start by --port-base, later in the data folder's config).`,
			);
	}
	return ok(undefined);
}

/** Why the best tier will not run on this machine, or null when nothing speaks against it. */
export function captureNote(): string | null {
	if (!existsSync(BUILT.procmond))
		return "The collector is not built: run `npm run setup`. This host is not watched until then.";
	if (process.getuid?.() !== 0)
		return "Without root the collector polls /proc: short-lived processes and files are not seen.";
	if (!existsSync("/sys/kernel/btf/vmlinux")) return "This kernel has no BTF: the collector polls /proc and sees less.";
	return null;
}
