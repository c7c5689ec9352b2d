/**
 * A TCP proxy that spoils connections on purpose: it refuses, resets, delays, stops one direction, or keeps a connection open and
 * passes nothing (half-open). It sees bytes only; what is inside TLS it cannot reorder. Must never close a half-open connection by
 * itself: that is the fault.
 */

import { once } from "node:events";
import { createServer, type Server, Socket } from "node:net";

export type Direction = "up" | "down";

interface Pair {
	readonly client: Socket;
	readonly server: Socket;
	isHalfOpen: boolean;
}

export class FaultProxy {
	readonly #server: Server;
	readonly #pairs = new Set<Pair>();
	readonly #stopped = new Set<Direction>();
	#isRefusing = false;
	#delayMs = 0;
	/** Bytes passed on so far. */
	readonly passed: Record<Direction, number> = { up: 0, down: 0 };

	constructor(targetPort: number) {
		this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client, targetPort));
	}

	/** Listens on a free loopback port, which it answers. */
	async listen(port = 0): Promise<number> {
		this.#server.listen(port, "127.0.0.1");
		await once(this.#server, "listening");
		const address = this.#server.address();
		return typeof address === "object" && address !== null ? address.port : 0;
	}

	#accept(client: Socket, targetPort: number): void {
		if (this.#isRefusing) {
			client.resetAndDestroy();
			return;
		}
		const server = new Socket({ allowHalfOpen: true }).connect(targetPort, "127.0.0.1");
		const pair: Pair = { client, server, isHalfOpen: false };
		this.#pairs.add(pair);
		this.#carry(pair, "up");
		this.#carry(pair, "down");
	}

	#carry(pair: Pair, direction: Direction): void {
		const [from, to] = direction === "up" ? [pair.client, pair.server] : [pair.server, pair.client];
		from.on("data", (chunk: Buffer) => {
			if (pair.isHalfOpen) return;
			const pass = () => {
				if (pair.isHalfOpen || to.destroyed) return;
				this.passed[direction] += chunk.length;
				if (!to.write(chunk)) {
					from.pause();
					to.once("drain", () => this.#letGo(pair, direction));
				}
			};
			if (this.#delayMs === 0) pass();
			else setTimeout(pass, this.#delayMs);
		});
		from.on("end", () => {
			if (!pair.isHalfOpen) to.end();
		});
		from.on("close", () => {
			if (!pair.isHalfOpen) to.destroy();
			if (pair.client.destroyed && pair.server.destroyed) this.#pairs.delete(pair);
		});
		// The close that follows is what counts.
		from.on("error", () => from.destroy());
		if (this.#stopped.has(direction)) from.pause();
	}

	#letGo(pair: Pair, direction: Direction): void {
		if (!this.#stopped.has(direction)) (direction === "up" ? pair.client : pair.server).resume();
	}

	/** Stops a direction of all connections, present and to come; what comes piles up in the kernel. */
	stop(direction: Direction): void {
		this.#stopped.add(direction);
		for (const { client, server } of this.#pairs) (direction === "up" ? client : server).pause();
	}

	start(direction: Direction): void {
		this.#stopped.delete(direction);
		for (const pair of this.#pairs) this.#letGo(pair, direction);
	}

	/** Everything takes this much longer each way; order is kept. */
	delay(ms: number): void {
		this.#delayMs = ms;
	}

	/** Cuts everything and lets nobody in. */
	cut(): void {
		this.#isRefusing = true;
		this.reset();
	}

	heal(): void {
		this.#isRefusing = false;
	}

	/** Resets every connection of this moment. */
	reset(): void {
		for (const { client, server } of this.#pairs) {
			client.resetAndDestroy();
			server.resetAndDestroy();
		}
		this.#pairs.clear();
	}

	/** Every connection of this moment stays open and passes nothing any more. */
	halfOpen(): void {
		for (const pair of this.#pairs) pair.isHalfOpen = true;
	}

	async close(): Promise<void> {
		const closed = once(this.#server, "close");
		this.#server.close();
		this.reset();
		await closed;
	}
}
