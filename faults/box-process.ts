/**
 * One process of a fault box, started as the supervisor starts it (host/supervisor/child.ts) but brought back only when a row says so,
 * so that a row decides how long it is away. Ends with this process, whatever happens.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { assertInvariant } from "#core/result.ts";
import { type Child, type ProcessSpec, startChild } from "../host/supervisor/child.ts";
import { type LogFile, openLogFile } from "../host/supervisor/log-file.ts";
import { type Attached, attach, type Injection } from "./strace.ts";

export class BoxProcess {
	readonly name: string;
	readonly #spec: ProcessSpec;
	readonly #lockDescriptor: number;
	readonly #signal: AbortSignal;
	readonly #log: LogFile;
	#child: Child | null = null;
	#isFirst = true;

	constructor(spec: ProcessSpec, context: { dataDir: string; lockDescriptor: number; signal: AbortSignal }) {
		this.name = spec.name;
		this.#spec = spec;
		this.#lockDescriptor = context.lockDescriptor;
		this.#signal = context.signal;
		this.#log = openLogFile(join(context.dataDir, "logs", `${spec.name}.log`));
	}

	get #launched(): Child {
		assertInvariant(this.#child !== null, `${this.name} is not running`);
		return this.#child;
	}

	get pid(): number {
		assertInvariant(this.#child?.pid !== undefined, `${this.name} is not running`);
		return this.#child.pid;
	}

	/** Settles when the process that runs now has gone. */
	get exited(): Promise<string> {
		return this.#launched.exited;
	}

	/** Whether it was started and not taken away; it may have ended by itself. */
	get isRunning(): boolean {
		return this.#child !== null;
	}

	/** Whether it has ended by itself. */
	async hasEnded(): Promise<boolean> {
		return (await Promise.race([this.exited, sleep(0, null)])) !== null;
	}

	/** Starts it and waits for nothing: without its store the Security Center never calls itself healthy, and works all the same. */
	launch(): void {
		const context = { log: this.#log, lockDescriptor: this.#lockDescriptor, sockets: [] };
		this.#child = startChild(this.#spec, context);
	}

	/** Starts it and waits until it is healthy; tries again when it ends while it starts, as the supervisor would. */
	async start(tries = 4): Promise<void> {
		if (this.#isFirst) this.#spec.beforeFirstStart?.();
		this.#isFirst = false;
		for (let attempt = 1; ; attempt++) {
			// It listens by itself: who links to a box that is gone is refused, as when its machine is.
			this.launch();
			const healthy = await this.#launched.waitHealthy(this.#signal);
			if (healthy.ok) return;
			await this.kill();
			if (attempt >= tries || this.#signal.aborted) throw new Error(healthy.detail);
			await sleep(250);
		}
	}

	/** SIGKILL: nothing is flushed, nobody is told. */
	async kill(): Promise<void> {
		const child = this.#child;
		if (child === null) return;
		this.#child = null;
		if (child.pid !== undefined) signalQuietly(child.pid, "SIGKILL");
		await child.exited;
	}

	async stop(): Promise<void> {
		await this.#child?.stop();
		this.#child = null;
	}

	pause(): void {
		process.kill(this.pid, "SIGSTOP");
	}

	resume(): void {
		process.kill(this.pid, "SIGCONT");
	}

	attach(injection: Injection): Promise<Attached> {
		return attach(this.pid, injection);
	}

	/** The process has gone by itself or by an injection: forgets it. */
	async gone(): Promise<void> {
		await this.exited;
		this.#child = null;
	}

	tail(): string[] {
		return this.#log.tail();
	}
}

/** A process that has just gone is not an error: its exit is what is waited for. */
function signalQuietly(pid: number, signal: NodeJS.Signals): void {
	try {
		process.kill(pid, signal);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
	}
}
