/**
 * The whole way of an event, in numbers: how many arrive, how soon, and at what cost on the watched host. `path` measures all three;
 * each can be measured alone.
 */
import { ok, type Result } from "#core/result.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { within } from "./box.ts";
import { buildExecPacer } from "./lineage.ts";
import { measureFootprint } from "./path-footprint.ts";
import { measureLatency } from "./path-latency.ts";
import { measureThroughput } from "./path-throughput.ts";
import { reportLines, reportTimings } from "./stealth/report.ts";
import { measureStealth } from "./stealth/stealth.ts";
import { openWatchedBox, type WatchedBox } from "./watched-box.ts";

async function inWatchedBox(
	context: BenchContext,
	measure: (box: WatchedBox) => Promise<Result<void, string>>,
): Promise<Result<void, string>> {
	context.onStep("starting an enclave with an agent on a cgroup");
	const box = await openWatchedBox(context);
	return box.ok ? within(context, box.value, measure) : box;
}

async function measureCost(box: WatchedBox, context: BenchContext): Promise<Result<void, string>> {
	const pacer = buildExecPacer(box.directory);
	return pacer.ok ? measureFootprint(box, pacer.value, context) : pacer;
}

export const pathBenches: readonly Bench[] = [
	{
		name: "path",
		summary: "outbox to row, kernel to console, and the cost on the host: all of the following (about 8 minutes)",
		async run(context) {
			const arrived = await measureThroughput(context);
			if (!arrived.ok) return arrived;
			return inWatchedBox(context, async (box) => {
				const cost = await measureCost(box, context);
				return cost.ok ? measureLatency(box, context) : cost;
			});
		},
	},
	{
		name: "stealth",
		summary:
			"what a user and root can see of a trace that begins, and how system calls' times change (about 3 minutes)",
		run: (context) =>
			inWatchedBox(context, async (box) => {
				const measured = await measureStealth(box, context);
				if (!measured.ok) return measured;
				for (const line of reportLines(measured.value)) context.onStep(line);
				reportTimings(measured.value, context);
				return ok(undefined);
			}),
	},
	{
		name: "path-throughput",
		summary: "events per second from an agent's outbox to a row a query finds, beside the store's own ceiling",
		run: measureThroughput,
	},
	{
		name: "path-latency",
		summary: "kernel time of a trace event to the console's hands, p50 and p99, through one proxy",
		run: (context) => inWatchedBox(context, (box) => measureLatency(box, context)),
	},
	{
		name: "path-footprint",
		summary: "memory and CPU of agent and collector, idle and at 500 program starts a second",
		run: (context) => inWatchedBox(context, (box) => measureCost(box, context)),
	},
];
