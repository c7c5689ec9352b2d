/** The tree in numbers: what it carries, how soon, and how it comes back after an outage. */
import type { Result } from "#core/result.ts";
import type { Bench, BenchContext } from "../bench.ts";
import { measureCrowd } from "./crowd.ts";
import { measureTreeLatency } from "./latency.ts";
import { measureStorm } from "./storm.ts";
import { measureA1, measureA2 } from "./throughput.ts";
import { checkYardsticks } from "./yardstick.ts";

async function measureTree(context: BenchContext): Promise<Result<void, string>> {
	const there = checkYardsticks();
	if (!there.ok) return there;
	for (const tiers of [1, 2] as const) {
		for (const measure of [measureA1, measureA2]) {
			const measured = await measure(context, tiers);
			if (!measured.ok) return measured;
		}
	}
	const storm = await measureStorm(context);
	return storm.ok ? measureTreeLatency(context) : storm;
}

const a1 = (tiers: 1 | 2) => async (context: BenchContext) => {
	const there = checkYardsticks();
	return there.ok ? measureA1(context, tiers) : there;
};

export const treeBenches: readonly Bench[] = [
	{
		name: "tree",
		summary: "what the tree carries, beside Redis and JetStream, how soon, and how it comes back: all of the following",
		run: measureTree,
	},
	{ name: "tree-a1-1", summary: "batches a second durable at one proxy, beside Redis and JetStream", run: a1(1) },
	{ name: "tree-a1-2", summary: "the same through two tiers of proxies", run: a1(2) },
	{
		name: "tree-a2",
		summary: "batches a second in store and ledger, through one and two tiers, everything running",
		async run(context) {
			const one = await measureA2(context, 1);
			return one.ok ? measureA2(context, 2) : one;
		},
	},
	{
		name: "tree-latency",
		summary:
			"a trace event to its row and a command to its agent through two tiers: idle, overloaded, behind a backlog",
		run: measureTreeLatency,
	},
	{
		name: "tree-crowd",
		summary: "how many agents one proxy holds, one event a second each, and what the first limit is; not part of tree",
		run: measureCrowd,
	},
	{ name: "tree-storm", summary: "a thousand agents come back after their proxy was killed", run: measureStorm },
];
