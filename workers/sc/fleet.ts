/** The fleet as the console and the metrics are told of it: rows of the store, judged by the watch's own rule. */
import { LANES } from "#core/model/batch.ts";
import { type LaneDepths, WATCH_NAME } from "../../durable/faces.ts";
import { heardNodes } from "../../durable/heard-nodes.ts";
import { judgeSilence, type NodeVerdict, type WatchedNode } from "../../durable/silence.ts";
import type { WatchView } from "../../durable/watch-face.ts";
import type { FleetAnswer, FleetLane, FleetLink, FleetNode } from "./api/answers.ts";
import type { ScEnv } from "./env.ts";
import { storeOf } from "./store/open.ts";
import { strangersOf } from "./store/proxies.ts";
import { type NodeRow, nodesOf, storedBatchCounts } from "./store/queries.ts";

function lanesOf(depths: LaneDepths, nowMs: number): FleetLane[] {
	return LANES.filter((lane) => depths[lane].batches > 0).map((lane) => {
		const { batches, bytes, oldestMs } = depths[lane];
		return { lane, batches, bytes, oldestAgeMs: Math.max(0, nowMs - (oldestMs ?? nowMs)) };
	});
}

function linkOf({ via, link, upSinceMs, heardHereMs, role }: NodeRow): FleetLink {
	const { health, atMs = 0 } = link;
	if (role === "agent" || health === undefined) {
		const { roundTripMs = null, reconnects = null, lastError = null, refusedBatches = 0, refusedFor = null } = link;
		const unmeasured = { lanes: [], unackedBytes: null, windowBytes: null };
		const since = { toldAtMs: heardHereMs, sinceMs: role === "px" ? upSinceMs : null };
		return { to: via, ...since, ...unmeasured, roundTripMs, reconnects, lastError, refusedBatches, refusedFor };
	}
	const { lanes, unackedBytes, windowBytes, roundTripMs = null, reconnects, lastError = null } = health;
	// By its clock it stands so long; by ours it began so long before its word came.
	const sinceMs = atMs - (health.timeMs - health.sinceMs);
	const told = { to: via, toldAtMs: atMs, sinceMs, lanes: [...lanes], unackedBytes, windowBytes };
	return { ...told, roundTripMs, reconnects, lastError, refusedBatches: 0, refusedFor: null };
}

function fleetNode(node: NodeRow, storedBatches: number, verdict: NodeVerdict): FleetNode {
	const { nodeId, clockSamples: _s, link: _l, heardHereMs: _h, upSinceMs: _u, id: _id, ...rest } = node;
	return {
		...rest,
		id: nodeId,
		isUp: node.isUp && verdict.state === "alive",
		state: verdict.state,
		stateSinceMs: verdict.sinceMs,
		hiddenBy: verdict.hiddenBy,
		link: linkOf(node),
		tier: node.tier as FleetNode["tier"],
		storedBatches,
	};
}

function watchedOf({ nodeId, role, via, heardHereMs, upSinceMs, isUp, link }: NodeRow): WatchedNode {
	return { id: nodeId, role, via, heardMs: heardHereMs, upSinceMs, isUp, wordNumber: link.wordNumber ?? 0 };
}

function judge(nodes: readonly NodeRow[], view: WatchView, nowMs: number): Map<string, NodeVerdict> {
	const { watchingSinceMs, agentSilentMs, proxySilentMs } = view;
	const watched = nodes.map((node) => heardNodes().freshened(watchedOf(node), nowMs));
	return judgeSilence(watched, { nowMs, watchingSinceMs, agentSilentMs, proxySilentMs });
}

const UNJUDGED: NodeVerdict = { state: "unknown", sinceMs: 0, hiddenBy: "" };

/** `hasCounts: false` leaves out the stored batches of each node: counting them reads an index from end to end. */
export async function fleetOf(env: ScEnv, { hasCounts }: { hasCounts: boolean }): Promise<FleetAnswer> {
	const { reader } = await storeOf(env);
	const view = await env.FLEET_WATCH.getByName(WATCH_NAME).view();
	const counts = hasCounts ? await storedBatchCounts(reader) : new Map<number, number>();
	const rows = await nodesOf(reader);
	const nowMs = Date.now();
	const verdicts = judge(rows, view, nowMs);
	const told = await strangersOf(reader, nowMs);
	return {
		nodes: rows.map((row) => fleetNode(row, counts.get(row.id) ?? 0, verdicts.get(row.nodeId) ?? UNJUDGED)),
		storeLanes: lanesOf(view.store, nowMs),
		strangers: [...view.strangers.map((stranger) => ({ ...stranger, at: "" })), ...told].map(
			({ node, protocol, at, atMs }) => ({ node, protocol, at, atMs }),
		),
		refusedWords: view.refusedWords,
		...{ lookedAtMs: view.lookedAtMs, lateLooks: view.lateLooks },
		agentSilentMs: view.agentSilentMs,
		proxySilentMs: view.proxySilentMs,
		timeMs: nowMs,
	};
}
