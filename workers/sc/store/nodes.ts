/** What the store knows of nodes: their latest word, their proofs, and how far each host's clock is off. */
import { encodeAs } from "#core/codec/index.ts";
import { nodeProofShape } from "#core/identity/binding.ts";
import { addClockSample, clockOffsetOf } from "#core/protocol/clock-offset.ts";
import { addressText } from "#core/stitch/address.ts";
import { sha256 } from "#crypto";
import type { AgentState } from "../../../durable/drain.ts";
import { type Client, column, type InStatement } from "./client.ts";
import type { StoredAgentLink } from "./proxies.ts";

/**
 * A host that has proved itself is an agent, also where a proxy had said before that a proxy below it is called so: its word made a row,
 * and must not keep the host out. Takes the id as ?1.
 */
export const PROVED_AGENT = `INSERT INTO nodes (node_id, role) VALUES (?1, 'agent')
	ON CONFLICT (node_id) DO UPDATE SET role = 'agent', link = '{}' WHERE role = 'px' AND via <> ''`;

/** What is known of the hosts, and of the proxies that bring their words; a host may not be known yet. */
const SELECT_CLOCKS = `SELECT j.value ->> 'agent' AS agent, n.clock_samples, p.clock_offset_ms AS via_offset, p.clock_bound_ms AS via_bound
	FROM json_each(?1) j LEFT JOIN nodes n ON n.node_id = j.value ->> 'agent'
	LEFT JOIN nodes p ON p.node_id = j.value ->> 'via' AND p.role = 'px'`;

interface Clocks {
	readonly samples: readonly number[];
	readonly viaOffsetMs: number;
	readonly viaBoundMs: number;
}

const UNKNOWN: Clocks = { samples: [], viaOffsetMs: 0, viaBoundMs: 0 };

async function readClocks(client: Client, states: readonly AgentState[]): Promise<Map<string, Clocks>> {
	const asked = states.flatMap(({ agent, via, health }) => (health === undefined ? [] : [{ agent, via }]));
	if (asked.length === 0) return new Map();
	const { rows } = await client.execute({ sql: SELECT_CLOCKS, args: [JSON.stringify(asked)] });
	return new Map(
		rows.map((row) => [
			column.text(row, "agent"),
			{
				samples: JSON.parse(column.textOrNull(row, "clock_samples") ?? "[]") as number[],
				viaOffsetMs: column.numberOrNull(row, "via_offset") ?? 0,
				viaBoundMs: column.numberOrNull(row, "via_bound") ?? 0,
			},
		]),
	);
}

function presenceOf({ agent, via, isUp, heardAtMs, heardHereMs }: AgentState, nowMs: number): InStatement[] {
	// A word that says only that it went is none of its own; one without an age was passed on when it came.
	const heardMs = isUp ? Math.min(heardHereMs ?? nowMs, nowMs) : 0;
	const proxy = {
		// Known by its agents before it has spoken for itself.
		sql: `INSERT INTO nodes (node_id, role, is_up, last_heard_ms, heard_here_ms, up_since_ms)
			VALUES (?1, 'px', 1, ?2, ?2, ?2) ON CONFLICT (node_id) DO NOTHING`,
		args: [via, nowMs],
	};
	return [
		{ sql: PROVED_AGENT, args: [agent] },
		...(via === "" ? [] : [proxy]),
		{
			sql: `UPDATE nodes SET is_up = ?2, via = ?3, last_heard_ms = max(last_heard_ms, ?4),
				heard_here_ms = CASE WHEN ?5 = 0 THEN heard_here_ms WHEN heard_here_ms > ?6 THEN ?5
					ELSE max(heard_here_ms, ?5) END WHERE node_id = ?1`,
			args: [agent, isUp ? 1 : 0, via, heardAtMs, heardMs, nowMs],
		},
	];
}

function statusOf({ agent, status }: AgentState): InStatement[] {
	if (status === undefined) return [];
	const { hostName, siteTag, tier, missing, cause, softwareVersion, addresses } = status;
	const texts = JSON.stringify(addresses.flatMap((address) => addressText(address) ?? []));
	return [
		{
			sql: `UPDATE nodes SET host_name = ?2, site_tag = ?3, tier = ?4, missing = ?5, cause = ?6, software_version = ?7,
				addresses = ?8 WHERE node_id = ?1`,
			args: [agent, hostName, siteTag, tier, missing, cause, softwareVersion, texts],
		},
	];
}

function proofOf({ agent, proof }: AgentState, nowMs: number): InStatement[] {
	if (proof === undefined) return [];
	const bytes = encodeAs(nodeProofShape, proof);
	return [
		{
			sql: `INSERT INTO proofs (node_row, fingerprint, proof, first_seen_ms)
				SELECT id, ?2, ?3, ?4 FROM nodes WHERE node_id = ?1 ON CONFLICT (fingerprint) DO NOTHING`,
			args: [agent, sha256(bytes), bytes, nowMs],
		},
	];
}

function healthOf({ agent, health, heardAtMs }: AgentState, known: Clocks): InStatement[] {
	if (health === undefined) return [];
	// Measured at the agent's own proxy, by that proxy's clock: what the proxy is off by comes on top.
	const samples = addClockSample([...known.samples], heardAtMs - health.timeMs);
	const offsetMs = clockOffsetOf(samples) + known.viaOffsetMs;
	const { roundTripMs, reconnects, lastError, refusedBatches, refusedFor } = health;
	const boundMs = roundTripMs === undefined ? null : roundTripMs + known.viaBoundMs;
	const link: StoredAgentLink = {
		...(roundTripMs === undefined ? {} : { roundTripMs }),
		...(reconnects === undefined ? {} : { reconnects }),
		...(lastError === undefined ? {} : { lastError }),
		...(refusedBatches === undefined ? {} : { refusedBatches }),
		...(refusedFor === undefined ? {} : { refusedFor }),
	};
	return [
		{
			sql: `UPDATE nodes SET behind_ms = ?2, outbox_bytes = ?3, rss_bytes = ?4, event_count = ?5, gap_count = ?6,
				clock_samples = ?7, clock_offset_ms = ?8, clock_bound_ms = ?9, link = ?10 WHERE node_id = ?1`,
			args: [
				...[agent, health.oldestUnackedMs, health.outboxBytes, health.rssBytes, health.eventCount, health.gapCount],
				...[JSON.stringify(samples), offsetMs, boundMs, JSON.stringify(link)],
			],
		},
	];
}

/** The latest words of some hosts, one each, in one transaction. */
export async function storeStates(client: Client, states: readonly AgentState[], nowMs: number): Promise<void> {
	const clocks = await readClocks(client, states);
	const statements = states.flatMap((state) => [
		...presenceOf(state, nowMs),
		...statusOf(state),
		...proofOf(state, nowMs),
		...healthOf(state, clocks.get(state.agent) ?? UNKNOWN),
	]);
	await client.batch(statements, "write");
}
