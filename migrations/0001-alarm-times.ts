/**
 * An alarm that comes again is counted, not repeated. And execs are found by their process alone: a rule asks what a process
 * executed before, and a process under a trace has many more events of other kinds.
 */
export const alarmTimes = {
	name: "0001-alarm-times",
	statements: [
		`ALTER TABLE alarms ADD COLUMN times INTEGER NOT NULL DEFAULT 1`,
		`ALTER TABLE alarms ADD COLUMN last_ms INTEGER NOT NULL DEFAULT 0`,
		`UPDATE alarms SET last_ms = at_ms`,
		`CREATE INDEX execs_by_process ON events (process_row) WHERE kind = 'exec'`,
	],
} as const;
