/** One tree of a world: agents, one or two tiers of proxies, the Security Center, and the network between them. */
import type { Network } from "../runtime/network.ts";
import type { Random } from "../runtime/random.ts";
import type { World } from "../runtime/world.ts";
import { AgentMachine, type AgentWatch } from "./agent.ts";
import { AGENTS, CENTER, type Enclave, type Identity, PROXIES } from "./enclave.ts";
import { type Center, centerOf, proxyRole, registerServer, type WorkerCode } from "./roles.ts";
import { Server } from "./server.ts";

export interface TreeShape {
	readonly agents: number;
	/** Proxies above each other: the first is next to the Security Center. */
	readonly tiers: 1 | 2;
	/** Where each agent is; an index of the proxies. */
	readonly homes: readonly number[];
}

export function shapeOf(random: Random): TreeShape {
	const tiers = random.chance(0.4) ? 2 : 1;
	const agents = 1 + random.below(tiers === 2 ? 2 : 3);
	const homes = Array.from({ length: agents }, (_, index) => (tiers === 1 ? 0 : index === 0 ? 1 : random.below(2)));
	return { agents, tiers, homes };
}

export class Tree {
	readonly world: World;
	readonly network: Network;
	readonly agents: AgentMachine[] = [];
	readonly proxies: Server[] = [];
	readonly center: Server;
	readonly parts: Center;
	isHealed = false;
	/** Pairs of machines that talk to each other. */
	readonly links: (readonly [string, string])[] = [];

	constructor(
		world: World,
		network: Network,
		made: { enclave: Enclave; code: WorkerCode; shape: TreeShape; watch: AgentWatch },
	) {
		const { enclave, code, shape, watch } = made;
		this.world = world;
		this.network = network;
		const identityOf = (id: string) => enclave.identities.get(id) as Identity;
		this.parts = centerOf(code, world);
		const server = (id: string, role: Center["role"]) => {
			const machine = new Server({ world, network, enclave, identity: identityOf(id), role });
			registerServer(machine);
			return machine;
		};
		this.center = server(CENTER, this.parts.role);
		for (let tier = 0; tier < shape.tiers; tier++) {
			const id = PROXIES[tier] as string;
			const upstream = tier === 0 ? CENTER : (PROXIES[tier - 1] as string);
			this.proxies.push(server(id, proxyRole(code, { id: upstream, uri: identityOf(upstream).uri })));
			this.links.push([id, upstream]);
		}
		for (let index = 0; index < shape.agents; index++) {
			const id = AGENTS[index] as string;
			const proxy = PROXIES[shape.homes[index] ?? 0] as string;
			const parts = {
				world,
				network,
				enclave,
				identity: identityOf(id),
				proxy,
				watch,
				outboxBytesMax: 8 * 1024 * 1024,
			};
			this.agents.push(new AgentMachine(parts));
			this.links.push([id, proxy]);
		}
	}

	get servers(): Server[] {
		return [...this.proxies, this.center];
	}

	startAll(): void {
		for (const server of this.servers) server.start();
		for (const agent of this.agents) agent.start();
	}

	/** Every fault ends: power, clocks, disks, links and the processes beside workerd are well again. */
	heal(): void {
		this.isHealed = true;
		this.world.trace("heal");
		for (const machine of [...this.servers, ...this.agents]) machine.offsetMs = 0;
		for (const server of this.servers) {
			server.isFull = false;
			server.slowness = 1;
		}
		for (const agent of this.agents) {
			agent.disk.isFull = false;
			agent.disk.callsLeft = Number.POSITIVE_INFINITY;
		}
		for (const service of [this.parts.sqld, this.parts.signer]) {
			service.isStopped = false;
			service.slowness = 1;
			service.start();
		}
		this.network.unblockAll();
		this.network.frames.dropChance = 0;
		this.network.frames.duplicateChance = 0;
		this.network.frames.reorderChance = 0;
		this.startAll();
	}

	close(): void {
		for (const server of this.servers) server.host.close();
		this.parts.close();
	}
}
