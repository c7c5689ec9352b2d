import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeAs } from "#core/codec/index.ts";
import { type EventKind, eventShape } from "#core/model/event.ts";
import { HostClock } from "../clock.ts";
import type { EventDraft } from "../events/draft.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { LookBack } from "../lookback/look-back.ts";
import { markPartial } from "../process-table/process-entry.ts";
import { ProcessTable } from "../process-table/process-table.ts";
import { draftOf } from "../testing/rig.ts";
import { type Collects, type TraceRoot, Traces } from "./traces.ts";

const TRACE = "T-20261122-abc123";

function stage(eventsPerSecMax = 1e9, limits?: { processesMax: number; deadMax: number }) {
	let nowMs = 0;
	const events: EventDraft[] = [];
	const removed: number[] = [];
	const table = new ProcessTable({ machineId: "m", bootId: "b" }, limits);
	const lookBack = new LookBack({ bytesMax: 65_536, maxAgeMs: 30_000 });
	const traces = new Traces({
		caps: { eventsPerSecMax, bytesMax: 1000 },
		lookBack,
		clock: new HostClock({ wallMs: () => nowMs, bootNs: () => 1n, monotonicMs: () => nowMs }),
		emit: (draft) => events.push(draft),
		removeSlot: (slot) => removed.push(slot),
		onChange: () => {},
	});
	const p = (tgid: number) => ({ tgid, startTicks: BigInt(tgid) });
	const fork = (child: number, parent: number) => {
		const entry = table.fork(p(child), p(parent));
		traces.inherit(entry);
		return entry;
	};
	const open = (pid: number, change: Partial<TraceRoot> = {}) => {
		const collects = { cmdlines: true, network: true, fileMeta: true, memoryHeaders: false };
		const root = { slot: traces.freeSlot() ?? -1, entry: table.observe(p(pid)), depth: 3, collects, ...change };
		return traces.open(TRACE, root, 60, table);
	};
	const exit = (pid: number) => {
		const entry = table.exit(p(pid));
		traces.route(entry, { ...draftOf(pid), kind: "exit" });
	};
	const advance = (ms: number) => {
		nowMs += ms;
		traces.tick();
	};
	const seal = () => events.find(({ kind }) => kind === "trace_seal")?.payload;
	return { traces, table, events, removed, fork, open, exit, advance, seal, lookBack };
}

test("a trace ends at its duration, not before", () => {
	const at = stage();
	at.fork(10, 1);
	at.open(10);
	at.advance(59_999);
	assert.equal(at.seal(), undefined);
	at.advance(1);
	assert.equal(at.seal()?.cause, "duration_reached");
	assert.deepEqual(at.removed, [0]);
	assert.equal(at.traces.freeSlot(), 0);
});

test("a lineage without a living process is waited for, and a child that comes late keeps it", () => {
	const at = stage();
	at.fork(10, 1);
	at.open(10);
	at.exit(10);
	at.advance(AGENT_LIMITS.lineageGoneMs - 1);
	assert.equal(at.seal(), undefined);
	at.fork(11, 10);
	at.advance(20_000);
	assert.equal(at.seal(), undefined);
	at.exit(11);
	at.advance(AGENT_LIMITS.lineageGoneMs);
	assert.equal(at.seal()?.cause, "lineage_ended");
	assert.equal(at.seal()?.eventCount, 3);
});

test("the seal is the last event at the event limit, and nothing follows it", () => {
	const at = stage();
	const entry = at.fork(10, 1);
	at.open(10);
	for (let i = 0; i < AGENT_LIMITS.traceEventsMax + 10; i++) at.traces.route(entry, draftOf(10));
	assert.equal(at.seal()?.cause, "event_limit");
	assert.equal(at.seal()?.eventCount, AGENT_LIMITS.traceEventsMax);
	assert.equal(at.events.at(-1)?.kind, "trace_seal");
	assert.equal(at.traces.route(entry, draftOf(10)), false, "afterwards it is baseline again");
});

