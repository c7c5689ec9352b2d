import assert from "node:assert/strict";
import { test } from "node:test";
import { processKeyOf } from "#core/model/ids.ts";
import { markPartial, type ProcessEntry, partialCausesOf } from "./process-entry.ts";
import { ProcessTable } from "./process-table.ts";

const HOST = { machineId: "m", bootId: "b" };
const p = (tgid: number, start = tgid) => ({ tgid, startTicks: BigInt(start) });

test("the key is the one everybody computes", () => {
	const entry = new ProcessTable(HOST).observe(p(7, 99));
	assert.deepEqual(entry.key, processKeyOf({ ...HOST, tgid: 7, startTicks: 99n }));
});

test("a reused pid is another process, and the old one has ended", () => {
	const table = new ProcessTable(HOST);
	table.fork(p(10), p(1));
	const old = table.find(p(10));
	const again = table.fork(p(10, 500), p(1));
	assert.notDeepEqual(again.key, old?.key);
	assert.equal(old?.isAlive, false);
	assert.equal(table.byTgid(10)?.id, again.id);
	assert.equal(table.missedExitCount, 1);
	// A late event of the old one finds the old one.
	assert.equal(table.observe(p(10)).id, old?.id);
	assert.equal(table.byTgid(10)?.id, again.id);
});

test("the creator stays when the parent changes", () => {
	const table = new ProcessTable(HOST);
	const child = table.fork(p(20), p(10));
	table.exit(p(10));
	table.setParent(child, p(1));
	assert.equal(child.creator?.tgid, 10);
	assert.equal(child.parent?.tgid, 1);
	assert.equal(child.ancestor?.tgid, 10);
});

test("an exec that overtook its fork loses nothing when the fork comes", () => {
	const table = new ProcessTable(HOST);
	const entry = table.observe(p(5));
	entry.exe = "/bin/new";
	table.setParent(entry, p(1));
	const same = table.fork(p(5), p(2));
	assert.equal(same.id, entry.id);
	assert.equal(same.exe, "/bin/new");
	assert.equal(same.creator?.tgid, 2);
	assert.equal(same.ancestor?.tgid, 2);
	assert.equal(table.find(p(1))?.childCount, 0);
});

const depthBelow = (table: ProcessTable, root: ProcessEntry | undefined, tgid: number) => {
	assert.ok(root);
	return [...table.descendants(root, Number.POSITIVE_INFINITY)].find(({ entry }) => entry.tgid === tgid)?.depth ?? null;
};

test("how far the living stand from each other is never forgotten, however many die between and around them", () => {
	const table = new ProcessTable(HOST, { processesMax: 200, deadMax: 10 });
	const first = table.observe(p(1));
	for (let pid = 2; pid <= 50; pid++) {
		table.fork(p(pid), p(pid - 1));
		if (pid !== 2 && pid !== 30) table.exit(p(pid - 1));
	}
	for (let pid = 1000; pid < 3000; pid++) {
		table.fork(p(pid), p(50));
		table.exit(p(pid));
	}
	assert.equal(depthBelow(table, first, 29), 28);
	assert.equal(depthBelow(table, first, 50), 49);
	assert.equal(depthBelow(table, table.byTgid(29), 50), 21);
	assert.equal(depthBelow(table, table.byTgid(50), 29), null);
	assert.deepEqual(
		[...table.descendants(first, 28)].map(({ entry }) => entry.tgid),
		[1, 29],
		"what stands deeper is not walked",
	);
	const last = table.byTgid(50);
	assert.deepEqual(last?.creator, { id: "49:49", tgid: 49, key: processKeyOf({ ...HOST, ...p(49) }) });
	assert.equal(table.find(p(49)), undefined, "the dead between them are forgotten");
	assert.equal(table.size, 3 + 10);
	assert.equal(table.refusedCount, 0);
});

