/**
 * What goes wrong in a world: a seed's list of faults, each with its time, its place and its end. Guarantees that every fault is over
 * when the tree heals, and that none breaks what hardware promises (a sync that returned is kept).
 */
import type { Random } from "./runtime/random.ts";
import type { AgentMachine } from "./tree/agent.ts";
import type { Server } from "./tree/server.ts";
import type { Tree } from "./tree/tree.ts";

const DAY_MS = 86_400_000;

/** One kind of fault: does it, and undoes it through the world's clock. */
type Fault = (tree: Tree, random: Random) => void;

/** The end of a fault, or its next blow: none falls on a tree that has healed, where everything has ended already. */
function later(tree: Tree, ms: number, task: () => void): void {
	tree.world.schedule(null, ms, () => {
		if (!tree.isHealed) task();
	});
}

function killServer(tree: Tree, random: Random, server: Server): void {
	server.kill(random.chance(0.5));
	later(tree, random.between(50, random.chance(0.8) ? 3000 : 15_000), () => server.start());
}

function killAgent(tree: Tree, random: Random, agent: AgentMachine): void {
	agent.kill(random.chance(0.5));
	later(tree, random.between(50, random.chance(0.8) ? 3000 : 15_000), () => agent.start());
}

const kill: Fault = (tree, random) => {
	const target = random.below(tree.servers.length + tree.agents.length);
	const server = tree.servers[target];
	if (server !== undefined) killServer(tree, random, server);
	else killAgent(tree, random, random.pick(tree.agents));
};

/** The power of a server fails while its disk, slow for the moment, has not yet taken what its objects wrote. */
const loseUnsynced: Fault = (tree, random) => {
	const server = random.pick(tree.servers);
	server.slowness = 60;
	const patienceMs = random.between(20, 250);
	const look = (left: number) => {
		const isPending = server.host.slots().some(({ disk }) => !disk.isIdle);
		if (left === 0 || !isPending) {
			if (left > 0) later(tree, 20, () => look(left - 1));
			else server.slowness = 1;
			return;
		}
		later(tree, patienceMs, () => {
			server.slowness = 1;
			killServer(tree, random, server);
		});
	};
	look(200);
};

/** The power of an agent's machine fails in the middle of its own code, at some call of its disk. */
const tornWrite: Fault = (tree, random) => {
	const agent = random.pick(tree.agents);
	agent.disk.callsLeft = 1 + random.below(12);
	later(tree, random.between(3000, 8000), () => agent.start());
};

const killService: Fault = (tree, random) => {
	const service = random.chance(0.6) ? tree.parts.sqld : tree.parts.signer;
	service.kill();
	later(tree, random.between(20, 5000), () => service.start());
};

const cutLink: Fault = (tree, random) => {
	const times = random.chance(0.3) ? 5 : 1;
	const [a, b] = random.pick(tree.links);
	for (let time = 0; time < times; time++)
		later(tree, time * 1000, () => {
			tree.world.trace(`cut ${a} ${b}`);
			for (const connection of tree.network.connectionsOf(a, b)) connection.cut();
		});
};

const partition: Fault = (tree, random) => {
	const [a, b] = random.pick(tree.links);
	const ways = random.pick([
		[[a, b]],
		[[b, a]],
		[
			[a, b],
			[b, a],
		],
	]);
	tree.world.trace(`block ${ways.map((way) => way.join(">")).join(" ")}`);
	for (const [from, to] of ways) tree.network.block(from as string, to as string);
	later(tree, random.between(500, random.chance(0.6) ? 5000 : 30_000), () => {
		for (const [from, to] of ways) tree.network.unblock(from as string, to as string);
	});
};

const clockJump: Fault = (tree, random) => {
	const machine = random.pick([...tree.servers, ...tree.agents]);
	const isStrobe = random.chance(0.3);
	const jumpMs = random.pick([DAY_MS, -DAY_MS, 3_600_000, -3_600_000, 5000, -5000]);
	tree.world.trace(`clock ${machine.name} ${isStrobe ? "strobe" : jumpMs}`);
	if (!isStrobe) machine.offsetMs = jumpMs;
	else
		for (let at = 0; at < 10; at++)
			later(tree, at * 1000, () => {
				machine.offsetMs = at % 2 === 0 ? 1000 : -1000;
			});
	if (random.chance(0.7))
		later(tree, random.between(500, 15_000), () => {
			machine.offsetMs = 0;
		});
};

