/**
 * A process of workerd as the objects see it: namespaces, calls between objects, alarms, one memory per object that may be lost at
 * any time, and disks that stay. Guarantees that an object is used only when its constructor has finished, that calls of one caller
 * to one object arrive in order, that what an object says waits for its disk, and that a call to an object that died is refused.
 */

import type { Network } from "./network.ts";
import { ObjectDisk } from "./object-disk.ts";
import { type HandedOut, type SocketOwner, socketPair, type WorkerSocket } from "./sockets.ts";
import type { Place, Scheduled, World } from "./world.ts";

export type ObjectClass = new (ctx: never, env: never) => object;
type Instance = Record<string, (...args: unknown[]) => unknown>;

/** What the host needs of its machine. */
export interface HostMachine {
	readonly name: string;
	readonly clockOffsetMs: () => number;
	readonly isDiskFull: () => boolean;
	readonly syncMs: () => number;
}

/** The runtime keeps an object that holds an open socket which is not for hibernation. */
const HOLDS_SOCKETS = new Set(["Uplink", "PeerLink"]);
const RPC_MS_MAX = 0.2;
/** workerd tries an alarm that threw again, six times, from 2 s on. */
const ALARM_RETRY_MS = 2000;
const ALARM_RETRIES_MAX = 6;

export class ObjectHost {
	readonly world: World;
	readonly network: Network;
	readonly machine: HostMachine;
	readonly #classes: Readonly<Record<string, ObjectClass>>;
	readonly #slots = new Map<string, ObjectSlot>();
	/** The worker itself: no disk, no gate. Null while the process is down. */
	worker: Place | null = null;
	env: Record<string, unknown> = {};

	constructor(
		world: World,
		parts: { network: Network; machine: HostMachine; classes: Readonly<Record<string, ObjectClass>> },
	) {
		this.world = world;
		this.network = parts.network;
		this.machine = parts.machine;
		this.#classes = parts.classes;
	}

	get isUp(): boolean {
		return this.worker !== null;
	}