test("a dead process that two lineages meet in stays until one of them is gone", () => {
	const table = new ProcessTable(HOST, { processesMax: 100, deadMax: 2 });
	const root = table.observe(p(1));
	table.fork(p(2), p(1));
	table.fork(p(3), p(2));
	table.fork(p(4), p(2));
	table.exit(p(2));
	for (let pid = 100; pid < 110; pid++) table.exit(p(pid));
	assert.equal(table.byTgid(3)?.ancestor?.tgid, 2);
	table.exit(p(3));
	for (let pid = 110; pid < 120; pid++) table.exit(p(pid));
	assert.equal(table.find(p(2)), undefined);
	assert.equal(table.byTgid(4)?.ancestor?.id, root.id);
	assert.equal(depthBelow(table, root, 4), 2);
	assert.equal(root.childCount, 1);
});

test("chains of dead ancestors take no room: a few living processes cannot fill the table", () => {
	const limits = { processesMax: 400, deadMax: 50 };
	const table = new ProcessTable(HOST, limits);
	table.observe(p(1));
	let next = 2;
	const tips: number[] = [];
	for (let chain = 0; chain < 95; chain++) {
		let at = 1;
		for (let i = 0; i < 100; i++) {
			table.fork(p(next), p(at), true);
			if (at !== 1) table.exit(p(at));
			at = next++;
		}
		tips.push(at);
	}
	assert.equal(table.refusedCount, 0);
	assert.ok(table.size <= 2 * (96 + limits.deadMax), `${table.size} entries`);
	for (const tip of tips) assert.equal(depthBelow(table, table.byTgid(1), tip), 100);
});

test("dead processes with a living child each are bounded by the living as well", () => {
	const table = new ProcessTable(HOST, { processesMax: 1000, deadMax: 20 });
	table.observe(p(1));
	// A comb: each dead process of a chain keeps one living tooth.
	for (let pid = 2; pid <= 100; pid++) {
		table.fork(p(pid), p(pid - 1));
		table.fork(p(1000 + pid), p(pid));
		if (pid > 2) table.exit(p(pid - 1));
	}
	assert.equal(depthBelow(table, table.byTgid(1), 1100), 100);
	for (let pid = 2; pid <= 98; pid++) table.exit(p(1000 + pid));
	for (let pid = 5000; pid < 5100; pid++) table.exit(p(pid));
	assert.equal(depthBelow(table, table.byTgid(1), 1100), 100);
	assert.ok(table.size <= 2 * (5 + 20), `${table.size} entries`);
});

test("a fork below a deep lineage walks none of it, and a trace's start only down to its depth", () => {
	const table = new ProcessTable(HOST);
	table.observe(p(1));
	for (let pid = 2; pid <= 20_000; pid++) table.fork(p(pid), p(pid - 1), true);
	const before = table.followedCount;
	for (let pid = 30_000; pid < 30_100; pid++) {
		table.fork(p(pid), p(20_000), true);
		table.exit(p(pid));
	}
	assert.equal([...table.descendants(table.byTgid(2) as ProcessEntry, 3)].length, 4);
	assert.equal(table.followedCount - before, 4, "the links to the depth and to who stands one below");
	table.fork(p(40_001), p(40_000), true);
	table.fork(p(40_000), p(20_000), true);
	assert.equal(table.followedCount - before, 4 + 4097, "who has children already is looked for above its creator");
	assert.equal(table.byTgid(40_000)?.ancestor, null, "and a walk too long to end joins nothing");
	assert.equal(table.byTgid(40_000)?.creator?.tgid, 20_000);
});

test("when the last of a lineage dies the lineage becomes remainder and goes", () => {
	const table = new ProcessTable(HOST, { processesMax: 100, deadMax: 3 });
	for (let pid = 2; pid <= 20; pid++) table.fork(p(pid), p(pid - 1));
	for (let pid = 1; pid <= 20; pid++) table.exit(p(pid));
	// The chain hangs on its last link and goes with it.
	for (let pid = 100; pid < 104; pid++) table.exit(p(pid));
	assert.ok(table.size <= 3);
});

