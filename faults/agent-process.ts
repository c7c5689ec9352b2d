/** A feeding agent seen from outside: started, fed, killed, and every line of it taken into its truth. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_PARENT_TIMES, type ParentTimes } from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import type { NodeFiles } from "../host/pki/node-files.ts";
import { AgentTruth } from "./ledger-of-truth.ts";
import { FAULT_LIMITS } from "./limits.ts";
import { type Injection, straced } from "./strace.ts";
import type { Feed, FeedingConfig, FeedingOrder, TruthLine, Wire } from "./truth-line.ts";

export interface AgentStart {
	readonly until?: FeedingConfig["until"];
	readonly feed?: Feed;
	/** Instead of its own hop; several are in order of preference. */
	readonly port?: number | readonly number[];
	readonly parentTimes?: ParentTimes;
	/** Keeps beside the outbox what a power loss would leave of it. */
	readonly hasImage?: boolean;
	readonly injection?: Injection;
	readonly outboxBytesMax?: number;
	readonly clockOffsetMs?: number;
	readonly isClockStrobing?: boolean;
}

export interface Ended {
	readonly status: number | null;
	readonly signal: string | null;
}

export class AgentProcess {
	readonly truth: AgentTruth;
	/** Outbox and key; a row may copy, cut or flip it while the agent is away. */
	readonly directory: string;
	readonly #node: NodeFiles;
	readonly #build: string;
	readonly #enclave: string;
	readonly #port: number;
	#child: ChildProcess | null = null;
	#pid = 0;
	#isLinked = false;
	#isFreed = false;
	/** Lines of the log by code, of all lives. */
	readonly logged = new Map<string, number>();
	/** Last fields logged under each code. */
	readonly lastLogged = new Map<string, Readonly<Record<string, unknown>>>();
	/** From start to an open outbox, of each life that came so far. */
	readonly restartsMs: number[] = [];
	#waiting: { kind: TruthLine[0]; resolve: () => void }[] = [];
	ended: Promise<Ended> = Promise.resolve({ status: null, signal: null });

	constructor(options: {
		id: string;
		node: NodeFiles;
		build: string;
		enclave: string;
		port: number;
		directory: string;
	}) {
		this.truth = new AgentTruth(options.id);
		this.#node = options.node;
		this.#build = options.build;
		this.#enclave = options.enclave;
		this.#port = options.port;
		this.directory = options.directory;
	}

	get id(): string {
		return this.truth.agent;
	}

	get pid(): number {
		return this.#pid;
	}