test("a second root joins the same trace, and a process below both is told once", () => {
	const at = stage();
	at.fork(10, 1);
	const child = at.fork(11, 10);
	at.open(10);
	at.open(11);
	assert.equal(at.traces.running().length, 1);
	const before = at.events.length;
	assert.ok(at.traces.route(child, draftOf(11)));
	assert.equal(at.events.length, before + 1);
	at.traces.endAll("agent_stopped");
	assert.deepEqual(at.removed, [0, 1]);
	assert.equal(at.events.filter(({ kind }) => kind === "trace_seal").length, 1);
});

test("children beyond the depth are not followed, nor their children", () => {
	const at = stage();
	at.fork(10, 1);
	at.open(10, { depth: 1 });
	const entries = [at.fork(11, 10), at.fork(12, 11), at.fork(13, 12)];
	assert.deepEqual(
		entries.map((entry) => at.traces.route(entry, draftOf(entry.tgid))),
		[true, false, false],
	);
});

test("living members beyond the limit are told at once, then each second, and counted in the seal", () => {
	const at = stage();
	at.fork(10, 1);
	at.open(10);
	const gaps = () =>
		at.events.flatMap(({ kind, payload, traceId }) =>
			kind === "gap" ? [[payload.gapScope, payload.gapTo, payload.cause, traceId]] : [],
		);
	for (let pid = 100; pid < 99 + AGENT_LIMITS.traceMembersMax; pid++) at.fork(pid, 10);
	assert.deepEqual(gaps(), []);
	const cut = at.fork(20_000, 10);
	assert.deepEqual(gaps(), [["count", 1n, "trace_members_full", TRACE]]);
	assert.equal(at.traces.route(cut, draftOf(20_000)), false);
	for (let pid = 20_001; pid < 20_005; pid++) at.fork(pid, 10);
	assert.equal(gaps().length, 1);
	at.advance(1000);
	assert.deepEqual(gaps().at(-1), ["count", 4n, "trace_members_full", TRACE]);
	at.fork(20_005, 10);
	at.traces.endAll("agent_stopped");
	assert.deepEqual(gaps().at(-1), ["count", 1n, "trace_members_full", TRACE]);
	assert.equal(gaps().length, 3);
	assert.equal(at.seal()?.gapCount, 6);
	assert.equal(at.events.at(-1)?.kind, "trace_seal");
});

test("a process cannot leave its trace behind any number of short children", () => {
	const at = stage();
	at.fork(10, 1);
	const trace = at.open(10);
	const { traceMembersMax } = AGENT_LIMITS;
	for (let i = 0; i < 2 * traceMembersMax; i++) {
		at.fork(100 + i, 10);
		at.exit(100 + i);
	}
	const next = at.fork(90_000, 10);
	assert.equal(at.traces.route(next, { ...draftOf(90_000), kind: "file_open" }), true);
	assert.equal(trace.memberCount, traceMembersMax);
	assert.equal(trace.dead.size, traceMembersMax - 2);
	assert.equal(trace.liveCount, 2);
	assert.equal(
		at.events.some(({ kind }) => kind === "gap"),
		false,
	);
	// The last of the dead are still members, for what comes late of them.
	const late = at.table.observe({ tgid: 99 + 2 * traceMembersMax, startTicks: BigInt(99 + 2 * traceMembersMax) });
	assert.equal(at.traces.route(late, draftOf(late.tgid)), true);
});

test("a second process of a dead member's key is alive in the trace again", () => {
	const at = stage();
	at.fork(10, 1);
	const trace = at.open(10);
	at.fork(11, 10);
	at.exit(11);
	at.exit(11);
	assert.equal(trace.liveCount, 1, "one death counts once");
	const second = at.table.fork({ tgid: 11, startTicks: 11n }, { tgid: 10, startTicks: 10n }, true);
	at.traces.inherit(second);
	assert.equal(second.isKeyShared, true);
	assert.deepEqual([trace.liveCount, trace.dead.size], [2, 0]);
});

