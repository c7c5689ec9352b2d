/**
 * The rows that cross-host stitching works on: connects of a trace, accepts anywhere that mirror their addresses and ports, and
 * forks by the acceptors. The database narrows by ports and a generous time window; core/stitch decides. Bounded on every side.
 */
import { type ConnectionEvent, type ForkEvent, STITCH_LIMITS, type StitchInput } from "#core/stitch/hop.ts";
import { type Client, column, type Row } from "./client.ts";

const TCP = 6;
const CONNECTS_MAX = 500;
const ACCEPTS_MAX = 2000;
const FORKS_MAX = 4000;

const CONNECTION = `
	e.id, n.node_id, coalesce(lower(hex(p.key)), '') AS process, coalesce(e.pid, p.pid, 0) AS pid,
	coalesce(e.name, p.name, '') AS name, e.wall_time_ms, CAST(e.kernel_time_ns AS TEXT) AS ns,
	e.local_address, e.local_port, e.remote_address, e.remote_port`;

/** Connections that came to be: a datagram socket's connect makes none, and a refused one leads nowhere. */
const CONNECTS = `
	SELECT ${CONNECTION} FROM events e JOIN nodes n ON n.id = e.agent_row LEFT JOIN processes p ON p.id = e.process_row
	WHERE e.trace_row = (SELECT id FROM traces WHERE trace_id = ?1) AND e.kind = 'connect'
		AND e.local_address IS NOT NULL AND e.remote_address IS NOT NULL AND e.local_port > 0
		AND coalesce(e.result, 0) = 0 AND coalesce(e.details ->> 'protocol', ${TCP}) = ${TCP}
	ORDER BY e.id LIMIT ${CONNECTS_MAX}`;

/** ?2 widens the window by what the clocks of two hosts may differ. */
const ACCEPTS = `
	SELECT DISTINCT ${CONNECTION}
	FROM (${CONNECTS}) c
	JOIN events e ON e.kind = 'accept' AND e.wall_time_ms BETWEEN c.wall_time_ms - ?2 AND c.wall_time_ms + ?2
		AND e.local_port = c.remote_port AND e.remote_port = c.local_port
		AND e.local_address = c.remote_address AND e.remote_address = c.local_address
	JOIN nodes n ON n.id = e.agent_row LEFT JOIN processes p ON p.id = e.process_row
	ORDER BY e.id LIMIT ${ACCEPTS_MAX}`;

const FORKS = `
	SELECT e.id, n.node_id, coalesce(lower(hex(p.key)), '') AS process, coalesce(e.pid, p.pid, 0) AS pid,
		coalesce(e.name, p.name, '') AS name, lower(hex(c.key)) AS creator, CAST(e.kernel_time_ns AS TEXT) AS ns
	FROM json_each(?1) j JOIN events a ON a.id = j.value
	JOIN events e ON e.kind = 'fork' AND e.creator_row = a.process_row
		AND e.kernel_time_ns BETWEEN a.kernel_time_ns AND a.kernel_time_ns + ${STITCH_LIMITS.serveNsMax}
	JOIN processes c ON c.id = e.creator_row
	JOIN nodes n ON n.id = e.agent_row LEFT JOIN processes p ON p.id = e.process_row
	ORDER BY e.id LIMIT ${FORKS_MAX}`;

const connectionOf = (row: Row): ConnectionEvent => ({
	id: String(column.number(row, "id")),
	agent: column.text(row, "node_id"),
	process: column.text(row, "process"),
	pid: column.number(row, "pid"),
	name: column.text(row, "name"),
	timeMs: column.number(row, "wall_time_ms"),
	kernelTimeNs: BigInt(column.text(row, "ns")),
	localAddress: column.text(row, "local_address"),
	localPort: column.number(row, "local_port"),
	remoteAddress: column.text(row, "remote_address"),
	remotePort: column.number(row, "remote_port"),
});

const forkOf = (row: Row): ForkEvent => ({
	agent: column.text(row, "node_id"),
	process: column.text(row, "process"),
	pid: column.number(row, "pid"),
	name: column.text(row, "name"),
	creator: column.text(row, "creator"),
	kernelTimeNs: BigInt(column.text(row, "ns")),
});

/** All that `stitchHops` needs for one trace; ids are event rows as text. */
export async function stitchInputOf(client: Client, traceId: string): Promise<StitchInput> {
	const clocks = await client.execute("SELECT node_id, clock_offset_ms, clock_samples FROM nodes WHERE role = 'agent'");
	const clockOffsetMs = new Map(
		clocks.rows
			.filter((row) => column.text(row, "clock_samples") !== "[]")
			.map((row) => [column.text(row, "node_id"), column.number(row, "clock_offset_ms")]),
	);
	const skewMs = 2 * Math.max(0, ...[...clockOffsetMs.values()].map(Math.abs));
	const connects = await client.execute({ sql: CONNECTS, args: [traceId] });
	const windowMs = STITCH_LIMITS.unknownClockMsMax + skewMs;
	const accepts = await client.execute({ sql: ACCEPTS, args: [traceId, windowMs] });
	const acceptIds = accepts.rows.map((row) => column.number(row, "id"));
	const forks = await client.execute({ sql: FORKS, args: [JSON.stringify(acceptIds)] });
	return {
		connects: connects.rows.map(connectionOf),
		accepts: accepts.rows.map(connectionOf),
		forks: forks.rows.map(forkOf),
		clockOffsetMs,
	};
}
