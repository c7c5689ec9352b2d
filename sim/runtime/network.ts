/**
 * The network between machines: per link a delay, and faults: blocked in one direction or both, connections cut, and single
 * messages lost, doubled or swapped where a seed says so. A connection keeps the order of what it carries (TCP), so messages are
 * held while a link is blocked and flow on afterwards. Guarantees that what had left a process that was killed still arrives, and
 * that its peer hears of the end, unless the machine itself went silent.
 */
import { SimRequest, SimResponse } from "./http.ts";
import type { Place, World } from "./world.ts";

/** A machine: processes start and end on it, its clock and its power are its own. */
export interface Machine {
	readonly name: string;
	/** False while the power is off: nothing answers, not even with a refusal. */
	isPowered: boolean;
	/** The place of its server process, or null while it is down. */
	readonly server: () => Place | null;
	readonly answer: (request: SimRequest) => Promise<SimResponse>;
}

/** One end of a connection, held by a process. */
export interface End {
	/** The machine it is on. */
	readonly machine: string;
	/** Whether the process that holds it lives. */
	readonly isAlive: () => boolean;
	readonly onData: (data: Uint8Array) => void;
	/** 1006: cut, without a word. */
	readonly onClose: (code: number, reason: string) => void;
	readonly onPong: () => void;
}

type Item =
	| { readonly kind: "data"; readonly data: Uint8Array }
	| { readonly kind: "ping" }
	| { readonly kind: "pong" }
	| { readonly kind: "close"; readonly code: number; readonly reason: string };

/** Which messages of batches a seed's network harms beyond what TCP can do to them. */
export interface FrameFaults {
	dropChance: number;
	duplicateChance: number;
	reorderChance: number;
}

interface Direction {
	readonly from: string;
	readonly to: string;
	/** Not yet sent. */
	readonly held: Item[];
	/** Sent before the direction was blocked: they go before what is held. */
	readonly onTheWay: Item[];
	lastAtMs: number;
}

/** Frames of batches and carriers: the second byte of the CBOR pair is the type's number. */
const FRAME_BATCH = 1;
const FRAME_AGENT_STATE = 7;
const FRAME_CARRIER = 8;

export class Connection {
	readonly #network: Network;
	readonly ends: [End, End];
	readonly #directions: [Direction, Direction];
	isOpen = true;

	constructor(network: Network, client: End, server: End) {
		this.#network = network;
		this.ends = [client, server];
		const direction = (from: string, to: string) => ({ from, to, held: [], onTheWay: [], lastAtMs: 0 });
		this.#directions = [direction(client.machine, server.machine), direction(server.machine, client.machine)];
	}

	get key(): string {
		return linkKey(this.ends[0].machine, this.ends[1].machine);
	}

	sendData(side: 0 | 1, data: Uint8Array): void {
		const { world, frames } = this.#network;
		const random = world.random;
		const type = data[1] ?? 0;
		if (type === FRAME_AGENT_STATE) this.#network.onAgentState(this, data);
		const isBatch = (type === FRAME_BATCH || type === FRAME_CARRIER) && this.#network.mayHarm(this, data);
		if (isBatch && random.chance(frames.dropChance)) {
			world.trace(`lost frame ${type} ${this.#directions[side].from}>${this.#directions[side].to}`);
			return;
		}
		const held = this.#directions[side].held;
		held.push({ kind: "data", data });
		if (type === FRAME_CARRIER || type === FRAME_BATCH)
			if (random.chance(frames.duplicateChance)) held.push({ kind: "data", data });
		if (isBatch && random.chance(frames.reorderChance)) {
			// Kept back until something else overtakes it.
			this.#network.world.schedule(null, random.between(1, 400), () => this.#send(side, { kind: "data", data }));
			held.pop();
		}
		this.pump(side);
	}