test("one root that was refused takes its own members with it, and no others", () => {
	const at = stage();
	at.fork(10, 1);
	at.fork(20, 1);
	at.open(10);
	const trace = at.open(20);
	at.fork(11, 10);
	at.fork(21, 20);
	at.exit(21);
	assert.deepEqual([trace.memberCount, trace.liveCount, trace.dead.size], [4, 3, 1]);
	at.traces.dropRoot(trace, trace.roots[1] as TraceRoot, "collector_refused");
	assert.deepEqual([trace.memberCount, trace.liveCount, trace.dead.size], [2, 2, 0]);
	at.exit(10);
	at.exit(11);
	at.advance(AGENT_LIMITS.lineageGoneMs);
	assert.equal(at.seal()?.cause, "lineage_ended");
});

test("a child of a traced process is a member when the process table has no room for it, and so are its children", () => {
	const at = stage(1e9, { processesMax: 3, deadMax: 3 });
	at.fork(10, 1);
	at.fork(11, 10);
	const trace = at.open(10);
	const child = at.fork(12, 10);
	const grandchild = at.fork(13, 12);
	const foreign = at.fork(14, 1);
	assert.equal(at.table.byTgid(12), undefined);
	assert.ok(at.table.refusedCount > 0);
	assert.equal(at.traces.route(child, draftOf(12)), true);
	assert.equal(at.traces.route(at.table.observe({ tgid: 13, startTicks: 13n }), draftOf(13)), true);
	assert.equal(at.events.at(-1)?.payload.depth, 2);
	assert.equal(at.traces.route(grandchild, draftOf(13)), true);
	assert.equal(at.traces.route(foreign, draftOf(14)), false);
	assert.equal(trace.liveCount, 4);
	at.exit(13);
	assert.equal(trace.liveCount, 3);
});

test("a traced process that hides behind a chain of dead stays in its trace, and a later trace finds how deep it stands", () => {
	const at = stage(1e9, { processesMax: 100, deadMax: 5 });
	at.fork(10, 1);
	at.fork(11, 10);
	at.open(11, { depth: 255 });
	for (let pid = 12; pid <= 60; pid++) {
		at.fork(pid, pid - 1);
		at.exit(pid - 1);
	}
	assert.equal(at.table.find({ tgid: 11, startTicks: 11n }), undefined, "the dead root need not be remembered");
	at.open(10, { depth: 50 });
	const tip = at.fork(61, 60);
	at.events.length = 0;
	assert.equal(at.traces.route(tip, draftOf(61)), true);
	assert.equal(at.events[0]?.payload.depth, 50, "below the first root");
	at.traces.endAll("agent_stopped");
	at.events.length = 0;
	at.open(10, { depth: 50 });
	const depths = at.events.flatMap(({ kind, payload }) => (kind === "snapshot" ? [[payload.pid, payload.depth]] : []));
	assert.deepEqual(depths.at(-1), [60, 50]);
	assert.equal(at.traces.route(tip, draftOf(61)), false, "51 levels below");
});

test("every slot can be used and the next is refused", () => {
	const at = stage();
	at.fork(10, 1);
	for (let slot = 0; slot < AGENT_LIMITS.traceSlotsMax; slot++) {
		assert.equal(at.traces.freeSlot(), slot);
		at.open(10);
	}
	assert.equal(at.traces.freeSlot(), null);
});

test("a trace above its rate gives up files before processes, says how many, and counts it as a gap", () => {
	const at = stage(10);
	const entry = at.fork(10, 1);
	const trace = at.open(10);
	for (let i = 0; i < 30; i++) at.traces.route(entry, { ...draftOf(10), kind: "file_open" });
	for (let i = 0; i < 5; i++) at.traces.route(entry, { ...draftOf(10), kind: "exec" });
	const kinds = at.events.map(({ kind }) => kind);
	// A bucket of 20 of which files leave half to others.
	assert.equal(kinds.filter((kind) => kind === "file_open").length, 10);
	assert.equal(kinds.filter((kind) => kind === "exec").length, 5);
	at.advance(1000);
	const gap = at.events.find(({ kind }) => kind === "gap");
	assert.equal(gap?.payload.cause, "trace_rate: file 20");
	assert.equal(gap?.traceId, TRACE);
	assert.equal(trace.gapCount, 1);
});

