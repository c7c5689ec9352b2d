/** The `ws` package as the agent's link uses it, over the world's network: the same events in the same order, pings and pongs. */
import { EventEmitter } from "node:events";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { currentWorld } from "./globals.ts";
import { SimRequest } from "./http.ts";
import type { Connection, Network } from "./network.ts";
import type { HandedOut } from "./sockets.ts";
import type { Place } from "./world.ts";

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
/** ws waits this long for the peer's closing word. */
const CLOSE_WAIT_MS = 30_000;

/** Where a place finds the network; set by whoever starts an agent there. */
const networks = new WeakMap<Place, { network: Network; machine: string }>();

export function attachNetwork(place: Place, network: Network, machine: string): void {
	networks.set(place, { network, machine });
}

/** The network of the agent that runs now. */
export function networkHere(): { network: Network; machine: string; place: Place } {
	const place = currentWorld().current;
	const found = place === null ? undefined : networks.get(place);
	if (place === null || found === undefined) throw new Error("no agent runs here");
	return { ...found, place };
}

export class WebSocket extends EventEmitter {
	static readonly OPEN = OPEN;
	readyState = CONNECTING;
	readonly #place: Place;
	readonly #network: Network;
	readonly #machine: string;
	#connection: Connection | null = null;

	constructor(
		url: string,
		_protocols: readonly string[],
		options: { headers: Record<string, string>; handshakeTimeout: number },
	) {
		super();
		const { network, machine, place } = networkHere();
		this.#network = network;
		this.#machine = machine;
		this.#place = place;
		const target = new URL(url);
		const headers = { ...options.headers, upgrade: "websocket", "sec-websocket-protocol": _protocols.join(",") };
		const abort = new AbortController();
		const timer = setTimeout(() => abort.abort(new Error("Opening handshake has timed out")), options.handshakeTimeout);
		const request = new SimRequest(`https://${target.hostname}${LINK_PATHS.agent}`, { headers, signal: abort.signal });
		network.request(place, machine, target.hostname, request).then(
			(response) => {
				clearTimeout(timer);
				const handedOut = response.webSocket as HandedOut | null;
				if (this.readyState === CLOSED) handedOut?.abandon();
				else if (handedOut === null) {
					const answer = { statusCode: response.status, destroy: () => undefined };
					this.emit("unexpected-response", null, answer);
				} else this.#join(handedOut, target.hostname);
			},
			(error: Error) => {
				clearTimeout(timer);
				this.#failed(error);
			},
		);
	}

	#failed(error: Error): void {
		if (this.readyState === CLOSED) return;
		this.emit("error", error);
		this.#closed(1006);
	}

	#join(handedOut: HandedOut, server: string): void {
		const enter = (task: () => void) => this.#network.world.enter(this.#place, task);
		this.#connection = handedOut.join(
			{
				machine: this.#machine,
				isAlive: () => this.#place.isAlive,
				onData: (data) => {
					if (this.readyState === OPEN || this.readyState === CLOSING)
						enter(() => this.emit("message", Buffer.from(this.#network.toAgent(data)), true));
				},
				onClose: (code) => enter(() => this.#closed(code)),
				onPong: () => enter(() => this.emit("pong")),
			},
			server,
		);
		this.readyState = OPEN;
		this.emit("upgrade", { socket: {} });
		this.emit("open");
	}

	#closed(code: number): void {
		if (this.readyState === CLOSED) return;
		this.readyState = CLOSED;
		this.emit("close", code, Buffer.alloc(0));
	}

	send(data: Uint8Array): void {
		if (this.readyState === OPEN && this.#place.isAlive) this.#connection?.sendData(0, data.slice());
	}

	ping(): void {
		if (this.readyState === OPEN) this.#connection?.ping(0);
	}

	close(code = 1000): void {
		if (this.readyState === CONNECTING) this.terminate();
		if (this.readyState !== OPEN) return;
		this.readyState = CLOSING;
		this.#connection?.close(0, code, "");
		setTimeout(() => this.#closed(1006), CLOSE_WAIT_MS);
	}

	/** The socket goes at once; the peer hears it from the network. */
	terminate(): void {
		if (this.readyState === CLOSED) return;
		if (this.#connection === null) setTimeout(() => this.#failed(new Error("closed before it was established")), 1);
		else {
			this.#connection.close(0, 1006, "");
			setTimeout(() => this.#closed(1006), 1);
		}
	}
}
