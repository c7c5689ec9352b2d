/**
 * WebSockets of workerd: a pair made by an object, one end kept, the other handed out with a response and joined to the network
 * where the response goes. A kept end is either accepted (its events go to listeners and end with the object's memory) or accepted
 * for hibernation (its events go to the object's methods, whichever memory it has by then). What is sent waits for the output gate.
 */
import type { Connection, End, Network } from "./network.ts";
import type { Place } from "./world.ts";

type Listener = (event: { data?: unknown; code?: number; reason?: string }) => void;
type EventName = "message" | "close" | "error";

const OPEN = 1;
const CLOSED = 3;

/** The object that keeps an end. */
export interface SocketOwner {
	readonly machine: string;
	readonly place: () => Place | null;
	readonly isUp: () => boolean;
	/** Runs in the object, making it again when it sleeps. */
	readonly deliver: (task: () => void) => void;
	readonly toMethod: (
		name: "webSocketMessage" | "webSocketClose",
		socket: WorkerSocket,
		args: readonly unknown[],
	) => void;
}

/** What both ends in workerd have in common. */
export class WorkerSocket {
	binaryType = "blob";
	readyState = OPEN;
	connection: Connection | null = null;
	side: 0 | 1 = 1;
	owner: SocketOwner | null = null;
	/** Whose memory the listeners are in. */
	place: Place | null = null;
	isHibernatable = false;
	/** The process that held it is gone, whatever runs in its place now. */
	isGone = false;
	readonly #network: Network;
	readonly #listeners = new Map<EventName, Listener[]>();
	#early: (() => void)[] | null = [];
	#attachment: unknown = null;
	/** Said before the other end was joined. */
	#unsent: ((connection: Connection) => void)[] = [];

	constructor(network: Network) {
		this.#network = network;
	}

	get isAlive(): boolean {
		if (this.isGone) return false;
		return this.isHibernatable ? (this.owner?.isUp() ?? false) : (this.place?.isAlive ?? false);
	}

	addEventListener(name: EventName, listener: Listener): void {
		this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
	}

	accept(): void {
		this.place = this.#network.world.current;
		const early = this.#early ?? [];
		this.#early = null;
		for (const deliver of early) this.#network.world.schedule(null, 0, deliver);
	}

	serializeAttachment(value: unknown): void {
		this.#attachment = structuredClone(value);
	}

	deserializeAttachment(): unknown {
		return structuredClone(this.#attachment);
	}

	joined(connection: Connection, side: 0 | 1): void {
		this.connection = connection;
		this.side = side;
		for (const say of this.#unsent.splice(0)) say(connection);
	}

	#say(say: (connection: Connection) => void): void {
		this.#network.world.leave(this.#network.world.current, () => {
			if (this.connection === null) this.#unsent.push(say);
			else say(this.connection);
		});
	}

	send(data: Uint8Array | string): void {
		if (this.readyState !== OPEN) throw new Error("Can't call WebSocket send() after close().");
		// The caller may use its buffer again.
		const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data.slice();
		this.#say((connection) => {
			if (connection.isOpen) connection.sendData(this.side, bytes);
		});
	}

	close(code = 1000, reason = ""): void {
		if (this.readyState !== OPEN) return;
		this.readyState = 2;
		this.#say((connection) => connection.close(this.side, code, reason));
	}

	/** The response that carried it reached nobody. */
	abandon(): void {
		if (this.connection === null) this.ended(1006, "");
		else this.connection.cut();
	}

	#dispatch(name: EventName, event: Parameters<Listener>[0]): void {
		const deliver = () => {
			const listeners = this.#listeners.get(name) ?? [];
			const run = () => {
				for (const listener of listeners) listener(event);
			};
			if (this.owner !== null) this.owner.deliver(run);
			else if (this.place !== null) this.#network.world.enter(this.place, run);
		};
		if (this.#early !== null && !this.isHibernatable) this.#early.push(deliver);
		else deliver();
	}

	arrived(data: Uint8Array): void {
		const message = data.slice().buffer;
		if (this.isHibernatable) this.owner?.toMethod("webSocketMessage", this, [message]);
		else this.#dispatch("message", { data: message });
	}

	ended(code: number, reason: string): void {
		if (this.readyState === CLOSED) return;
		this.readyState = CLOSED;
		if (this.isHibernatable) this.owner?.toMethod("webSocketClose", this, [code, reason, code !== 1006]);
		else this.#dispatch("close", { code, reason });
	}

	/** Itself as an end of a network connection. */
	end(machine: string): End {
		return {
			machine,
			// Before it is accepted nobody can be gone.
			isAlive: () => (this.#early !== null && !this.isHibernatable) || this.isAlive,
			onData: (data) => this.arrived(data),
			onClose: (code, reason) => this.ended(code, reason),
			onPong: () => undefined,
		};
	}
}

/** The two ends as the runtime hands them out: `client` leaves with the response. */
export interface HandedOut {
	readonly server: WorkerSocket;
	/** Joins the end that left to where the response went. */
	join(client: End, serverMachine: string): Connection;
	abandon(): void;
}

export function socketPair(network: Network): { 0: HandedOut; 1: WorkerSocket } {
	const server = new WorkerSocket(network);
	const handedOut: HandedOut = {
		server,
		join(client, serverMachine) {
			const connection = network.connect(client, server.end(serverMachine));
			server.joined(connection, 1);
			return connection;
		},
		abandon: () => server.abandon(),
	};
	return { 0: handedOut, 1: server };
}

/** The end that a fetch of a place got with its response. */
export function joinedSocket(network: Network, handedOut: HandedOut, ends: { from: string; to: string }): WorkerSocket {
	const client = new WorkerSocket(network);
	const connection = handedOut.join(client.end(ends.from), ends.to);
	client.joined(connection, 0);
	return client;
}
