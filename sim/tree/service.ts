/**
 * A process beside workerd on the Security Center's box, as the store and the signer are: one request after the other, each done
 * whole and durable before it is answered. A kill leaves a request done or not done, its answer lost; a stopped one answers nothing.
 */
import type { Place, World } from "../runtime/world.ts";

export class Service {
	readonly name: string;
	readonly #world: World;
	#isUp = true;
	#era = 0;
	#busyUntilMs = 0;
	isStopped = false;
	slowness = 1;

	constructor(world: World, name: string) {
		this.#world = world;
		this.name = name;
	}

	/** Has work done for the place that runs now. Rejects when the process is down or dies meanwhile. */
	ask<T>(work: () => T, signal?: AbortSignal): Promise<T> {
		const world = this.#world;
		const caller = world.current as Place;
		const { promise, resolve, reject } = Promise.withResolvers<T>();
		const refuse = (message: string) => world.schedule(caller, 0.1, () => reject(new Error(message)));
		signal?.addEventListener("abort", () => reject(signal.reason));
		const arrive = () => {
			if (!this.#isUp) {
				refuse(`${this.name} is down`);
				return;
			}
			// A stopped process holds its requests; they are done when it goes on.
			if (this.isStopped) {
				world.schedule(null, 100, arrive);
				return;
			}
			const era = this.#era;
			const startMs = Math.max(world.nowMs, this.#busyUntilMs);
			this.#busyUntilMs = startMs + world.random.between(0.3, 4) * this.slowness;
			world.schedule(null, this.#busyUntilMs - world.nowMs, () => {
				// Killed before it was done.
				if (era !== this.#era) return refuse(`${this.name} went away`);
				let result: T;
				try {
					result = work();
				} catch (error) {
					return refuse((error as Error).message);
				}
				world.schedule(null, world.random.between(0.05, 1), () => {
					if (era !== this.#era) refuse(`${this.name} went away`);
					else world.enter(caller, () => resolve(result));
				});
			});
		};
		world.leave(caller, () => world.schedule(null, world.random.between(0.05, 0.3), arrive));
		return promise;
	}

	kill(): void {
		this.#world.trace(`kill ${this.name}`);
		this.#isUp = false;
		this.#era++;
		this.#busyUntilMs = 0;
	}

	start(): void {
		if (!this.#isUp) this.#world.trace(`start ${this.name}`);
		this.#isUp = true;
	}
}
