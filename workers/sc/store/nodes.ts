/** What the store knows of nodes: their latest word, their proofs, and how far each host's clock is off. */
import { encodeAs } from "#core/codec/index.ts";
import { nodeProofShape } from "#core/identity/binding.ts";
import { addClockSample, clockOffsetOf } from "#core/protocol/clock-offset.ts";
import { addressText } from "#core/stitch/address.ts";
import { sha256 } from "#crypto";
import type { AgentState } from "../../../durable/drain.ts";
import { type Client, column } from "./client.ts";
import type { StoredAgentLink } from "./proxies.ts";

/**
 * A host that has proved itself is an agent, also where a proxy had said before that a proxy below it is called so: its word made a row,
 * and must not keep the host out. Takes the id as ?1.
 */
export const PROVED_AGENT = `INSERT INTO nodes (node_id, role) VALUES (?1, 'agent')
	ON CONFLICT (node_id) DO UPDATE SET role = 'agent', link = '{}' WHERE role = 'px' AND via <> ''`;

export async function storeState(client: Client, state: AgentState, nowMs: number): Promise<void> {
	const { agent, via, status, health, proof, isUp } = state;
	// A word that says only that it went is none of its own; one without an age was passed on when it came.
	const heardHereMs = isUp ? Math.min(state.heardHereMs ?? nowMs, nowMs) : 0;
	await client.batch(
		[
			{ sql: PROVED_AGENT, args: [agent] },
			...(via === ""
				? []
				: [
						{
							// Known by its agents before it has spoken for itself.
							sql: `INSERT INTO nodes (node_id, role, is_up, last_heard_ms, heard_here_ms, up_since_ms)
								VALUES (?1, 'px', 1, ?2, ?2, ?2) ON CONFLICT (node_id) DO NOTHING`,
							args: [via, nowMs],
						},
					]),
			{
				sql: `UPDATE nodes SET is_up = ?2, via = ?3, last_heard_ms = max(last_heard_ms, ?4),
					heard_here_ms = CASE WHEN ?5 = 0 THEN heard_here_ms WHEN heard_here_ms > ?6 THEN ?5
						ELSE max(heard_here_ms, ?5) END WHERE node_id = ?1`,
				args: [agent, isUp ? 1 : 0, via, state.heardAtMs, heardHereMs, nowMs],
			},
		],
		"write",
	);
	if (status !== undefined)
		await client.execute({
			sql: `UPDATE nodes SET host_name = ?2, site_tag = ?3, tier = ?4, missing = ?5, cause = ?6, software_version = ?7,
				addresses = ?8 WHERE node_id = ?1`,
			args: [
				agent,
				status.hostName,
				status.siteTag,
				status.tier,
				status.missing,
				status.cause,
				status.softwareVersion,
				JSON.stringify(status.addresses.flatMap((address) => addressText(address) ?? [])),
			],
		});
	if (proof !== undefined) {
		const bytes = encodeAs(nodeProofShape, proof);
		await client.execute({
			sql: `INSERT INTO proofs (node_row, fingerprint, proof, first_seen_ms)
				SELECT id, ?2, ?3, ?4 FROM nodes WHERE node_id = ?1 ON CONFLICT (fingerprint) DO NOTHING`,
			args: [agent, sha256(bytes), bytes, nowMs],
		});
	}
	if (health !== undefined) await storeHealth(client, state);
}

async function storeHealth(client: Client, { agent, via, health, heardAtMs }: AgentState): Promise<void> {
	if (health === undefined) return;
	const found = await client.execute({
		sql: `SELECT n.clock_samples, p.clock_offset_ms AS via_offset, p.clock_bound_ms AS via_bound
			FROM nodes n LEFT JOIN nodes p ON p.node_id = ?2 AND p.role = 'px' WHERE n.node_id = ?1`,
		args: [agent, via],
	});
	const row = found.rows[0];
	if (row === undefined) return;
	// Measured at the agent's own proxy, by that proxy's clock: what the proxy is off by comes on top.
	const earlier = JSON.parse(column.text(row, "clock_samples")) as number[];
	const samples = addClockSample(earlier, heardAtMs - health.timeMs);
	const offsetMs = clockOffsetOf(samples) + (column.numberOrNull(row, "via_offset") ?? 0);
	const { roundTripMs, reconnects, lastError } = health;
	const boundMs = roundTripMs === undefined ? null : roundTripMs + (column.numberOrNull(row, "via_bound") ?? 0);
	const link: StoredAgentLink = {
		...(roundTripMs === undefined ? {} : { roundTripMs }),
		...(reconnects === undefined ? {} : { reconnects }),
		...(lastError === undefined ? {} : { lastError }),
	};
	await client.execute({
		sql: `UPDATE nodes SET behind_ms = ?2, outbox_bytes = ?3, rss_bytes = ?4, event_count = ?5, gap_count = ?6,
			clock_samples = ?7, clock_offset_ms = ?8, clock_bound_ms = ?9, link = ?10 WHERE node_id = ?1`,
		args: [
			agent,
			health.oldestUnackedMs,
			health.outboxBytes,
			health.rssBytes,
			health.eventCount,
			health.gapCount,
			JSON.stringify(samples),
			offsetMs,
			boundMs,
			JSON.stringify(link),
		],
	});
}
