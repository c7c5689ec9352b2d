/**
 * A shell that a web server started, directly or through a CGI program: the seed's Apache → bash. The walk follows who forked
 * whom (not the current parent, which changes when a parent dies) three levels up, so it ends on any data.
 */
import type { ServerRule } from "./rule.ts";

const SHELLS = "'bash', 'sh', 'dash', 'zsh', 'ksh', 'mksh', 'ash', 'fish', 'rbash', 'busybox'";

export const webServerSpawnsShell: ServerRule = {
	id: "web-server-spawns-shell",
	title: "A web server started a shell",
	severity: "high",
	description:
		"A process whose creator, or the creator's creators up to three levels, is a web server executed a shell. Web servers " +
		"rarely need one; an attacker who can run commands through the server usually gets one first.",
	sql: `
		WITH RECURSIVE
		shell AS (
			SELECT e.id, coalesce(e.name, '') AS name, coalesce(e.creator_row, p.creator_row, e.parent_row) AS creator
			FROM events e LEFT JOIN processes p ON p.id = e.process_row
			WHERE e.id > :since AND e.id <= :until AND e.kind = 'exec'
				AND (e.name IN (${SHELLS}) OR replace(e.exe, rtrim(e.exe, replace(e.exe, '/', '')), '') IN (${SHELLS}))
		),
		chain AS (
			SELECT s.id AS event_row, s.name AS shell, s.creator AS ancestor, 1 AS level FROM shell s WHERE s.creator IS NOT NULL
			UNION ALL
			SELECT c.event_row, c.shell, coalesce(p.creator_row, p.parent_row), c.level + 1
			FROM chain c JOIN processes p ON p.id = c.ancestor
			WHERE c.level < 3 AND coalesce(p.creator_row, p.parent_row) IS NOT NULL
		)
		SELECT c.event_row, p.name || ' → ' || c.shell AS summary, min(c.level) AS level
		FROM chain c JOIN processes p ON p.id = c.ancestor
		WHERE p.name IN ('apache2', 'httpd', 'nginx', 'lighttpd', 'caddy', 'php-fpm', 'uwsgi', 'gunicorn', 'traefik', 'haproxy')
			OR p.name LIKE 'php-fpm%' OR p.name LIKE 'apache2%'
			OR p.exe LIKE '%/apache2' OR p.exe LIKE '%/httpd' OR p.exe LIKE '%/nginx' OR p.exe LIKE '%/lighttpd'
			OR p.exe LIKE '%/caddy' OR p.exe LIKE '%/php-fpm%'
		GROUP BY c.event_row`,
};