	#send(side: 0 | 1, item: Item): void {
		if (!this.isOpen) return;
		this.#directions[side].held.push(item);
		this.pump(side);
	}

	ping(side: 0 | 1): void {
		this.#send(side, { kind: "ping" });
	}

	/** Says goodbye behind everything that was said. */
	close(side: 0 | 1, code: number, reason: string): void {
		this.#send(side, { kind: "close", code, reason });
	}

	/** Puts what is held on the wire, unless the direction is blocked. */
	pump(side: 0 | 1): void {
		const { world } = this.#network;
		const direction = this.#directions[side];
		if (this.#network.isBlocked(direction.from, direction.to)) return;
		for (const item of [...direction.onTheWay.splice(0), ...direction.held.splice(0)]) {
			const atMs = Math.max(direction.lastAtMs, world.nowMs + this.#network.delayMs());
			direction.lastAtMs = atMs;
			world.schedule(null, atMs - world.nowMs, () => this.#arrive(side, item));
		}
	}

	#arrive(side: 0 | 1, item: Item): void {
		if (!this.isOpen) return;
		const direction = this.#directions[side];
		if (this.#network.isBlocked(direction.from, direction.to)) {
			direction.onTheWay.push(item);
			return;
		}
		const end = this.ends[side === 0 ? 1 : 0];
		if (!end.isAlive()) {
			// The machine refuses what no process holds; a machine without power says nothing.
			if (this.#network.isPowered(end.machine)) this.cut();
			return;
		}
		if (item.kind === "data") {
			if (item.data[1] === FRAME_BATCH) this.#network.onBatch(end.machine, item.data);
			end.onData(item.data);
		} else if (item.kind === "ping") this.#send(side === 0 ? 1 : 0, { kind: "pong" });
		else if (item.kind === "pong") end.onPong();
		else {
			this.isOpen = false;
			this.#network.forget(this);
			end.onClose(item.code, item.reason);
			const other = this.ends[side];
			this.#network.world.schedule(null, this.#network.delayMs(), () => {
				if (other.isAlive()) other.onClose(item.code, item.reason);
			});
		}
	}

	/** The connection is reset: whoever lives hears it, what was on the way is lost. */
	cut(): void {
		if (!this.isOpen) return;
		this.isOpen = false;
		this.#network.forget(this);
		for (const end of this.ends)
			this.#network.world.schedule(null, this.#network.delayMs(), () => {
				if (end.isAlive()) end.onClose(1006, "");
			});
	}

	/** The process of one end was killed: the other hears of it behind what was sent, if the machine can still say so. */
	ended(side: 0 | 1): void {
		this.close(side, 1006, "");
	}
}

export function linkKey(a: string, b: string): string {
	return a < b ? `${a}|${b}` : `${b}|${a}`;
}

export class Network {
	readonly world: World;
	readonly frames: FrameFaults;
	/** Whether a frame of batches may be lost or overtaken on this connection. */
	mayHarm: (connection: Connection, frame: Uint8Array) => boolean = () => true;
	/** What an agent gets of what its hop said. */
	toAgent: (data: Uint8Array) => Uint8Array = (data) => data;
	onAgentState: (connection: Connection, frame: Uint8Array) => void = () => undefined;
	/** Tells of every batch as it reaches a machine. */
	onBatch: (to: string, frame: Uint8Array) => void = () => undefined;
	readonly #machines = new Map<string, Machine>();
	readonly #connections = new Set<Connection>();
	readonly #blocked = new Set<string>();
	readonly #delay: readonly [number, number];
	#waiting: { readonly from: string; readonly to: string; readonly go: () => void }[] = [];

	constructor(world: World, frames: FrameFaults, delay: readonly [number, number]) {
		this.world = world;
		this.frames = frames;
		this.#delay = delay;
	}

	add(machine: Machine): void {
		this.#machines.set(machine.name, machine);
	}

