import assert from "node:assert/strict";
import { test } from "node:test";
import { readBatch } from "#core/model/batch.ts";
import { assertInvariant } from "#core/result.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Chain } from "../outbox/chain.ts";
import { Rig } from "../testing/rig.ts";
import { Refusals } from "./refusals.ts";
import { Sender, type SenderOptions } from "./sender.ts";

const TEXT = "x".repeat(30_000);

/** A sender over a small outbox with bulk that fills its window; all of that is then shed. */
function shedInFlight(): { rig: Rig; sender: Sender; sent: Uint8Array[]; shed: readonly Chain[] } {
	const rig = new Rig(AGENT_LIMITS.outboxBytesMin);
	const sent: Uint8Array[] = [];
	const unused = () => assert.fail("no receipt of custody comes, and no stream ends");
	const options = { agent: "web-01", outbox: rig.outbox, log: () => undefined, monotonicMs: () => 0 };
	const asks = { send: (batch: Uint8Array) => sent.push(batch), trust: unused, reseal: unused, disown: unused };
	const refusals = new Refusals(() => 0);
	const sender = new Sender({ ...options, ...asks, refusals } as unknown as SenderOptions, []);
	for (let pid = 1; sent.length === 0 || sent.length === pid - 1; pid++) {
		rig.put("bulk", pid, TEXT);
		sender.pump();
	}
	const current = rig.outbox.current("bulk");
	const shed = rig.outbox.chains("bulk").filter((chain) => chain !== current);
	for (const chain of shed) rig.outbox.shed(chain);
	assert.ok(shed.length > 1, "several streams were on the way");
	return { rig, sender, sent, shed };
}

function streamOf(bytes: Uint8Array): Uint8Array {
	const batch = readBatch(bytes);
	assertInvariant(batch.ok, "a sealed batch reads");
	return batch.value.header.stream;
}

for (const [title, answer] of [
	[
		"receipted",
		(sender: Sender, stream: Uint8Array) => sender.receipt({ agent: "web-01", stream, level: "a1", seq: 99 }),
	],
	[
		"refused",
		(sender: Sender, stream: Uint8Array) =>
			sender.reject({ agent: "web-01", stream, seq: 1, code: "disk_low", detail: "no room" }),
	],
] as const)
	test(`bulk that was shed on its way and is ${title} leaves the window: what comes after it is sent`, () => {
		const { rig, sender, sent, shed } = shedInFlight();
		const before = sent.length;
		for (const chain of shed) answer(sender, chain.stream);
		rig.put("bulk", 1000, TEXT);
		sender.pump();
		assert.ok(sent.length > before, "the window is still full");
		assert.deepEqual(streamOf(sent.at(-1) as Uint8Array), rig.outbox.current("bulk").stream);
	});

test("a hop that is behind is not buried in bulk: less is on the way while receipts come late", () => {
	const rig = new Rig(64 * 1024 * 1024);
	let nowMs = 0;
	let bytes = 0;
	const unused = () => assert.fail("no receipt of custody comes, and no stream ends");
	const options = { agent: "web-01", outbox: rig.outbox, log: () => undefined, monotonicMs: () => nowMs };
	const asks = { send: (batch: Uint8Array) => (bytes += batch.length), trust: unused, reseal: unused, disown: unused };
	const sender = new Sender({ ...options, ...asks, refusals: new Refusals(() => 0) } as unknown as SenderOptions, []);
	let pid = 0;
	let taken = 0;
	/** Everything on the way is receipted after so long; answers how much goes then. */
	const round = (waitedMs: number): number => {
		for (let count = 0; count < 90; count++) rig.put("bulk", ++pid, TEXT);
		sender.pump();
		const sent = bytes;
		bytes = 0;
		nowMs += waitedMs;
		taken += Math.round(sent / 30_500);
		for (const chain of rig.outbox.chains("bulk"))
			sender.receipt({ agent: "web-01", stream: chain.stream, level: "a1", seq: taken });
		return sent;
	};
	const first = round(5);
	assert.ok(first >= AGENT_LIMITS.windowBulkBytesMax, `${first} bytes`);
	let last = first;
	for (let count = 0; count < 12; count++) last = round(1000);
	assert.ok(last < 2 * AGENT_LIMITS.windowBulkBytesMin, `${last} bytes while receipts take a second`);
});
