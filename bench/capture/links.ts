/**
 * What links carry, from the kernel's own counters of their sockets: every byte of the TCP stream, so TLS, framing, signatures and
 * heartbeats are in it. Guarantees that a link which was made anew in between is an error: its counters began at zero.
 */
import { fail, ok, type Result } from "#core/result.ts";
import { runProgram } from "./programs.ts";

export interface LinkCount {
	/** `address:port` of the near end: tells one connection from its successor. */
	readonly local: string;
	readonly bytesSent: number;
}

/** Connections to a port, from the lines of `ss -tinHO`. What was sent twice counts once; no counter yet = 0. */
export function parseLinks(text: string, remotePort: number): LinkCount[] {
	return text.split("\n").flatMap((line) => {
		const [state, , , local, remote] = line.trim().split(/\s+/);
		if (state !== "ESTAB" || local === undefined || !remote?.endsWith(`:${remotePort}`)) return [];
		return [{ local, bytesSent: Number(/\bbytes_acked:(\d+)/.exec(line)?.[1] ?? 0) }];
	});
}

/** Bytes sent between two looks at the same connections. */
export function bytesBetween(first: readonly LinkCount[], last: readonly LinkCount[]): Result<number, "link_broke"> {
	const before = new Map(first.map(({ local, bytesSent }) => [local, bytesSent]));
	const isSame = last.length === before.size && last.every(({ local }) => before.has(local));
	if (!isSame || before.size === 0) return fail("link_broke", "the link was not the same one throughout");
	return ok(last.reduce((sum, { local, bytesSent }) => sum + bytesSent - (before.get(local) ?? 0), 0));
}

export async function readLinks(remotePort: number): Promise<Result<LinkCount[], string>> {
	const read = await runProgram(["ss", "-tinHO"]);
	return read.ok ? ok(parseLinks(read.value, remotePort)) : read;
}
