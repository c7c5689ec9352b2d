/** An enclave whose one agent, with its real collector, watches a cgroup of our own by the `ebpf` tier. */
import { fail, ok, type Result } from "#core/result.ts";
import type { BenchContext } from "./bench.ts";
import { type Box, openBox, within } from "./box.ts";
import { type Lineage, openLineage } from "./lineage.ts";
import { waitForFirstBatch } from "./store-reader.ts";

export const WATCHED_AGENT_ID = "watched-01";

export interface WatchedBox extends Box {
	readonly lineage: Lineage;
	readonly agentPid: number;
}

export async function openWatchedBox(context: BenchContext): Promise<Result<WatchedBox, string>> {
	const lineage = await openLineage();
	if (!lineage.ok) return lineage;
	const opened = await open(context, lineage.value);
	if (!opened.ok) await lineage.value.close();
	return opened;
}

async function open(context: BenchContext, lineage: Lineage): Promise<Result<WatchedBox, string>> {
	const { cgroupPath } = lineage;
	const agent = { id: WATCHED_AGENT_ID, siteTag: "bench", scopeCgroup: cgroupPath, source: "ebpf" } as const;
	const box = await openBox(context, [agent]);
	if (!box.ok) return box;
	const flowing = await waitForFirstBatch(box.value.dataDir, context.signal);
	const agentPid = box.value.enclave.supervisor.pids().get(`agent-${WATCHED_AGENT_ID}`);
	if (agentPid === undefined || !flowing.ok)
		return within(context, box.value, async () =>
			flowing.ok ? fail("agent_missing", "the collector is not built: run `npm run setup`") : flowing,
		);
	return ok({
		...box.value,
		lineage,
		agentPid,
		async close() {
			await lineage.close();
			await box.value.close();
		},
	});
}
