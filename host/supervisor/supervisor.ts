/**
 * Starts the processes of one box in order, keeps them running, and stops them in reverse order. Guarantees: one supervisor per
 * data directory; a process starts only when the ones before it are healthy; no child outlives the supervisor; a child that
 * keeps failing stops the whole box with a named error instead of half of it running unseen. Must never decide what runs:
 * specifications come from the caller.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import { makePrivateDirectory } from "../durable-files.ts";
import { HOST_LIMITS } from "../limits.ts";
import { type Child, type ChildCode, describeFailure, type ProcessSpec, startChild } from "./child.ts";
import { type LockCode, lockDataDir } from "./data-dir-lock.ts";
import { type LogFile, openLogFile } from "./log-file.ts";

export type { ProcessSpec } from "./child.ts";
export type { HealthCheck } from "./health.ts";

export type SupervisorCode = LockCode | ChildCode | "child_keeps_failing";

export type ProcessState = "starting" | "ready" | "waiting" | "stopping" | "stopped" | "failed";

export interface StateChange {
	readonly name: string;
	readonly state: ProcessState;
	readonly pid?: number;
	/** Why, for `waiting` and `failed`: the exit and the last lines of the log. */
	readonly detail?: string;
}

export interface SupervisorLimits {
	readonly backoffFirstMs: number;
	readonly backoffMaxMs: number;
	readonly backoffResetMs: number;
	readonly restartsMax: number;
}

export interface SupervisorOptions<Code extends string = never> {
	readonly dataDir: string;
	/** Asked when the lock is held, before anything starts: are ports free, is there disk? Its failure is the answer. */
	readonly beforeStart?: () => Promise<Result<unknown, Code>>;
	/** In starting order; stopped in reverse. */
	readonly processes: readonly ProcessSpec[];
	readonly onState?: (change: StateChange) => void;
	/** Ends the starting phase early; later, call `stop`. */
	readonly signal?: AbortSignal;
	readonly limits?: SupervisorLimits;
}

export interface Supervisor {
	/** Stops everything in reverse order and frees the data directory. Safe to call twice. */
	stop(): Promise<void>;
	/** Settles when all is stopped: ok after `stop`, a failure when a child kept failing. */
	readonly finished: Promise<Result<void, SupervisorCode>>;
	/** Pids of the running children by name. */
	pids(): ReadonlyMap<string, number>;
}

interface Managed {
	readonly spec: ProcessSpec;
	readonly log: LogFile;
	child: Child;
}

interface Box {
	readonly options: SupervisorOptions<string>;
	readonly limits: SupervisorLimits;
	readonly lockDescriptor: number;
	readonly managed: Managed[];
	/** Aborted when everything is to stop: wakes the waits. */
	readonly stopping: AbortController;
}

function report(box: Box, managed: Managed, state: ProcessState, detail?: string): void {
	const { pid } = managed.child;
	const running = pid !== undefined && (state === "starting" || state === "ready" || state === "stopping");
	box.options.onState?.({
		name: managed.spec.name,
		state,
		...(running ? { pid } : {}),
		...(detail === undefined ? {} : { detail }),
	});
}

async function startFirst(box: Box, spec: ProcessSpec): Promise<Result<void, ChildCode>> {
	let log: LogFile;
	try {
		log = openLogFile(join(box.options.dataDir, "logs", `${spec.name}.log`));
		spec.beforeFirstStart?.();
	} catch (error) {
		return fail("child_failed", `The files of ${spec.name} could not be written: ${(error as Error).message}`);
	}
	const managed = { spec, log, child: startChild(spec, { log, lockDescriptor: box.lockDescriptor }) };
	box.managed.push(managed);
	report(box, managed, "starting");
	const signals = [box.stopping.signal, ...(box.options.signal === undefined ? [] : [box.options.signal])];
	const healthy = await managed.child.waitHealthy(AbortSignal.any(signals));
	if (healthy.ok) report(box, managed, "ready");
	else report(box, managed, "failed", healthy.detail);
	return healthy;
}

