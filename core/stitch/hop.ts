/**
 * Cross-host stitching: a connection seen from both ends. A traced process's connect names both addresses and both ports; the
 * accept on the other host names the same four, mirrored. Guarantees that a match is shown with a confidence and its reasons, and
 * that an unmatched connection is shown as unmatched, never guessed. Pure: rows in, hops out, so the console, the package and the
 * verifier say the same. Must never treat equal ports at distant times as one connection without saying so.
 */
import { endpointText, isLoopback } from "./address.ts";

export interface Party {
	readonly agent: string;
	/** Process key, hex. */
	readonly process: string;
	readonly pid: number;
	readonly name: string;
}

/** A connect or an accept, with addresses as `addressText` writes them. */
export interface ConnectionEvent extends Party {
	/** Names the event: the store's row id, or batch and index in a package. */
	readonly id: string;
	/** By the host's wall clock. */
	readonly timeMs: number;
	readonly kernelTimeNs: bigint;
	readonly localAddress: string;
	readonly localPort: number;
	readonly remoteAddress: string;
	readonly remotePort: number;
}

/** A fork on the accepting host. `process` is the child. */
export interface ForkEvent extends Party {
	readonly creator: string;
	readonly kernelTimeNs: bigint;
}

export interface StitchInput {
	/** Connects of traced processes. */
	readonly connects: readonly ConnectionEvent[];
	/** Accepts of any host that may mirror them. */
	readonly accepts: readonly ConnectionEvent[];
	/** Forks by accepting processes. */
	readonly forks: readonly ForkEvent[];
	/** Host clock less the Security Center's, per agent; absent = never estimated. */
	readonly clockOffsetMs: ReadonlyMap<string, number>;
}

export interface StitchedHop {
	/** The connect's id. */
	readonly id: string;
	readonly from: Party;
	readonly to: Party | null;
	readonly followTarget: Party | null;
	readonly local: string;
	readonly remote: string;
	/** When the connection was made, by the Security Center's clock as far as the host's offset is known. */
	readonly timeMs: number;
	/** The accept that was matched, or null. */
	readonly acceptId: string | null;
	readonly confidence: number;
	readonly reasons: readonly string[];
}

export const STITCH_LIMITS = {
	/** Clocks estimated from heartbeats agree this well; an accept follows its connect within a round trip. */
	alignedMsMax: 2_000,
	/** With an unestimated clock: what an unattended enclave's clocks may differ by before a match says nothing. */
	unknownClockMsMax: 120_000,
	/** A server that serves a connection by a child forks it at once; later forks serve something else. */
	serveNsMax: 2_000_000_000n,
} as const;

const partyOf = ({ agent, process, pid, name }: Party): Party => ({ agent, process, pid, name });

function isMirror(connect: ConnectionEvent, accept: ConnectionEvent): boolean {
	return (
		connect.localPort === accept.remotePort &&
		connect.remotePort === accept.localPort &&
		connect.localAddress === accept.remoteAddress &&
		connect.remoteAddress === accept.localAddress
	);
}

interface Candidate {
	readonly accept: ConnectionEvent;
	readonly distanceMs: number;
	readonly isClockKnown: boolean;
}

/** Accepts that mirror the connect within the window their clocks allow, nearest first. */
function candidatesOf(connect: ConnectionEvent, input: StitchInput): Candidate[] {
	const fromOffset = input.clockOffsetMs.get(connect.agent);
	const found: Candidate[] = [];
	for (const accept of input.accepts) {
		if (!isMirror(connect, accept)) continue;
		// Loopback addresses exist on every host: only the same one can be meant.
		if (isLoopback(connect.remoteAddress) && accept.agent !== connect.agent) continue;
		const isSameHost = accept.agent === connect.agent;
		const toOffset = input.clockOffsetMs.get(accept.agent);
		const isClockKnown = isSameHost || (fromOffset !== undefined && toOffset !== undefined);
		const shift = isSameHost ? 0 : (fromOffset ?? 0) - (toOffset ?? 0);
		const distanceMs = Math.abs(connect.timeMs - accept.timeMs - shift);
		if (distanceMs > (isClockKnown ? STITCH_LIMITS.alignedMsMax : STITCH_LIMITS.unknownClockMsMax)) continue;
		found.push({ accept, distanceMs, isClockKnown });
	}
	return found.sort((a, b) => a.distanceMs - b.distanceMs || (a.accept.id < b.accept.id ? -1 : 1));
}

