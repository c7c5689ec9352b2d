/**
 * Running traces: which processes belong to which, and what goes into the trace lane. A member's child is a member before its
 * first event, up to the trace's depth, whether the process table has room for it or not; an event of two traces is told in
 * both. Guarantees: each trace ends, with a cause and its counts; a child that it cannot follow is told by a gap record at once;
 * what a trace was told not to collect is not in its events. Must never start anything: commands.ts decides that.
 */
import type { EventKind, EventPayload } from "#core/model/event.ts";
import type { HostClock } from "../clock.ts";
import { isFileKind } from "../events/baseline.ts";
import { agentEvent, countGap, type EventDraft } from "../events/draft.ts";
import { snapshotOf } from "../events/process.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { LookBack } from "../lookback/look-back.ts";
import type { ProcessEntry } from "../process-table/process-entry.ts";
import type { ProcessTable } from "../process-table/process-table.ts";
import { RateCap } from "../stream/rate-cap.ts";

export interface Collects {
	readonly cmdlines: boolean;
	readonly network: boolean;
	readonly fileMeta: boolean;
	/** The first bytes of executable mappings; true only where the capture policy allows it. */
	readonly memoryHeaders: boolean;
}

/** One root of a trace: a slot of procmond. */
export interface TraceRoot {
	readonly slot: number;
	readonly entry: ProcessEntry;
	/** Levels of children below the root. */
	readonly depth: number;
	readonly collects: Collects;
}

export interface Trace {
	readonly traceId: string;
	readonly roots: TraceRoot[];
	/** By the monotonic clock. */
	endsAtMs: number;
	eventCount: number;
	gapCount: number;
	/** Living members; null time = there are some. */
	liveCount: number;
	emptySinceMs: number | null;
	memberCount: number;
	/** Ids of dead members, the longest dead first: kept for late events until a new child needs the place. */
	readonly dead: Set<string>;
	/** Children that found `traceMembersMax` living members. */
	cutCount: number;
	/** Of them, how many a gap record has told. */
	cutToldCount: number;
	/** When the first of the others was cut. */
	cutSinceMs: number;
	cutToldAtMs: number;
	/** Encoded bytes of its events that are in the outbox. */
	storedBytes: number;
	readonly rate: RateCap;
}

/** Why a trace ended: the seal's cause. */
export type TraceEnd =
	| "stopped"
	| "duration_reached"
	| "lineage_ended"
	| "event_limit"
	| "byte_limit"
	| "collector_refused"
	| "collector_lost"
	| "agent_stopped"
	| "agent_restarted";

interface Membership {
	readonly trace: Trace;
	readonly root: TraceRoot;
	readonly depth: number;
}

/** Ceilings that the site sets for every trace. */
export interface TraceCaps {
	readonly eventsPerSecMax: number;
	readonly bytesMax: number;
}

export interface TracesOptions {
	readonly clock: HostClock;
	readonly caps: TraceCaps;
	readonly lookBack: LookBack;
	readonly emit: (draft: EventDraft) => void;
	/** procmond forgets a slot. */
	readonly removeSlot: (slot: number) => void;
	/** The list of running traces changed: it is written down, so that a restart can seal what it finds. */
	readonly onChange: () => void;
}

interface LineageMember {
	readonly entry: ProcessEntry;
	readonly depth: number;
}

const NETWORK: ReadonlySet<EventKind> = new Set([
	"connect",
	"accept",
	"close",
	"socket",
	"bind",
	"listen",
	"datagram",
	"dns",
] as const);

/** What of an event a trace was told to collect; null = the event is none of its business. */
function collected(collects: Collects, draft: EventDraft): EventPayload | null {
	if (NETWORK.has(draft.kind) && !collects.network) return null;
	if (isFileKind(draft.kind) && !collects.fileMeta) return null;
	if (draft.kind === "memory_header" && !collects.memoryHeaders) return null;
	if (collects.cmdlines) return draft.payload;
	// Arguments and environment are one wish.
	const { cmdline, isCmdlineMasked, isCmdlineCut, environment, ...rest } = draft.payload;
	return rest;
}