	delayMs(): number {
		return this.world.random.between(...this.#delay);
	}

	isPowered(machine: string): boolean {
		return this.#machines.get(machine)?.isPowered ?? true;
	}

	isBlocked(from: string, to: string): boolean {
		return this.#blocked.has(`${from}>${to}`);
	}

	block(from: string, to: string): void {
		this.#blocked.add(`${from}>${to}`);
	}

	/** Whatever was held flows on. */
	unblock(from: string, to: string): void {
		this.#blocked.delete(`${from}>${to}`);
		const free = this.#waiting.filter((each) => each.from === from && each.to === to);
		this.#waiting = this.#waiting.filter((each) => !free.includes(each));
		for (const { go } of free) go();
		for (const connection of this.#connections) {
			connection.pump(0);
			connection.pump(1);
		}
	}

	unblockAll(): void {
		for (const key of [...this.#blocked]) {
			const [from, to] = key.split(">") as [string, string];
			this.unblock(from, to);
		}
	}

	connect(client: End, server: End): Connection {
		const connection = new Connection(this, client, server);
		this.#connections.add(connection);
		return connection;
	}

	forget(connection: Connection): void {
		this.#connections.delete(connection);
	}

	connectionsOf(a: string, b: string): Connection[] {
		return [...this.#connections].filter(({ key }) => key === linkKey(a, b));
	}

	/** A process of a machine was killed: its connections end, those of a machine without power in silence. */
	processEnded(machine: string): void {
		for (const connection of [...this.#connections])
			for (const side of [0, 1] as const)
				if (connection.ends[side].machine === machine && !connection.ends[side].isAlive() && this.isPowered(machine))
					connection.ended(side);
	}

	#transit(from: string, to: string, arrive: () => void): void {
		if (this.isBlocked(from, to)) this.#waiting.push({ from, to, go: () => this.#transit(from, to, arrive) });
		else this.world.schedule(null, this.delayMs(), arrive);
	}

	/** One HTTP exchange from a place to a machine's server. Rejects when it is refused, or breaks, or the caller gives up. */
	request(caller: Place, fromMachine: string, to: string, request: SimRequest): Promise<SimResponse> {
		const { promise, resolve, reject } = Promise.withResolvers<SimResponse>();
		let isOver = false;
		const settle = (finish: () => void) => {
			if (isOver) return false;
			isOver = true;
			finish();
			return true;
		};
		const fail = (message: string) => this.world.enter(caller, () => settle(() => reject(new Error(message))));
		request.signal?.addEventListener("abort", () =>
			settle(() => reject(request.signal?.reason ?? new Error("aborted"))),
		);
		const back = (response: SimResponse) =>
			this.#transit(to, fromMachine, () => {
				let isTaken = false;
				this.world.enter(caller, () => {
					isTaken = settle(() => resolve(response));
				});
				// Nobody waits for it any more: its socket is closed, not left open.
				if (!isTaken) (response.webSocket as { abandon?: () => void } | null)?.abandon?.();
			});
		this.world.leave(caller, () =>
			this.#transit(fromMachine, to, () => {
				const machine = this.#machines.get(to);
				const server = machine?.server() ?? null;
				if (machine === undefined || server === null) {
					if (machine?.isPowered !== false) this.#transit(to, fromMachine, () => fail(`${to} refused the connection`));
					return;
				}
				this.world.enter(server, () => {
					machine.answer(request).then(back, (error: Error) => {
						this.world.log(`request failed: ${error.message}`);
						back(new SimResponse("internal error", { status: 500 }));
					});
				});
				this.#watch(machine, server, () => this.#transit(to, fromMachine, () => fail(`${to} went away`)));
			}),
		);
		return promise;
	}

	/** Tells once when the server process that took a request was killed. */
	#watch(machine: Machine, server: Place, onGone: () => void): void {
		const look = (left: number) => {
			if (server.isAlive && left > 0) this.world.schedule(null, 250, () => look(left - 1));
			else if (!server.isAlive && machine.isPowered) onGone();
		};
		this.world.schedule(null, 250, () => look(44));
	}
}

export { SimRequest, SimResponse };
