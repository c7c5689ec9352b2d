/**
 * The load generator: a process of its own that is many agents at once. Guarantees that sealing, signing and connecting are over
 * before a load is timed, that each agent keeps its own window of unacknowledged bytes, and that its own CPU is told beside every
 * result. Must never be run by hand: the bench that started it speaks to it over Node's channel, and it ends with it.
 */
import { type PipeBounds, PipeDepth } from "#core/protocol/index.ts";
import { AGENT_LIMITS } from "../../agent/limits.ts";
import { quantile } from "../figure.ts";
import type { Trouble } from "./child.ts";
import type { Client, ClientEvents } from "./client.ts";
import type { SimulatedAgent } from "./identities.ts";
import { TREE_LIMITS } from "./limits.ts";
import { openNatsClient } from "./nats-client.ts";
import { sealLoad, shareEvents } from "./payload.ts";
import type { LinkTimes, LoadOrder, LoadPlan, LoadReport, LoadResult, Order } from "./plan.ts";
import { openRedisClient } from "./redis-client.ts";
import { openTreeClient } from "./tree-client.ts";

const report = (message: LoadReport) => void process.send?.(message);
const trouble = (detail: string) => void process.send?.({ kind: "trouble", detail } satisfies Trouble);

/** One agent of the load under way. */
class Lane {
	/** As in the agent's own sender. */
	readonly #depth: PipeDepth;
	readonly #onTaken: (waitedMs: number) => void;
	readonly #onStored: () => void;
	#client: Client | null = null;
	#frames: readonly Uint8Array[] = [];
	/** How many of them the agent has made so far. */
	#made = 0;
	#sent = 0;
	#taken = 0;
	#stored = false;
	#inFlightBytes = 0;
	#sentAtMs: number[] = [];

	constructor(bounds: PipeBounds, told: { onTaken: (waitedMs: number) => void; onStored: () => void }) {
		this.#depth = new PipeDepth(bounds);
		this.#onTaken = told.onTaken;
		this.#onStored = told.onStored;
	}

	get isOpen(): boolean {
		return this.#client !== null;
	}

	readonly events: ClientEvents = {
		onTaken: (count) => this.#takenMore(count),
		onStored: (seq) => {
			if (this.#stored || seq < this.#frames.length) return;
			this.#stored = true;
			this.#onStored();
		},
		onTrouble: trouble,
	};

	opened(client: Client): void {
		this.#client = client;
	}

	load(stream: Uint8Array, batches: readonly Uint8Array[]): void {
		const client = this.#client as Client;
		client.begin(stream);
		this.#frames = batches.map((batch) => client.prepare(batch));
		this.#made = 0;
		this.#sent = 0;
		this.#taken = 0;
		this.#stored = false;
		this.#inFlightBytes = 0;
		this.#sentAtMs = [];
	}

	pump(): void {
		while (this.#sent < this.#made && this.#inFlightBytes < this.#depth.bytes) this.#sendNext();
	}

	/** One more was made; it waits in the outbox while the window is full. False: that was the last. */
	makeNext(): boolean {
		if (this.#made >= this.#frames.length) return false;
		this.#made++;
		this.pump();
		return true;
	}

	/** All of the load is there at once. */
	makeAll(): void {
		this.#made = this.#frames.length;
		this.pump();
	}

	#takenMore(count: number): void {
		const nowMs = performance.now();
		const newest = this.#sentAtMs[Math.min(this.#taken + count, this.#sent) - 1];
		if (newest !== undefined) this.#depth.heard(nowMs - newest, nowMs);
		for (let index = 0; index < count && this.#taken < this.#sent; index++) {
			this.#inFlightBytes -= (this.#frames[this.#taken] as Uint8Array).length;
			this.#onTaken(nowMs - (this.#sentAtMs[this.#taken] as number));
			this.#taken++;
		}
		this.pump();
	}

	#sendNext(): void {
		const frame = this.#frames[this.#sent++] as Uint8Array;
		this.#inFlightBytes += frame.length;
		this.#sentAtMs.push(performance.now());
		this.#client?.send(frame);
	}
}

class Generator {
	readonly #plan: LoadPlan;
	readonly #lanes: Lane[];
	#order: LoadOrder | null = null;
	#bytes = 0;
	#startedAtMs = 0;
	#cpu = process.cpuUsage();
	#waitedMs: number[] = [];
	#a1Ms = 0;
	#stored = 0;

