/**
 * A machine that runs workerd: a proxy or the Security Center's, with the real classes and the real link gate. It starts, is killed
 * with or without the power, and starts again from its disks.
 */

import { SimRequest as Request, SimResponse as Response } from "../runtime/http.ts";
import type { Machine, Network, SimRequest, SimResponse } from "../runtime/network.ts";
import { type HostMachine, type ObjectClass, ObjectHost } from "../runtime/object-host.ts";
import { type HandedOut, joinedSocket } from "../runtime/sockets.ts";
import type { Place, World } from "../runtime/world.ts";
import type { Enclave, Identity } from "./enclave.ts";

/** What differs between a proxy's machine and the Security Center's. */
export interface ServerRole {
	readonly classes: Readonly<Record<string, ObjectClass>>;
	readonly env: (server: Server) => Record<string, unknown>;
	/** One request of the mTLS socket; `nonces` are this process's. */
	readonly answer: (request: SimRequest, env: Record<string, unknown>, nonces: unknown) => Promise<SimResponse>;
	readonly newNonces: () => unknown;
	/** Asked of the process when it has started, as its supervisor does. */
	readonly wake?: (env: Record<string, unknown>) => void;
}

export interface ServerParts {
	readonly world: World;
	readonly network: Network;
	readonly enclave: Enclave;
	readonly identity: Identity;
	readonly role: ServerRole;
}

export class Server implements Machine, HostMachine {
	readonly name: string;
	readonly world: World;
	readonly network: Network;
	readonly host: ObjectHost;
	readonly identity: Identity;
	readonly enclave: Enclave;
	readonly #role: ServerRole;
	#nonces: unknown = null;
	isPowered = true;
	offsetMs = 0;
	isFull = false;
	hasLostDisk = false;
	/** Its disk takes this many times longer. */
	slowness = 1;

	constructor({ world, network, enclave, identity, role }: ServerParts) {
		this.world = world;
		this.network = network;
		this.enclave = enclave;
		this.identity = identity;
		this.name = identity.id;
		this.#role = role;
		this.host = new ObjectHost(world, { network, machine: this, classes: role.classes });
		this.host.env = role.env(this);
		network.add(this);
	}

	readonly clockOffsetMs = (): number => this.offsetMs;
	readonly isDiskFull = (): boolean => this.isFull;
	readonly syncMs = (): number => this.world.random.between(0.05, 4) * this.slowness;
	readonly server = (): Place | null => this.host.worker;

	answer(request: SimRequest): Promise<SimResponse> {
		return this.#role.answer(request, this.host.env, this.#nonces);
	}

	start(): void {
		if (this.host.isUp) return;
		this.world.trace(`start ${this.name}`);
		this.isPowered = true;
		this.#nonces = this.#role.newNonces();
		this.host.start();
		this.wake();
	}

	/** As the supervisor asks for health: also an object that died without a word lives again. */
	wake(): void {
		const place = this.host.worker;
		if (place !== null) this.world.schedule(place, 1, () => this.#role.wake?.(this.host.env));
	}

	kill(isPowerLoss: boolean): void {
		if (!this.host.isUp) return;
		this.world.trace(`kill ${this.name}${isPowerLoss ? " power" : ""}`);
		this.isPowered = !isPowerLoss;
		this.host.kill();
		this.network.processEnded(this.name);
	}

	/** The disk is destroyed with everything on it; an empty one takes its place. The process is down. */
	loseDisk(): void {
		this.world.trace(`lost disk ${this.name}`);
		this.hasLostDisk = true;
		for (const slot of this.host.slots()) slot.disk.rewind(0);
	}

	/** A service binding to another machine's mTLS socket. */
	serviceTo(upstream: string): { fetch(url: string, init?: object): Promise<SimResponse> } {
		return {
			fetch: async (url, init = {}) => {
				const caller = this.world.current as Place;
				const response = await this.network.request(caller, this.name, upstream, new Request(url, init));
				const handedOut = response.webSocket as HandedOut | null;
				if (handedOut === null) return response;
				const webSocket = joinedSocket(this.network, handedOut, { from: this.name, to: upstream });
				return new Response(null, { status: response.status, webSocket });
			},
		};
	}
}
