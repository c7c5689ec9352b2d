import assert from "node:assert/strict";
import { test } from "node:test";
import { type Lane, readBatch, verifyBatchEvents } from "#core/model/batch.ts";
import { assertInvariant } from "#core/result.ts";
import { ed25519PublicKey } from "#crypto";
import { AGENT_LIMITS } from "../limits.ts";
import { type Chain, freedTo, sendableTo } from "../outbox/chain.ts";
import { draftOf, PUBLIC_KEY, Rig } from "../testing/rig.ts";
import { Refusals } from "./refusals.ts";
import { Sender, type SenderOptions } from "./sender.ts";

const MINUTE_MS = 60_000;

/** A sender over the rig's outbox, and a hop that judges by hand. */
class Stage {
	readonly rig: Rig;
	readonly codes: string[] = [];
	nowMs = 0;
	refusals = new Refusals(() => this.nowMs);
	sender: Sender;
	#publicKey: Uint8Array;
	/** What was sent and not judged yet. */
	sent: { stream: Uint8Array; seq: number; lane: Lane }[] = [];

	constructor({ rig = new Rig(), publicKey = PUBLIC_KEY } = {}) {
		this.rig = rig;
		this.#publicKey = publicKey;
		this.sender = this.link();
	}

	link(): Sender {
		const options = {
			...{ agent: "web-01", publicKey: this.#publicKey, outbox: this.rig.outbox, refusals: this.refusals },
			log: (code: string) => this.codes.push(code),
			monotonicMs: () => this.nowMs,
			send: (bytes: Uint8Array) => {
				const batch = readBatch(bytes);
				assertInvariant(batch.ok, "a sealed batch reads");
				const { stream, seq, lane } = batch.value.header;
				this.sent.push({ stream, seq, lane });
			},
			reseal: (chain: Chain, from: number, fate: Parameters<typeof this.rig.lanes.reseal>[2]) =>
				this.rig.lanes.reseal(chain, from, fate),
		};
		this.sent = [];
		this.sender = new Sender(options as unknown as SenderOptions, []);
		return this.sender;
	}

	/** Lets the sender go on, and the hop answer what it got; answers how many batches that were. */
	round(answer: (seq: number, lane: Lane) => string | null): number {
		this.sender.pump();
		const sent = this.sent;
		this.sent = [];
		for (const { stream, seq, lane } of sent) {
			const code = answer(seq, lane);
			if (code === null) this.sender.receipt({ agent: "web-01", stream, level: "a1", seq });
			else this.sender.reject({ agent: "web-01", stream, seq, code, detail: "" });
		}
		return sent.length;
	}

	/** Rounds until nothing more is sent. */
	settle(answer: (seq: number, lane: Lane) => string | null): number {
		let count = 0;
		for (let round = 0; round < 1000; round++) {
			const sent = this.round(answer);
			if (sent === 0) return count;
			count += sent;
		}
		throw new Error("it never comes to rest");
	}

	/** Events of a lane, each a batch of its own that the hop judges before the next is made. */
	put(lane: Lane, pids: readonly number[], answer: (seq: number, lane: Lane) => string | null): void {
		for (const pid of pids) {
			this.rig.put(lane, pid);
			this.settle(answer);
		}
	}

	/** Pids of a lane's events that are still to be brought, each once. */
	wanted(lane: Lane): number[] {
		const pids = new Set<number>();
		for (const chain of this.rig.outbox.chains(lane))
			for (let seq = freedTo(chain) + 1; seq <= sendableTo(chain); seq++) {
				const batch = readBatch(this.rig.outbox.read(chain, seq) ?? new Uint8Array());
				assertInvariant(batch.ok, "what is wanted lies in the outbox");
				const events = verifyBatchEvents(batch.value, PUBLIC_KEY);
				assertInvariant(events.ok, "what is wanted verifies");
				for (const { payload } of events.value) if (payload.pid !== undefined) pids.add(payload.pid);
			}
		return [...pids].sort((a, b) => a - b);
	}
}

const refusesTraces = (_: number, lane: Lane) => (lane === "trace" ? "batch_root_mismatch" : null);
const range = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

for (const lane of ["trace", "alert"] as const)
	test(`a hop that refuses every ${lane} batch for good frees none, and makes the agent copy and tell in bounds`, () => {
		const stage = new Stage();
		const refuses = (_: number, of: Lane) => (of === lane ? "batch_root_mismatch" : null);
		stage.put(lane, range(40), refuses);
		for (let minute = 0; minute < 24 * 60; minute++) {
			stage.nowMs += MINUTE_MS;
			stage.settle(refuses);
		}
		assert.deepEqual(stage.wanted(lane), range(40));
		assert.equal(stage.refusals.waiting().length, AGENT_LIMITS.refusedKeptMax);
		const { batches } = stage.rig.delivered("alert");
		assert.ok(batches.length < 100, `${batches.length} alert batches`);
	});

test("a batch that is refused again rests twice as long, and no two are shown in a row to a hop that takes nothing", () => {
	const stage = new Stage();
	stage.put("trace", range(3), refusesTraces);
	const shownAt: number[] = [];
	for (let second = 0; second < 20 * 60; second++) {
		stage.nowMs += 1000;
		const shown = stage.round(refusesTraces);
		assert.ok(shown <= 1, "one at a time");
		if (shown === 1) shownAt.push(second);
	}
	// Three batches, each at 1, 3, 7 and 15 minutes, moved apart by a minute.
	assert.ok(shownAt.length >= 9 && shownAt.length <= 13, shownAt.join());
	assert.ok(
		shownAt.every((at, index) => index === 0 || at - (shownAt[index - 1] ?? 0) >= AGENT_LIMITS.refusedRestMs / 1000),
	);
});

test("another link is shown what one refused at once, one by one as it takes them", () => {
	const stage = new Stage();
	stage.put("trace", range(5), refusesTraces);
	assert.equal(stage.refusals.waiting().length, 5);
	stage.link();
	stage.sender.pump();
	assert.equal(stage.sent.filter(({ lane }) => lane === "trace").length, 1);
	stage.settle(() => null);
	assert.deepEqual(stage.refusals.waiting(), []);
});

test("a batch in the next place than the bound rests, and goes when a place is free", () => {
	const stage = new Stage();
	const max = AGENT_LIMITS.refusedKeptMax;
	stage.put("trace", range(max), refusesTraces);
	assert.deepEqual([stage.refusals.waiting().length, stage.codes.includes("reseal_put_off")], [max, false]);
	stage.put("trace", [max + 1], refusesTraces);
	assert.deepEqual([stage.refusals.waiting().length, stage.codes.includes("reseal_put_off")], [max, true]);
	const [first] = stage.rig.outbox.chains("trace");
	assert.ok(first !== undefined);
	stage.rig.outbox.acknowledge(first.id, "a2", 1);
	stage.nowMs += AGENT_LIMITS.resealRestMs;
	stage.settle(refusesTraces);
	assert.equal(stage.refusals.waiting().length, max);
	assert.equal(stage.refusals.waiting().at(-1)?.seq, 1);
	assert.deepEqual(stage.wanted("trace"), range(max + 1).slice(1));
});

test("after a start a batch that was kept is kept again", () => {
	const stage = new Stage();
	stage.put("trace", range(2), refusesTraces);
	stage.rig.restart();
	stage.refusals = new Refusals(() => stage.nowMs);
	stage.link();
	stage.settle(refusesTraces);
	assert.deepEqual(stage.wanted("trace"), [1, 2]);
	assert.equal(stage.refusals.waiting().length, 2);
});

test("what was sealed under a key of before goes in another stream under ours, whatever the lane", () => {
	for (const lane of ["trace", "bulk"] as const) {
		const stage = new Stage({ publicKey: ed25519PublicKey(new Uint8Array(32).fill(8)) });
		stage.rig.put(lane, 1);
		let isFirst = true;
		stage.settle(() => {
			const code = isFirst ? "batch_signature_invalid" : null;
			isFirst = false;
			return code;
		});
		assert.equal(stage.rig.outbox.chains(lane)[0]?.end, 0);
		assert.deepEqual(
			stage.rig.delivered(lane).events.map(({ payload }) => payload.pid),
			[1],
		);
		assert.deepEqual(stage.refusals.waiting(), []);
	}
});

test("a hop that calls every stream forked is copied for so often and then rests; nothing is freed", () => {
	const stage = new Stage();
	stage.rig.put("trace", 1);
	const forks = (_: number, lane: Lane) => (lane === "trace" ? "forked" : null);
	stage.settle(forks);
	const copies = () => stage.rig.codes.filter((code) => code === "stream_resealed").length;
	assert.equal(copies(), AGENT_LIMITS.resealsMax);
	for (let minute = 0; minute < 60; minute++) {
		stage.nowMs += MINUTE_MS;
		stage.settle(forks);
	}
	assert.equal(copies(), AGENT_LIMITS.resealsMax + 6);
	assert.deepEqual(stage.wanted("trace"), [1]);
	// An honest one takes it without a further copy.
	stage.link();
	stage.settle(() => null);
	assert.equal(copies(), AGENT_LIMITS.resealsMax + 6);
});

test("no other evidence gives way to a copy: without room the stream rests", () => {
	const stage = new Stage({ rig: new Rig(AGENT_LIMITS.outboxBytesMin) });
	const { rig } = stage;
	const fill = (lane: Lane, pid: number) => {
		for (let event = 0; event < 100; event++) rig.lanes.add(lane, draftOf(pid, "x".repeat(4000)));
		rig.lanes.flush([lane]);
	};
	for (const pid of range(2)) fill("trace", pid);
	for (let pid = 100; rig.outbox.bytes < AGENT_LIMITS.outboxBytesMin - 600_000; pid++) fill("bulk", pid);
	const before = stage.wanted("bulk");
	const copies = () => rig.codes.filter((code) => code === "stream_resealed").length;
	let isFirst = true;
	const answer = (_: number, lane: Lane) => {
		if (lane === "bulk") return "wal_full";
		const code = isFirst && lane === "trace" ? "forked" : null;
		isFirst = false;
		return code;
	};
	stage.settle(answer);
	assert.equal(copies(), 0);
	assert.deepEqual(stage.wanted("bulk"), before);
	for (const chain of rig.outbox.chains("bulk")) rig.outbox.acknowledge(chain.id, "a1", sendableTo(chain));
	stage.link();
	isFirst = true;
	stage.settle(answer);
	assert.equal(copies(), 1);
	assert.deepEqual(stage.wanted("trace"), range(2));
	assert.ok(!rig.codes.includes("outbox_shed"));
});

test("a trace that the Security Center calls a gap of our own goes once more in another stream", () => {
	const stage = new Stage();
	stage.rig.put("trace", 1);
	let isFirst = true;
	stage.settle((_, lane) => {
		const code = isFirst && lane === "trace" ? "gap_named" : null;
		isFirst = false;
		return code;
	});
	assert.equal(stage.rig.outbox.chains("trace")[0]?.end, 0);
	assert.deepEqual(stage.wanted("trace"), [1]);
	assert.deepEqual(stage.refusals.waiting(), []);
});