const diskFull: Fault = (tree, random) => {
	const server = random.chance(0.5) ? random.pick(tree.servers) : null;
	const target = server ?? random.pick(tree.agents).disk;
	tree.world.trace(`full ${server?.name ?? "agent"}`);
	target.isFull = true;
	later(tree, random.between(300, 10_000), () => {
		target.isFull = false;
	});
};

/** The Security Center at a tenth of its speed, or stopped. */
const slowConsumer: Fault = (tree, random) => {
	const service = random.chance(0.7) ? tree.parts.sqld : tree.parts.signer;
	const isStopped = random.chance(0.5);
	tree.world.trace(`${isStopped ? "stop" : "slow"} ${service.name}`);
	if (isStopped) service.isStopped = true;
	else service.slowness = 10 * 10 ** random.below(2);
	later(tree, random.between(500, random.chance(0.7) ? 5000 : 40_000), () => {
		service.isStopped = false;
		service.slowness = 1;
	});
};

const slowDisk: Fault = (tree, random) => {
	const server = random.pick(tree.servers);
	tree.world.trace(`slow disk ${server.name}`);
	server.slowness = 10 * 10 ** random.below(2);
	later(tree, random.between(500, 8000), () => {
		server.slowness = 1;
	});
};

/** An object loses its memory: put to sleep, or broken. */
const loseMemory: Fault = (tree, random) => {
	const slots = random.pick(tree.servers).host.slots();
	const slot = slots.length === 0 ? null : random.pick(slots);
	if (slot === null || slot.place() === null) return;
	if (random.chance(0.5)) slot.evict();
	else slot.abort("the runtime broke it");
};

/**
 * What an agent's disk and a proxy's disk knew, and both are gone, nobody can be asked for: what waits behind it at a proxy waits, with an
 * alarm. So in one run agents' disks are replaced by older images of themselves (as who restores a snapshot of a virtual machine does), or
 * a proxy's disk is lost.
 */
const rewindAgent: Fault = (tree, random) => {
	const agent = random.pick(tree.agents);
	if (!agent.isUp) return;
	const image = agent.disk.image();
	later(tree, random.between(500, 5000), () => {
		if (tree.servers.some(({ hasLostDisk }) => hasLostDisk)) return;
		tree.world.trace(`rewind ${agent.name}`);
		agent.kill(false);
		agent.restore(image);
		agent.isPowered = true;
		// Before it can ask how far its hop is, it seals under numbers that are taken.
		const [, proxy] = tree.links.find(([name]) => name === agent.name) ?? ["", ""];
		if (random.chance(0.7)) tree.network.block(agent.name, proxy);
		later(tree, random.between(50, 2000), () => agent.start());
		later(tree, random.between(2000, 6000), () => tree.network.unblock(agent.name, proxy));
	});
};

/** A proxy's disk dies with what it acknowledged and could not hand on, and perhaps the agents' history has given way meanwhile. */
const loseProxyDisk: Fault = (tree, random) => {
	const proxy = random.pick(tree.proxies);
	const [, above] = tree.links.find(([name]) => name === proxy.name) ?? ["", ""];
	const isHistoryGone = random.chance(0.5);
	tree.network.block(proxy.name, above);
	later(tree, random.between(300, 4000), () => {
		tree.network.unblock(proxy.name, above);
		if (tree.agents.some(({ wasRestored }) => wasRestored)) return;
		proxy.kill(true);
		proxy.loseDisk();
		if (isHistoryGone)
			for (const agent of tree.agents) {
				agent.kill(false);
				agent.start();
				later(tree, 5, () => agent.forgetHistory());
			}
		later(tree, random.between(50, 2000), () => proxy.start());
	});
};

const KINDS: readonly (readonly [weight: number, fault: Fault])[] = [
	[5, kill],
	[3, loseUnsynced],
	[3, tornWrite],
	[3, killService],
	[3, cutLink],
	[3, partition],
	[2, clockJump],
	[2, diskFull],
	[2, slowConsumer],
	[1, slowDisk],
	[2, loseMemory],
	[2, rewindAgent],
];

