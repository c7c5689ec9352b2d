/**
 * The agent's log: one JSON line per happening on stderr, named by a code. For the operator of the host, never evidence: evidence
 * is an event. Must never hold an argument, a path of a watched process, a key, or the id of a trace: stderr is often readable
 * by others than an analyst.
 */

export type LogFields = Readonly<Record<string, string | number | boolean>>;
export type Log = (code: string, fields?: LogFields) => void;

/** A log that writes lines `{"time":…,"code":…,…}`. */
export function createLog(write: (line: string) => void, nowMs: () => number): Log {
	return (code, fields = {}) => {
		write(`${JSON.stringify({ time: new Date(nowMs()).toISOString(), code, ...fields })}\n`);
	};
}
