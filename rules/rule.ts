/**
 * What a server rule is: SQL over the store that answers one row per hit. Guarantees nothing by itself: the Detector runs it with
 * a token that can only read, over rows `:since` < id ≤ `:until` in the order of arrival, so no event is looked at twice or missed.
 */
export interface ServerRule {
	/** Stable: a hit is known by (rule id, event row). */
	readonly id: string;
	readonly title: string;
	readonly severity: "low" | "medium" | "high";
	readonly description: string;
	/** A SELECT of `event_row` (number) and `summary` (text, never NULL), bounded by `:since` and `:until`. Reads masked columns only. */
	readonly sql: string;
}
