/**
 * The Security Center's tables as they first were. A migration is text in a module, not a .sql file, because the Worker bundle and
 * the tests in Node must read the very same bytes and only one of them can import a .sql. Append-only once released: a later
 * change is a later migration. Every index but one is ordered by arrival: a hash-like index fell from 87k to 23k rows a second
 * within 240k rows; `processes (agent_row, key)` is that one, and holds a row per process, not per event.
 */
export const initial = {
	name: "0000-initial",
	statements: [
		`CREATE TABLE nodes (
			id INTEGER PRIMARY KEY,
			node_id TEXT NOT NULL UNIQUE,
			role TEXT NOT NULL,
			is_up INTEGER NOT NULL DEFAULT 0,
			host_name TEXT NOT NULL DEFAULT '',
			site_tag TEXT NOT NULL DEFAULT '',
			tier TEXT NOT NULL DEFAULT '',
			missing TEXT NOT NULL DEFAULT '',
			cause TEXT NOT NULL DEFAULT '',
			software_version TEXT NOT NULL DEFAULT '',
			addresses TEXT NOT NULL DEFAULT '[]',
			via TEXT NOT NULL DEFAULT '',
			last_heard_ms INTEGER NOT NULL DEFAULT 0,
			behind_ms INTEGER NOT NULL DEFAULT 0,
			outbox_bytes INTEGER NOT NULL DEFAULT 0,
			rss_bytes INTEGER NOT NULL DEFAULT 0,
			event_count INTEGER NOT NULL DEFAULT 0,
			gap_count INTEGER NOT NULL DEFAULT 0,
			clock_offset_ms INTEGER NOT NULL DEFAULT 0,
			clock_samples TEXT NOT NULL DEFAULT '[]'
		)`,
		`CREATE TABLE proofs (
			id INTEGER PRIMARY KEY,
			node_row INTEGER NOT NULL REFERENCES nodes (id),
			fingerprint BLOB NOT NULL UNIQUE,
			proof BLOB NOT NULL,
			first_seen_ms INTEGER NOT NULL
		)`,
		`CREATE TABLE batches (
			id INTEGER PRIMARY KEY,
			agent_row INTEGER NOT NULL REFERENCES nodes (id),
			stream BLOB NOT NULL,
			seq INTEGER NOT NULL,
			lane TEXT NOT NULL,
			hash BLOB NOT NULL,
			header BLOB NOT NULL,
			bytes BLOB NOT NULL,
			received_ms INTEGER NOT NULL,
			salt BLOB NOT NULL,
			refusal TEXT NOT NULL DEFAULT '',
			has_events INTEGER NOT NULL DEFAULT 0,
			ledger_index INTEGER,
			UNIQUE (agent_row, stream, seq)
		)`,
		`CREATE TABLE processes (
			id INTEGER PRIMARY KEY,
			agent_row INTEGER NOT NULL REFERENCES nodes (id),
			key BLOB NOT NULL,
			pid INTEGER,
			name TEXT,
			exe TEXT,
			named_at_ns INTEGER NOT NULL DEFAULT 0,
			parent_row INTEGER,
			creator_row INTEGER,
			exited_ms INTEGER,
			UNIQUE (agent_row, key)
		)`,
		`CREATE TABLE traces (
			id INTEGER PRIMARY KEY,
			trace_id TEXT NOT NULL UNIQUE
		)`,
		`CREATE TABLE events (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			agent_row INTEGER NOT NULL,
			process_row INTEGER,
			batch_row INTEGER NOT NULL,
			batch_index INTEGER NOT NULL,
			kind TEXT NOT NULL,
			kernel_time_ns INTEGER NOT NULL,
			wall_time_ms INTEGER NOT NULL,
			seq INTEGER NOT NULL,
			tier TEXT NOT NULL,
			verdict TEXT NOT NULL,
			trace_row INTEGER,
			pid INTEGER, ppid INTEGER, parent_row INTEGER, creator_row INTEGER,
			name TEXT, exe TEXT, filename TEXT, cmdline TEXT, is_masked INTEGER NOT NULL DEFAULT 0,
			uid INTEGER, euid INTEGER, exit_code INTEGER, exit_signal INTEGER,
			local_address TEXT, local_port INTEGER, remote_address TEXT, remote_port INTEGER,
			result INTEGER, path TEXT, path_to TEXT, cause TEXT, depth INTEGER
		)`,
		`CREATE INDEX events_by_process ON events (process_row)`,
		`CREATE INDEX events_by_trace ON events (trace_row) WHERE trace_row IS NOT NULL`,
		`CREATE INDEX events_by_batch ON events (batch_row)`,
		`CREATE INDEX accepts_by_time ON events (wall_time_ms) WHERE kind = 'accept'`,
		`CREATE INDEX forks_by_creator ON events (creator_row) WHERE kind = 'fork'`,
		`CREATE TABLE gaps (
			id INTEGER PRIMARY KEY,
			event_row INTEGER NOT NULL UNIQUE,
			agent_row INTEGER NOT NULL,
			scope TEXT NOT NULL,
			stream BLOB,
			first TEXT NOT NULL,
			last TEXT NOT NULL,
			cause TEXT NOT NULL,
			at_ms INTEGER NOT NULL
		)`,
		`CREATE TABLE hits (
			id INTEGER PRIMARY KEY,
			rule_id TEXT NOT NULL,
			event_row INTEGER NOT NULL,
			summary TEXT NOT NULL,
			event_time_ms INTEGER NOT NULL,
			stored_ms INTEGER NOT NULL,
			latency_ms INTEGER NOT NULL,
			trace_id TEXT,
			UNIQUE (rule_id, event_row)
		)`,
		`CREATE TABLE alarms (
			id INTEGER PRIMARY KEY,
			agent TEXT NOT NULL,
			code TEXT NOT NULL,
			detail TEXT NOT NULL,
			evidence BLOB,
			evidence_hash BLOB NOT NULL,
			at_ms INTEGER NOT NULL,
			UNIQUE (agent, code, evidence_hash)
		)`,
	],
} as const;
