/**
 * Starts the processes of one box in order, keeps them running, and stops them in reverse order. Guarantees: one supervisor per
 * data directory; a process starts only when the ones before it are healthy; no child outlives the supervisor; a child that
 * keeps failing stops the whole box with a named error instead of half of it running unseen; while a process is down, crashed or being
 * replaced, its listening sockets stay open. Must never decide what runs: specifications come from the caller. Must never run two
 * processes of one name at once: both would serve the same data.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, ok, type Result } from "#core/result.ts";
import { makePrivateDirectory } from "../durable-files.ts";
import { HOST_LIMITS } from "../limits.ts";
import { type ChildCode, describeFailure, type ProcessSpec } from "./child.ts";
import { type LockCode, lockDataDir } from "./data-dir-lock.ts";
import { type ListenCode, openListening } from "./listening.ts";
import { type LogFile, openLogFile } from "./log-file.ts";
import {
	type Box,
	type Managed,
	report,
	type StateChange,
	type SupervisorLimits,
	startAgain,
	startIn,
} from "./managed.ts";
import { giveUp, type ReplaceCode, type Replaced, replace, takeUp } from "./replacement.ts";

export type { ProcessSpec } from "./child.ts";
export type { HealthCheck } from "./health.ts";
export type { ProcessState, StateChange, SupervisorLimits } from "./managed.ts";
export type { ReplaceCode, Replaced } from "./replacement.ts";

export type SupervisorCode = LockCode | ListenCode | ChildCode | "child_keeps_failing";

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
	/**
	 * Stops one process and starts it by `spec`, or by its present one, on the same listening sockets. Where the new one does not become
	 * healthy the former specification is started again, and the failure says so.
	 */
	replace(name: string, spec?: ProcessSpec): Promise<Result<Replaced, ReplaceCode>>;
	/** Settles when all is stopped: ok after `stop`, a failure when a child kept failing. */
	readonly finished: Promise<Result<void, SupervisorCode>>;
	/** Pids of the running children by name. */
	pids(): ReadonlyMap<string, number>;
}

async function startFirst(
	box: Box,
	spec: ProcessSpec,
	options: SupervisorOptions<string>,
): Promise<Result<void, ListenCode | ChildCode>> {
	const opened = await openListening(spec.listens ?? []);
	if (!opened.ok) return opened;
	const sockets = opened.value;
	let log: LogFile;
	try {
		log = openLogFile(join(options.dataDir, "logs", `${spec.name}.log`));
		spec.beforeFirstStart?.();
	} catch (error) {
		for (const each of sockets) each.close();
		return fail("child_failed", `The files of ${spec.name} could not be written: ${(error as Error).message}`);
	}
	const child = startIn(box, { spec, log, sockets });
	const idle = { isBeingReplaced: false, replacement: null, wake: new AbortController() };
	const managed: Managed = { spec, log, sockets, child, ...idle };
	box.managed.push(managed);
	report(box, managed, "starting");
	const signals = [box.stopping.signal, ...(options.signal === undefined ? [] : [options.signal])];
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
		if (managed.replacement !== null) {
			await takeUp(box, managed, managed.replacement);
			failures = 0;
			readySinceMs = performance.now();
			continue;
		}
		if (performance.now() - readySinceMs > limits.backoffResetMs) failures = 0;
		failures++;
		const detail = describeFailure(managed.spec, how, managed.log);
		if (failures > limits.restartsMax) {
			report(box, managed, "failed", detail);
			return fail("child_keeps_failing", `After ${limits.restartsMax} restarts: ${detail}`);
		}
		report(box, managed, "waiting", detail);
		const woken = AbortSignal.any([stopping.signal, managed.wake.signal]);
		await sleep(backoffMs(failures, limits), undefined, { signal: woken }).catch(() => undefined);
		if (stopping.signal.aborted) return ok(undefined);
		if (managed.replacement !== null) continue;
		await startAgain(box, managed);
		readySinceMs = performance.now();
	}
}

async function stopAll(box: Box): Promise<void> {
	box.stopping.abort();
	for (const managed of box.managed.toReversed()) {
		report(box, managed, "stopping");
		giveUp(managed);
		// Nobody will come for those who would queue now: they are refused, and look elsewhere.
		for (const each of managed.sockets) each.close();
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
		onState: options.onState,
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
): Promise<Result<void, ListenCode | ChildCode | Code>> {
	const ready = await options.beforeStart?.();
	if (ready?.ok === false) return ready;
	for (const spec of options.processes) {
		const started = await startFirst(box, spec, options as SupervisorOptions<string>);
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
		async replace(name, spec) {
			const managed = box.managed.find((each) => each.spec.name === name);
			if (managed === undefined) return fail("process_unknown", `No process of this box is called ${name}.`);
			return replace(box, managed, spec ?? managed.spec);
		},
		finished: run(),
		pids: () =>
			new Map(box.managed.flatMap(({ spec, child }) => (child.pid === undefined ? [] : [[spec.name, child.pid]]))),
	};
}
