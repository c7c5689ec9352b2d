/**
 * Server rules over the store: each rule's SELECT runs with the reader's token, its rows become hits by the writer. Guarantees a
 * hit is stored once per (rule, event), however often a window is evaluated again. Must never run a rule with the writer's token.
 */
import type { ServerRule } from "../../../rules/index.ts";
import { column, type Store } from "./client.ts";

const INSERT_HITS = `
	INSERT INTO hits (rule_id, event_row, summary, event_time_ms, stored_ms, latency_ms, trace_id)
	SELECT ?1, e.id, j.value ->> 'summary', e.wall_time_ms, ?3, ?3 - (e.wall_time_ms - n.clock_offset_ms), t.trace_id
	FROM json_each(?2) j JOIN events e ON e.id = j.value ->> 'row' JOIN nodes n ON n.id = e.agent_row
	LEFT JOIN traces t ON t.id = e.trace_row
	WHERE true ON CONFLICT (rule_id, event_row) DO NOTHING
	RETURNING id, event_row, trace_id`;

/** Evaluates one rule over the rows `since` < id ≤ `until`; answers the hits that are new. Throws when the store is not reachable. */
export async function evaluateRule(
	store: Store,
	rule: ServerRule,
	window: { since: number; until: number; nowMs: () => number },
): Promise<number[]> {
	const found = await store.reader.execute({ sql: rule.sql, args: { since: window.since, until: window.until } });
	if (found.rows.length === 0) return [];
	const rows = found.rows.map((row) => ({
		row: column.number(row, "event_row"),
		summary: column.text(row, "summary"),
	}));
	const inserted = await store.writer.execute({
		sql: INSERT_HITS,
		args: [rule.id, JSON.stringify(rows), window.nowMs()],
	});
	return inserted.rows.map((row) => column.number(row, "id"));
}
