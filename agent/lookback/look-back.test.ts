import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeAs } from "#core/codec/index.ts";
import { eventShape } from "#core/model/event.ts";
import { processKeyOf } from "#core/model/ids.ts";
import type { EventDraft } from "../events/draft.ts";
import { LookBack } from "./look-back.ts";

const keyOf = (tgid: number) => processKeyOf({ machineId: "m", bootId: "b", tgid, startTicks: 1n });

function draftOf(kind: EventDraft["kind"], pid: number, creator?: number, text = ""): EventDraft {
	const payload = { pid, exe: text, ...(creator === undefined ? {} : { creatorParent: keyOf(creator) }) };
	return { kind, process: keyOf(pid), kernelTimeNs: BigInt(pid), wallTimeMs: 1, tier: "ebpf", payload };
}

function fill(ring: LookBack, draft: EventDraft, nowMs = 0): number {
	const encoded = encodeAs(eventShape, { ...draft, seq: 7 });
	ring.note(draft, encoded, nowMs);
	return encoded.length;
}

const ring = (bytesMax = 65_536, maxAgeMs = 30_000) => new LookBack({ bytesMax, maxAgeMs });
const told = (found: ReturnType<LookBack["lineage"]>) =>
	found.map(({ draft, depth }) => [draft.kind, draft.payload.pid, depth]);

test("a lineage is the root and whom it forked, also those who died before anybody looked", () => {
	const at = ring();
	fill(at, draftOf("exec", 10));
	fill(at, draftOf("fork", 11, 10));
	fill(at, draftOf("exec", 11));
	fill(at, draftOf("exit", 11));
	fill(at, draftOf("fork", 12, 11));
	fill(at, draftOf("exec", 50));
	fill(at, draftOf("fork", 13, 12));
	const found = at.lineage([{ key: keyOf(10), depth: 0 }], 2, 0);
	assert.deepEqual(told(found), [
		["exec", 10, 0],
		["fork", 11, 1],
		["exec", 11, 1],
		["exit", 11, 1],
		["fork", 12, 2],
	]);
	assert.deepEqual(found[0]?.draft, draftOf("exec", 10));
});

/** The same 53 bits that the ring looks up by, another process. */
const twinOf = (key: Uint8Array) => key.map((byte, at) => (at >= 8 ? byte ^ 0xff : byte));

test("another process of the same index is not told, nor whom it forked", () => {
	const at = ring();
	const draft = draftOf("exec", 10);
	fill(at, { ...draft, process: twinOf(draft.process) });
	const fork = draftOf("fork", 11);
	fill(at, { ...fork, payload: { ...fork.payload, creatorParent: twinOf(keyOf(10)) } });
	fill(at, draftOf("exec", 11));
	fill(at, draftOf("exec", 10));
	const members = [{ key: keyOf(10), depth: 0 }];
	assert.deepEqual(told(at.lineage(members, 3, 0)), [["exec", 10, 0]]);
	const both = [...members, { key: twinOf(keyOf(10)), depth: 2 }];
	assert.deepEqual(told(at.lineage(both, 3, 0)), [
		["exec", 10, 2],
		["fork", 11, 3],
		["exec", 11, 3],
		["exec", 10, 0],
	]);
});

test("what is older than its age is not told, and what is exactly that old is", () => {
	const at = ring(65_536, 1000);
	fill(at, draftOf("exec", 10), 0);
	const members = [{ key: keyOf(10), depth: 0 }];
	assert.equal(at.lineage(members, 1, 1000).length, 1);
	assert.equal(at.lineage(members, 1, 1001).length, 0);
});

test("an event of two traces is told once, and what was told from memory is not remembered again", () => {
	const at = ring();
	fill(at, draftOf("exec", 10));
	fill(at, draftOf("exec", 10));
	const lookBack = draftOf("connect", 10);
	fill(at, { ...lookBack, payload: { ...lookBack.payload, isLookback: true } });
	assert.deepEqual(told(at.lineage([{ key: keyOf(10), depth: 0 }], 1, 0)), [["exec", 10, 0]]);
});

test("within its bytes it holds the newest events, whole, for any sizes", () => {
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 200 }), (sizes) => {
			const at = ring(4096);
			const lengths = sizes.map((size, pid) => fill(at, draftOf("exec", pid + 1, undefined, "x".repeat(size))));
			const members = sizes.map((_, at) => ({ key: keyOf(at + 1), depth: 0 }));
			const pids = at.lineage(members, 0, 0).map(({ draft }) => draft.payload.pid as number);
			const newest = Array.from({ length: pids.length }, (_, at) => sizes.length - pids.length + at + 1);
			assert.deepEqual(pids, newest);
			// The rest at the end of the ring, and the event that did not fit there, are all that may be wasted.
			const kept = lengths.slice(lengths.length - pids.length).reduce((sum, length) => sum + length, 0);
			if (pids.length < sizes.length) assert.ok(kept + 2 * 1000 > 4096 || at.size >= 32, `${kept} bytes kept`);
		}),
	);
});