/** The wait before start number `failures` + 1, spread so that several children do not come back in step. */
function backoffMs(failures: number, limits: SupervisorLimits): number {
	const plain = Math.min(limits.backoffFirstMs * 2 ** (failures - 1), limits.backoffMaxMs);
	return plain * (1 + HOST_LIMITS.backoffJitter * (2 * Math.random() - 1));
}

/** Keeps one child running until everything stops. Answers with a failure when it has failed too often in a row. */
async function keepRunning(box: Box, managed: Managed): Promise<Result<void, "child_keeps_failing">> {
	const { limits, stopping } = box;
	let failures = 0;
	let readySinceMs = performance.now();
	for (;;) {
		const how = await managed.child.exited;
		if (stopping.signal.aborted) return ok(undefined);
		if (performance.now() - readySinceMs > limits.backoffResetMs) failures = 0;
		failures++;
		const detail = describeFailure(managed.spec, how, managed.log);
		if (failures > limits.restartsMax) {
			report(box, managed, "failed", detail);
			return fail("child_keeps_failing", `After ${limits.restartsMax} restarts: ${detail}`);
		}
		report(box, managed, "waiting", detail);
		const wasStopped = await sleep(backoffMs(failures, limits), false, { signal: stopping.signal }).catch(() => true);
		if (wasStopped || stopping.signal.aborted) return ok(undefined);
		managed.child = startChild(managed.spec, { log: managed.log, lockDescriptor: box.lockDescriptor });
		report(box, managed, "starting");
		const healthy = await managed.child.waitHealthy(stopping.signal);
		readySinceMs = performance.now();
		if (healthy.ok) report(box, managed, "ready");
		else if (!stopping.signal.aborted) await managed.child.stop();
	}
}

async function stopAll(box: Box): Promise<void> {
	box.stopping.abort();
	for (const managed of box.managed.toReversed()) {
		report(box, managed, "stopping");
		await managed.child.stop();
		managed.log.close();
		report(box, managed, "stopped");
	}
}

/**
 * Locks the data directory and starts the processes in order. On a failure everything that was started is stopped again and the
 * lock is free when this returns.
 */
export async function runSupervisor<Code extends string = never>(
	options: SupervisorOptions<Code>,
): Promise<Result<Supervisor, SupervisorCode | Code>> {
	const lock = lockDataDir(options.dataDir);
	if (!lock.ok) return lock;
	makePrivateDirectory(join(options.dataDir, "logs"));
	const box: Box = {
		options,
		limits: options.limits ?? HOST_LIMITS,
		lockDescriptor: lock.value.descriptor,
		managed: [],
		stopping: new AbortController(),
	};
	const started = await startAll(box, options);
	if (started.ok) return ok(watch(box, lock.value.release));
	await stopAll(box);
	lock.value.release();
	return started;
}

async function startAll<Code extends string>(
	box: Box,
	options: SupervisorOptions<Code>,
): Promise<Result<void, ChildCode | Code>> {
	const ready = await options.beforeStart?.();
	if (ready?.ok === false) return ready;
	for (const spec of options.processes) {
		const started = await startFirst(box, spec);
		if (!started.ok) return started;
	}
	return ok(undefined);
}

function watch(box: Box, releaseLock: () => void): Supervisor {
	let stopped: Promise<void> | undefined;
	function stop(): Promise<void> {
		stopped ??= stopAll(box).then(releaseLock);
		return stopped;
	}
	async function run(): Promise<Result<void, SupervisorCode>> {
		const runs = box.managed.map((managed) => keepRunning(box, managed));
		// Each run ends by our stop or by its own failure; the first failure stops the others.
		const ends = await Promise.all(
			runs.map(async (each) => {
				const end = await each;
				if (!end.ok) await stop();
				return end;
			}),
		);
		await stop();
		return ends.find((end) => !end.ok) ?? ok(undefined);
	}
	return {
		stop,
		finished: run(),
		pids: () =>
			new Map(box.managed.flatMap(({ spec, child }) => (child.pid === undefined ? [] : [[spec.name, child.pid]]))),
	};
}
