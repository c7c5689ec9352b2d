import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { fail, ok } from "#core/result.ts";
import { climb } from "./gaps.ts";

test("the ramp ends at the first loss and tells the rate before it", async () => {
	const asked: number[] = [];
	const ramp = await climb(2000, async (perSecond) => {
		asked.push(perSecond);
		return ok({ perSecond, lost: perSecond > 4000 ? 1 : 0, isSpent: false });
	});
	deepEqual(asked, [2000, 3000, 4500]);
	deepEqual(ramp, ok({ cleanPerSecond: 3000, gapsPerSecond: 4500 }));
});

test("a machine that makes no more events has no rate at which gaps begin", async () => {
	const ramp = await climb(2000, async () => ok({ perSecond: 1500, lost: 0, isSpent: true }));
	deepEqual(ramp, ok({ cleanPerSecond: 1500, gapsPerSecond: null }));
});

test("a loss in the first step leaves nothing clean, and the ramp ends at its bound", async () => {
	const lost = await climb(2000, async (perSecond) => ok({ perSecond, lost: 5, isSpent: false }));
	deepEqual(lost, ok({ cleanPerSecond: 0, gapsPerSecond: 2000 }));
	const endless = await climb(2000, async (perSecond) => ok({ perSecond, lost: 0, isSpent: false }));
	equal(endless.ok && endless.value.gapsPerSecond, null);
	equal((await climb(2000, async () => fail("pacer_failed", "it ended"))).ok, false);
});
