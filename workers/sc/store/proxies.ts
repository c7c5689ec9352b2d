/** What the store knows of proxies and their links, and what the watch over silence reads. */
import type { LinkHealth } from "#core/protocol/index.ts";
import type { ProxyState } from "../../../durable/faces.ts";
import type { WatchedNode } from "../../../durable/silence.ts";
import { STRANGER_AGE_MS_MAX } from "../../../durable/strangers.ts";
import type { NamedStranger } from "../../../durable/watch-face.ts";
import { type Client, column, type Row } from "./client.ts";

/** The `link` column of a proxy: its own words, and what its parent measured. */
export interface StoredProxyLink {
	readonly health?: LinkHealth;
	/** The direct proxy that brought the news; itself where it is linked here. */
	readonly broughtBy?: string;
	/** Against its parent's clock; the row's own columns are against ours. */
	readonly clock?: { readonly offsetMs: number; readonly boundMs: number | null };
	/** When `health` came, by our clock. */
	readonly atMs?: number;
	/** Of the newest signed word that was taken: an older one says nothing. */
	readonly wordNumber?: number;
}

/** The `link` column of an agent. */
export interface StoredAgentLink {
	readonly roundTripMs?: number;
	readonly reconnects?: number;
	readonly lastError?: string;
	readonly refusedBatches?: number;
	readonly refusedFor?: string;
}

const LINK_OF_PROXY = `SELECT p.is_up, p.heard_here_ms, p.up_since_ms, p.via, p.link, v.clock_offset_ms AS via_offset,
	v.clock_bound_ms AS via_bound FROM nodes p LEFT JOIN nodes v ON v.node_id = ?2 AND v.role = 'px'
	WHERE p.node_id = ?1 AND p.role = 'px'`;

/** `upSinceMs`: since when the watch hears it without a silence; what the store knows of that may wait behind other writes. */
type ToldProxyState = ProxyState & { readonly upSinceMs?: number | null };

/** What comes of the same proxy by another way at the same time is read again and judged against that. */
const TRIES_MAX = 4;

/**
 * Keeps a proxy's word. Of a proxy that is not linked here only its own signed word counts, and only the newest: whoever else speaks of
 * it, or repeats what it once said, changes nothing. That one went is for whoever brought its newest word to say.
 */
export async function storeProxy(
	client: Client,
	state: ToldProxyState,
	{ nowMs, silentMs }: { nowMs: number; silentMs: number },
): Promise<void> {
	const { proxy, via, isUp, word } = state;
	if (isUp && (via === "" || word !== undefined))
		await client.execute({
			sql: "INSERT INTO nodes (node_id, role) VALUES (?, 'px') ON CONFLICT (node_id) DO NOTHING",
			args: [proxy],
		});
	for (let tries = 0; tries < TRIES_MAX; tries++) {
		const row = (await client.execute({ sql: LINK_OF_PROXY, args: [proxy, via] })).rows[0];
		// Nobody has heard of it, or it is an agent's id: whoever brings this cannot make a proxy of it.
		if (row === undefined) return;
		const before = JSON.parse(column.text(row, "link")) as StoredProxyLink;
		if (!isNews(state, before)) return;
		if (await writeProxy(client, state, { row, before, nowMs, silentMs })) return;
	}
	throw new Error(`news of ${proxy} by several ways at once`);
}

function isNews({ via, isUp, word, broughtBy }: ProxyState, before: StoredProxyLink): boolean {
	if (word !== undefined && word.number > (before.wordNumber ?? 0)) return true;
	if (isUp) return via === "";
	return before.broughtBy === undefined || before.broughtBy === broughtBy;
}

interface Writing {
	readonly row: Row;
	readonly before: StoredProxyLink;
	readonly nowMs: number;
	readonly silentMs: number;
}

