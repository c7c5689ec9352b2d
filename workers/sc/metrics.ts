/**
 * The Security Center's metrics, of what the fleet page shows. Label values: lanes, node states, and proxy ids, of which the first
 * `proxiesLabelled` by name have their own series and the rest are counted. No agent has a series of its own: their number is not
 * bounded by anything but the site, and the page names the ones that matter.
 */
import { LANES } from "#core/model/batch.ts";
import { boxDiskOf, refreshDisk } from "../../durable/box-disk.ts";
import { NODE_STATES } from "../../durable/silence.ts";
import { diskMetrics } from "../edge/disk-metrics.ts";
import type { Family, Sample } from "../edge/open-metrics.ts";
import type { FleetAnswer, FleetLane, FleetNode } from "./api/answers.ts";
import type { ScEnv } from "./env.ts";
import { fleetOf } from "./fleet.ts";
import { storeOf } from "./store/open.ts";
import { newestBatchRow, standingAlarmCount } from "./store/queries.ts";

export const METRICS_LIMITS = {
	/** Proxies with series of their own: about ten series each, so a scrape stays below a thousand. */
	proxiesLabelled: 64,
} as const;

const gauge = (name: string, unit: string, help: string, samples: readonly Sample[]): Family => {
	return { name: `daemoneye_${name}_${unit}`, type: "gauge", unit, help, samples };
};

const one = (value: number): Sample[] => [{ value }];

function lanesOf(lanes: readonly FleetLane[], measure: (lane: FleetLane) => number, labels = {}): Sample[] {
	return LANES.map((lane) => {
		const found = lanes.find((each) => each.lane === lane);
		return { labels: { ...labels, lane }, value: found === undefined ? 0 : measure(found) };
	});
}

function proxyFamilies(proxies: readonly FleetNode[]): Family[] {
	const of = (measure: (node: FleetNode) => number | null): Sample[] =>
		proxies.flatMap((node) => {
			const value = measure(node);
			return value === null ? [] : [{ labels: { proxy: node.id }, value }];
		});
	const lanes = (measure: (lane: FleetLane) => number): Sample[] =>
		proxies.flatMap(({ id, link }) => lanesOf(link.lanes, measure, { proxy: id }));
	return [
		gauge(
			"proxy_up",
			"links",
			"Whether the proxy's link stands: 1 or 0.",
			of(({ isUp }) => (isUp ? 1 : 0)),
		),
		gauge(
			"proxy_lag",
			"seconds",
			"Age of the oldest batch at the proxy, as last told.",
			of(({ behindMs }) => behindMs / 1000),
		),
		gauge(
			"proxy_waiting",
			"batches",
			"Batches that wait at the proxy, as last told.",
			lanes(({ batches }) => batches),
		),
		gauge(
			"proxy_waiting",
			"bytes",
			"Their bytes.",
			lanes(({ bytes }) => bytes),
		),
		gauge(
			"proxy_unacked",
			"bytes",
			"Sent by the proxy and not receipted.",
			of(({ link }) => link.unackedBytes),
		),
		gauge(
			"proxy_clock_offset",
			"seconds",
			"The proxy's clock less the Security Center's.",
			of(({ clockOffsetMs }) => clockOffsetMs / 1000),
		),
		{
			...{ name: "daemoneye_proxy_reconnects", type: "counter", unit: "reconnects" },
			help: "Links the proxy made after its first, since its process began.",
			samples: of(({ link }) => link.reconnects),
		},
	];
}

function agentFamilies(agents: readonly FleetNode[]): Family[] {
	const most = (measure: (node: FleetNode) => number): Sample[] =>
		one(agents.reduce((max, node) => Math.max(max, measure(node)), 0));
	return [
		gauge(
			"fleet",
			"agents",
			"Agents by what is known of them; unknown: behind a silent proxy.",
			NODE_STATES.map((state) => ({ labels: { state }, value: agents.filter((node) => node.state === state).length })),
		),
		gauge(
			"agent_lag_most",
			"seconds",
			"Oldest unreceipted batch of any agent.",
			most(({ behindMs }) => behindMs / 1000),
		),
		gauge(
			"agent_clock_offset_most",
			"seconds",
			"Largest difference of any agent's clock, without its sign.",
			most(({ clockOffsetMs }) => Math.abs(clockOffsetMs) / 1000),
		),
	];
}

export function centerFamilies(fleet: FleetAnswer, counts: { batches: number; standingAlarms: number }): Family[] {
	const { nodes, storeLanes, strangers } = fleet;
	const proxies = nodes.filter(({ role }) => role === "px");
	const labelled = proxies.slice(0, METRICS_LIMITS.proxiesLabelled);
	return [
		{
			...{ name: "daemoneye_stored_batches", type: "counter", unit: "batches" },
			help: "Batches ever stored.",
			samples: one(counts.batches),
		},
		gauge("standing", "alarms", "Alarms that are not over.", one(counts.standingAlarms)),
		gauge(
			"store_waiting",
			"batches",
			"Batches that wait here for the store.",
			lanesOf(storeLanes, ({ batches }) => batches),
		),
		gauge(
			"store_waiting",
			"bytes",
			"Their bytes.",
			lanesOf(storeLanes, ({ bytes }) => bytes),
		),
		gauge(
			"store_lag",
			"seconds",
			"Age of the oldest batch that waits for the store.",
			one(Math.max(0, ...storeLanes.map(({ oldestAgeMs }) => oldestAgeMs)) / 1000),
		),
		...agentFamilies(nodes.filter(({ role }) => role === "agent")),
		gauge(
			"fleet",
			"proxies",
			"Proxies by what is known of them.",
			NODE_STATES.map((state) => ({ labels: { state }, value: proxies.filter((node) => node.state === state).length })),
		),
		gauge(
			"unlabelled",
			"proxies",
			`Proxies beyond the ${METRICS_LIMITS.proxiesLabelled} that have series of their own.`,
			one(proxies.length - labelled.length),
		),
		...proxyFamilies(labelled),
		gauge("refused_protocol", "nodes", "Nodes lately turned away for their protocol version.", one(strangers.length)),
		{
			...{ name: "daemoneye_refused_proxy_words", type: "counter", unit: "words" },
			help: "Told of proxies below others and not shown to be their own word, since the watch began.",
			samples: one(fleet.refusedWords),
		},
		gauge(
			"watch_look_age",
			"seconds",
			"How long ago the watch over silence last looked.",
			one(Math.max(0, fleet.timeMs - fleet.lookedAtMs) / 1000),
		),
		{
			...{ name: "daemoneye_watch_late_looks", type: "counter", unit: "looks" },
			help: "Looks of the watch that failed or came late, since it began.",
			samples: one(fleet.lateLooks),
		},
	];
}

export async function centerMetrics(env: ScEnv): Promise<Family[]> {
	const { reader } = await storeOf(env);
	const counts = { batches: await newestBatchRow(reader), standingAlarms: await standingAlarmCount(reader) };
	await refreshDisk(env, Date.now());
	const disk = diskMetrics(boxDiskOf(env).state(Date.now()));
	return [...centerFamilies(await fleetOf(env, { hasCounts: false }), counts), ...disk];
}