function pickKind(random: Random): Fault {
	const total = KINDS.reduce((sum, [weight]) => sum + weight, 0);
	let left = random.between(0, total);
	for (const [weight, fault] of KINDS) {
		left -= weight;
		if (left < 0) return fault;
	}
	return kill;
}

/** Objects of agents are put to sleep whenever they may be, as a runtime short of memory does. */
const drowse: Fault = (tree) => {
	for (const server of tree.servers)
		for (const slot of server.host.slots()) if (slot.className === "AgentChannel") slot.evict();
	later(tree, 400, () => drowse(tree, tree.world.random));
};

/** A hop's clock falls behind while its link stands, and what is below makes its links anew: by hellos from the hop's future. */
const hellosFromTheFuture: Fault = (tree, random) => {
	const server = random.pick(tree.servers.slice(tree.servers.length - Math.min(2, tree.servers.length)));
	server.offsetMs = random.pick([-DAY_MS, -3_600_000]);
	tree.world.trace(`clock ${server.name} ${server.offsetMs}`);
	for (const [a, b] of tree.links)
		if (a !== server.name && b !== server.name)
			later(tree, random.between(10, 1000), () => {
				for (const connection of tree.network.connectionsOf(a, b)) connection.cut();
			});
	later(tree, random.between(1500, 15_000), () => {
		server.offsetMs = 0;
	});
};

/** The Security Center loses its power again and again, with writes on their way. */
const weakPower: Fault = (tree, random) => {
	tree.center.slowness = 20;
	for (let time = 1; time <= 4; time++) {
		later(tree, time * 1500 + random.between(0, 300), () => tree.center.kill(true));
		later(tree, time * 1500 + 400, () => tree.center.start());
	}
	later(tree, 7000, () => {
		tree.center.slowness = 1;
	});
};

/** A disk that somebody else fills and empties: full for some moments, with some between. */
const flicker: Fault = (tree, random) => {
	const target = random.chance(0.7) ? random.pick(tree.servers) : random.pick(tree.agents).disk;
	for (let time = 0; time < 12; time++) {
		later(tree, time * 500, () => {
			target.isFull = true;
		});
		later(tree, time * 500 + random.between(50, 300), () => {
			target.isFull = false;
		});
	}
};

/** What some seeds have beside their single faults: troubles that last, or that come when links are made. */
function planHabits(tree: Tree, random: Random, untilMs: number): void {
	const habits: readonly (readonly [chance: number, atMs: number, habit: Fault])[] = [
		[0.1, random.between(0, 2000), drowse],
		[0.08, random.between(300, 2000), hellosFromTheFuture],
		[0.06, random.between(300, 2000), weakPower],
		[0.08, random.between(100, untilMs), flicker],
	];
	for (const [chance, atMs, habit] of habits)
		if (random.chance(chance)) tree.world.schedule(null, atMs, () => habit(tree, random));
}

/** Puts a seed's faults on the world's clock, all of them to begin before `untilMs`. */
export function planFaults(tree: Tree, random: Random, untilMs: number): number {
	const count = 1 + random.below(8);
	for (let index = 0; index < count; index++) {
		const fault = pickKind(random);
		const own = random.stream(`fault ${index}`);
		tree.world.schedule(null, own.between(100, untilMs), () => fault(tree, own));
	}
	planHabits(tree, random.stream("habits"), untilMs);
	// Of a stream of its own, so that no other seed changes by it.
	const lost = random.stream("lost disks");
	const isSpared = tree.world.planted?.sparesDisks === true;
	if (lost.chance(0.1) && !isSpared)
		tree.world.schedule(null, lost.between(300, untilMs), () => loseProxyDisk(tree, lost));
	return count;
}

/** What a seed's network does to single messages, beyond TCP. */
export function frameFaultsOf(random: Random) {
	const one = (chance: number, value: number) => (random.chance(chance) ? value : 0);
	return { dropChance: one(0.15, 0.01), duplicateChance: one(0.3, 0.1), reorderChance: one(0.2, 0.05) };
}