test("a full table still names a new process, counts it and keeps what it has", () => {
	const table = new ProcessTable(HOST, { processesMax: 5, deadMax: 5 });
	for (let pid = 1; pid <= 5; pid++) table.observe(p(pid));
	const refused = table.fork(p(6), p(1));
	assert.deepEqual(refused.key, processKeyOf({ ...HOST, ...p(6) }));
	assert.equal(table.refusedCount, 1);
	assert.equal(table.size, 5);
	assert.equal(table.find(p(1))?.childCount, 0);
	table.exit(p(2));
	assert.equal(table.observe(p(7)).id, table.byTgid(7)?.id);
	assert.equal(table.find(p(2)), undefined, "the dead make room for the living");
});

test("the exit of an unknown process is fine, and so is a second exit", () => {
	const table = new ProcessTable(HOST);
	assert.equal(table.exit(p(9)).isAlive, false);
	assert.equal(table.exit(p(9)).isAlive, false);
});

test("who was only named as a parent is gone after the snapshot", () => {
	const table = new ProcessTable(HOST);
	table.setParent(table.observe(p(30)), p(29));
	assert.equal(table.byTgid(29)?.isAlive, true);
	table.endSnapshot();
	assert.equal(table.byTgid(29)?.isAlive, false);
	assert.equal(table.byTgid(30)?.isAlive, true);
});

test("a foreign frame cannot make a process its own ancestor", () => {
	const table = new ProcessTable(HOST);
	table.fork(p(1), p(2));
	table.fork(p(2), p(1));
	table.fork(p(3), p(3));
	assert.equal(depthBelow(table, table.byTgid(2), 1), 1);
	assert.equal(depthBelow(table, table.byTgid(1), 2), null);
	assert.equal(depthBelow(table, table.byTgid(3), 3), 0);
});

test("session, terminal and cgroup go from a process to its children, and an own word stands against them", () => {
	const table = new ProcessTable(HOST);
	const parent = table.observe(p(10));
	Object.assign(parent, { sid: 10, tty: "pts/3", cgroup: table.cgroups.of(7n), exe: "/bin/sh", name: "sh" });
	const child = table.fork(p(11), p(10));
	assert.deepEqual([child.sid, child.tty, child.cgroup?.id], [10, "pts/3", 7n]);
	const early = table.observe(p(12));
	early.sid = 12;
	assert.equal(table.fork(p(12), p(10)).sid, 12);
});

test("a lineage whose view may be partial is marked once for each cause", () => {
	const table = new ProcessTable(HOST);
	const parent = table.observe(p(10));
	assert.equal(markPartial(parent, "io_uring"), true);
	const child = table.fork(p(11), p(10));
	assert.equal(markPartial(child, "io_uring"), false);
	assert.equal(markPartial(child, "compat32"), true);
	assert.equal(markPartial(child, "a cause of tomorrow"), true);
	assert.equal(markPartial(child, "another"), false);
	assert.deepEqual(partialCausesOf(child), ["io_uring", "compat32", "other"]);
	assert.deepEqual(partialCausesOf(parent), ["io_uring"]);
});

test("a second fork of one pid in one tick marks the shared key where each fork is seen once", () => {
	const table = new ProcessTable(HOST);
	table.observe(p(2));
	const first = table.fork(p(10), p(1), true);
	first.exe = "/bin/first";
	table.exit(p(10));
	const second = table.fork(p(10), p(2), true);
	assert.equal(second.id, first.id);
	assert.equal(table.size, 3, "one key is one entry");
	assert.equal(second.isKeyShared, true);
	assert.equal(second.isAlive, true);
	assert.equal(second.creator?.tgid, 2);
	assert.equal(second.exe, null, "what the first ran is not the second's");
	assert.equal(second.execCount, 0);
	for (let pid = 100; pid < 110; pid++) table.exit(p(pid));
	assert.equal(table.byTgid(10)?.id, second.id);
});

test("a poll that names one process twice shares no key, nor does a fork after a snapshot", () => {
	const table = new ProcessTable(HOST);
	table.fork(p(10), p(1));
	assert.equal(table.fork(p(10), p(1)).isKeyShared, false);
	table.setParent(table.observe(p(11)), p(1));
	assert.equal(table.fork(p(11), p(1), true).isKeyShared, false);
});
