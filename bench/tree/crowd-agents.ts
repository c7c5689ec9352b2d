/**
 * The crowd: a process of its own that is thousands of agents at once, each with one event a second, gathered and sealed as its own
 * batch. Guarantees that every batch is followed from its send to its A1, and that a link that ends is told and not replaced. Must never
 * be run by hand: the bench that started it speaks to it over Node's channel, and it ends with it.
 */
import { randomBytes } from "node:crypto";
import { sealBatch, ZERO_HASH } from "#core/model/batch.ts";
import { quantile } from "../figure.ts";
import type { Trouble } from "./child.ts";
import type { Client } from "./client.ts";
import type { SimulatedAgent } from "./identities.ts";
import { CROWD_LIMITS } from "./limits.ts";
import { shareEvents } from "./payload.ts";
import type { CrowdOrder, CrowdReport, LoadPlan } from "./plan.ts";
import { openTreeClient } from "./tree-client.ts";

const report = (message: CrowdReport) => void process.send?.(message);
const trouble = (detail: string) => void process.send?.({ kind: "trouble", detail } satisfies Trouble);

/** What happened since the last pulse. */
class Tally {
	sentEvents = 0;
	takenEvents = 0;
	storedBatches = 0;
	readonly ackMs: number[] = [];
}

let tally = new Tally();
/** Batch by batch, the same for every agent: sealing ten thousand agents' own events would be the first limit met. */
const shared = shareEvents(CROWD_LIMITS.batchesMax, CROWD_LIMITS.eventsPerBatch, Date.now());
const ended = new Map<string, number>();

class CrowdAgent {
	readonly #agent: SimulatedAgent;
	#client: Client | null = null;
	#stream: Uint8Array = new Uint8Array(randomBytes(8));
	#seq = 0;
	#firstEvent = 0;
	#prevHash: Uint8Array = ZERO_HASH;
	#sentAtMs: number[] = [];

	constructor(agent: SimulatedAgent) {
		this.#agent = agent;
	}

	get isLinked(): boolean {
		return this.#client !== null;
	}

	/** How long its oldest batch without A1 waits; 0 when none does. */
	oldestMs(nowMs: number): number {
		const [oldest] = this.#sentAtMs;
		return oldest === undefined ? 0 : nowMs - oldest;
	}

	async connect({ destination, ca }: LoadPlan): Promise<void> {
		if (destination.kind !== "tree") throw new Error("a crowd is of the tree");
		const { port, serverName: servername, serverUri } = destination;
		const tls = { host: "127.0.0.1", port, servername, ca, cert: this.#agent.tlsChain, key: this.#agent.tlsKey };
		const events = {
			onTaken: (count: number) => this.#taken(count),
			onStored: () => {
				tally.storedBatches++;
			},
			onTrouble: (detail: string) => this.#ended(detail),
		};
		this.#client = await openTreeClient(this.#agent, tls, { serverUri, events });
		this.#client.begin(this.#stream);
	}

	#taken(count: number): void {
		const nowMs = performance.now();
		for (const sentAtMs of this.#sentAtMs.splice(0, count)) {
			tally.ackMs.push(nowMs - sentAtMs);
			tally.takenEvents += CROWD_LIMITS.eventsPerBatch;
		}
	}

	#ended(detail: string): void {
		if (this.#client === null) return;
		this.#client = null;
		// The same story from many agents is told once, with their number.
		const story = detail.replaceAll(this.#agent.id, "an agent");
		ended.set(story, (ended.get(story) ?? 0) + 1);
	}

	send(): void {
		const events = shared[this.#seq];
		if (this.#client === null || events === undefined) return;
		const nowMs = Date.now();
		const header = {
			...{ agent: this.#agent.id, stream: this.#stream, seq: ++this.#seq, prevHash: this.#prevHash },
			...{ startMs: nowMs, endMs: nowMs, lane: "bulk" as const, firstEvent: this.#firstEvent },
		};
		const sealed = sealBatch(header, events, this.#agent.seed);
		this.#prevHash = sealed.hash;
		this.#firstEvent += events.length;
		this.#sentAtMs.push(performance.now());
		tally.sentEvents += events.length;
		this.#client.send(this.#client.prepare(sealed.bytes));
	}

	async leave(): Promise<void> {
		const client = this.#client;
		this.#client = null;
		this.#sentAtMs = [];
		await client?.close();
	}
}

let plan: LoadPlan | null = null;
let crowd: CrowdAgent[] = [];
let size = 0;
let turn = 0;
let due = 0;
let lastCpu = process.cpuUsage();

/** The agents take turns, so that each sends once in every gathering time and they never send all at once. */
function tick(): void {
	if (size === 0) return;
	const perTick = (size * CROWD_LIMITS.tickMs) / CROWD_LIMITS.gatherMs;
	due += perTick;
	for (; due >= 1; due--) (crowd[turn++ % size] as CrowdAgent).send();
}

async function grow(to: number): Promise<void> {
	const beganAtMs = performance.now();
	const waiting = crowd.slice(size, to);
	const eachMs: number[] = [];
	const failed = new Map<string, number>();
	const worker = async () => {
		for (let agent = waiting.shift(); agent !== undefined; agent = waiting.shift()) {
			const begunMs = performance.now();
			try {
				await agent.connect(plan as LoadPlan);
				eachMs.push(performance.now() - begunMs);
			} catch (error) {
				const { message } = error as Error;
				failed.set(message, (failed.get(message) ?? 0) + 1);
			}
		}
	};
	await Promise.all(Array.from({ length: CROWD_LIMITS.connectsAtOnce }, worker));
	size = to;
	report({ kind: "grown", links: { allMs: performance.now() - beganAtMs, eachMs }, failed: [...failed] });
}

async function shrink(to: number): Promise<void> {
	const leaving = crowd.slice(to, size);
	size = to;
	await Promise.all(leaving.map((agent) => agent.leave()));
	report({ kind: "shrunk" });
}

function pulse(): void {
	const nowMs = performance.now();
	const { user, system } = process.cpuUsage(lastCpu);
	lastCpu = process.cpuUsage();
	const { sentEvents, takenEvents, storedBatches, ackMs } = tally;
	tally = new Tally();
	report({
		kind: "pulse",
		linked: crowd.filter(({ isLinked }) => isLinked).length,
		...{ sentEvents, takenEvents, storedBatches },
		ackMs: { p50: quantile(ackMs.length > 0 ? ackMs : [0], 0.5), p99: quantile(ackMs.length > 0 ? ackMs : [0], 0.99) },
		oldestMs: crowd.reduce((longest, agent) => Math.max(longest, agent.oldestMs(nowMs)), 0),
		ended: [...ended],
		cpuSeconds: (user + system) / 1e6,
	});
}

async function obey(order: CrowdOrder): Promise<void> {
	if (order.act === "grow") await grow(order.to);
	else if (order.act === "shrink") await shrink(order.to);
	else pulse();
}

process.on("disconnect", () => process.exit(0));
process.on("message", (message: LoadPlan | CrowdOrder) => {
	if ("destination" in message) {
		plan = message;
		crowd = message.agents.map((agent) => new CrowdAgent(agent));
		setInterval(tick, CROWD_LIMITS.tickMs);
	} else obey(message).catch((error: Error) => trouble(error.message));
});