export class Traces {
	readonly #options: TracesOptions;
	readonly #traces = new Map<string, Trace>();
	/** By process id; a process is once in it per root above it. */
	readonly #members = new Map<string, Membership[]>();
	readonly #slots = new Set<number>();

	constructor(options: TracesOptions) {
		this.#options = options;
	}

	running(): Trace[] {
		return [...this.#traces.values()];
	}

	find(traceId: string): Trace | undefined {
		return this.#traces.get(traceId);
	}

	freeSlot(): number | null {
		for (let slot = 0; slot < AGENT_LIMITS.traceSlotsMax; slot++) if (!this.#slots.has(slot)) return slot;
		return null;
	}

	/** Opens a trace, or adds a root to a running one, and tells the lineage as it stands. */
	open(traceId: string, root: TraceRoot, durationSecs: number, table: ProcessTable): Trace {
		const nowMs = this.#options.clock.monotonicMs();
		const endsAtMs = nowMs + durationSecs * 1000;
		const trace: Trace = this.#traces.get(traceId) ?? {
			traceId,
			roots: [],
			endsAtMs,
			eventCount: 0,
			gapCount: 0,
			liveCount: 0,
			emptySinceMs: null,
			memberCount: 0,
			dead: new Set(),
			cutCount: 0,
			cutToldCount: 0,
			cutSinceMs: 0,
			cutToldAtMs: Number.NEGATIVE_INFINITY,
			storedBytes: 0,
			rate: new RateCap(this.#options.caps.eventsPerSecMax, nowMs),
		};
		trace.roots.push(root);
		trace.endsAtMs = Math.max(trace.endsAtMs, endsAtMs);
		this.#traces.set(traceId, trace);
		this.#slots.add(root.slot);
		const lineage = [...table.descendants(root.entry, root.depth)];
		this.#tellLookBack(trace, root, lineage);
		for (const { entry, depth } of lineage) {
			const isAncestry = !entry.isAlive && entry.childCount > 0;
			if (!entry.isAlive && !isAncestry) continue;
			if (this.#join(entry, { trace, root, depth })) this.#tellSnapshot(trace, entry, depth);
		}
		this.#options.onChange();
		return trace;
	}

	/** What the lineage did before this trace, as far as memory reaches. */
	#tellLookBack(trace: Trace, root: TraceRoot, lineage: readonly LineageMember[]): void {
		const members = lineage.map(({ entry, depth }) => ({ key: entry.key, depth }));
		const nowMs = this.#options.clock.monotonicMs();
		for (const { draft, depth } of this.#options.lookBack.lineage(members, root.depth, nowMs)) {
			const payload = collected(root.collects, draft);
			if (payload !== null) this.#tell(trace, { ...draft, payload: { ...payload, depth, isLookback: true } });
		}
	}

	#tellSnapshot(trace: Trace, entry: ProcessEntry, depth: number): void {
		const { clock } = this.#options;
		const kernelTimeNs = clock.kernelNowNs();
		const payload: EventPayload = { ...snapshotOf(entry), depth };
		this.#tell(trace, {
			kind: "snapshot",
			process: entry.key,
			kernelTimeNs,
			wallTimeMs: clock.wallMsOf(kernelTimeNs),
			tier: "agent",
			payload,
			...(entry.execCount === null ? {} : { execCount: entry.execCount }),
		});
	}

	#join(entry: ProcessEntry, membership: Membership): boolean {
		const { trace, root } = membership;
		if (!this.#traces.has(trace.traceId)) return false;
		const mine = this.#members.get(entry.id) ?? [];
		if (mine.some((each) => each.root === root)) {
			// A second process of one key lives where the first has died.
			if (entry.isAlive && trace.dead.delete(entry.id)) this.#countLiving(trace);
			return false;
		}
		if (trace.memberCount >= AGENT_LIMITS.traceMembersMax && !this.#forgetLongestDead(trace, entry.id)) {
			this.#cut(trace);
			return false;
		}
		const isKnownToTrace = mine.some((each) => each.trace === trace);
		mine.push(membership);
		this.#members.set(entry.id, mine);
		trace.memberCount++;
		if (!entry.isAlive) trace.dead.add(entry.id);
		else if (!isKnownToTrace) this.#countLiving(trace);
		return !isKnownToTrace;
	}

	#countLiving(trace: Trace): void {
		trace.liveCount++;
		trace.emptySinceMs = null;
	}

	/**
	 * Makes room in a trace. Its children are members by now and theirs follow from them, so a dead member is needed by its own
	 * late events only.
	 */
	#forgetLongestDead(trace: Trace, exceptId: string): boolean {
		for (const id of trace.dead) {
			if (id === exceptId) continue;
			this.#leave(id, (each) => each.trace === trace);
			return true;
		}
		return false;
	}

	#cut(trace: Trace): void {
		const nowMs = this.#options.clock.monotonicMs();
		if (trace.cutCount === trace.cutToldCount) trace.cutSinceMs = nowMs;
		trace.cutCount++;
		if (nowMs - trace.cutToldAtMs >= AGENT_LIMITS.traceCutGapMs) this.#tellCut(trace);
	}

	#tellCut(trace: Trace): void {
		const { clock } = this.#options;
		const count = trace.cutCount - trace.cutToldCount;
		if (count === 0) return;
		const nowMs = clock.monotonicMs();
		const agoMs = nowMs - trace.cutSinceMs;
		trace.cutToldCount = trace.cutCount;
		trace.cutToldAtMs = nowMs;
		this.#tell(trace, countGap(clock, { count, agoMs, cause: "trace_members_full" }));
	}

	/** A process appeared or its creator became known: it belongs where its creator, else its ancestor, belongs. */
	inherit(entry: ProcessEntry): void {
		if (this.#members.size === 0) return;
		const aboveId = entry.creator?.id ?? entry.ancestor?.id;
		if (aboveId === undefined) return;
		const steps = entry.hasCreator ? 1 : entry.ancestorSteps;
		for (const above of this.#members.get(aboveId) ?? []) {
			const depth = above.depth + steps;
			if (depth <= above.root.depth) this.#join(entry, { ...above, depth });
		}
	}

	/**
	 * Tells an event in every trace of its process. False: no trace takes it, and it belongs to the baseline. A process's network
	 * event that its trace was told not to collect stays a baseline event; `baselineLane` says what becomes of the others.
	 */
	route(entry: ProcessEntry, draft: EventDraft): boolean {
		if (this.#members.size === 0) return false;
		const memberships = this.#members.get(entry.id);
		if (memberships === undefined) return false;
		let isTold = false;
		const told = new Set<Trace>();
		for (const { trace, root, depth } of memberships) {
			const payload = collected(root.collects, draft);
			if (payload === null || told.has(trace)) continue;
			told.add(trace);
			isTold = true;
			if (trace.rate.admits(draft.kind, this.#options.clock.monotonicMs()))
				this.#tell(trace, { ...draft, payload: { ...payload, depth } });
		}
		if (draft.kind === "exit") this.#exited(entry.id, memberships);
		return isTold;
	}

	#exited(id: string, memberships: readonly Membership[]): void {
		for (const trace of new Set(memberships.map((each) => each.trace))) {
			if (trace.dead.has(id)) continue;
			trace.dead.add(id);
			this.#countGone(trace);
		}
	}

	#tell(trace: Trace, draft: EventDraft): void {
		trace.eventCount++;
		this.#options.emit({ ...draft, traceId: trace.traceId });
		if (trace.eventCount >= AGENT_LIMITS.traceEventsMax) this.end(trace, "event_limit");
	}

	/** An event of a trace is in the outbox. */
	countStored(traceId: string, bytes: number): void {
		const trace = this.#traces.get(traceId);
		if (trace === undefined) return;
		trace.storedBytes += bytes;
	}

	#tellRefused(trace: Trace): void {
		const { clock } = this.#options;
		const refused = trace.rate.takeRefused(clock.monotonicMs());
		if (refused === null) return;
		trace.gapCount++;
		const { count, agoMs, text } = refused;
		this.#tell(trace, countGap(clock, { count, agoMs, cause: `trace_rate: ${text}` }));
	}

	/** Something was lost that may have concerned any running trace. */
	countGap(): void {
		for (const trace of this.#traces.values()) trace.gapCount++;
	}

	/** Ends what is over. Called every second or so. */
	tick(): void {
		const nowMs = this.#options.clock.monotonicMs();
		for (const trace of this.running()) {
			this.#tellRefused(trace);
			this.#tellCut(trace);
			if (nowMs >= trace.endsAtMs) this.end(trace, "duration_reached");
			else if (trace.storedBytes >= this.#options.caps.bytesMax) this.end(trace, "byte_limit");
			else if (trace.emptySinceMs !== null && nowMs - trace.emptySinceMs >= AGENT_LIMITS.lineageGoneMs)
				this.end(trace, "lineage_ended");
		}
	}

	/** Ends one root; the trace too when it was the last. */
	dropRoot(trace: Trace, root: TraceRoot, cause: TraceEnd): void {
		if (trace.roots.length <= 1) {
			this.end(trace, cause);
			return;
		}
		trace.roots.splice(trace.roots.indexOf(root), 1);
		this.#slots.delete(root.slot);
		this.#forget((membership) => membership.root === root);
		this.#options.onChange();
	}

	/** Seals a trace: its last event. */
	end(trace: Trace, cause: TraceEnd): void {
		if (!this.#traces.has(trace.traceId)) return;
		this.#tellRefused(trace);
		this.#tellCut(trace);
		if (!this.#traces.delete(trace.traceId)) return;
		for (const { slot } of trace.roots) {
			this.#slots.delete(slot);
			this.#options.removeSlot(slot);
		}
		this.#forget((membership) => membership.trace === trace);
		const { eventCount } = trace;
		// A child that the full member list did not take is a loss of this trace as well.
		const gapCount = trace.gapCount + trace.cutCount;
		const seal = agentEvent(this.#options.clock, "trace_seal", { cause, eventCount, gapCount });
		this.#options.emit({ ...seal, traceId: trace.traceId });
		this.#options.onChange();
	}

	endAll(cause: TraceEnd): void {
		for (const trace of this.running()) this.end(trace, cause);
	}

	#forget(isGone: (membership: Membership) => boolean): void {
		for (const id of this.#members.keys()) this.#leave(id, isGone);
	}

	/** Takes memberships from a process; a trace that it is in no more does not count it any longer, dead or living. */
	#leave(id: string, isGone: (membership: Membership) => boolean): void {
		const all = this.#members.get(id) ?? [];
		const kept = all.filter((each) => !isGone(each));
		if (kept.length === all.length) return;
		if (kept.length === 0) this.#members.delete(id);
		else this.#members.set(id, kept);
		for (const { trace } of all) trace.memberCount--;
		for (const { trace } of kept) trace.memberCount++;
		for (const trace of new Set(all.map((each) => each.trace)))
			if (!kept.some((each) => each.trace === trace) && !trace.dead.delete(id)) this.#countGone(trace);
	}

	#countGone(trace: Trace): void {
		trace.liveCount = Math.max(0, trace.liveCount - 1);
		if (trace.liveCount === 0) trace.emptySinceMs = this.#options.clock.monotonicMs();
	}
}