/** False when the row is not what was read any more. */
async function writeProxy(client: Client, state: ToldProxyState, writing: Writing): Promise<boolean> {
	const { proxy, via, isUp, broughtBy, heardHereMs, clock, link, word } = state;
	const { row, before, nowMs, silentMs } = writing;
	const isHeard = nowMs - column.number(row, "heard_here_ms") <= silentMs;
	const wasAway = !isHeard || column.number(row, "is_up") === 0;
	const total =
		clock === undefined
			? null
			: {
					offsetMs: clock.offsetMs + (column.numberOrNull(row, "via_offset") ?? 0),
					boundMs: clock.boundMs === null ? null : clock.boundMs + (column.numberOrNull(row, "via_bound") ?? 0),
				};
	const stored: StoredProxyLink = {
		...before,
		broughtBy,
		...(link === undefined ? {} : { health: link, atMs: heardHereMs }),
		...(clock === undefined ? {} : { clock }),
		...(word === undefined ? {} : { wordNumber: Math.max(before.wordNumber ?? 0, word.number) }),
	};
	const { rowsAffected } = await client.execute({
		sql: `UPDATE nodes SET is_up = ?2, via = ?3, link = ?4, last_heard_ms = max(?5, min(last_heard_ms, ?6)),
				heard_here_ms = ?5, up_since_ms = CASE WHEN ?2 = 1 AND ?7 = 1 THEN ?14 ELSE up_since_ms END,
				clock_offset_ms = coalesce(?8, clock_offset_ms), clock_bound_ms = coalesce(?9, clock_bound_ms),
				software_version = coalesce(?10, software_version), behind_ms = coalesce(?11, behind_ms),
				outbox_bytes = coalesce(?12, outbox_bytes)
			WHERE node_id = ?1 AND role = 'px' AND link = ?13`,
		args: [
			proxy,
			isUp ? 1 : 0,
			via,
			JSON.stringify(stored),
			Math.min(heardHereMs, nowMs),
			nowMs,
			wasAway ? 1 : 0,
			total?.offsetMs ?? null,
			total?.boundMs ?? null,
			link?.softwareVersion ?? null,
			link === undefined ? null : Math.max(0, ...link.lanes.map(({ oldestAgeMs }) => oldestAgeMs)),
			link === undefined ? null : link.lanes.reduce((sum, lane) => sum + lane.bytes, 0),
			column.text(row, "link"),
			state.upSinceMs ?? nowMs,
		],
	});
	return rowsAffected > 0;
}

export async function watchedNodes(client: Client): Promise<WatchedNode[]> {
	const { rows } = await client.execute(`SELECT node_id, role, via, heard_here_ms, up_since_ms, is_up,
		CASE role WHEN 'px' THEN coalesce(link ->> '$.wordNumber', 0) ELSE 0 END AS word_number FROM nodes`);
	return rows.map((row) => ({
		id: column.text(row, "node_id"),
		role: column.text(row, "role") === "px" ? "px" : "agent",
		via: column.text(row, "via"),
		heardMs: column.number(row, "heard_here_ms"),
		upSinceMs: column.number(row, "up_since_ms"),
		isUp: column.number(row, "is_up") === 1,
		wordNumber: column.number(row, "word_number"),
	}));
}

/** Nodes that proxies lately turned away for their protocol version. */
export async function strangersOf(client: Client, nowMs: number): Promise<NamedStranger[]> {
	const { rows } = await client.execute(
		"SELECT node_id, link FROM nodes WHERE role = 'px' AND link LIKE '%\"protocol\"%'",
	);
	return rows.flatMap((row) => {
		const { health, atMs = 0 } = JSON.parse(column.text(row, "link")) as StoredProxyLink;
		if (health === undefined) return [];
		const at = column.text(row, "node_id");
		// Ages by the proxy's clock, counted on by ours.
		const ageOf = (ms: number) => nowMs - atMs + (health.timeMs - ms);
		const fresh = health.strangers.filter(({ atMs: triedMs }) => ageOf(triedMs) <= STRANGER_AGE_MS_MAX);
		return fresh.map((stranger) => ({ ...stranger, at }));
	});
}
