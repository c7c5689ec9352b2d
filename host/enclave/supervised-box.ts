/**
 * The processes of one box under its supervisor, between the two desks that belong to it: the disk desk, open before the first worker
 * asks, and the control desk, open when all runs. Guarantees that a start which fails leaves neither processes nor desks, and that the
 * desks close when the supervisor has finished.
 */
import { ok, type Result } from "#core/result.ts";
import { type ControlDesk, type Controlled, openControlDesk } from "../supervisor/control-desk.ts";
import type { DiskDesk } from "../supervisor/disk-desk.ts";
import { type ProcessSpec, runSupervisor, type StateChange, type Supervisor } from "../supervisor/supervisor.ts";
import { openDeskOf } from "./desk.ts";
import { checkPorts } from "./preflight.ts";

export interface BoxStart {
	readonly dataDir: string;
	readonly processes: readonly ProcessSpec[];
	/** What is listened at, `host:port` by the key that sets it. */
	readonly addresses: Readonly<Record<string, string>>;
	/** Where each worker's objects lie, by the worker's name. */
	readonly directories: ReadonlyMap<string, string>;
	/** What is replaced when nothing is named, in this order. */
	readonly workers: readonly string[];
	/** How a process of the running box is replaced. */
	readonly replaceIn: (supervisor: Supervisor) => Controlled["replace"];
	readonly onState?: (change: StateChange) => void;
	readonly signal?: AbortSignal;
}

export async function superviseBox(start: BoxStart): Promise<Result<Supervisor, string>> {
	const { dataDir, workers } = start;
	let diskDesk: DiskDesk | null = null;
	let controlDesk: ControlDesk | null = null;
	const supervisor = await runSupervisor<string>({
		dataDir,
		processes: start.processes,
		beforeStart: async () => {
			const ports = await checkPorts(start.addresses);
			if (!ports.ok) return ports;
			const opened = await openDeskOf(dataDir, start.directories);
			if (opened.ok) diskDesk = opened.value;
			return opened;
		},
		...(start.onState === undefined ? {} : { onState: start.onState }),
		...(start.signal === undefined ? {} : { signal: start.signal }),
	});
	const closeDesks = () => {
		diskDesk?.close();
		controlDesk?.close();
	};
	if (!supervisor.ok) {
		closeDesks();
		return supervisor;
	}
	const { pids, stop, finished } = supervisor.value;
	const control = await openControlDesk(dataDir, { workers, pids, replace: start.replaceIn(supervisor.value) });
	if (!control.ok) {
		await stop();
		closeDesks();
		return control;
	}
	controlDesk = control.value;
	void finished.then(closeDesks);
	return ok(supervisor.value);
}
