/**
 * The process's own clock, chance and timers, replaced by those of the world that runs. One world at a time per process. Guarantees
 * that code which asks for the time, a timer or a random number gets the world's; outside a world the real ones answer. Must be
 * installed once, before the classes are loaded.
 */
import { isPrepared, preparedSubtle } from "./prepared-crypto.ts";
import type { Scheduled, World } from "./world.ts";

let running: World | null = null;

export function currentWorld(): World {
	if (running === null) throw new Error("no world is running in this process");
	return running;
}

/** Makes a world the one that this process's globals speak for; null gives them back. */
export function useWorld(world: World | null): void {
	running = world;
}

type Task = (...args: unknown[]) => void;

class VirtualTimer {
	readonly #cancel: () => void;

	constructor(cancel: () => void) {
		this.#cancel = cancel;
	}

	cancel(): void {
		this.#cancel();
	}

	ref(): this {
		return this;
	}

	unref(): this {
		return this;
	}

	hasRef(): boolean {
		return true;
	}
}

function installTimers(): void {
	const { setTimeout: realTimeout, setInterval: realInterval, clearTimeout: realClear } = globalThis;
	const set = (task: Task, ms = 0, ...args: unknown[]) => {
		const world = running;
		if (world === null) return realTimeout(task, ms, ...args);
		const place = world.current;
		let isSet = true;
		const unset = () => {
			if (isSet && place?.timers !== undefined) place.timers--;
			isSet = false;
		};
		if (place?.timers !== undefined) place.timers++;
		const scheduled = world.schedule(place, Math.max(1, ms), () => {
			unset();
			task(...args);
		});
		return new VirtualTimer(() => {
			unset();
			scheduled.cancel();
		});
	};
	const repeat = (task: Task, ms = 0, ...args: unknown[]) => {
		const world = running;
		if (world === null) return realInterval(task, ms, ...args);
		const place = world.current;
		let next: Scheduled;
		const again = () => {
			next = world.schedule(place, Math.max(1, ms), () => {
				again();
				task(...args);
			});
		};
		again();
		return new VirtualTimer(() => next.cancel());
	};
	const clear = (timer: unknown) => {
		if (timer instanceof VirtualTimer) timer.cancel();
		else realClear(timer as NodeJS.Timeout);
	};
	Object.assign(globalThis, { setTimeout: set, setInterval: repeat, clearTimeout: clear, clearInterval: clear });
}

function installClocks(): void {
	const realNow = Date.now.bind(Date);
	Date.now = () => (running === null ? realNow() : running.wallMs());
	const realPerformance = performance.now.bind(performance);
	performance.now = () => (running === null ? realPerformance() : running.nowMs);
	const realTimeout = AbortSignal.timeout.bind(AbortSignal);
	AbortSignal.timeout = (ms) => {
		if (running === null) return realTimeout(ms);
		const controller = new AbortController();
		setTimeout(() => controller.abort(new Error("no answer in time")), ms);
		return controller.signal;
	};
}

function installChance(): void {
	const realRandom = Math.random.bind(Math);
	Math.random = () => running?.random.fraction() ?? realRandom();
	const real = globalThis.crypto;
	const uuidOf = (bytes: Uint8Array) => {
		const hex = Buffer.from(bytes).toString("hex");
		return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
	};
	const virtual = {
		getRandomValues(into: Uint8Array<ArrayBuffer>) {
			if (running === null) return real.getRandomValues(into);
			into.set(running.random.bytes(into.length));
			return into;
		},
		randomUUID: () => (running === null ? real.randomUUID() : uuidOf(running.random.bytes(16))),
		get subtle() {
			return running === null && !isPrepared() ? real.subtle : preparedSubtle(real.subtle);
		},
	};
	Object.defineProperty(globalThis, "crypto", { value: virtual, configurable: true });
}

function installLog(): void {
	const { log, error } = console;
	console.log = (...line: unknown[]) => (running === null ? log(...line) : running.log(line.join(" ")));
	console.error = (...line: unknown[]) => (running === null ? error(...line) : running.log(line.join(" ")));
}

/** As workerd: a promise that nobody waits for fails in silence but for a line of log. */
function installRejections(): void {
	process.on("unhandledRejection", (reason) => {
		if (running === null) throw reason;
		running.current?.onError(reason as Error);
	});
}

/**
 * As workerd: who awaits a promise that another object's turn settles goes on in its own turn, if it lives. Only for promises made by
 * `withResolvers`, so that is how objects of one isolate wait for each other.
 */
function installSettling(): void {
	const real = Promise.withResolvers.bind(Promise);
	Object.assign(Promise, {
		withResolvers<T>() {
			const { promise, resolve, reject } = real<T>();
			const world = running;
			const place = world?.current ?? null;
			if (world === null || place === null) return { promise, resolve, reject };
			const inOwnTurn =
				<V>(settle: (value: V) => void) =>
				(value: V) => {
					if (world.current === place) settle(value);
					else world.schedule(place, 0, () => settle(value));
				};
			return { promise, resolve: inOwnTurn(resolve), reject: inOwnTurn(reject) };
		},
	});
}

let isInstalled = false;

export function installGlobals(): void {
	if (isInstalled) return;
	isInstalled = true;
	installTimers();
	installClocks();
	installChance();
	installLog();
	installRejections();
	installSettling();
}
