/**
 * How much a host's collector captures just now, by the newest word it signed: 0 is everything. The word's own time decides which
 * is the newest, because batches of two streams may come in either order.
 */
export const nodeFidelity = {
	name: "0003-node-fidelity",
	statements: [
		"ALTER TABLE nodes ADD COLUMN fidelity_level INTEGER NOT NULL DEFAULT 0",
		"ALTER TABLE nodes ADD COLUMN fidelity_cause TEXT NOT NULL DEFAULT ''",
		"ALTER TABLE nodes ADD COLUMN fidelity_ms INTEGER NOT NULL DEFAULT 0",
	],
} as const;
