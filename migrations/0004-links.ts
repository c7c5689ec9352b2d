/**
 * How every link is, and alarms that end. `heard_here_ms` is the Security Center's own clock, so silence is judged by one clock; a
 * node known before is counted from its last word. An alarm with `cleared_ms` is over; reported again it stands again.
 */
export const links = {
	name: "0004-links",
	statements: [
		"ALTER TABLE nodes ADD COLUMN heard_here_ms INTEGER NOT NULL DEFAULT 0",
		"ALTER TABLE nodes ADD COLUMN up_since_ms INTEGER NOT NULL DEFAULT 0",
		"ALTER TABLE nodes ADD COLUMN clock_bound_ms INTEGER",
		"ALTER TABLE nodes ADD COLUMN link TEXT NOT NULL DEFAULT '{}'",
		"UPDATE nodes SET heard_here_ms = last_heard_ms, up_since_ms = last_heard_ms",
		"ALTER TABLE alarms ADD COLUMN cleared_ms INTEGER",
		"CREATE INDEX standing_alarms ON alarms (code) WHERE cleared_ms IS NULL",
	],
} as const;
