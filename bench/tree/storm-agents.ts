/**
 * A thousand agents that lose their proxy at once and come back as real agents do: by the agent's own rule of waits
 * (`core/protocol/parents.ts`), each with one batch that nobody has. Guarantees that sealing is over before the storm. Ends with the
 * bench.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Parents } from "#core/protocol/index.ts";
import type { Trouble } from "./child.ts";
import type { Client } from "./client.ts";
import type { SimulatedAgent } from "./identities.ts";
import { TREE_LIMITS } from "./limits.ts";
import { sealLoad, shareEvents } from "./payload.ts";
import type { LoadPlan, StormOrder, StormReport } from "./plan.ts";
import { openTreeClient } from "./tree-client.ts";

const report = (message: StormReport) => void process.send?.(message);
const trouble = (detail: string) => void process.send?.({ kind: "trouble", detail } satisfies Trouble);

class StormAgent {
	readonly #agent: SimulatedAgent;
	readonly #plan: LoadPlan;
	readonly #batch: Uint8Array;
	readonly #stream: Uint8Array;
	readonly #onAcked: () => void;
	#isWatched = false;
	#isAcked = false;
	failedTries = 0;

	constructor(agent: SimulatedAgent, plan: LoadPlan, onAcked: () => void) {
		this.#agent = agent;
		this.#plan = plan;
		this.#onAcked = onAcked;
		const { stream, batches } = sealLoad(agent, "bulk", shareEvents(1, TREE_LIMITS.eventsPerBatch, Date.now()));
		this.#stream = stream;
		this.#batch = batches[0] as Uint8Array;
	}

	async connect(): Promise<Client> {
		const { destination, ca } = this.#plan;
		if (destination.kind !== "tree") throw new Error("a storm is of the tree");
		const { port, serverName: servername, serverUri } = destination;
		const tls = { host: "127.0.0.1", port, servername, ca, cert: this.#agent.tlsChain, key: this.#agent.tlsKey };
		const events = {
			onTaken: () => this.#acked(),
			onStored: () => undefined,
			// Losing the link is what the storm is about; until it begins it is a trouble.
			onTrouble: (detail: string) => (this.#isWatched ? this.#lost() : trouble(detail)),
		};
		return openTreeClient(this.#agent, tls, { serverUri, events });
	}

	watch(): void {
		this.#isWatched = true;
	}

	#acked(): void {
		if (this.#isAcked) return;
		this.#isAcked = true;
		this.#onAcked();
	}

	#isReturning = false;

	#lost(): void {
		if (this.#isReturning || this.#isAcked) return;
		this.#isReturning = true;
		void this.#return();
	}

	/** The link had been steady, so the first wait is the short one. */
	async #return(): Promise<void> {
		const parents = new Parents(1, Math.random);
		for (let waitMs = parents.ended(Number.MAX_SAFE_INTEGER); ; waitMs = parents.ended(0)) {
			await sleep(waitMs);
			try {
				const client = await this.connect();
				this.#isReturning = false;
				client.begin(this.#stream);
				client.send(client.prepare(this.#batch));
				return;
			} catch {
				// The proxy is not back, or has no room for one more handshake: counted, and tried again like an agent does.
				this.failedTries++;
			}
		}
	}
}

let agents: StormAgent[] = [];
let startedAtMs = 0;
const ackedMs: number[] = [];

function acked(): void {
	ackedMs.push(performance.now() - startedAtMs);
	if (ackedMs.length < agents.length) return;
	report({ kind: "calm", ackedMs, failedTries: agents.reduce((sum, agent) => sum + agent.failedTries, 0) });
}

async function prepare(): Promise<void> {
	const beganAtMs = performance.now();
	const waiting = [...agents];
	const eachMs: number[] = [];
	const worker = async () => {
		for (let agent = waiting.shift(); agent !== undefined; agent = waiting.shift()) {
			const begunMs = performance.now();
			await agent.connect();
			eachMs.push(performance.now() - begunMs);
		}
	};
	await Promise.all(Array.from({ length: TREE_LIMITS.connectsAtOnce }, worker));
	report({ kind: "prepared", links: { allMs: performance.now() - beganAtMs, eachMs } });
}

process.on("disconnect", () => process.exit(0));
process.on("message", (message: LoadPlan | StormOrder) => {
	if ("destination" in message) agents = message.agents.map((agent) => new StormAgent(agent, message, acked));
	else if (message.act === "prepare") prepare().catch((error: Error) => trouble(error.message));
	else {
		startedAtMs = performance.now();
		for (const agent of agents) agent.watch();
	}
});
