import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { type ConnectionEvent, type ForkEvent, STITCH_LIMITS, stitchHops } from "./hop.ts";

const connect: ConnectionEvent = {
	id: "c1",
	agent: "web-01",
	process: "aa",
	pid: 10,
	name: "ssh",
	timeMs: 1_000_000,
	kernelTimeNs: 5n,
	localAddress: "10.0.0.1",
	localPort: 40_000,
	remoteAddress: "10.0.0.2",
	remotePort: 22,
};
const accept: ConnectionEvent = {
	id: "a1",
	agent: "db-01",
	process: "bb",
	pid: 20,
	name: "sshd",
	timeMs: 1_000_700,
	kernelTimeNs: 1_000n,
	localAddress: "10.0.0.2",
	localPort: 22,
	remoteAddress: "10.0.0.1",
	remotePort: 40_000,
};
const fork = (pid: number, kernelTimeNs: bigint, creator = "bb"): ForkEvent => ({
	agent: "db-01",
	process: `child-${pid}`,
	pid,
	name: "sshd",
	creator,
	kernelTimeNs,
});
const clocks = new Map([
	["web-01", 0],
	["db-01", 650],
]);
const stitch = (over: Partial<Parameters<typeof stitchHops>[0]> = {}) =>
	stitchHops({ connects: [connect], accepts: [accept], forks: [], clockOffsetMs: clocks, ...over });

test("the mirrored accept is found and time is compared by aligned clocks", () => {
	const [hop] = stitch();
	equal(hop?.to?.agent, "db-01");
	equal(hop?.followTarget?.process, "bb");
	equal(hop?.confidence, 0.98);
	ok(hop?.reasons.some((reason) => reason.includes("50 ms apart")));
	deepEqual([hop?.local, hop?.remote], ["10.0.0.1:40000", "10.0.0.2:22"]);
});

test("a hop's time is by the Security Center's clock, not by its host's", () => {
	const [hop] = stitch({ clockOffsetMs: new Map([...clocks, ["web-01", 400], ["db-01", 1_050]]) });
	equal(hop?.timeMs, connect.timeMs - 400);
});

test("follow goes to the first child forked after the accept, not to an earlier, later or foreign one", () => {
	const forks = [fork(3, 5_000n), fork(2, 2_000n), fork(1, 900n), fork(4, 1_500n, "other")];
	equal(stitch({ forks })[0]?.followTarget?.pid, 2);
	const late = [fork(5, accept.kernelTimeNs + STITCH_LIMITS.serveNsMax + 1n)];
	equal(stitch({ forks: late })[0]?.followTarget?.pid, 20);
});

test("no mirrored accept gives a hop to nowhere with confidence 0 and its reason", () => {
	const [hop] = stitch({ accepts: [{ ...accept, remotePort: 40_001 }] });
	deepEqual([hop?.to, hop?.followTarget, hop?.confidence], [null, null, 0]);
	match(hop?.reasons[0] ?? "", /No stored accept/);
});

test("a port used again takes the nearest accept and says so", () => {
	const again = { ...accept, id: "a2", process: "cc", timeMs: accept.timeMs + 1_500 };
	const [hop] = stitch({ accepts: [again, accept] });
	equal(hop?.acceptId, "a1");
	equal(hop?.confidence, 0.6);
	ok(hop?.reasons.some((reason) => reason.includes("used again")));
});

test("an accept outside the window is another connection", () => {
	const late = { ...accept, timeMs: accept.timeMs + 2 * STITCH_LIMITS.alignedMsMax };
	equal(stitch({ accepts: [late] })[0]?.to, null);
});

test("with an unknown clock the match is wider and worth less", () => {
	const skewed = { ...accept, timeMs: accept.timeMs + 60_000 };
	const [hop] = stitch({ accepts: [skewed], clockOffsetMs: new Map([["web-01", 0]]) });
	equal(hop?.confidence, 0.7);
	ok(hop?.reasons.some((reason) => reason.includes("not estimated")));
});

test("two hosts that mirror it leave little confidence", () => {
	const twin = { ...accept, id: "a3", agent: "db-02" };
	const [hop] = stitch({ accepts: [accept, twin], clockOffsetMs: new Map([...clocks, ["db-02", 650]]) });
	equal(hop?.confidence, 0.4);
});

test("loopback matches on the same host only, by one clock", () => {
	const local = { ...connect, localAddress: "127.0.0.1", remoteAddress: "127.0.0.1" };
	const mirrored = { ...accept, localAddress: "127.0.0.1", remoteAddress: "127.0.0.1" };
	equal(stitch({ connects: [local], accepts: [mirrored] })[0]?.to, null);
	const own = { ...mirrored, agent: "web-01", timeMs: local.timeMs + 1 };
	equal(stitch({ connects: [local], accepts: [own], clockOffsetMs: new Map() })[0]?.confidence, 0.98);
});

test("one connection reported twice is one hop, and one without a local port is none", () => {
	equal(stitch({ connects: [connect, { ...connect, id: "c2" }] }).length, 1);
	equal(stitch({ connects: [{ ...connect, localPort: 0 }] }).length, 0);
});
