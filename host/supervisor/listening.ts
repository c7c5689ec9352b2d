/**
 * Listening sockets that belong to the supervisor and not to the process that serves them: they are opened once and handed to every
 * start of that process, so that between two of its lives a client waits in the kernel's queue instead of being refused. Guarantees
 * that this process never accepts a connection itself, and that the address is really the one asked for. Must never be handed to a
 * child other than the one they are for: descriptors are closed on exec unless they are passed on by number.
 */
import { spawnSync } from "node:child_process";
import { lookup } from "node:dns/promises";
import net from "node:net";
import { getSystemErrorName } from "node:util";
import { splitHostPort } from "#core/config/strict-tree.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { HOST_LIMITS } from "../limits.ts";

export type ListenCode = "listen_failed";

export interface ListenSpec {
	/** What the process calls this socket. */
	readonly name: string;
	/** `host:port`. A name stands for its first address, IPv4 before IPv6. */
	readonly address: string;
}

export interface ListeningSocket extends ListenSpec {
	readonly descriptor: number;
	close(): void;
}

/** A bound TCP socket as Node's own cluster module makes it: bound, not yet listening, so libuv never watches it. */
interface BoundHandle {
	readonly fd: number;
	getsockname(into: { port?: number }): number;
	close(): void;
}

type CreateHandle = (address: string, port: number, family: 4 | 6) => BoundHandle | number;

/**
 * `net.Server` would accept what comes before the process that serves it is there. Node's public face has no call that only binds;
 * this one is what `cluster` uses to share a socket with its workers, and Node is pinned.
 */
const createHandle = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;

/** Where the helper finds the first socket: after the standard descriptors. */
const HELPER_DESCRIPTOR = 3;
/**
 * `listen(2)` acts on the socket, not on the process: who calls it may leave at once. A failure is told in the next tick, and ticks run
 * before the loop first looks for connections, so this never accepts one.
 */
const LISTEN = `
	const { createServer } = require("node:net");
	for (const [index, backlog] of process.argv.slice(1).entries())
		createServer()
			.on("error", ({ code }) => { process.stderr.write(code); process.exit(1); })
			.listen({ fd: ${HELPER_DESCRIPTOR} + index }, Number(backlog));
	process.nextTick(() => process.exit(0));`;

function refusal(address: string, why: string): Result<never, ListenCode> {
	return fail("listen_failed", `${address} cannot be listened at: ${why}. Stop what listens there, or change it.`);
}

async function bind(spec: ListenSpec): Promise<Result<BoundHandle, ListenCode>> {
	const { host, port } = splitHostPort(spec.address);
	const found = await lookup(host, { order: "ipv4first" }).catch((error: Error) => error);
	if (found instanceof Error) return refusal(spec.address, found.message);
	const handle = createHandle(found.address, port, found.family === 6 ? 6 : 4);
	if (typeof handle === "number") return refusal(spec.address, getSystemErrorName(handle));
	// An address in use is told by libuv only with the next call on the socket; without it the kernel would choose another port.
	const where: { port?: number } = {};
	const failed = handle.getsockname(where);
	if (failed === 0 && where.port === port) return ok(handle);
	handle.close();
	return refusal(spec.address, failed === 0 ? `the port became ${where.port}` : getSystemErrorName(failed));
}

/** Opens all of them or none. */
export async function openListening(specs: readonly ListenSpec[]): Promise<Result<ListeningSocket[], ListenCode>> {
	const opened: ListeningSocket[] = [];
	const closeAll = () => {
		for (const each of opened) each.close();
	};
	for (const spec of specs) {
		const handle = await bind(spec);
		if (!handle.ok) {
			closeAll();
			return handle;
		}
		// The handle is held by the closure: collected as garbage it would close the socket.
		const { value } = handle;
		opened.push({ ...spec, descriptor: value.fd, close: () => value.close() });
	}
	if (opened.length === 0) return ok(opened);
	const backlogs = opened.map(() => String(HOST_LIMITS.listenBacklog));
	const run = spawnSync(process.execPath, ["-e", LISTEN, ...backlogs], {
		stdio: ["ignore", "ignore", "pipe", ...opened.map(({ descriptor }) => descriptor)],
		env: {},
		timeout: HOST_LIMITS.startTimeoutMs,
	});
	if (run.status === 0) return ok(opened);
	closeAll();
	const why = run.error?.message ?? run.stderr.toString();
	return refusal(opened.map(({ address }) => address).join(", "), why === "" ? `status ${run.status}` : why);
}
