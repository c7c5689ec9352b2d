/**
 * The proxy tier: agents connect here, batches wait here until the Security Center has them, commands pass through. Two faces:
 * `Links` behind the mTLS socket, `default` on a loopback socket for the supervisor. A proxy verifies and forwards; it decides
 * nothing about what it carries.
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import { AgentChannelBase, type ChannelEnv } from "../../durable/agent-channel.ts";
import { type BoxDiskState, boxDiskOf, refreshDisk } from "../../durable/box-disk.ts";
import { UPLINK_NAME } from "../../durable/faces.ts";
import { PeerLink, type PeerLinkEnv } from "../../durable/peer-link.ts";
import { Uplink, type UplinkEnv } from "../../durable/uplink.ts";
import { diskMetrics } from "../edge/disk-metrics.ts";
import { answerLink, type LinkGateEnv } from "../edge/link-gate.ts";
import { answerMetrics, type MetricsEnv } from "../edge/metrics-door.ts";
import { problemResponse } from "../edge/problem.ts";

import { proxyMetrics } from "./metrics.ts";

/** `PEER_LINK` is bound where this proxy serves other proxies. */
type Env = ChannelEnv & UplinkEnv & PeerLinkEnv & LinkGateEnv & MetricsEnv & Required<Pick<ChannelEnv, "UPLINK">>;

export { PeerLink, Uplink };

/** A proxy's channel has no drain of its own: the Uplink pulls. */
export class AgentChannel extends AgentChannelBase<Env> {}

/** The mTLS socket: agents, and proxies below this one. */
export class Links extends WorkerEntrypoint<Env> {
	override fetch(request: Request): Promise<Response> {
		const { AGENT_CHANNEL: agent, PEER_LINK: peer, UPLINK } = this.env;
		return answerLink(request, this.env, {
			agent,
			peer: peer ?? null,
			path: () => UPLINK.getByName(UPLINK_NAME).path(),
			watch: UPLINK.getByName(UPLINK_NAME),
		});
	}
}

/** The supervisor's face: health, and metrics for who holds the token. A question also wakes the Uplink after a start. */
export default class Supervision extends WorkerEntrypoint<Env> {
	override async fetch(request: Request): Promise<Response> {
		const { pathname } = new URL(request.url);
		if (pathname === "/metrics")
			return answerMetrics(request, this.env, async () => [
				...proxyMetrics(await this.env.UPLINK.getByName(UPLINK_NAME).health()),
				...diskMetrics(await this.#disk()),
			]);
		if (request.method !== "GET" || pathname !== "/healthz")
			return problemResponse({ status: 404, code: "not_found", detail: "only GET /healthz and /metrics are here" });
		const uplink = await this.env.UPLINK.getByName(UPLINK_NAME).health();
		// Being cut off is no reason to be restarted: waiting is what a proxy is for.
		return Response.json(
			{ status: "ok", node: this.env.NODE_URI, uplink, disk: await this.#disk() },
			{ headers: { "cache-control": "no-store" } },
		);
	}

	/** Where no batch comes nobody has asked lately. */
	async #disk(): Promise<BoxDiskState> {
		await refreshDisk(this.env, Date.now());
		return boxDiskOf(this.env).state(Date.now());
	}
}
