/**
 * One process of a box through its lives: what it is run by, the child that runs now, its listening sockets. Guarantees that a life
 * begins only where the caller has seen the former one end. Must never start two children of one process at once.
 */
import { fail, type Result } from "#core/result.ts";
import { type Child, type ChildCode, type ProcessSpec, startChild } from "./child.ts";
import type { ListeningSocket } from "./listening.ts";
import type { LogFile } from "./log-file.ts";
import type { Replacement } from "./replacement.ts";

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

export interface Managed {
	spec: ProcessSpec;
	readonly log: LogFile;
	child: Child;
	sockets: readonly ListeningSocket[];
	/** From the moment it was asked for until it is answered. */
	isBeingReplaced: boolean;
	/** Taken up when the present child has ended. */
	replacement: Replacement | null;
	/** Ends the wait after a crash: a person who replaces the process has seen to it. */
	wake: AbortController;
}

export interface Box {
	readonly onState: ((change: StateChange) => void) | undefined;
	readonly limits: SupervisorLimits;
	readonly lockDescriptor: number;
	readonly managed: Managed[];
	/** Aborted when everything is to stop: wakes the waits. */
	readonly stopping: AbortController;
}

export function report(box: Box, managed: Managed, state: ProcessState, detail?: string): void {
	const { pid } = managed.child;
	const running = pid !== undefined && (state === "starting" || state === "ready" || state === "stopping");
	box.onState?.({
		name: managed.spec.name,
		state,
		...(running ? { pid } : {}),
		...(detail === undefined ? {} : { detail }),
	});
}

export function startIn(box: Box, managed: Pick<Managed, "spec" | "log" | "sockets">): Child {
	const { spec, log, sockets } = managed;
	return startChild(spec, { log, sockets, lockDescriptor: box.lockDescriptor });
}

/** Starts the present specification; a child that does not become healthy is stopped. */
export async function startAgain(box: Box, managed: Managed): Promise<Result<void, ChildCode>> {
	managed.child = startIn(box, managed);
	report(box, managed, "starting");
	const healthy = await managed.child.waitHealthy(box.stopping.signal);
	if (healthy.ok) report(box, managed, "ready");
	else if (!box.stopping.signal.aborted) await managed.child.stop();
	return healthy;
}

/** The same, with the files of a new specification. */
export async function writeAndStart(box: Box, managed: Managed): Promise<Result<void, ChildCode>> {
	try {
		managed.spec.beforeFirstStart?.();
	} catch (error) {
		return fail("child_failed", `The files of ${managed.spec.name} could not be written: ${(error as Error).message}.`);
	}
	return startAgain(box, managed);
}
