/**
 * One child process: started, watched until it is healthy, stopped. Guarantees: the kernel kills it when this process dies
 * (`setpriv --pdeathsig`), it holds the data directory's lock while it lives, it makes private files (umask 077), it sees only
 * the environment it was given, and a Ctrl-C in the terminal reaches the supervisor alone (own session), which stops the
 * children in order. Must never put a secret on the command line: that is world-readable in /proc.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import { HOST_LIMITS } from "../limits.ts";
import { type HealthCheck, isHealthy } from "./health.ts";
import type { ListeningSocket, ListenSpec } from "./listening.ts";
import type { LogFile } from "./log-file.ts";

export interface ProcessSpec {
	/** Names the log file and every message about it: lower-case letters, digits and hyphens. */
	readonly name: string;
	readonly command: string;
	readonly args: readonly string[];
	/** The child's whole environment beside PATH and LANG; secrets go here. */
	readonly env?: Readonly<Record<string, string>>;
	readonly cwd?: string;
	/** Sockets that outlive the process: each start gets them, told by `socketArgument`. */
	readonly listens?: readonly ListenSpec[];
	/** How the command is told that a socket of `listens` is already open: `--socket-fd=links=4`. */
	readonly socketArgument?: (name: string, descriptor: number) => string;
	/** Writes the files the process reads; runs before the first start by this specification, under the lock. */
	readonly beforeFirstStart?: () => void;
	readonly health: HealthCheck;
	/** Runs after every start once the child is healthy, before the next process starts; a failure fails that start. */
	readonly afterHealthy?: () => Promise<Result<void, string>>;
	readonly startTimeoutMs?: number;
	readonly stopGraceMs?: number;
}

export type ChildCode = "child_failed" | "start_interrupted";

export interface Child {
	readonly pid: number | undefined;
	/** Settles when the process is gone, with a phrase that says how: `ended with status 1`. */
	readonly exited: Promise<string>;
	/** Waits until healthy and its `afterHealthy` is done. The child still runs when this fails: the caller stops it. */
	waitHealthy(signal: AbortSignal): Promise<Result<void, ChildCode>>;
	/** SIGTERM, the grace time, SIGKILL; settles when the process is gone. */
	stop(): Promise<void>;
}

export interface ChildContext {
	readonly log: LogFile;
	readonly lockDescriptor: number;
	readonly sockets: readonly ListeningSocket[];
}

/** The child's descriptors: the standard ones, the lock, then the sockets. */
const FIRST_SOCKET_DESCRIPTOR = 4;

function spawnPrivately(spec: ProcessSpec, context: ChildContext): ChildProcessByStdio<null, Readable, Readable> {
	const before = process.umask(0o077);
	const told = context.sockets.flatMap(
		({ name }, index) => spec.socketArgument?.(name, FIRST_SOCKET_DESCRIPTOR + index) ?? [],
	);
	try {
		// The parent-death signal follows the thread that forked; Node forks on its main thread, which lives as long as we do.
		const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", spec.command, ...spec.args, ...told], {
			cwd: spec.cwd,
			env: { PATH: process.env.PATH ?? "/usr/bin:/bin", LANG: "C.UTF-8", ...spec.env },
			stdio: ["ignore", "pipe", "pipe", context.lockDescriptor, ...context.sockets.map((each) => each.descriptor)],
			detached: true,
		});
		return child as unknown as ChildProcessByStdio<null, Readable, Readable>;
	} finally {
		process.umask(before);
	}
}

function exitOf(child: ChildProcessByStdio<null, Readable, Readable>): Promise<string> {
	const { promise, resolve } = Promise.withResolvers<string>();
	child.on("error", (error) => resolve(`could not be started: ${error.message}`));
	// "close" and not "exit": by then the last words of the child are in the log.
	child.on("close", (status, signal) =>
		resolve(signal === null ? `ended with status ${status}` : `was ended by ${signal}`),
	);
	return promise;
}

/** The error a person reads when a child is in trouble: what happened, then its own last words. */
export function describeFailure(spec: ProcessSpec, what: string, log: LogFile): string {
	const tail = log.tail();
	const said = tail.length === 0 ? "It wrote nothing." : `Its last lines:\n  ${tail.join("\n  ")}`;
	return `${spec.name} ${what}. See logs/${spec.name}.log. ${said}`;
}

/** Starts the process. A command that cannot be run shows as an exit, like one that ends at once. */
export function startChild(spec: ProcessSpec, context: ChildContext): Child {
	const { log } = context;
	const child = spawnPrivately(spec, context);
	child.stdout.on("data", (chunk: Uint8Array) => log.write(chunk));
	child.stderr.on("data", (chunk: Uint8Array) => log.write(chunk));
	const exited = exitOf(child);
	let hasExited = false;
	void exited.then(() => {
		hasExited = true;
	});
	const failed = (what: string) => fail("child_failed", describeFailure(spec, what, log));

	async function waitHealthy(signal: AbortSignal): Promise<Result<void, ChildCode>> {
		const timeoutMs = spec.startTimeoutMs ?? HOST_LIMITS.startTimeoutMs;
		const deadline = performance.now() + timeoutMs;
		for (;;) {
			if (signal.aborted) return fail("start_interrupted", `${spec.name} was stopped while it was starting.`);
			if (hasExited) return failed(`${await exited} before it was ready`);
			if (await isHealthy(spec.health)) break;
			if (performance.now() > deadline) return failed(`did not answer its health check within ${timeoutMs} ms`);
			await Promise.race([sleep(HOST_LIMITS.healthIntervalMs), exited]);
		}
		// Another process may own the address: an answer counts only while our child lives.
		if (hasExited) return failed(`${await exited} while something else answered for it`);
		const prepared = (await spec.afterHealthy?.()) ?? ok(undefined);
		return prepared.ok ? prepared : failed(`could not be prepared: ${prepared.detail}`);
	}

	async function stop(): Promise<void> {
		child.kill("SIGTERM");
		const timer = setTimeout(() => child.kill("SIGKILL"), spec.stopGraceMs ?? HOST_LIMITS.stopGraceMs);
		await exited;
		clearTimeout(timer);
	}

	return { pid: child.pid, exited, waitHealthy, stop };
}
