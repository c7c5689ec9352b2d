import { deepEqual, equal, ok } from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { LANES, type Lane } from "#core/model/batch.ts";
import { decodeFrame } from "#core/protocol/index.ts";
import { AgentRegistry } from "./agent-registry.ts";
import { unpackCarrier } from "./carrier.ts";
import { CarrierPump } from "./carrier-pump.ts";
import type { Acknowledged, LaneDepths, Refusal, WalRow } from "./faces.ts";
import { UPLINK_LIMITS } from "./limits.ts";

const STREAM_OF: Record<Lane, Uint8Array> = {
	trace: new Uint8Array(8).fill(1),
	alert: new Uint8Array(8).fill(2),
	bulk: new Uint8Array(8).fill(3),
};

/** A channel in memory: rows per lane, freed by receipts. */
class FakeChannel {
	readonly rows: Record<Lane, WalRow[]> = { trace: [], alert: [], bulk: [] };
	readonly refusals: Refusal[] = [];
	readonly receipts: Acknowledged[] = [];
	#row = 0;

	put(lane: Lane, bytes: number): void {
		const stream = STREAM_OF[lane];
		const seq = (this.rows[lane].at(-1)?.seq ?? 0) + 1;
		this.rows[lane].push({ row: ++this.#row, stream, seq, bytes: new Uint8Array(bytes).fill(seq) });
	}

	depths(): LaneDepths {
		const of = (lane: Lane) => ({ batches: this.rows[lane].length, bytes: 0, oldestMs: null });
		return { trace: of("trace"), alert: of("alert"), bulk: of("bulk") };
	}

	async read(lane: Lane, afterRow: number, bytesMax: number) {
		const rows: WalRow[] = [];
		let bytes = 0;
		for (const row of this.rows[lane].filter((each) => each.row > afterRow)) {
			if (rows.length > 0 && bytes + row.bytes.length > bytesMax) break;
			bytes += row.bytes.length;
			rows.push(row);
		}
		return { rows, depths: this.depths() };
	}

	async acked(receipts: readonly Acknowledged[]) {
		this.receipts.push(...receipts);
		for (const { stream, seq } of receipts)
			for (const lane of LANES)
				if (STREAM_OF[lane].every((byte, i) => byte === stream[i]))
					this.rows[lane] = this.rows[lane].filter((row) => row.seq > seq);
		return this.depths();
	}

	async refused(refusal: Refusal) {
		this.refusals.push(refusal);
		return this.depths();
	}
}

let sent: { lane: Lane; agents: string[]; bytes: number }[];
let drained: string[];
let proved: string[];
let channels: Map<string, FakeChannel>;
let registry: AgentRegistry;
let pump: CarrierPump;

beforeEach(() => {
	sent = [];
	drained = [];
	proved = [];
	channels = new Map(["a", "b"].map((agent) => [agent, new FakeChannel()]));
	const known = { proof: new Uint8Array(), route: new Uint8Array(), status: null, heardAtMs: 0 };
	registry = new AgentRegistry(["a", "b"].map((agent) => ({ agent, ...known })));
	for (const agent of ["a", "b"]) registry.arrived({ agent, ...known, isUp: true });
	pump = new CarrierPump({
		settings: { fsyncIntervalMs: 0, priorities: LANES, compression: "zstd" },
		registry,
		channelOf: (agent) => channels.get(agent) as FakeChannel,
		send: (frame) => {
			const decoded = decodeFrame(frame);
			ok(decoded.ok && decoded.value.type === "carrier");
			const unpacked = unpackCarrier(decoded.value.body);
			ok(unpacked.ok);
			const bytes = unpacked.value.reduce((sum, each) => sum + each.bytes.length, 0);
			sent.push({ lane: decoded.value.body.lane, agents: unpacked.value.map((each) => each.agent), bytes });
			return true;
		},
		prove: (agent) => proved.push(agent),
		onDrained: (agent) => drained.push(agent),
		onBroken: (error) => {
			throw error;
		},
	});
});

const channel = (agent: string) => channels.get(agent) as FakeChannel;
const settle = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const receipt = (agent: string, lane: Lane, seq: number, level: "a1" | "a2" = "a1") =>
	pump.acknowledged({ agent, stream: STREAM_OF[lane], level, seq });

test("a new link finds every backlog without being told, most urgent lane first, agents sharing a carrier", async () => {
	for (const agent of ["a", "b"]) for (const lane of ["bulk", "trace"] as const) channel(agent).put(lane, 10);
	pump.start();
	await settle();
	deepEqual(
		sent.map(({ lane, agents }) => [lane, agents.join()]),
		[
			["trace", "a,b"],
			["bulk", "a,b"],
		],
	);
	equal(pump.unackedBytes, 40);
});

test("nothing is sent twice on one link and everything unacknowledged again on the next", async () => {
	channel("a").put("trace", 10);
	pump.start();
	await settle();
	pump.hasBacklog("a", channel("a").depths());
	await settle();
	equal(sent.length, 1);
	pump.stop();
	pump.hasBacklog("a", channel("a").depths());
	await settle();
	equal(sent.length, 1);
	pump.start();
	await settle();
	equal(sent.length, 2);
});

test("bulk fills the window up to the reserve, trace still goes, and receipts make room", async () => {
	for (let count = 0; count < 20; count++) channel("a").put("bulk", 500_000);
	pump.start();
	await settle();
	const limit = UPLINK_LIMITS.windowBytesMax - UPLINK_LIMITS.windowReserveBytes;
	ok(pump.unackedBytes >= limit && pump.unackedBytes < limit + 1_000_000, String(pump.unackedBytes));
	const before = sent.length;
	channel("a").put("trace", 10);
	pump.hasBacklog("a", channel("a").depths());
	await settle();
	deepEqual(
		sent.slice(before).map(({ lane }) => lane),
		["trace"],
	);
	receipt("a", "bulk", 5);
	await settle();
	ok(sent.slice(before + 1).some(({ lane }) => lane === "bulk"));
});

test("receipts reach the channel once per stream and level, the highest speaking for all", async () => {
	for (let count = 0; count < 5; count++) channel("a").put("trace", 10);
	pump.start();
	await settle();
	for (let seq = 1; seq <= 5; seq++) receipt("a", "trace", seq);
	receipt("a", "trace", 5, "a2");
	await settle();
	deepEqual(
		channel("a").receipts.map(({ level, seq }) => [level, seq]),
		[
			["a1", 1],
			["a1", 5],
			["a2", 5],
		],
	);
	equal(pump.unackedBytes, 0);
	equal(channel("a").rows.trace.length, 0);
});

test("receipts that the channel could not take are brought to it again, the newer of a stream first", async () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
	try {
		const acked = channel("a").acked.bind(channel("a"));
		channel("a").acked = async () => {
			throw new Error("its disk is full");
		};
		for (let count = 0; count < 2; count++) channel("a").put("trace", 10);
		pump.start();
		await settle();
		receipt("a", "trace", 1);
		receipt("a", "trace", 1, "a2");
		await settle();
		receipt("a", "trace", 2);
		await settle();
		deepEqual(channel("a").receipts, []);
		channel("a").acked = acked;
		mock.timers.tick(UPLINK_LIMITS.holePauseMs + 10);
		await settle();
		deepEqual(
			channel("a")
				.receipts.map(({ level, seq }) => `${level} ${seq}`)
				.sort(),
			["a1 2", "a2 1"],
		);
	} finally {
		mock.timers.reset();
	}
});

test("a stream refused for a hole waits alone and is sent again from its oldest batch", async () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
	try {
		channel("a").put("bulk", 10);
		pump.start();
		await settle();
		pump.refused("a", { stream: STREAM_OF.bulk, seq: 1, code: "skipped", detail: "" });
		channel("b").put("bulk", 10);
		pump.hasBacklog("b", channel("b").depths());
		await settle();
		deepEqual(
			sent.map(({ agents }) => agents.join()),
			["a", "b"],
		);
		equal(channel("a").refusals[0]?.code, "skipped");
		mock.timers.tick(UPLINK_LIMITS.holePauseMs + 10);
		await settle();
		deepEqual(
			sent.map(({ agents }) => agents.join()),
			["a", "b", "a"],
		);
	} finally {
		mock.timers.reset();
	}
});

