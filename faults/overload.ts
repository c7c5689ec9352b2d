/** An upstream that is slow or stands still: what waits stays on disk, and a proxy's memory does not grow with it. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
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

const percentile = (values: readonly number[], share: number) =>
	[...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;

/** Lets a process run only a part of the time until it is told to end. */
async function throttle(target: { pause(): void; resume(): void }, signal: AbortSignal): Promise<void> {
	while (!signal.aborted) {
		target.pause();
		await sleep(FAULT_LIMITS.throttledMs);
		target.resume();
		await sleep(FAULT_LIMITS.unthrottledMs);
	}
}

function bytesIn(directory: string): number {
	return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

/** Row 33: 10 minutes in the plan. More bulk than a slow proxy takes and the agent's disk holds, beside a trickle of traces. */
export function overloadAgent(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const agent = box.agent(AGENT);
		await agent.start({ outboxBytesMax: FAULT_LIMITS.smallOutboxBytes });
		await agent.linked();
		await agent.feed({ rounds: 5, everyMs: 20, events: 4, lanes: LANES });
		const ending = new AbortController();
		const throttled = throttle(box.process("px-1"), ending.signal);
		let peakBytes = 0;
		const watched = (async () => {
			while (!ending.signal.aborted) {
				peakBytes = Math.max(peakBytes, bytesIn(agent.outboxDirectory));
				await sleep(100);
			}
		})();
		await agent.feed({ rounds: 120, everyMs: 50, events: 2000, lanes: LANES, urgentEvents: 4 });
		ending.abort();
		await Promise.all([throttled, watched]);
		const outcome = await judgeBox(box, context, { agents: [agent] });
		const p99 = percentile(agent.truth.custodyMs("trace"), 0.99);
		const shed = agent.logged.get("outbox_shed") ?? 0;
		const named = outcome.report?.gapsNamed ?? 0;
		context.step(
			`shed ${shed} times, ${named} batches named, ${(peakBytes / 1e6).toFixed(1)} MB in the outbox, trace p99 ${Math.round(p99)} ms`,
		);
		const violations: string[] = [];
		if (shed === 0) violations.push("nothing was shed: the row tries nothing");
		if (peakBytes > FAULT_LIMITS.smallOutboxBytes + FAULT_LIMITS.fullDiskSlackBytes)
			violations.push(`the outbox took ${peakBytes} bytes`);
		if (p99 > FAULT_LIMITS.overloadTraceMsMax) violations.push(`trace p99 ${Math.round(p99)} ms`);
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
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
