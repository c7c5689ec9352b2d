import assert from "node:assert/strict";
import { test } from "node:test";
import { readBatch } from "#core/model/batch.ts";
import { assertInvariant } from "#core/result.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { type Chain, freedTo, sendableTo } from "../outbox/chain.ts";
import { PUBLIC_KEY, Rig } from "../testing/rig.ts";
import { Refusals } from "./refusals.ts";
import { Sender, type SenderOptions } from "./sender.ts";

/** Six bulk batches that a hop acknowledged, each in a file of its own; what is sent then. */
function acknowledged() {
	const rig = new Rig();
	const refusals = new Refusals(() => 0);
	const sent: number[] = [];
	const disowned: number[] = [];
	const options = {
		...{ agent: "web-01", publicKey: PUBLIC_KEY, outbox: rig.outbox, refusals },
		...{ log: () => undefined, monotonicMs: () => 0 },
		send: (bytes: Uint8Array) => {
			const batch = readBatch(bytes);
			assertInvariant(batch.ok, "a sealed batch reads");
			if (batch.value.header.lane === "bulk") sent.push(batch.value.header.seq);
		},
		reseal: (chain: Chain, from: number, fate: Parameters<typeof rig.lanes.reseal>[2]) =>
			rig.lanes.reseal(chain, from, fate),
		disown: (stream: Uint8Array, from: number) => {
			disowned.push(from);
			rig.lanes.disown(stream, from);
		},
	};
	const sender = new Sender(options as unknown as SenderOptions, []);
	for (let pid = 1; pid <= 6; pid++) rig.put("bulk", pid);
	const chain = rig.outbox.current("bulk");
	sender.pump();
	const { stream } = chain;
	sender.receipt({ agent: "web-01", stream, level: "a1", seq: 6 });
	sent.length = 0;
	const asks = (code: string, seq: number) => sender.reject({ agent: "web-01", stream, seq, code, detail: "" });
	/** As if the history before a batch had given way. */
	const evictTo = (seq: number) => chain.segments[0]?.offsets.fill(-1, 0, seq);
	return { rig, refusals, sender, sent, disowned, chain, asks, evictTo };
}

const gapsOf = (rig: Rig) =>
	rig.gaps().map(({ payload: { gapFrom, gapTo, cause } }) => [Number(gapFrom), Number(gapTo), cause]);

test("acknowledged bulk that a hop has lost is sent again from the history, and nothing is named", () => {
	const { rig, sent, chain, asks } = acknowledged();
	asks("skipped", 3);
	assert.deepEqual(sent, [3, 4, 5, 6]);
	assert.deepEqual([gapsOf(rig), freedTo(chain), sendableTo(chain)], [[], 6, 6]);
});

test("what history no longer holds is a named gap, and what follows it goes by another stream", () => {
	const { rig, sent, chain, asks, evictTo } = acknowledged();
	evictTo(4);
	asks("skipped", 2);
	rig.lanes.flush();
	assert.deepEqual(gapsOf(rig), [
		[2, 4, "lost_upstream"],
		[3, 6, "resealed"],
	]);
	assert.equal(sendableTo(chain), 1);
	const [, next] = rig.outbox.chains("bulk");
	assert.ok(next !== undefined && next !== chain && next.head > 0);
	const pids = rig.delivered("bulk").events.map(({ payload }) => payload.pid);
	assert.deepEqual(pids.slice(-2), [5, 6]);
	sent.length = 0;
	asks("skipped", 2);
	asks("skipped", 5);
	assert.deepEqual([sent, gapsOf(rig).length], [[], 2], "it is said once");
});

test("acknowledged bulk that proves to be a second history goes by another stream, from where it forks", () => {
	const { rig, chain, asks } = acknowledged();
	asks("forked", 4);
	assert.equal(sendableTo(chain), 3);
	assert.deepEqual(gapsOf(rig), [[4, 6, "resealed"]]);
});

test("any other refusal of what is freed changes nothing, and so does one of what is proved to be in custody", () => {
	const { chain, asks, rig, sent } = acknowledged();
	asks("batch_signature_invalid", 4);
	asks("gap_named", 5);
	assert.deepEqual([sendableTo(chain), gapsOf(rig), sent], [6, [], []]);
});

test("of a stream that is not here any more nothing comes, which is said once and within the budget of copies", () => {
	const { rig, sender, disowned, refusals } = acknowledged();
	const ask = (byte: number) =>
		sender.reject({ agent: "web-01", stream: new Uint8Array(8).fill(byte), seq: 7, code: "skipped", detail: "" });
	ask(200);
	ask(200);
	rig.lanes.flush();
	assert.deepEqual(disowned, [7]);
	assert.deepEqual(gapsOf(rig), [[7, Number.MAX_SAFE_INTEGER, "lost_upstream"]]);
	for (let byte = 0; byte < 2 * AGENT_LIMITS.resealsMax; byte++) ask(byte);
	assert.equal(disowned.length, AGENT_LIMITS.resealsMax);
	assert.equal(refusals.takeCopy("bulk"), false);
});
