import { deepEqual, equal, ok } from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import type { Lane } from "#core/model/batch.ts";
import type { ChannelStore, StoredRow } from "./channel-store.ts";
import type { Delivered, Delivery } from "./drain.ts";
import { StorePump } from "./store-pump.ts";
import { StoreTurns } from "./store-turns.ts";

interface Asked extends Delivery {
	readonly names: string;
	readonly answer: (isStored: boolean) => void;
}

let rows: StoredRow[];
let asked: Asked[];
let freed: number[];
let pump: StorePump;
const settle = () => new Promise((resolve) => setImmediate(resolve));

function wait(lane: Lane, seq: number): void {
	const stream = new Uint8Array(8).fill(lane === "bulk" ? 2 : 1);
	const bytes = new Uint8Array(10);
	rows.push({
		row: rows.length + 1,
		stream,
		seq,
		lane,
		bytes,
		hash: new Uint8Array(32),
		signingKey: new Uint8Array(32),
	});
}

/** A store in memory, and a drain that answers when it is told to. */
beforeEach(() => {
	[rows, asked, freed] = [[], [], []];
	mock.method(console, "log", () => undefined);
	const none = { batches: 0, bytes: 0, oldestMs: null };
	const store = {
		read: (lane: Lane, after: number, { batchesMax }: { batchesMax: number }) =>
			rows.filter((each) => each.lane === lane && each.row > after).slice(0, batchesMax),
		free: (stream: Uint8Array, seq: number) => {
			freed.push(seq);
			rows = rows.filter((each) => each.stream.join() !== stream.join() || each.seq > seq);
		},
		raiseA2: () => true,
		alarms: () => [],
		depths: () => ({ trace: none, alert: none, bulk: none }),
	} as unknown as ChannelStore;
	pump = new StorePump("agent-1", {
		store,
		drain: {
			deliver: (_agent: string, delivery: Delivery) =>
				new Promise((resolve) => {
					const names = delivery.batches.map(({ lane, seq }) => `${lane} ${seq}`).join();
					const value: Delivered = { custody: [], gaps: [] };
					const answer = (isStored: boolean) =>
						resolve(isStored ? { ok: true, value } : { ok: false, code: "drain_unavailable", detail: "away" });
					asked.push({ ...delivery, names, answer });
				}),
			onAlarm: async () => undefined,
		} as never,
		turns: new StoreTurns(),
		news: () => [],
		transaction: (write) => write(),
		wakeAt: () => undefined,
		onDelivered: () => undefined,
	});
});

test("a trace is delivered beside bulk of its own agent, and the next one when the last is a row", async () => {
	wait("bulk", 1);
	void pump.kick();
	await settle();
	wait("trace", 1);
	void pump.kick();
	await settle();
	wait("trace", 2);
	void pump.kick();
	await settle();
	deepEqual(
		asked.map(({ names }) => names),
		["bulk 1", "trace 1"],
	);
	asked[1]?.onStored();
	await settle();
	deepEqual(
		asked.map(({ names }) => names),
		["bulk 1", "trace 1", "trace 2"],
	);
	deepEqual(freed, [], "a row is not custody");
});

test("nothing is freed before what lies before it, and a failure brings both again", async () => {
	wait("trace", 1);
	void pump.kick();
	await settle();
	asked[0]?.onStored();
	wait("trace", 2);
	void pump.kick();
	await settle();
	asked[1]?.onStored();
	asked[1]?.answer(true);
	await settle();
	deepEqual(freed, [], "the first is not in custody");
	asked[0]?.answer(false);
	await settle();
	deepEqual(freed, []);
	equal(rows.length, 2);
	const later = Date.now() + 60_000;
	mock.method(Date, "now", () => later);
	void pump.kick();
	await settle();
	equal(asked[2]?.names, "trace 1,trace 2");
	asked[2]?.answer(true);
	await settle();
	mock.restoreAll();
	ok(freed.includes(2) && rows.length === 0);
});