test("a trace that has filled its bytes is sealed with that cause", () => {
	const at = stage();
	at.fork(10, 1);
	at.open(10);
	at.traces.countStored(TRACE, 999);
	at.advance(1000);
	assert.equal(at.seal(), undefined);
	at.traces.countStored(TRACE, 1);
	at.advance(1000);
	assert.equal(at.seal()?.cause, "byte_limit");
});

test("a trace begins with what its lineage did before, as far as it was told to collect", () => {
	const at = stage();
	const root = at.fork(10, 1);
	const child = at.fork(11, 10);
	const note = (entry: typeof root, kind: EventDraft["kind"], payload: EventDraft["payload"] = {}) => {
		const draft = { ...draftOf(entry.tgid), kind, process: entry.key, payload: { pid: entry.tgid, ...payload } };
		at.lookBack.note(draft, encodeAs(eventShape, { ...draft, seq: 0 }), 0);
	};
	note(root, "exec", { cmdline: ["id"], isCmdlineMasked: true });
	note(child, "connect");
	note(at.fork(50, 1), "exec");
	at.exit(11);
	at.open(10, { collects: { cmdlines: false, network: true, fileMeta: false, memoryHeaders: false } });
	const told = at.events.map(({ kind, payload }) => [kind, payload.pid, payload.isLookback ?? false, payload.cmdline]);
	assert.deepEqual(told, [
		["exec", 10, true, undefined],
		["connect", 11, true, undefined],
		["snapshot", 10, false, undefined],
	]);
});

test("each kind obeys the wish that covers it, and what no wish covers is always told", () => {
	const wishes = { cmdlines: false, network: false, fileMeta: false, memoryHeaders: false };
	const told = (kind: EventKind, collects: Collects) => {
		const at = stage();
		const entry = at.fork(10, 1);
		at.open(10, { collects });
		return at.traces.route(entry, { ...draftOf(10), kind });
	};
	const covered: Record<string, readonly EventKind[]> = {
		network: ["connect", "accept", "close", "socket", "bind", "listen", "datagram", "dns"],
		fileMeta: ["file_open", "file_create", "file_rename", "file_unlink", "file_link", "file_symlink", "file_chmod"],
		memoryHeaders: ["memory_header"],
	};
	for (const [wish, kinds] of Object.entries(covered)) {
		for (const kind of kinds) {
			assert.equal(told(kind, wishes), false, kind);
			assert.equal(told(kind, { ...wishes, [wish]: true }), true, kind);
		}
	}
	for (const kind of ["fork", "exec", "exit", "set_id", "ptrace", "view_partial", "file_hash"] as const)
		assert.equal(told(kind, wishes), true, kind);
});

test("a trace without command lines has no environment either", () => {
	const at = stage();
	const entry = at.fork(10, 1);
	const collects = { cmdlines: false, network: true, fileMeta: true, memoryHeaders: false };
	at.open(10, { collects });
	const draft = draftOf(10, "/bin/x");
	const payload = { ...draft.payload, cmdline: ["x"], environment: ["A=***"], isCmdlineMasked: true };
	at.traces.route(entry, { ...draft, payload });
	assert.deepEqual(at.events.at(-1)?.payload, { pid: 10, exe: "/bin/x", depth: 0 });
});

test("a trace opens with who its processes are, and says what their view already lacks", () => {
	const at = stage();
	const entry = at.fork(10, 1);
	at.table.cgroups.learn(5n, "/system.slice/x.service/lxc/web");
	Object.assign(entry, { sid: 4, tty: "pts/0", uid: 1000, gid: 0, euid: 0, cgroup: at.table.cgroups.of(5n) });
	markPartial(entry, "io_uring");
	at.open(10);
	const [snapshot] = at.events;
	assert.ok(snapshot);
	const { payload } = snapshot;
	assert.deepEqual([payload.startTicks, payload.sid, payload.tty], [10n, 4, "pts/0"]);
	assert.deepEqual([payload.uid, payload.gid, payload.euid], [1000, 0, 0]);
	assert.deepEqual(
		[payload.cgroupId, payload.cgroupPath, payload.containerId, payload.systemdUnit],
		[5n, "/system.slice/x.service/lxc/web", "web", "x.service"],
	);
	assert.deepEqual(payload.absent, ["view: partial (io_uring)"]);
});