	/** Starts a life; settles when its outbox is open, or when it ended before. */
	async start(start: AgentStart = {}): Promise<void> {
		assertInvariant(this.#child === null, `${this.id} runs already`);
		this.#isLinked = false;
		this.#isFreed = false;
		mkdirSync(this.directory, { recursive: true, mode: 0o700 });
		const config: FeedingConfig = {
			agent: this.id,
			enclave: this.#enclave,
			node: this.#node.paths.directory,
			directory: this.directory,
			hops: [start.port ?? this.#port].flat().map((port) => ({ host: "localhost", port })),
			parentTimes: start.parentTimes ?? DEFAULT_PARENT_TIMES,
			image: start.hasImage === true ? this.imageDirectory : null,
			outboxBytesMax: start.outboxBytesMax ?? FAULT_LIMITS.outboxBytesMax,
			until: start.until ?? "never",
			feed: start.feed ?? null,
			clockOffsetMs: start.clockOffsetMs ?? 0,
			isClockStrobing: start.isClockStrobing ?? false,
		};
		const path = `${this.directory}.json`;
		writeFileSync(path, JSON.stringify(config));
		const plain = [process.execPath, "--no-warnings", this.#build, path];
		const [command, ...args] = start.injection === undefined ? plain : straced(start.injection, plain);
		const child = spawn(command as string, args, { stdio: ["pipe", "pipe", "inherit"] });
		this.#child = child;
		// A killed agent reads nothing any more.
		child.stdin.on("error", () => undefined);
		const lines = createInterface({ input: child.stdout });
		lines.on("line", (line) => this.#take(line));
		const read = once(lines, "close");
		this.ended = once(child, "exit").then(async ([status, signal]) => {
			await read;
			this.#child = null;
			for (const { resolve } of this.#waiting.splice(0)) resolve();
			return { status, signal };
		});
		await this.#heard("ready");
	}

	/** Settles when a hop has let this life in, or when it has ended or waited for long. */
	async linked(): Promise<void> {
		const untilMs = performance.now() + FAULT_LIMITS.betweenKillsMsMax;
		while (!this.#isLinked && this.#child !== null && performance.now() < untilMs) await sleep(20);
	}

	/** Waits until everything of this life is freed; false: it is not within `msMax`. */
	async freed(msMax: number): Promise<boolean> {
		const untilMs = performance.now() + msMax;
		while (!this.#isFreed && performance.now() < untilMs) await sleep(20);
		return this.#isFreed;
	}

	#take(text: string): void {
		const line = JSON.parse(text) as TruthLine;
		if (line[0] === "ready") {
			this.#pid = line[1];
			this.restartsMs.push(line[2]);
		}
		if (line[0] === "freed") this.#isFreed = true;
		if (line[0] === "attempt") this.#isFreed = false;
		if (line[0] === "log") {
			if (line[1] === "link_up") this.#isLinked = true;
			this.logged.set(line[1], (this.logged.get(line[1]) ?? 0) + 1);
			this.lastLogged.set(line[1], line[2]);
		}
		this.truth.take(line, performance.now());
		const fits = this.#waiting.filter(({ kind }) => kind === line[0]);
		this.#waiting = this.#waiting.filter(({ kind }) => kind !== line[0]);
		for (const { resolve } of fits) resolve();
	}

	#heard(kind: TruthLine[0]): Promise<void> {
		return new Promise((resolve) => this.#waiting.push({ kind, resolve }));
	}

	#order(order: FeedingOrder): void {
		this.#child?.stdin?.write(`${JSON.stringify(order)}\n`);
	}

	/** Feeds and settles when all of it is sealed, or when the agent ended before. */
	async feed(feed: Feed): Promise<void> {
		if (this.#child === null) throw new Error(`${this.id} has ended: ${JSON.stringify(this.lastLogged.get("ended"))}`);
		const fed = this.#heard("fed");
		this.#order({ order: "feed", feed });
		await fed;
	}

	spoilWire(wire: Wire): void {
		this.#order({ order: "wire", wire });
	}

	get isRunning(): boolean {
		return this.#child !== null;
	}

	pause(): void {
		process.kill(this.#pid, "SIGSTOP");
	}

	resume(): void {
		process.kill(this.#pid, "SIGCONT");
	}

	/** SIGKILL. Safe when it has gone. */
	async kill(): Promise<Ended> {
		if (this.#child === null) return this.ended;
		try {
			process.kill(this.#pid, "SIGKILL");
		} catch {
			// Gone meanwhile: its end is awaited below.
		}
		return this.ended;
	}

	/** Seals, syncs, closes. */
	async stop(): Promise<Ended> {
		this.#order({ order: "stop" });
		return this.ended;
	}

	/** Killed, and its disk with it: only what a hop acknowledged is still promised. */
	async destroy(): Promise<void> {
		await this.kill();
		rmSync(this.directory, { recursive: true, force: true });
		this.truth.forgetUnacknowledged();
	}

	get imageDirectory(): string {
		return join(this.directory, "image");
	}

	/** Killed, and its power with it: what was never fsynced is gone. Answers how many bytes that were. */
	async losePower(): Promise<number> {
		await this.kill();
		const bytesOf = (directory: string) =>
			readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
		const lost = bytesOf(this.outboxDirectory) - bytesOf(this.imageDirectory);
		rmSync(this.outboxDirectory, { recursive: true });
		renameSync(this.imageDirectory, this.outboxDirectory);
		return lost;
	}

	get outboxDirectory(): string {
		return join(this.directory, "outbox");
	}
}
