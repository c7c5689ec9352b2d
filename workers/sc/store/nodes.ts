/** What the store knows of nodes: their latest word, their proofs, and how far each host's clock is off. */
import { encodeAs } from "#core/codec/index.ts";
import { nodeProofShape } from "#core/identity/binding.ts";
import { addressText } from "#core/stitch/address.ts";
import { sha256 } from "#crypto";
import type { AgentState } from "../../../durable/drain.ts";
import { type Client, column } from "./client.ts";

/** Heartbeats that vote on a clock: at one every few seconds this is some minutes, long enough for one quick delivery. */
export const CLOCK_SAMPLES_MAX = 32;

/**
 * Host clock less its proxy's, from the samples "the proxy's time on hearing less the host's time on sending". Each is offset plus
 * delay, and a delay is never negative, so the smallest is the nearest. Not measured on arrival here: a proxy coalesces states.
 */
export function clockOffsetOf(samples: readonly number[]): number {
	return samples.length === 0 ? 0 : -Math.min(...samples);
}

export async function storeState(client: Client, state: AgentState, nowMs: number): Promise<void> {
	const { agent, via, status, health, proof } = state;
	await client.batch(
		[
			{ sql: "INSERT INTO nodes (node_id, role) VALUES (?, 'agent') ON CONFLICT (node_id) DO NOTHING", args: [agent] },
			...(via === ""
				? []
				: [
						{
							sql: `INSERT INTO nodes (node_id, role, is_up, last_heard_ms) VALUES (?1, 'px', 1, ?2)
								ON CONFLICT (node_id) DO UPDATE SET is_up = 1, last_heard_ms = ?2`,
							args: [via, nowMs],
						},
					]),
			{
				sql: "UPDATE nodes SET is_up = ?2, via = ?3, last_heard_ms = max(last_heard_ms, ?4) WHERE node_id = ?1",
				args: [agent, state.isUp ? 1 : 0, via, state.heardAtMs],
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

async function storeHealth(client: Client, { agent, health, heardAtMs }: AgentState): Promise<void> {
	if (health === undefined) return;
	const found = await client.execute({ sql: "SELECT clock_samples FROM nodes WHERE node_id = ?", args: [agent] });
	const row = found.rows[0];
	const earlier = row === undefined ? [] : (JSON.parse(column.text(row, "clock_samples")) as number[]);
	const samples = [...earlier, heardAtMs - health.timeMs].slice(-CLOCK_SAMPLES_MAX);
	await client.execute({
		sql: `UPDATE nodes SET behind_ms = ?2, outbox_bytes = ?3, rss_bytes = ?4, event_count = ?5, gap_count = ?6,
			clock_samples = ?7, clock_offset_ms = ?8 WHERE node_id = ?1`,
		args: [
			agent,
			health.oldestUnackedMs,
			health.outboxBytes,
			health.rssBytes,
			health.eventCount,
			health.gapCount,
			JSON.stringify(samples),
			clockOffsetOf(samples),
		],
	});
}