test("an agent that upstream does not believe is not sent until it proves itself again", async () => {
	channel("a").put("bulk", 10);
	pump.start();
	await settle();
	pump.refusedAgent("a", false);
	equal(pump.unackedBytes, 0);
	pump.hasBacklog("a", channel("a").depths());
	await settle();
	equal(sent.length, 1);
	pump.stop();
	pump.start();
	await settle();
	equal(sent.length, 2, "the next link is another one's judgement");
});

test("an agent whose proof upstream could not take or does not believe is proved again before anything else of it goes", async () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
	try {
		channel("a").put("trace", 10);
		pump.start();
		await settle();
		pump.refusedAgent("a", true);
		pump.refusedAgent("a", true);
		pump.hasBacklog("a", channel("a").depths());
		await settle();
		deepEqual([sent.length, proved], [1, []]);
		mock.timers.tick(UPLINK_LIMITS.holePauseMs + 10);
		await settle();
		deepEqual([sent.length, proved], [2, ["a"]], "one proof answers every refusal");
		pump.refusedAgent("a", false);
		mock.timers.tick(UPLINK_LIMITS.holePauseMsMax + 10);
		await settle();
		deepEqual(proved, ["a"], "what is not believed is not said again at once");
		mock.timers.tick(UPLINK_LIMITS.proofPauseMsMax);
		await settle();
		deepEqual([sent.length, proved], [3, ["a", "a"]]);
	} finally {
		mock.timers.reset();
	}
});

