/** An upstream that is slow or stands still: what waits stays on disk, and a proxy's memory does not grow with it. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { LANES } from "#core/model/batch.ts";
import { type FaultBox, judgeBox } from "./box.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";

const AGENT = "agent-1";

function rssBytes(pid: number): number {
	const line = readFileSync(`/proc/${pid}/status`, "utf8")
		.split("\n")
		.find((each) => each.startsWith("VmRSS:"));
	return Number(line?.match(/\d+/)?.[0] ?? 0) * 1024;
}

interface Peak {
	rssBytes: number;
	unackedBytes: number;
	walBytes: number;
}

async function watch(box: FaultBox, peak: Peak, signal: AbortSignal): Promise<void> {
	const url = `http://${box.proxies[0]?.health}/healthz`;
	while (!signal.aborted) {
		peak.rssBytes = Math.max(peak.rssBytes, rssBytes(box.process("px-1").pid));
		// A proxy under load answers late; the next question is a moment away.
		const answer = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => null);
		const health =
			answer === null ? null : ((await answer.json()) as { uplink: { unackedBytes: number; walBytes: number } });
		peak.unackedBytes = Math.max(peak.unackedBytes, health?.uplink.unackedBytes ?? 0);
		peak.walBytes = Math.max(peak.walBytes, health?.uplink.walBytes ?? 0);
		await sleep(100);
	}
}

/** Row 31. */
export function slowCenter(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		const center = box.process("sc");
		await agent.start();
		await agent.feed({ rounds: 10, everyMs: 20, events: 20, lanes: LANES });
		const before = rssBytes(box.process("px-1").pid);
		const peak: Peak = { rssBytes: before, unackedBytes: 0, walBytes: 0 };
		const watching = new AbortController();
		const watched = watch(box, peak, watching.signal);
		// Nothing can pass while the Security Center stands still, a tenth of it when it runs a tenth of the time.
		center.pause();
		await agent.feed({ rounds: 60, everyMs: 50, events: 2000, lanes: ["bulk"] });
		await sleep(FAULT_LIMITS.centerStillMs);
		for (let cycle = 0; cycle < FAULT_LIMITS.slowCycles && !context.signal.aborted; cycle++) {
			center.resume();
			await sleep(50);
			center.pause();
			await sleep(450);
		}
		center.resume();
		watching.abort();
		await watched;
		const grown = peak.rssBytes - before;
		const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
		context.step(`backlog ${mb(peak.walBytes)}, unacknowledged ${mb(peak.unackedBytes)}, memory grew by ${mb(grown)}`);
		const outcome = await judgeBox(box, context, { agents: [agent] });
		const violations: string[] = [];
		if (peak.walBytes < FAULT_LIMITS.backlogBytesMin)
			violations.push(`the backlog was only ${mb(peak.walBytes)}: the row tries nothing`);
		if (peak.unackedBytes > FAULT_LIMITS.unackedBytesMax)
			violations.push(`${mb(peak.unackedBytes)} were sent without a receipt`);
		if (grown > FAULT_LIMITS.rssGrowthBytesMax) violations.push(`the proxy grew by ${mb(grown)}`);
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}
