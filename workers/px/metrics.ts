/** A proxy's metrics, of what its Uplink says of itself. Label values: the three lanes, and nothing a host or a link can name. */
import { LANES } from "#core/model/batch.ts";
import type { UplinkHealth } from "../../durable/faces.ts";
import type { Family, Sample } from "../edge/open-metrics.ts";

const gauge = (name: string, unit: string, help: string, samples: readonly Sample[]): Family => {
	return { name: `daemoneye_${name}_${unit}`, type: "gauge", unit, help, samples };
};

export function proxyMetrics(health: UplinkHealth): Family[] {
	const { lanes, timeMs, roundTripMs } = health;
	const one = (value: number): Sample[] => [{ value }];
	const byLane = (measure: (depth: UplinkHealth["lanes"]["bulk"]) => number): Sample[] =>
		LANES.map((lane) => ({ labels: { lane }, value: measure(lanes[lane]) }));
	return [
		gauge("upstream", "links", "Links to the upstream that stand: 1 or 0.", one(health.isUp ? 1 : 0)),
		gauge(
			"upstream_state_age",
			"seconds",
			"How long the link has stood or been down.",
			one((timeMs - health.sinceMs) / 1000),
		),
		{
			...{ name: "daemoneye_upstream_reconnects", type: "counter", unit: "reconnects" },
			help: "Links made after the first since this process began.",
			samples: one(health.reconnects),
		},
		gauge(
			"upstream_round_trip",
			"seconds",
			"Fastest answer to the newest heartbeats; absent until one came.",
			roundTripMs === null ? [] : one(roundTripMs / 1000),
		),
		gauge("lag", "seconds", "Age of the oldest batch the upstream has not receipted.", one(health.lagMs / 1000)),
		gauge(
			"lane_waiting",
			"batches",
			"Batches that wait for the upstream's receipt.",
			byLane(({ batches }) => batches),
		),
		gauge(
			"lane_waiting",
			"bytes",
			"Their bytes: what the write-ahead log holds.",
			byLane(({ bytes }) => bytes),
		),
		gauge(
			"lane_oldest",
			"seconds",
			"Age of the oldest batch of the lane; 0 when none waits.",
			byLane(({ oldestMs }) => (oldestMs === null ? 0 : Math.max(0, timeMs - oldestMs) / 1000)),
		),
		gauge("wal", "bytes", "Bytes in the write-ahead logs of all agents.", one(health.walBytes)),
		gauge("unacked", "bytes", "Sent upstream and not receipted.", one(health.unackedBytes)),
		gauge("window", "bytes", "How much may be sent without a receipt.", one(health.windowBytes)),
		gauge("known", "agents", "Agents whose backlog this proxy remembers.", one(health.agents)),
		gauge("connected", "agents", "Of these: connected.", one(health.agentsUp)),
		gauge(
			"refused_protocol",
			"nodes",
			"Nodes lately turned away because they speak another protocol version, eight at most.",
			one(health.strangers.length),
		),
		{
			...{ name: "daemoneye_refused_proxy_words", type: "counter", unit: "words" },
			help: "Told of proxies below and not shown to be their own word, since this process began.",
			samples: one(health.refusedWords),
		},
	];
}
