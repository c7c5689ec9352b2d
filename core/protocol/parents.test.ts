import assert from "node:assert/strict";
import { test } from "node:test";
import { PARENT_LIMITS, Parents } from "./parents.ts";

/** A small generator with a seed, so that a failure comes again. */
function randomOf(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
		return state / 2 ** 32;
	};
}
const LATEST = () => 1 - Number.EPSILON;
const TIMES = { probeMs: 10_000, stableMs: 30_000 };

test("a parent that does not answer costs a short wait and the next one is tried, in order, round after round", () => {
	const parents = new Parents(3, LATEST);
	const seen: [number, number][] = [];
	for (let index = 0; index < 7; index++) seen.push([parents.current, parents.ended(0)]);
	const { hopMs, roundMs } = PARENT_LIMITS;
	assert.deepEqual(seen, [
		[0, hopMs],
		[1, hopMs],
		[2, roundMs],
		[0, hopMs],
		[1, hopMs],
		[2, 2 * roundMs],
		[0, hopMs],
	]);
});

test("with two dead parents the third is tried within ten seconds", () => {
	const parents = new Parents(3, LATEST);
	let passedMs = parents.ended(PARENT_LIMITS.steadyMs);
	while (parents.current !== 2) passedMs += PARENT_LIMITS.tryMsMax + parents.ended(0);
	assert(passedMs < 10_000, `${passedMs} ms`);
});

test("after a steady link the preferred parent is first again; one that goes down again and again is passed over", () => {
	const parents = new Parents(2, LATEST);
	parents.up();
	parents.ended(PARENT_LIMITS.steadyMs - 1);
	assert.equal(parents.current, 1);
	parents.up();
	parents.ended(PARENT_LIMITS.steadyMs);
	assert.equal(parents.current, 0);
});

test("one parent alone is tried again with a wait that doubles to its cap and starts anew after a link that lived as long", () => {
	const parents = new Parents(1, LATEST);
	const waits = Array.from({ length: 9 }, () => parents.ended(0));
	assert.deepEqual(waits.slice(0, 3), [500, 1000, 2000]);
	assert.equal(waits.at(-1), PARENT_LIMITS.roundMsMax);
	parents.up();
	assert.equal(parents.ended(PARENT_LIMITS.roundMsMax + 2000), PARENT_LIMITS.roundMs);
	assert.equal(parents.ended(0), 2 * PARENT_LIMITS.roundMs);
});

test("a parent that is restarted again and again is found as fast each time", () => {
	const parents = new Parents(1, LATEST);
	for (let restart = 0; restart < 20; restart++) {
		parents.up();
		const waits = [parents.ended(2500), parents.ended(0), parents.ended(0)];
		assert.deepEqual(waits, [500, 1000, 2000], `restart ${restart}`);
	}
});

test("links that come up and end at once do not stop the wait from growing", () => {
	const parents = new Parents(2, LATEST);
	const waits = Array.from({ length: 20 }, () => {
		parents.up();
		return parents.ended(100);
	});
	assert.equal(Math.max(...waits), PARENT_LIMITS.roundMsMax);
});

test("a preferred parent is taken back after it answered every probe for long enough, and not before", () => {
	const parents = new Parents(3, () => 0, TIMES);
	parents.ended(0);
	parents.ended(0);
	parents.up();
	assert.equal(parents.current, 2);
	parents.heard(1, true, 0);
	parents.heard(0, true, 5000);
	assert.equal(parents.better(29_999), null);
	parents.heard(1, false, 20_000);
	parents.heard(1, true, 29_000);
	assert.equal(parents.better(34_999), null);
	assert.equal(parents.better(35_000), 0, "the one that failed a probe begins again");
	parents.moveTo(0);
	assert.equal(parents.current, 0);
	assert.equal(parents.better(1_000_000), null);
	parents.heard(0, true, 0);
	assert.equal(parents.better(1_000_000), null, "nothing is preferred to the first");
});

test("a thousand nodes whose parent died at once do not come back in step, in no round", () => {
	const nodes = Array.from({ length: 1000 }, (_, index) => new Parents(1, randomOf(index * 7919 + 1)));
	let at = nodes.map(() => 0);
	for (let round = 0; round < 8; round++) {
		at = at.map((ms, index) => ms + (nodes[index] as Parents).ended(0));
		const spanMs = Math.min(PARENT_LIMITS.roundMsMax, PARENT_LIMITS.roundMs * 2 ** round);
		const tenths = new Map<number, number>();
		for (const ms of at)
			tenths.set(Math.floor(ms / (spanMs / 10)), (tenths.get(Math.floor(ms / (spanMs / 10))) ?? 0) + 1);
		const most = Math.max(...tenths.values());
		assert(most < 160, `round ${round}: ${most} of 1000 within a tenth of the wait`);
	}
	assert(Math.max(...at) < 60_000 + 8 * 500 + PARENT_LIMITS.roundMsMax, "and none waits for a minute longer");
});

test("a thousand nodes ask for, and return to, their preferred parent at a thousand times", () => {
	const probes: number[] = [];
	const returns: number[] = [];
	for (let index = 0; index < 1000; index++) {
		const parents = new Parents(2, randomOf(index * 104_729 + 3), TIMES);
		parents.ended(0);
		parents.up();
		let nowMs = 0;
		probes.push(parents.probeInMs());
		while (parents.better(nowMs) === null) {
			nowMs += parents.probeInMs();
			parents.heard(0, true, nowMs);
		}
		returns.push(nowMs);
	}
	const inOneSecond = (times: readonly number[]) => {
		const counts = new Map<number, number>();
		for (const ms of times) counts.set(Math.floor(ms / 1000), (counts.get(Math.floor(ms / 1000)) ?? 0) + 1);
		return Math.max(...counts.values());
	};
	assert(inOneSecond(probes) < 150, `${inOneSecond(probes)} probes in a second`);
	assert(inOneSecond(returns) < 100, `${inOneSecond(returns)} returns in a second`);
	assert(Math.min(...returns) >= TIMES.stableMs);
});
