/**
 * The yardsticks: Redis Streams (appendfsync always: it answers after fsync) and NATS JetStream (file storage: it answers before
 * fsync, its `sync_interval` is two minutes). Both speak TLS with client certificates of the same enclave, keep their data in the
 * bench's own directory and live for one run. Guarantees that a missing program is named with the package that brings it, and that
 * none outlives its run.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import { serverNameOf } from "../../host/pki/certificates.ts";
import { nodeDirectory, nodePaths } from "../../host/pki/layout.ts";
import { freeLoopbackPort } from "../../host/supervisor/free-port.ts";
import { findTool, type Program, startProgram } from "../capture/programs.ts";
import type { Forest } from "./forest.ts";
import type { SimulatedAgent } from "./identities.ts";
import { TREE_LIMITS } from "./limits.ts";
import { createNatsStream } from "./nats-client.ts";
import type { Destination } from "./plan.ts";

export type YardstickKind = "redis" | "nats";

/** What a figure calls it. */
export const YARDSTICK_NAMES: Readonly<Record<YardstickKind, string>> = {
	redis: "Redis Streams over TLS, appendfsync always, the same payloads, connections and windows",
	nats: "NATS JetStream over TLS, file storage, which acknowledges before fsync; the same payloads, connections and windows",
};

/** Each is a Debian package of its own name. */
const TOOLS: Readonly<Record<YardstickKind, string>> = { redis: "redis-server", nats: "nats-server" };

export interface Yardstick {
	readonly destination: Extract<Destination, { kind: YardstickKind }>;
	readonly pid: number;
	stop(): Promise<void>;
}

interface Place {
	readonly directory: string;
	readonly port: number;
	readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
}

function redisArguments({ directory, port, tls }: Place): string[] {
	const options = {
		...{ port: 0, "tls-port": port, bind: "127.0.0.1", dir: directory, logfile: "log" },
		...{ "tls-cert-file": tls.cert, "tls-key-file": tls.key, "tls-ca-cert-file": tls.ca, "tls-auth-clients": "yes" },
		...{ appendonly: "yes", appendfsync: "always", save: "", "auto-aof-rewrite-percentage": 0, maxclients: 4096 },
	};
	return Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

function natsArguments({ directory, port, tls }: Place): string[] {
	const file = join(directory, "nats.conf");
	const keys = `cert_file: "${tls.cert}", key_file: "${tls.key}", ca_file: "${tls.ca}", verify: true, timeout: 30`;
	writeFileSync(
		file,
		`listen: "127.0.0.1:${port}"\nlog_file: "${directory}/log"\ntls { ${keys} }\njetstream { store_dir: "${directory}", max_mem: 64M, max_file: 32G }\n`,
	);
	return ["-c", file];
}

/** Settles when somebody listens there. */
async function waitForListener(port: number, program: Program): Promise<Result<void, string>> {
	let isOver = false;
	void program.ended.then(() => {
		isOver = true;
	});
	const untilMs = performance.now() + TREE_LIMITS.serverReadyMs;
	while (!isOver && performance.now() < untilMs) {
		const socket = connect(port, "127.0.0.1");
		const isThere = await new Promise((resolve) => {
			socket.once("connect", () => resolve(true));
			socket.once("error", () => resolve(false));
		});
		socket.destroy();
		if (isThere) return ok(undefined);
		await sleep(TREE_LIMITS.pollMs);
	}
	return fail("yardstick_missing", `nobody listens on port ${port}`);
}

/** Both programs, or the sentence that says what to install. */
export function checkYardsticks(): Result<void, string> {
	for (const name of Object.values(TOOLS)) {
		const found = findTool(name, name);
		if (!found.ok) return found;
	}
	return ok(undefined);
}

/** Starts one with nothing in it. */
export async function startYardstick(
	kind: YardstickKind,
	forest: Forest,
	firstAgent: SimulatedAgent,
): Promise<Result<Yardstick, string>> {
	const tool = findTool(TOOLS[kind], TOOLS[kind]);
	if (!tool.ok) return tool;
	const directory = join(forest.directory, kind);
	mkdirSync(directory, { mode: 0o700 });
	const node = nodePaths(nodeDirectory(forest.dataDir, "px", "px-1"));
	const port = await freeLoopbackPort();
	const place = { directory, port, tls: { cert: node.chain, key: node.tlsKey, ca: node.ca } };
	const program = startProgram([tool.value, ...(kind === "redis" ? redisArguments(place) : natsArguments(place))]);
	const serverName = serverNameOf(forest.enclave.pki.enclave, "px", "px-1");
	const stop = async () => {
		await program.stop("SIGKILL");
		rmSync(directory, { recursive: true, force: true });
	};
	const listening = await waitForListener(port, program);
	if (!listening.ok) {
		await stop();
		return listening;
	}
	if (kind === "nats") {
		const ca = readFileSync(node.ca, "utf8");
		const identity = { cert: firstAgent.tlsChain, key: firstAgent.tlsKey };
		await createNatsStream({ host: "127.0.0.1", port, servername: serverName, ca, ...identity });
	}
	return ok({ destination: { kind, port, serverName }, pid: program.pid as number, stop });
}
