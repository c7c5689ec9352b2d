/**
 * Server rules over the store: each rule's SELECT runs with the reader's token, its rows become hits by the writer. Guarantees a
 * hit is stored once per (rule, event), however often a window is evaluated again; and that no event, whatever its host put into
 * it, holds back a rule: a row that a rule cannot judge is found by halving the window and stepped over, by name. Only a store that
 * does not answer throws. Must never run a rule with the writer's token.
 */
import { LibsqlError } from "@libsql/client/http";
import { fail, ok, type Result } from "#core/result.ts";
import type { ServerRule } from "../../../rules/index.ts";
import { column, type Row, type Store } from "./client.ts";

export const DETECT_LIMITS = {
	/** Longer summaries are cut: a hit is one line, and its host chose the words. */
	summaryCharsMax: 300,
	/** An event alone is tried so often before it is stepped over. */
	attemptsMax: 3,
	/** Failed evaluations of one window: beyond them what still fails is stepped over unhalved, so that one window ends. */
	failuresMax: 256,
	/** Of an error's text this much goes into an alarm. */
	causeCharsMax: 200,
} as const;

const INSERT_HITS = `
	INSERT INTO hits (rule_id, event_row, summary, event_time_ms, stored_ms, latency_ms, trace_id)
	SELECT ?1, e.id, j.value ->> 'summary', e.wall_time_ms, ?3, ?3 - (e.wall_time_ms - n.clock_offset_ms), t.trace_id
	FROM json_each(?2) j JOIN events e ON e.id = j.value ->> 'row' JOIN nodes n ON n.id = e.agent_row
	LEFT JOIN traces t ON t.id = e.trace_row
	WHERE true ON CONFLICT (rule_id, event_row) DO NOTHING
	RETURNING id, event_row, trace_id`;

/** Rows `since` < id ≤ `until`. */
export interface RuleWindow {
	readonly since: number;
	readonly until: number;
	readonly nowMs: () => number;
}

/** Rows that a rule did not judge: from one number to another, inclusive, and why. */
export interface SteppedOver {
	readonly ruleId: string;
	readonly first: number;
	readonly last: number;
	readonly cause: string;
}

export interface Evaluated {
	/** Ids of the hits that are new. */
	readonly hits: readonly number[];
	readonly steppedOver: readonly SteppedOver[];
}

/** Answers of the server that say something about the server, not about the statement. */
const STORE_TROUBLE =
	/^SQLITE_(BUSY|LOCKED|NOMEM|IOERR|FULL|CANTOPEN|CORRUPT|NOTADB|READONLY|PERM|AUTH|INTERRUPT|PROTOCOL|SCHEMA)/;

/** Why the rule's own SELECT failed, or null where the store did not answer it. */
function ruleFaultOf(error: unknown): string | null {
	// The client reads a number beyond 2^53 by throwing this.
	if (error instanceof RangeError) return error.message;
	if (!(error instanceof LibsqlError)) return null;
	const isStatement = error.code.startsWith("SQL") || error.code === "RESPONSE_TOO_LARGE";
	return isStatement && !STORE_TROUBLE.test(error.code) ? error.message : null;
}

async function select(
	store: Store,
	rule: ServerRule,
	args: { since: number; until: number },
): Promise<Result<Row[], "rule_failed">> {
	try {
		return ok((await store.reader.execute({ sql: rule.sql, args })).rows);
	} catch (error) {
		const cause = ruleFaultOf(error);
		if (cause === null) throw error;
		return fail("rule_failed", cause.slice(0, DETECT_LIMITS.causeCharsMax));
	}
}

/** Evaluates one rule over a window at once. Throws when the store does not answer. */
async function evaluateOnce(
	store: Store,
	rule: ServerRule,
	window: RuleWindow,
): Promise<Result<Evaluated, "rule_failed">> {
	const { since, until } = window;
	const found = await select(store, rule, { since, until });
	if (!found.ok) return found;
	const rows: { row: number; summary: string }[] = [];
	const steppedOver: SteppedOver[] = [];
	for (const { event_row: row, summary } of found.value) {
		const isRow = typeof row === "number" && row > since && row <= until;
		if (isRow && typeof summary === "string")
			rows.push({ row, summary: summary.slice(0, DETECT_LIMITS.summaryCharsMax) });
		else {
			const cause = isRow ? "the rule made no summary of it" : "the rule answered a row that is no event of the window";
			steppedOver.push({ ruleId: rule.id, first: isRow ? row : since + 1, last: isRow ? row : until, cause });
		}
	}
	if (rows.length === 0) return ok({ hits: [], steppedOver });
	const inserted = await store.writer.execute({
		sql: INSERT_HITS,
		args: [rule.id, JSON.stringify(rows), window.nowMs()],
	});
	return ok({ hits: inserted.rows.map((row) => column.number(row, "id")), steppedOver });
}

/**
 * Evaluates one rule over a window; where its SQL fails, over halves of it down to the event that it fails on. Throws when the store
 * does not answer: what was covered till then is covered again, harmlessly.
 */
export async function evaluateRule(store: Store, rule: ServerRule, window: RuleWindow): Promise<Evaluated> {
	const hits: number[] = [];
	const steppedOver: SteppedOver[] = [];
	const ranges = [{ since: window.since, until: window.until, attempts: 1 }];
	let failures = 0;
	for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
		const { since, until, attempts } = range;
		const evaluated = await evaluateOnce(store, rule, { ...window, since, until });
		if (evaluated.ok) {
			hits.push(...evaluated.value.hits);
			steppedOver.push(...evaluated.value.steppedOver);
			continue;
		}
		failures++;
		const isAlone = until - since === 1;
		if (!isAlone && failures < DETECT_LIMITS.failuresMax) {
			const middle = Math.floor((since + until) / 2);
			ranges.push({ since: middle, until, attempts: 1 }, { since, until: middle, attempts: 1 });
		} else if (isAlone && attempts < DETECT_LIMITS.attemptsMax) ranges.push({ since, until, attempts: attempts + 1 });
		else steppedOver.push({ ruleId: rule.id, first: since + 1, last: until, cause: evaluated.detail });
	}
	return { hits, steppedOver };
}

/** Of rows that were stepped over the first of each host, for the alarm about it. Rows that are no event are under the empty name. */
export async function firstOfEachHost(
	store: Store,
	steppedOver: readonly SteppedOver[],
): Promise<{ agent: string; stepped: SteppedOver }[]> {
	const [some] = steppedOver;
	if (some === undefined) return [];
	const { rows } = await store.reader.execute({
		sql: `SELECT n.node_id, min(e.id) AS row FROM json_each(?1) j JOIN events e ON e.id = j.value
			JOIN nodes n ON n.id = e.agent_row GROUP BY n.node_id`,
		args: [JSON.stringify(steppedOver.map(({ first }) => first))],
	});
	const byRow = new Map(steppedOver.map((stepped) => [stepped.first, stepped]));
	const found = rows.map((row) => ({
		agent: column.text(row, "node_id"),
		stepped: byRow.get(column.number(row, "row")) ?? some,
	}));
	return found.length > 0 ? found : [{ agent: "", stepped: some }];
}
