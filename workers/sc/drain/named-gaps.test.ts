import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { type Event, KEPT_GAP_CAUSE, ZERO_PROCESS } from "#core/model/event.ts";
import { namedGapsOf } from "./drain.ts";

test("a gap that the agent may fill is no number that will not come", () => {
	const gapOf = (cause: string): Event => ({
		...{ kind: "gap", process: ZERO_PROCESS, kernelTimeNs: 1n, wallTimeMs: 1, seq: 0, tier: "ebpf" },
		payload: { gapScope: "stream", gapStream: new Uint8Array(8), gapFrom: 3n, gapTo: 3n, cause },
	});
	deepEqual(namedGapsOf([gapOf("resealed")]), [{ stream: new Uint8Array(8), first: 3, last: 3 }]);
	deepEqual(namedGapsOf([gapOf(`${KEPT_GAP_CAUSE}batch_root_mismatch`)]), []);
});
