/**
 * Events as the rows that go into the store: one JSON list per batch, expanded by the database itself (`json_each`), which is
 * about five times faster than a statement per event. Beside the events: what they teach about processes, folded to one row per
 * process, and the gaps they declare. Pure.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { Event, GapScope } from "#core/model/event.ts";
import { addressText } from "#core/stitch/address.ts";
import { detailsJson } from "./event-details.ts";

const ZERO_KEY = "0".repeat(32);

/** Kernel time is text: JSON numbers end at 2^53. */
export interface EventJson {
	readonly i: number;
	readonly kind: string;
	readonly process: string | null;
	readonly ns: string;
	readonly ms: number;
	readonly seq: number;
	readonly tier: string;
	readonly verdict: "event_signed" | "batch_signed";
	readonly trace: string | null;
	readonly [payloadField: string]: string | number | boolean | null;
}

export interface ProcessJson {
	key: string;
	pid: number | null;
	name: string | null;
	exe: string | null;
	/** Kernel time of the newest event that named it. */
	ns: string;
	parent: string | null;
	creator: string | null;
	exitedMs: number | null;
}

export interface GapJson {
	readonly i: number;
	readonly scope: GapScope;
	readonly stream: string | null;
	readonly first: string;
	readonly last: string;
	readonly cause: string;
	readonly ms: number;
	readonly since: number | null;
}

const keyText = (key: Uint8Array | undefined): string | null => {
	if (key === undefined) return null;
	const hex = hexOf(key);
	return hex === ZERO_KEY ? null : hex;
};

export function eventJson(event: Event, index: number, isSigned: boolean): EventJson {
	const { payload } = event;
	return {
		i: index,
		kind: event.kind,
		process: keyText(event.process),
		ns: event.kernelTimeNs.toString(),
		ms: event.wallTimeMs,
		seq: event.seq,
		tier: event.tier,
		verdict: isSigned ? "event_signed" : "batch_signed",
		trace: event.traceId ?? null,
		pid: payload.pid ?? null,
		ppid: payload.ppid ?? null,
		parent: keyText(payload.parent),
		creator: keyText(payload.creatorParent),
		name: payload.name ?? null,
		exe: payload.exe ?? null,
		filename: payload.filename ?? null,
		cmdline: payload.cmdline === undefined ? null : JSON.stringify(payload.cmdline),
		masked: payload.isCmdlineMasked ? 1 : 0,
		uid: payload.uid ?? null,
		euid: payload.euid ?? null,
		code: payload.exitCode ?? null,
		signal: payload.exitSignal ?? null,
		la: payload.localAddress === undefined ? null : addressText(payload.localAddress),
		lp: payload.localPort ?? null,
		ra: payload.remoteAddress === undefined ? null : addressText(payload.remoteAddress),
		rp: payload.remotePort ?? null,
		result: payload.result ?? null,
		path: payload.path ?? null,
		to: payload.pathTo ?? null,
		cause: payload.cause ?? null,
		depth: payload.depth ?? null,
		details: detailsJson(event),
	};
}

const blank = (key: string): ProcessJson => ({
	key,
	pid: null,
	name: null,
	exe: null,
	ns: "0",
	parent: null,
	creator: null,
	exitedMs: null,
});

function learn(process: ProcessJson, event: Event, known: ReadonlyMap<string, ProcessJson>): void {
	const { payload } = event;
	process.pid = payload.pid ?? process.pid;
	process.parent = keyText(payload.parent) ?? process.parent;
	process.creator ??= keyText(payload.creatorParent);
	if (event.kind === "exit") process.exitedMs = event.wallTimeMs;
	if (event.kind !== "fork" && event.kind !== "exec" && event.kind !== "snapshot") return;
	if (BigInt(process.ns) > event.kernelTimeNs) return;
	process.ns = event.kernelTimeNs.toString();
	process.name = payload.name ?? process.name;
	// A fork goes on running its creator's program until it execs.
	const inherited = process.creator === null ? null : (known.get(process.creator)?.exe ?? null);
	process.exe = payload.exe ?? (event.kind === "fork" ? inherited : process.exe);
}

/** One row per process that the events name, also those that are only a parent. */
export function processRows(events: readonly Event[]): ProcessJson[] {
	const known = new Map<string, ProcessJson>();
	const at = (key: string): ProcessJson => {
		const found = known.get(key) ?? blank(key);
		known.set(key, found);
		return found;
	};
	for (const event of events) {
		const key = keyText(event.process);
		for (const other of [keyText(event.payload.creatorParent), keyText(event.payload.parent)])
			if (other !== null) at(other);
		if (key !== null) learn(at(key), event, known);
	}
	return [...known.values()];
}

export function gapRows(events: readonly Event[]): GapJson[] {
	return events.flatMap((event, i) => {
		const { gapScope, gapStream, gapFrom, gapTo, cause, sinceNs } = event.payload;
		const agoNs = sinceNs === undefined ? -1n : event.kernelTimeNs - sinceNs;
		if (event.kind !== "gap" || gapScope === undefined) return [];
		return {
			i,
			scope: gapScope,
			stream: gapStream === undefined ? null : hexOf(gapStream),
			first: (gapFrom ?? 0n).toString(),
			last: (gapTo ?? 0n).toString(),
			cause: cause ?? "",
			ms: event.wallTimeMs,
			since: agoNs < 0n ? null : Math.max(0, event.wallTimeMs - Number(agoNs / 1_000_000n)),
		};
	});
}

/** What the last word among the events says of the collector's fidelity; null without one. A collector that starts captures everything. */
export function fidelityOf(events: readonly Event[]): { level: number; cause: string; atMs: number } | null {
	const last = events.findLast(({ kind }) => kind === "fidelity" || kind === "source");
	if (last === undefined) return null;
	const level = last.kind === "source" ? 0 : (last.payload.fidelityLevel ?? 0);
	return { level, cause: level === 0 ? "" : (last.payload.cause ?? ""), atMs: last.wallTimeMs };
}
