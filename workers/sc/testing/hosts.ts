/** Hosts for tests: with a real certificate, introduced as a proxy introduces one, and whatever they send. */
import { deepEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { bytesOfBase64 } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { nodeProofShape } from "#core/identity/binding.ts";
import { type SealedTestBatch, TestAgent } from "#core/testing/test-agent.ts";
import { nodeProofOf } from "../../../host/enclave/node-proof.ts";
import { addNode } from "../../../host/pki/enclave.ts";
import type { RunningSc } from "./running-sc.ts";

export async function arriveHost(sc: RunningSc, id: string): Promise<TestAgent> {
	const nowMs = Date.now();
	const node = await addNode(sc.dataDir, { role: "agent", id }, nowMs);
	if (!node.ok) throw new Error(node.detail);
	const agent = new TestAgent(id, nowMs, new Uint8Array(readFileSync(node.value.paths.signingKey)));
	const proof = decodeAs(nodeProofShape, bytesOfBase64(nodeProofOf(node.value.paths)) as Uint8Array);
	if (!proof.ok) throw new Error(proof.detail);
	const channel = await sc.channel(id);
	await channel.arrive({
		agent: id,
		via: "px-1",
		linkId: "link",
		proof: proof.value,
		signingKey: agent.publicKey,
		notAfterMs: node.value.notAfterMs,
		// The PeerLink proves a route before the channel hears of it.
		route: { hellos: [new Uint8Array()], timesMs: [nowMs] },
		isUp: true,
		status: {
			hostName: `${id}.lab`,
			tier: "ebpf",
			missing: "",
			siteTag: "lab",
			softwareVersion: "0.1.0",
			addresses: [Uint8Array.of(10, 0, 0, id === "web-01" ? 1 : 2)],
			cause: "",
		},
		health: {
			timeMs: nowMs,
			streams: [],
			outboxBytes: 0,
			oldestUnackedMs: 0,
			rssBytes: 1,
			eventCount: 2,
			gapCount: 0,
		},
		heardAtMs: Date.now(),
	});
	return agent;
}

export async function ingest(sc: RunningSc, agent: TestAgent, ...batches: SealedTestBatch[]): Promise<void> {
	const channel = await sc.channel(agent.id);
	const answer = await channel.ingest(
		agent.id,
		batches.map(({ bytes }) => bytes),
		"px-1",
	);
	deepEqual(answer.refusals, []);
}

/** Asks until the answer is as wanted; the last answer is in the error. */
export async function until<T>(what: string, ask: () => Promise<T>, isMet: (value: T) => boolean): Promise<T> {
	for (let tries = 0; tries < 200; tries++) {
		const value = await ask();
		if (isMet(value)) return value;
		await new Promise((resolve) => setTimeout(resolve, 25));
	}
	throw new Error(`${what} did not come: ${JSON.stringify(await ask()).slice(0, 500)}`);
}
