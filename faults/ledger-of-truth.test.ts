import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { AgentTruth, type StoredBatch, type StoreView } from "./ledger-of-truth.ts";

const stored = (seq: number, sha256: string, events = 2): StoredBatch => {
	return { stream: "s", seq, lane: "bulk", sha256, events, distinctEvents: events, ledgerIndex: seq };
};
const view = (batches: StoredBatch[], more: Partial<StoreView> = {}): StoreView => ({
	batches,
	gaps: [],
	alarms: [],
	...more,
});

/** Three batches held, the first two acknowledged. */
function truthOfThree(): AgentTruth {
	const truth = new AgentTruth("a");
	for (const [seq, hash] of [
		[1, "x"],
		[2, "y"],
		[3, "z"],
	] as const)
		truth.take(["attempt", "bulk", "s", seq, hash, 2], 0);
	truth.take(["held", "s", 3], 10);
	truth.take(["ack", "s", "a1", 2], 25);
	return truth;
}

const first = (truth: AgentTruth, given: StoreView) => truth.judge(given).violations.map((each) => each.slice(0, 2));

test("what is all there breaks nothing, and the counts say so", () => {
	const { report, violations } = truthOfThree().judge(view([stored(1, "x"), stored(2, "y"), stored(3, "z")]));
	deepEqual(violations, []);
	deepEqual([report.attempted, report.acked, report.stored, report.recovered, report.worstAckMs], [3, 2, 3, 1, 15]);
});

test("an acknowledged batch that is missing or has other bytes breaks I1", () => {
	deepEqual(first(truthOfThree(), view([stored(1, "x"), stored(3, "z")])), ["I1"]);
	deepEqual(first(truthOfThree(), view([stored(1, "x"), stored(2, "z"), stored(3, "z")])).includes("I1"), true);
});

test("event rows beyond what a batch holds break I2, bytes nobody attempted I3", () => {
	deepEqual(first(truthOfThree(), view([stored(1, "x", 4), stored(2, "y"), stored(3, "z")])), ["I2"]);
	deepEqual(first(truthOfThree(), view([stored(1, "x"), stored(2, "y"), stored(3, "z"), stored(4, "w")])), ["I3"]);
});

test("a batch that is stored with fewer event rows than it holds breaks I1 and counts as lost", () => {
	const halved = view([stored(1, "x"), stored(2, "y", 1), stored(3, "z")]);
	deepEqual(first(truthOfThree(), halved), ["I1"]);
	equal(truthOfThree().judge(halved).report.lost, 1);
});

test("a held batch that is missing breaks I4 unless a gap record or an alarm names it", () => {
	const rest = [stored(1, "x"), stored(2, "y")];
	deepEqual(first(truthOfThree(), view(rest)), ["I4"]);
	const gaps = [{ stream: "s", first: 3, last: 3 }];
	const named = truthOfThree().judge(view(rest, { gaps }));
	deepEqual([named.violations, named.report.gapsNamed], [[], 1]);
	const alarmed = truthOfThree().judge(view(rest, { alarms: [{ code: "sequence_missing", detail: "stream s: 3" }] }));
	deepEqual([alarmed.violations, alarmed.report.gapsUnnamed], [[], 1]);
});

test("a number written again with other bytes is a new promise", () => {
	const truth = truthOfThree();
	truth.take(["attempt", "bulk", "s", 2, "other", 2], 30);
	truth.take(["held", "s", 2], 30);
	truth.take(["ack", "s", "a1", 2], 40);
	deepEqual(first(truth, view([stored(1, "x"), stored(2, "y"), stored(3, "z")])).includes("I1"), true);
});

test("a destroyed disk takes back what nobody acknowledged", () => {
	const truth = truthOfThree();
	truth.forgetUnacknowledged();
	ok(truth.isSettled(view([stored(1, "x"), stored(2, "y")])));
	equal(truth.judge(view([stored(1, "x"), stored(2, "y")])).violations.length, 0);
});
