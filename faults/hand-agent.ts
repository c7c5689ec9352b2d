/**
 * An agent that speaks by hand: it decides itself which bytes go over which link and how often. What it sends and is told is taken
 * into a truth like a feeding agent's, so the same judge reads it.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { Lane } from "#core/model/batch.ts";
import { sha256 } from "#crypto";
import {
	type Identity,
	identityOf,
	type SealedBatch,
	type Target,
	TestLink,
	TestStream,
} from "../miniflare-tests/test-agent.ts";
import type { FaultBox } from "./box.ts";
import { AgentTruth } from "./ledger-of-truth.ts";

export class HandAgent {
	readonly truth: AgentTruth;
	readonly identity: Identity;
	readonly #box: FaultBox;

	constructor(box: FaultBox, id: string) {
		this.#box = box;
		this.truth = new AgentTruth(id);
		this.identity = identityOf(id, box.nodeOf(id).paths);
	}

	get id(): string {
		return this.truth.agent;
	}

	target(proxy = 0): Target {
		const uri = this.#box.pki.nodes.find((node) => node.uri.endsWith(`/px-${proxy + 1}`))?.uri ?? "";
		return { port: this.#box.agentPort(proxy), name: "localhost", uri };
	}

	open(proxy = 0): Promise<TestLink> {
		return TestLink.open(this.target(proxy), this.identity);
	}

	stream(lane: Lane): TestStream {
		return new TestStream(this.identity, lane);
	}

	/** Seals the next good batch of a stream; from here on it must end in the store. */
	seal(stream: TestStream, padBytes = 0): SealedBatch {
		const batch = stream.next({ padBytes });
		const atMs = performance.now();
		const id = hexOf(stream.stream);
		const events = 1 + Math.ceil(padBytes / 16_000);
		this.truth.take(["attempt", stream.lane, id, batch.seq, hexOf(sha256(batch.bytes)), events], atMs);
		this.truth.take(["held", id, batch.seq], atMs);
		return batch;
	}

	/** Takes what a link has been told so far. */
	takeReceipts(link: TestLink): void {
		for (const { type, body } of link.frames)
			if (type === "receipt") this.truth.take(["ack", hexOf(body.stream), body.level, body.seq], performance.now());
	}
}

export function send(link: TestLink, batch: SealedBatch): void {
	link.send("batch", { bytes: batch.bytes });
}
