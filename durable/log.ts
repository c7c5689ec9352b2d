/** One JSON line per event on the process's own log. Fields are data: never key material, never an argument of a process. */
export type LogLevel = "info" | "warning" | "error";

export function logLine(level: LogLevel, event: string, fields: Readonly<Record<string, unknown>> = {}): void {
	const line = JSON.stringify({ timeMs: Date.now(), level, event, ...fields });
	if (level === "error") console.error(line);
	else console.log(line);
}
