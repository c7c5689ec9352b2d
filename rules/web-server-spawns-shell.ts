/**
 * A shell that a web server started, directly or through a CGI program: the seed's Apache → bash. The walk follows who forked
 * whom (not the current parent, which changes when a parent dies) three levels up, so it ends on any data. It ends at a process
 * that executed a shell before, and a process hits with its first shell only: what the shell starts is the same intrusion and
 * belongs to its trace. Only an exec ends it, never a name: a name is what a process says of itself.
 */
import type { ServerRule } from "./rule.ts";

const SHELLS = "'bash', 'sh', 'dash', 'zsh', 'ksh', 'mksh', 'ash', 'fish', 'rbash', 'busybox'";

const NAMED_WEB_SERVER = `(
	p.name IN ('apache2', 'httpd', 'nginx', 'lighttpd', 'caddy', 'php-fpm', 'uwsgi', 'gunicorn', 'traefik', 'haproxy')
	OR p.name LIKE 'php-fpm%' OR p.name LIKE 'apache2%')`;

/** Whatever it calls itself, and also where its name was not seen. */
const RUNNING_WEB_SERVER = `(
	p.exe LIKE '%/apache2' OR p.exe LIKE '%/httpd' OR p.exe LIKE '%/nginx' OR p.exe LIKE '%/lighttpd'
	OR p.exe LIKE '%/caddy' OR p.exe LIKE '%/php-fpm%')`;

/** The last part of a path. Only the path's end is looked at: trimming 4 KB for each event would cost a rooted host nothing and us much. */
function baseName(path: string): string {
	const end = `substr(${path}, -40)`;
	return `replace(${end}, rtrim(${end}, replace(${end}, '/', '')), '')`;
}

const isShell = (event: string): string =>
	`(${event}.name IN (${SHELLS}) OR ${baseName(`${event}.exe`)} IN (${SHELLS}))`;

/** An exec of a shell by the process, before the event. */
const executedShell = (process: string, event: string): string =>
	`EXISTS (SELECT 1 FROM events x WHERE x.process_row = ${process} AND x.kind = 'exec' AND x.id < ${event} AND ${isShell("x")})`;

export const webServerSpawnsShell: ServerRule = {
	id: "web-server-spawns-shell",
	title: "A web server started a shell",
	severity: "high",
	description:
		"A process whose creator, or the creator's creators up to three levels, is a web server executed a shell. Web servers " +
		"rarely need one; an attacker who can run commands through the server usually gets one first. Shells that this shell " +
		"starts are not hits of their own.",
	// The name of a script that a shell runs says nothing to a reader; the program does, so `exe` comes first.
	sql: `
		WITH RECURSIVE
		shell AS (
			SELECT e.id, coalesce(e.creator_row, p.creator_row, e.parent_row) AS creator,
				CASE WHEN ${baseName("e.exe")} IN (${SHELLS}) THEN ${baseName("e.exe")} ELSE coalesce(e.name, '?') END AS name
			FROM events e LEFT JOIN processes p ON p.id = e.process_row
			WHERE e.id > :since AND e.id <= :until AND e.kind = 'exec' AND ${isShell("e")}
				AND NOT ${executedShell("e.process_row", "e.id")}
		),
		chain AS (
			SELECT s.id AS event_row, s.name AS shell, s.creator AS ancestor, 1 AS level FROM shell s WHERE s.creator IS NOT NULL
			UNION ALL
			SELECT c.event_row, c.shell, coalesce(p.creator_row, p.parent_row), c.level + 1
			FROM chain c JOIN processes p ON p.id = c.ancestor
			WHERE c.level < 3 AND coalesce(p.creator_row, p.parent_row) IS NOT NULL
				AND NOT ${executedShell("c.ancestor", "c.event_row")}
		)
		SELECT c.event_row, min(c.level) AS level,
			CASE WHEN ${NAMED_WEB_SERVER} THEN p.name ELSE coalesce(${baseName("p.exe")}, '?') END || ' → ' || c.shell AS summary
		FROM chain c JOIN processes p ON p.id = c.ancestor
		WHERE ${NAMED_WEB_SERVER} OR ${RUNNING_WEB_SERVER}
		GROUP BY c.event_row`,
};