	/** The process starts: alarms that lie on disks are set again. */
	start(): void {
		const { name, clockOffsetMs } = this.machine;
		const onError = (error: Error) => this.world.log(`uncaught: ${error.message}`);
		this.worker = { name: `${name}/worker`, isAlive: true, clockOffsetMs, onError };
		for (const slot of this.#slots.values()) slot.wake();
	}

	/** The process is killed. */
	kill(): void {
		if (this.worker !== null) this.worker.isAlive = false;
		this.worker = null;
		for (const slot of this.#slots.values()) slot.die();
	}

	classOf(name: string): ObjectClass {
		const found = this.#classes[name];
		if (found === undefined) throw new Error(`no class ${name} runs here`);
		return found;
	}

	slot(className: string, id: string): ObjectSlot {
		const key = `${className}/${id}`;
		let slot = this.#slots.get(key);
		if (slot === undefined) {
			slot = new ObjectSlot(this, className, id);
			this.#slots.set(key, slot);
		}
		return slot;
	}

	slots(): ObjectSlot[] {
		return [...this.#slots.values()];
	}

	namespace(className: string): { getByName(id: string): object } {
		return { getByName: (id) => this.#stub(this.slot(className, id)) };
	}

	#stub(slot: ObjectSlot): object {
		return new Proxy(
			{},
			{
				// A stub is no promise, though it is awaited with the value around it.
				get: (_, method) =>
					typeof method === "symbol" || method === "then"
						? undefined
						: (...args: unknown[]) => slot.call(method as string, args),
			},
		);
	}

	close(): void {
		for (const slot of this.#slots.values()) slot.disk.close();
	}
}

export class ObjectSlot implements SocketOwner {
	readonly className: string;
	readonly id: string;
	readonly disk: ObjectDisk;
	readonly #host: ObjectHost;
	readonly #world: World;
	#instance: Instance | null = null;
	#place: Place | null = null;
	#blocked = 0;
	#queue: (() => void)[] = [];
	#sockets = new Set<WorkerSocket>();
	/** Refuses the calls that run here. */
	#running = new Set<(error: Error) => void>();
	#alarm: Scheduled | null = null;
	#isAlarmRunning = false;
	readonly #lastCallAt = new Map<string, number>();

	constructor(host: ObjectHost, className: string, id: string) {
		this.#host = host;
		this.#world = host.world;
		this.className = className;
		this.id = id;
		const faults = { isFull: host.machine.isDiskFull, syncMs: host.machine.syncMs };
		this.disk = new ObjectDisk(host.world, faults, className);
		this.disk.onBroken = (error) => this.abort(error.message);
	}

	get machine(): string {
		return this.#host.machine.name;
	}

	get name(): string {
		return `${this.machine}/${this.className}/${this.id}`;
	}

	/** For the checks at the end: the object as it stands, made if it sleeps. */
	get instance(): object | null {
		return this.#instance;
	}

	place(): Place | null {
		return this.#place;
	}

	isUp(): boolean {
		return this.#host.isUp;
	}

	get isIdle(): boolean {
		const hasTimers = (this.#place?.timers ?? 0) > 0;
		return (
			!hasTimers &&
			this.#queue.length === 0 &&
			this.#running.size === 0 &&
			this.#blocked === 0 &&
			this.disk.isIdle &&
			!this.#isAlarmRunning
		);
	}

	/** Runs in the object, now: made if need be, and when it is ready. Call from a turn that entered no place yet. */
	deliver(task: () => void, onFailed: (error: Error) => void = () => undefined): void {
		if (!this.#host.isUp) return;
		if (this.#instance === null) {
			const failure = this.#construct();
			if (failure !== null) {
				onFailed(failure);
				return;
			}
		}
		// Nothing overtakes what came before it, not even while that is being let in.
		if (this.#blocked > 0 || this.#queue.length > 0) this.#queue.push(task);
		else this.#world.enter(this.#place as Place, task);
	}

	/** Lets in what came while the object was being made, each in a turn of its own. */
	#letIn(): void {
		const [task] = this.#queue;
		if (task === undefined || this.#blocked > 0) return;
		this.#queue.shift();
		this.#world.schedule(null, 0, () => this.#letIn());
		this.#world.enter(this.#place as Place, task);
	}

	#construct(): Error | null {
		const { clockOffsetMs } = this.#host.machine;
		const place: Place = {
			name: this.name,
			isAlive: true,
			timers: 0,
			clockOffsetMs,
			output: (send) => this.disk.afterDurable(send),
			afterTurn: () => {
				this.disk.seal();
				this.#setTimer();
			},
			onError: (error) => this.#world.log(`uncaught: ${error.message}`),
		};
		this.#place = place;
		let failure: Error | null = null;
		this.#world.enter(place, () => {
			try {
				const made = new (this.#host.classOf(this.className))(this.#context(place) as never, this.#host.env as never);
				this.#instance = made as Instance;
			} catch (error) {
				failure = error as Error;
			}
		});
		if (failure !== null) this.abort((failure as Error).message);
		return failure;
	}

	#context(place: Place): object {
		const storage = {
			sql: this.disk.sql,
			transactionSync: <T>(write: () => T) => this.disk.transaction(write),
			setAlarm: async (atMs: number | Date) => {
				if (place.isAlive) this.disk.setAlarm(Number(atMs));
			},
			getAlarm: async () => (this.#isAlarmRunning ? null : this.disk.alarmAtMs),
			deleteAlarm: async () => this.disk.setAlarm(null),
		};
		return {
			storage,
			id: { name: this.id, toString: () => this.id },
			blockConcurrencyWhile: <T>(work: () => Promise<T>) => this.#block(place, work),
			waitUntil: () => undefined,
			abort: (reason: string) => this.abort(reason),
			acceptWebSocket: (socket: WorkerSocket) => {
				socket.isHibernatable = true;
				socket.owner = this;
				this.#sockets.add(socket);
			},
			getWebSockets: () => [...this.#sockets],
			setWebSocketAutoResponse: () => undefined,
		};
	}

	#block<T>(place: Place, work: () => Promise<T>): Promise<T> {
		this.#blocked++;
		const done = () => {
			this.#blocked--;
			if (this.#blocked > 0 || !place.isAlive) return;
			this.#world.schedule(null, 0, () => this.#letIn());
		};
		const running = work();
		running.then(done, (error: Error) => {
			done();
			this.abort(error.message);
		});
		return running;
	}

	/** Of a plain accepted socket: its listeners run in this object's memory. */
	own(socket: WorkerSocket): void {
		socket.owner = this;
	}

	toMethod(name: "webSocketMessage" | "webSocketClose", socket: WorkerSocket, args: readonly unknown[]): void {
		if (name === "webSocketClose") this.#sockets.delete(socket);
		this.deliver(() => {
			const result = this.#instance?.[name]?.(socket, ...args);
			if (result instanceof Promise) result.catch((error: Error) => this.#world.log(`uncaught: ${error.message}`));
		});
	}

	/** A call from whatever runs now; the answer waits for this object's disk. */
	call(method: string, args: readonly unknown[]): Promise<unknown> {
		const world = this.#world;
		const caller = world.current;
		const { promise, resolve, reject } = Promise.withResolvers<unknown>();
		const back = (settle: () => void) => {
			world.schedule(null, this.#delayMs(`<${caller?.name}`), () => {
				if (caller === null) settle();
				else world.enter(caller, settle);
			});
		};
		const refuse = (error: Error) => back(() => reject(error));
		world.leave(caller, () =>
			world.schedule(null, this.#delayMs(`>${caller?.name}`), () =>
				this.deliver(() => {
					const from = this.#place as Place;
					this.#running.add(refuse);
					// Until it has left, an answer can still become a refusal: the object may go before its disk is done.
					const settle = (answer: () => void) =>
						world.leave(from, () => {
							if (this.#running.delete(refuse)) back(answer);
						});
					// A throw of the method itself is its answer.
					new Promise((done) => done(this.#instance?.[method]?.(...args))).then(
						(value) => settle(() => resolve(value)),
						(error: Error) => settle(() => reject(new Error(error.message))),
					);
				}, refuse),
			),
		);
		return promise;
	}

	/** Random, but never so that a later call overtakes an earlier one. */
	#delayMs(key: string): number {
		const at = Math.max(this.#lastCallAt.get(key) ?? 0, this.#world.nowMs + this.#world.random.between(0, RPC_MS_MAX));
		this.#lastCallAt.set(key, at);
		return at - this.#world.nowMs;
	}

	// ── alarms ───────────────────────────────────────────────────────────────────────────────────────────────────────────

	#alarmSetTo: number | null = null;

	/** Sets the timer to what the disk says; a wait is counted when it is set, as the runtime's scheduler does. */
	#setTimer(leastMs = 0): void {
		const atMs = this.disk.alarmAtMs;
		if (this.#isAlarmRunning || atMs === this.#alarmSetTo || !this.#host.isUp) return;
		this.#alarm?.cancel();
		this.#alarmSetTo = atMs;
		this.#alarm = null;
		if (atMs === null) return;
		const wallMs = this.#world.trueWallMs + this.#host.machine.clockOffsetMs();
		this.#alarm = this.#world.schedule(null, Math.max(leastMs, atMs - wallMs), () => this.#runAlarm(0));
	}

	#runAlarm(tries: number): void {
		this.#alarmSetTo = null;
		this.deliver(() => {
			const place = this.#place as Place;
			this.#isAlarmRunning = true;
			const { alarmWrites } = this.disk;
			const ended = (error: Error | null) => {
				if (!place.isAlive) return;
				this.#isAlarmRunning = false;
				if (error === null && this.disk.alarmWrites === alarmWrites) this.disk.setAlarm(null);
				if (error === null || tries >= ALARM_RETRIES_MAX) return;
				// The alarm on the disk stands; it is the retry that waits.
				this.#alarmSetTo = this.disk.alarmAtMs;
				this.#world.log(`alarm failed: ${error.message}`);
				this.#alarm = this.#world.schedule(null, ALARM_RETRY_MS * 2 ** tries, () => this.#runAlarm(tries + 1));
			};
			new Promise((done) => done(this.#instance?.alarm?.())).then(
				() => ended(null),
				(error: Error) => ended(error),
			);
		});
	}

	// ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

	#end(error: Error): void {
		if (this.#place !== null) this.#place.isAlive = false;
		this.#place = null;
		this.#instance = null;
		this.#blocked = 0;
		this.#isAlarmRunning = false;
		this.#alarm?.cancel();
		this.#alarm = null;
		this.#alarmSetTo = null;
		const running = [...this.#running];
		this.#running.clear();
		for (const refuse of running) refuse(error);
	}

	/** The object breaks, the process stays. */
	abort(reason: string): void {
		this.#world.trace(`abort ${this.name}`);
		this.disk.drop();
		this.#end(new Error(reason));
		for (const socket of [...this.#sockets]) socket.connection?.cut();
		this.#sockets.clear();
		this.#host.network.processEnded(this.machine);
		// What broke may have been the alarm's own run, which is not tried again at once.
		this.#setTimer(ALARM_RETRY_MS);
		const left = this.#queue.splice(0);
		for (const task of left) this.#world.schedule(null, 1, () => this.deliver(task));
	}

	/** The object is put to sleep: its memory goes, its hibernating sockets stay. Only when nothing runs in it. */
	evict(): void {
		if (!this.isIdle || this.#place === null || HOLDS_SOCKETS.has(this.className)) return;
		this.#world.trace(`evict ${this.name}`);
		this.#end(new Error("evicted"));
		this.#setTimer();
	}

	/** The process was killed. */
	die(): void {
		this.#running.clear();
		this.#queue = [];
		this.#end(new Error("killed"));
		for (const socket of this.#sockets) socket.isGone = true;
		this.#sockets.clear();
		this.#lastCallAt.clear();
		this.disk.crash();
	}

	wake(): void {
		this.#setTimer();
	}
}

/** `WebSocketPair` of the object that runs now. */
export function webSocketPair(network: Network, hostOf: () => ObjectSlot | null): { 0: HandedOut; 1: WorkerSocket } {
	const pair = socketPair(network);
	hostOf()?.own(pair[1]);
	return pair;
}