test("an agent that is proved once more on a living link is sent again from its oldest batch, whatever was being read", async () => {
	for (let count = 0; count < 2; count++) channel("a").put("bulk", 10);
	pump.start();
	await settle();
	deepEqual([sent.length, sent[0]?.bytes], [1, 20]);
	const read = channel("a").read.bind(channel("a"));
	const { promise: isRestarted, resolve: restarted } = Promise.withResolvers<void>();
	channel("a").read = async (lane, afterRow, bytesMax) => {
		const answer = await read(lane, afterRow, bytesMax);
		if (lane === "bulk" && afterRow > 0) await isRestarted;
		return answer;
	};
	channel("a").put("bulk", 10);
	pump.hasBacklog("a", channel("a").depths());
	await settle();
	pump.restart("a");
	equal(pump.unackedBytes, 0);
	restarted();
	await new Promise((resolve) => setTimeout(resolve, 2));
	await settle();
	deepEqual(
		sent.map(({ bytes }) => bytes),
		[20, 30],
		"the third alone would be where the stream begins",
	);
});

test("the channel of an agent that is proved once more is asked after the turn of the proof, whoever else has something", async (t) => {
	channel("a").put("bulk", 10);
	pump.start();
	await settle();
	const asked = t.mock.method(channel("a"), "read");
	pump.restart("a");
	pump.kick();
	equal(asked.mock.callCount(), 0, "it may still be answering the upgrade that brought the proof");
	await new Promise((resolve) => setTimeout(resolve, 2));
	await settle();
	deepEqual([asked.mock.callCount() > 0, sent.length], [true, 2]);
});

test("an agent that went is forgotten when nothing of it waits and upstream has been told, and not before", async () => {
	channel("a").put("bulk", 10);
	pump.start();
	await settle();
	registry.note({ agent: "a", isUp: false, heardAtMs: 1 });
	pump.hasBacklog("a", channel("a").depths());
	await settle();
	deepEqual(drained, []);
	receipt("a", "bulk", 1);
	await settle();
	deepEqual(drained, [], "its departure would never be told");
	deepEqual(
		registry.takeNoted(1, 0).map(({ agent, isUp }) => [agent, isUp]),
		[["a", false]],
	);
	pump.forgetDrained("a");
	deepEqual(drained, ["a"]);
	equal(registry.has("a"), false);
});

test("a carrier never grows beyond the reader's cap", async () => {
	for (const agent of ["a", "b"]) for (let count = 0; count < 4; count++) channel(agent).put("bulk", 1_500_000);
	pump.start();
	await settle();
	ok(sent.length >= 2);
	for (const { bytes } of sent) ok(bytes <= UPLINK_LIMITS.carrierBytesMax);
});
