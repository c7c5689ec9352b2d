import { deepEqual, equal, ok } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { hexOf } from "#core/bytes/bytes.ts";
import { type Lane, sealBatch, sealEvent, ZERO_HASH } from "#core/model/batch.ts";
import { ZERO_PROCESS } from "#core/model/event.ts";
import { ed25519PublicKey } from "#crypto";
import { type Admission, type AdmissionContext, admitBatch, type KnownStream } from "./admission.ts";

const SEED = new Uint8Array(32).fill(1);
const STREAM = new Uint8Array(8).fill(5);

function batchOf(
	seq: number,
	prevHash: Uint8Array,
	changes: { agent?: string; lane?: Lane; seed?: Uint8Array; exe?: string } = {},
) {
	const event = { kind: "exec", process: ZERO_PROCESS, kernelTimeNs: 1n, wallTimeMs: 1, seq: 0, tier: "ebpf" } as const;
	const events = [sealEvent({ ...event, payload: { exe: changes.exe ?? "/bin/true" } }, null)];
	const header = {
		agent: changes.agent ?? "web-01",
		stream: STREAM,
		seq,
		prevHash,
		startMs: 1,
		endMs: 1,
		firstEvent: 0,
	};
	return sealBatch({ ...header, lane: changes.lane ?? "bulk" }, events, changes.seed ?? SEED);
}

const first = batchOf(1, ZERO_HASH);
const second = batchOf(2, first.hash);
const third = batchOf(3, second.hash);
const after = (seq: number, hash: Uint8Array, lane: Lane = "bulk"): KnownStream => ({
	lane,
	state: { received: seq, lastHash: hash },
});

function context(known?: KnownStream, changes: Partial<AdmissionContext> = {}): AdmissionContext {
	return {
		agent: "web-01",
		signingKey: ed25519PublicKey(SEED),
		streamOf: (stream) => (hexOf(stream) === hexOf(STREAM) ? known : undefined),
		heldHash: () => undefined,
		mayResume: () => false,
		heldBackAt: () => undefined,
		aheadHash: () => undefined,
		isNamedGap: () => false,
		...changes,
	};
}
const codeOf = (admission: Admission) => (admission.kind === "refused" ? admission.refusal.code : admission.kind);

test("the next batch is taken verbatim and moves the stream", () => {
	const admission = admitBatch(second.bytes, context(after(1, first.hash)));
	ok(admission.kind === "taken");
	deepEqual(admission.batch, { stream: STREAM, seq: 2, lane: "bulk", bytes: second.bytes, hash: second.hash });
	deepEqual(admission.state, { received: 2, lastHash: second.hash });
});

test("a batch taken before is repeated, unless this hop holds another one of its number", () => {
	equal(codeOf(admitBatch(first.bytes, context(after(2, second.hash)))), "repeated");
	equal(codeOf(admitBatch(first.bytes, context(after(2, second.hash), { heldHash: () => first.hash }))), "repeated");
	equal(codeOf(admitBatch(first.bytes, context(after(2, second.hash), { heldHash: () => third.hash }))), "forked");
	const other = batchOf(2, first.hash, { exe: "/bin/other" });
	equal(codeOf(admitBatch(other.bytes, context(after(2, second.hash)))), "forked");
});

test("a hole is refused with the expected number and the lane, a wrong predecessor as a fork", () => {
	const skipped = admitBatch(third.bytes, context(after(1, first.hash)));
	ok(skipped.kind === "refused");
	deepEqual([skipped.refusal.code, skipped.refusal.seq, skipped.lane], ["skipped", 2, "bulk"]);
	equal(codeOf(admitBatch(second.bytes, context(after(1, third.hash)))), "forked");
});

test("only a relay's new link may resume past what is known, and never backwards", () => {
	const mayResume = () => true;
	equal(codeOf(admitBatch(third.bytes, context(undefined, { mayResume }))), "taken");
	equal(codeOf(admitBatch(third.bytes, context(after(1, first.hash), { mayResume }))), "taken");
	equal(codeOf(admitBatch(first.bytes, context(after(2, second.hash), { mayResume }))), "repeated");
	const other = batchOf(3, first.hash);
	equal(codeOf(admitBatch(other.bytes, context(after(2, second.hash), { mayResume }))), "forked");
});

test("what is not this agent's, not signed by it, of another lane or numbered zero is refused by name", () => {
	equal(codeOf(admitBatch(batchOf(1, ZERO_HASH, { agent: "web-02" }).bytes, context())), "agent_mismatch");
	equal(codeOf(admitBatch(batchOf(1, ZERO_HASH, { seed: STREAM_SEED }).bytes, context())), "batch_signature_invalid");
	equal(
		codeOf(admitBatch(batchOf(2, first.hash, { lane: "trace" }).bytes, context(after(1, first.hash)))),
		"lane_mismatch",
	);
	equal(codeOf(admitBatch(batchOf(0, ZERO_HASH).bytes, context())), "sequence_zero");
});
const STREAM_SEED = new Uint8Array(randomBytes(32));

test("no cut and no flipped bit of a batch is ever taken", () => {
	for (let length = 0; length < first.bytes.length; length++)
		equal(admitBatch(first.bytes.slice(0, length), context()).kind, "refused");
	for (let bit = 0; bit < first.bytes.length * 8; bit++) {
		const flipped = first.bytes.slice();
		flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
		equal(admitBatch(flipped, context()).kind, "refused", `bit ${bit}`);
	}
});
