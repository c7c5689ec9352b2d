import assert from "node:assert/strict";
import { test } from "node:test";
import { openMetricsText } from "../edge/open-metrics.ts";
import { readOpenMetrics, seriesValue } from "../edge/testing/open-metrics-reader.ts";
import type { FleetNode } from "./api/answers.ts";
import { centerFamilies, METRICS_LIMITS } from "./metrics.ts";

function node(id: string, role: FleetNode["role"]): FleetNode {
	const link = {
		to: "",
		toldAtMs: 1,
		sinceMs: 1,
		lanes: [],
		unackedBytes: 5,
		windowBytes: 9,
		roundTripMs: 1,
		reconnects: 0,
		lastError: null,
		refusedBatches: 0,
		refusedFor: null,
	};
	return {
		...{
			id,
			role,
			isUp: true,
			state: "alive",
			stateSinceMs: 0,
			hiddenBy: "",
			link,
			hostName: id,
			siteTag: "",
			tier: "",
		},
		...{
			missing: "",
			cause: "",
			via: "",
			lastHeardMs: 0,
			fidelityLevel: 0,
			fidelityCause: "",
			fidelityMs: 0,
			behindMs: 0,
		},
		...{
			outboxBytes: 0,
			clockOffsetMs: 0,
			clockBoundMs: null,
			rssBytes: 0,
			eventCount: 0,
			gapCount: 0,
			storedBatches: 0,
		},
		...{ softwareVersion: "", addresses: [] },
	};
}

function seriesOf(proxies: number, agents: number): { count: number; families: ReturnType<typeof readOpenMetrics> } {
	const nodes = [
		...Array.from({ length: proxies }, (_, index) => node(`px-${index}`, "px")),
		...Array.from({ length: agents }, (_, index) => node(`agent-${index}`, "agent")),
	];
	const silent = { agentSilentMs: 60_000, proxySilentMs: 45_000 };
	const fleet = {
		nodes,
		storeLanes: [],
		strangers: [],
		refusedWords: 0,
		lookedAtMs: 1,
		lateLooks: 0,
		...silent,
		timeMs: 1,
	};
	const families = readOpenMetrics(openMetricsText(centerFamilies(fleet, { batches: 3, standingAlarms: 2 })));
	return { count: families.reduce((sum, { samples }) => sum + samples.length, 0), families };
}

test("series do not grow with agents, nor with proxies beyond the limit, and the rest are counted", () => {
	const few = seriesOf(METRICS_LIMITS.proxiesLabelled, 10);
	const many = seriesOf(METRICS_LIMITS.proxiesLabelled + 40, 3000);
	assert.equal(few.count, many.count);
	assert.ok(many.count < 1000, `${many.count} series`);
	assert.equal(seriesValue(few.families, "daemoneye_unlabelled_proxies"), 0);
	assert.equal(seriesValue(many.families, "daemoneye_unlabelled_proxies"), 40);
	assert.equal(seriesValue(many.families, "daemoneye_fleet_agents", { state: "alive" }), 3000);
	assert.ok(seriesOf(1, 1).count < few.count);
});
