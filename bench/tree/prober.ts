/**
 * The prober: a process of its own with a few agents that send trace batches of one event at a steady pace and hear TraceCommands.
 * Guarantees that an event is sealed and signed before its time is taken: what is measured begins in the outbox. Ends with the bench.
 */
import { randomBytes } from "node:crypto";
import { hexOf } from "#core/bytes/bytes.ts";
import { sealBatch, sealEvent, ZERO_HASH } from "#core/model/batch.ts";
import { loadDrafts } from "../load-events.ts";
import type { Trouble } from "./child.ts";
import type { Client } from "./client.ts";
import type { SimulatedAgent } from "./identities.ts";
import type { LoadPlan, ProbeOrder, ProbeReport, SentProbe } from "./plan.ts";
import { openTreeClient } from "./tree-client.ts";

const report = (message: ProbeReport) => void process.send?.(message);
const trouble = (detail: string) => void process.send?.({ kind: "trouble", detail } satisfies Trouble);
/** The machine's clock, finer than a millisecond. */
const nowMs = () => performance.timeOrigin + performance.now();

/** One agent's trace stream. */
class Prober {
	readonly #agent: SimulatedAgent;
	readonly #client: Client;
	readonly #stream = new Uint8Array(randomBytes(8));
	#seq = 0;
	#prevHash: Uint8Array = ZERO_HASH;

	constructor(agent: SimulatedAgent, client: Client) {
		this.#agent = agent;
		this.#client = client;
	}

	send(): SentProbe {
		const { id, seed } = this.#agent;
		const atMs = Date.now();
		const [draft] = loadDrafts(1, atMs);
		if (draft === undefined) throw new Error("a load has a first event");
		const event = sealEvent({ ...draft, seq: this.#seq }, seed);
		const place = { agent: id, stream: this.#stream, seq: this.#seq + 1, prevHash: this.#prevHash };
		const header = { ...place, startMs: atMs, endMs: atMs, lane: "trace" as const, firstEvent: this.#seq };
		const { bytes, hash } = sealBatch(header, [event], seed);
		this.#prevHash = hash;
		this.#seq++;
		const frame = this.#client.prepare(bytes);
		const sent = { stream: hexOf(this.#stream), seq: this.#seq, atMs: nowMs() };
		this.#client.send(frame);
		return sent;
	}
}

const probers: Prober[] = [];

async function connect({ destination, ca, agents }: LoadPlan): Promise<void> {
	if (destination.kind !== "tree") throw new Error("traces go into the tree");
	const { port, serverName: servername, serverUri } = destination;
	for (const agent of agents) {
		const tls = { host: "127.0.0.1", port, servername, ca, cert: agent.tlsChain, key: agent.tlsKey };
		const events = {
			onTaken: () => undefined,
			onStored: () => undefined,
			onTrouble: trouble,
			onCommand: (commandId: Uint8Array) =>
				report({ kind: "command", agent: agent.id, commandId: hexOf(commandId), atMs: nowMs() }),
		};
		probers.push(new Prober(agent, await openTreeClient(agent, tls, { serverUri, events })));
	}
	report({ kind: "connected" });
}

/** The agents take turns, so that their events are spread over each interval. */
function probe({ perSecond, seconds }: ProbeOrder): void {
	const sent: SentProbe[] = [];
	const startedAtMs = performance.now();
	const total = perSecond * seconds * probers.length;
	const next = () => {
		sent.push((probers[sent.length % probers.length] as Prober).send());
		if (sent.length === total) {
			report({ kind: "probed", sent });
			return;
		}
		const dueAtMs = startedAtMs + (sent.length * 1000) / (perSecond * probers.length);
		setTimeout(next, Math.max(0, dueAtMs - performance.now()));
	};
	next();
}

process.on("disconnect", () => process.exit(0));
process.on("message", (message: LoadPlan | ProbeOrder) => {
	if ("destination" in message) connect(message).catch((error: Error) => trouble(error.message));
	else probe(message);
});