/** The first process that the acceptor forked after the accept: sshd and inetd serve each connection by a child. */
function servingChild(accept: ConnectionEvent, forks: readonly ForkEvent[]): ForkEvent | null {
	let first: ForkEvent | null = null;
	for (const fork of forks) {
		const sinceNs = fork.kernelTimeNs - accept.kernelTimeNs;
		if (fork.agent !== accept.agent || fork.creator !== accept.process) continue;
		if (sinceNs < 0n || sinceNs > STITCH_LIMITS.serveNsMax) continue;
		if (first === null || fork.kernelTimeNs < first.kernelTimeNs) first = fork;
	}
	return first;
}

function judge(candidates: readonly Candidate[]): { confidence: number; reasons: string[] } {
	const [best, second] = candidates;
	if (best === undefined)
		return {
			confidence: 0,
			reasons: [
				"No stored accept has this connection's addresses and ports mirrored: the other host is not watched, translates " +
					"addresses, or its events have not arrived.",
			],
		};
	const reasons = ["Both addresses and both ports are mirrored."];
	let confidence = 0.98;
	if (best.accept.agent !== "" && best.isClockKnown) reasons.push(`The two ends are ${best.distanceMs} ms apart.`);
	else {
		confidence = 0.7;
		reasons.push(`A clock is not estimated yet; unaligned, the two ends are ${best.distanceMs} ms apart.`);
	}
	if (second !== undefined) {
		confidence = Math.min(confidence, second.accept.agent === best.accept.agent ? 0.6 : 0.4);
		reasons.push(
			second.accept.agent === best.accept.agent
				? "The port was used again within the window; the nearest accept is taken."
				: `Another host (${second.accept.agent}) has an accept that mirrors it too: an address may be in use twice.`,
		);
	}
	return { confidence, reasons };
}

function hopOf(connect: ConnectionEvent, input: StitchInput): StitchedHop {
	const candidates = candidatesOf(connect, input);
	const accept = candidates[0]?.accept ?? null;
	const child = accept === null ? null : servingChild(accept, input.forks);
	const { confidence, reasons } = judge(candidates);
	if (accept !== null)
		reasons.push(
			child === null
				? `${accept.name} forked no child at the accept; it serves the connection itself.`
				: `${accept.name} forked process ${child.pid} right after the accept; it serves the connection.`,
		);
	return {
		id: connect.id,
		from: partyOf(connect),
		to: accept === null ? null : partyOf(accept),
		followTarget: child !== null ? partyOf(child) : accept !== null ? partyOf(accept) : null,
		local: endpointText(connect.localAddress, connect.localPort),
		remote: endpointText(connect.remoteAddress, connect.remotePort),
		timeMs: connect.timeMs - (input.clockOffsetMs.get(connect.agent) ?? 0),
		acceptId: accept?.id ?? null,
		confidence,
		reasons,
	};
}

/** One hop per connection of a traced process, in the order given; a connection reported twice is one hop. */
export function stitchHops(input: StitchInput): StitchedHop[] {
	const seen = new Set<string>();
	const hops: StitchedHop[] = [];
	for (const connect of input.connects) {
		// A connect without its local port never reached ESTABLISHED: nothing can mirror it.
		if (connect.localPort === 0 || connect.remotePort === 0) continue;
		const key = [connect.agent, connect.process, connect.localAddress, connect.localPort, connect.remoteAddress];
		const name = [...key, connect.remotePort, Math.floor(connect.timeMs / STITCH_LIMITS.alignedMsMax)].join("|");
		if (seen.has(name)) continue;
		seen.add(name);
		hops.push(hopOf(connect, input));
	}
	return hops;
}