	constructor(plan: LoadPlan) {
		this.#plan = plan;
		const told = { onTaken: (waitedMs: number) => this.#taken(waitedMs), onStored: () => this.#storedMore() };
		const { windowBytes: bytesMax } = plan;
		// A yardstick keeps its whole window.
		const bytesMin = plan.destination.kind === "tree" ? AGENT_LIMITS.windowBulkBytesMin : bytesMax;
		this.#lanes = plan.agents.map(() => new Lane({ bytesMax, bytesMin }, told));
	}

	async #open(agent: SimulatedAgent, lane: Lane): Promise<number> {
		const { destination, ca } = this.#plan;
		const { port, serverName: servername } = destination;
		const tls = { host: "127.0.0.1", port, servername, ca, cert: agent.tlsChain, key: agent.tlsKey };
		const beganAtMs = performance.now();
		const { events } = lane;
		const opened =
			destination.kind === "tree"
				? openTreeClient(agent, tls, { serverUri: destination.serverUri, events })
				: destination.kind === "redis"
					? openRedisClient(agent.id, tls, events)
					: openNatsClient(agent.id, tls, events);
		lane.opened(await opened);
		return performance.now() - beganAtMs;
	}

	async #connect(count: number): Promise<LinkTimes> {
		const beganAtMs = performance.now();
		const closed = this.#plan.agents.slice(0, count).flatMap((agent, index) => {
			const lane = this.#lanes[index] as Lane;
			return lane.isOpen ? [] : [{ agent, lane }];
		});
		const eachMs: number[] = [];
		const worker = async () => {
			for (let next = closed.shift(); next !== undefined; next = closed.shift())
				eachMs.push(await this.#open(next.agent, next.lane));
		};
		await Promise.all(Array.from({ length: TREE_LIMITS.connectsAtOnce }, worker));
		return { allMs: performance.now() - beganAtMs, eachMs };
	}

	async prepare(order: LoadOrder): Promise<void> {
		const { lane, agentCount, batchesPerAgent, eventsPerBatch, repeats } = order;
		const links = await this.#connect(agentCount);
		const shared = shareEvents(batchesPerAgent, eventsPerBatch, Date.now());
		this.#bytes = 0;
		for (const [index, agent] of this.#plan.agents.slice(0, agentCount).entries()) {
			const { stream, batches } = sealLoad(agent, lane, shared);
			const all = Array.from({ length: repeats }, () => batches).flat();
			this.#bytes += all.reduce((sum, batch) => sum + batch.length, 0);
			const own = this.#lanes[index] as Lane;
			own.load(stream, all);
		}
		this.#order = order;
		report({ kind: "ready", links, bytes: this.#bytes });
	}

	go(): void {
		this.#waitedMs = [];
		this.#stored = 0;
		this.#cpu = process.cpuUsage();
		this.#startedAtMs = performance.now();
		const { agentCount, perSecond } = this.#order as LoadOrder;
		const lanes = this.#lanes.slice(0, agentCount);
		if (perSecond !== undefined) this.#pace(lanes, perSecond);
		else for (const lane of lanes) lane.makeAll();
	}

	/** So many batches a second, from one agent after the other. */
	#pace(lanes: readonly Lane[], perSecond: number): void {
		let sent = 0;
		const timer = setInterval(() => {
			const due = ((performance.now() - this.#startedAtMs) / 1000) * perSecond;
			while (sent < due)
				if (!(lanes[sent++ % lanes.length] as Lane).makeNext()) {
					clearInterval(timer);
					return;
				}
		}, TREE_LIMITS.paceMs);
	}

	#taken(waitedMs: number): void {
		const { agentCount, batchesPerAgent, repeats, until } = this.#order as LoadOrder;
		if (this.#waitedMs.push(waitedMs) < agentCount * batchesPerAgent * repeats) return;
		this.#a1Ms = performance.now() - this.#startedAtMs;
		if (until === "a1") this.#done(null);
	}

	#storedMore(): void {
		const { agentCount, until } = this.#order as LoadOrder;
		if (++this.#stored === agentCount && until === "a2") this.#done(performance.now() - this.#startedAtMs);
	}

	#done(a2Ms: number | null): void {
		const { agentCount, batchesPerAgent, eventsPerBatch, repeats } = this.#order as LoadOrder;
		const { user, system } = process.cpuUsage(this.#cpu);
		const batches = agentCount * batchesPerAgent * repeats;
		const ackMs = { p50: quantile(this.#waitedMs, 0.5), p99: quantile(this.#waitedMs, 0.99) };
		const result: LoadResult = {
			...{ batches, events: batches * eventsPerBatch, bytes: this.#bytes, a1Ms: this.#a1Ms, a2Ms, ackMs },
			cpuSeconds: (user + system) / 1e6,
		};
		report({ kind: "done", result });
	}
}

let generator: Generator | null = null;

async function obey(order: Order): Promise<void> {
	if (order.act === "load") await generator?.prepare(order);
	else generator?.go();
}

process.on("disconnect", () => process.exit(0));
process.on("message", (message: LoadPlan | Order) => {
	if ("destination" in message) generator = new Generator(message);
	else obey(message).catch((error: Error) => trouble(error.message));
});
