/**
 * Items that a hop refused for good: who sent them, where they are kept and why. The facts only; the bytes stay at the hop. One
 * report is one row however often it comes.
 */
export const quarantine = {
	name: "0005-quarantine",
	statements: [
		`CREATE TABLE quarantine (
			id INTEGER PRIMARY KEY,
			agent TEXT NOT NULL,
			hop TEXT NOT NULL,
			lane TEXT NOT NULL,
			stream BLOB NOT NULL,
			seq INTEGER,
			cause TEXT NOT NULL,
			detail TEXT NOT NULL,
			bytes_kept INTEGER NOT NULL,
			at_ms INTEGER NOT NULL
		)`,
		"CREATE INDEX quarantine_by_agent ON quarantine (agent, id)",
	],
} as const;
