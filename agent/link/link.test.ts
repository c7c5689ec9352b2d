import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { ed25519Signer } from "#core/ledger/index.ts";
import { encodeFrame, ROOM_CODES } from "#core/protocol/index.ts";
import { TestLedger } from "#core/testing/test-ledger.ts";
import { HostClock } from "../clock.ts";
import { parseConfig } from "../config/config.ts";
import { loadIdentity } from "../config/identity.ts";
import { SealedFiles } from "../disk-key/sealed-files.ts";
import { AGENT_LIMITS } from "../limits.ts";
import { Lanes } from "../stream/lanes.ts";
import { Hop, until } from "../testing/hop.ts";
import { createLab, ENCLAVE, fileText, genesis, type Lab, LEDGER_ORIGIN, LEDGER_SEED } from "../testing/lab.ts";
import { DISK, draftOf, Rig } from "../testing/rig.ts";
import { LedgerMemory } from "./ledger-memory.ts";
import { Link, streamHeads } from "./link.ts";

interface Stage {
	readonly lab: Lab;
	readonly hop: Hop;
	readonly link: Link;
	readonly lanes: Lanes;
	readonly rig: Rig;
	readonly codes: string[];
	/** Added to the monotonic clock of the link. */
	readonly clock: { aheadMs: number };
}

/** How long a preferred proxy must have answered here; each link wants up to twice that. */
const STABLE_MS = 400;

interface StageOptions {
	/** What the agent's certificate names. */
	readonly proxies?: readonly string[];
	/** Ports of proxies that come after the stage's own in the list. */
	readonly later?: (lab: Lab) => Promise<readonly number[]>;
}

/** A link over an outbox in memory, against a real server. */
async function stage(
	t: TestContext,
	proxy?: (lab: Lab) => Promise<ConstructorParameters<typeof Hop>[0]>,
	{ proxies, later }: StageOptions = {},
): Promise<Stage> {
	const lab = await createLab(proxies);
	const hop = new Hop(proxy === undefined ? lab.proxy : await proxy(lab));
	await hop.listen();
	const path = lab.config(hop.port);
	const config = parseConfig(fileText(path), path);
	assert.ok(config.ok);
	const identity = await loadIdentity(config.value, Date.now());
	assert.ok(identity.ok);
	const rig = new Rig();
	const codes: string[] = [];
	const clock = { aheadMs: 0 };
	const log = (code: string, fields = {}) => codes.push(`${code} ${JSON.stringify(fields)}`);
	const { outbox } = rig;
	const lanes: Lanes = new Lanes({
		outbox,
		agent: identity.value.link.agent,
		seed: identity.value.link.seed,
		clock: new HostClock({ wallMs: Date.now, bootNs: () => 1n, monotonicMs: () => performance.now() }),
		log,
		batchMaxEvents: 2000,
		batchMaxMs: 250,
		schedule: (ms, task) => {
			const timer = setTimeout(task, ms);
			return () => clearTimeout(timer);
		},
		onHeld: () => link.pump(),
	});
	const link: Link = new Link({
		targets: [...config.value.targets, ...((await later?.(lab)) ?? []).map((port) => ({ host: "127.0.0.1", port }))],
		parentTimes: { probeMs: 50, stableMs: STABLE_MS },
		tls: identity.value.tls,
		identity: identity.value.link,
		outbox,
		ledger: LedgerMemory.open(new SealedFiles(lab.dataDir, DISK), log),
		log,
		nowMs: Date.now,
		monotonicMs: () => performance.now() + clock.aheadMs,
		random: () => 0.01,
		trust: () => genesis.document,
		status: () => ({
			hostName: "h",
			tier: "ebpf",
			missing: "",
			siteTag: "lab",
			softwareVersion: "0",
			addresses: [],
			cause: "",
		}),
		health: () => ({ timeMs: Date.now(), outboxBytes: 0, oldestUnackedMs: 0, rssBytes: 0, eventCount: 0, gapCount: 0 }),
		onTrust: () => {},
		onCommand: () => {},
		reseal: (chain, from, cause) => lanes.reseal(chain, from, cause),
		disown: (stream, from) => lanes.disown(stream, from),
		onFatal: (error) => {
			throw error;
		},
	});
	t.after(async () => {
		lanes.stop();
		link.stop();
		await hop.close();
		lab.remove();
	});
	return { lab, hop, link, lanes, rig, codes, clock };
}

function put(lanes: Lanes, lane: "trace" | "bulk" | "alert", pid: number, text = ""): void {
	lanes.add(lane, draftOf(pid, text));
	lanes.flush([lane]);
}

const pids = (hop: Hop) => hop.events.map(({ payload }) => payload.pid);
const execs = (hop: Hop) => hop.events.filter(({ kind }) => kind === "exec").map(({ payload }) => payload.pid);
const gaps = (hop: Hop) =>
	hop.events.filter(({ kind }) => kind === "gap").map(({ payload }) => [payload.gapFrom, payload.gapTo, payload.cause]);

// First of all: a link of another test that ended under mocked timers would keep its own for ever.
test("a half-open link is noticed at the third ping, within 30 seconds, and the next proxy is taken", async (t) => {
	t.mock.timers.enable({ apis: ["setInterval"] });
	const { first, second, link, codes } = await pairStage(t);
	link.start();
	await until("the first", () => link.isUp);
	first.freeze();
	let passedMs = 0;
	for (; passedMs < 30_000 && link.isUp; passedMs += AGENT_LIMITS.pingMs) {
		assert.equal(codes.filter((line) => line.startsWith("link_half_open")).length, 0);
		t.mock.timers.tick(AGENT_LIMITS.pingMs);
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
	await until("the notice", () => codes.some((line) => line.startsWith("link_half_open")), 200);
	await until("the second", () => second.isUp);
});

test("what was held before the link comes in lane priority, and receipts free it", async (t) => {
	const { hop, link, lanes, rig } = await stage(t);
	put(lanes, "bulk", 1);
	put(lanes, "alert", 2);
	put(lanes, "trace", 3);
	link.start();
	await until("three batches", () => hop.events.length === 3);
	assert.deepEqual(pids(hop), [3, 2, 1]);
	await until("the receipts", () => rig.outbox.victim() === null);
	put(lanes, "bulk", 4);
	await until("the next", () => pids(hop).includes(4));
	assert.ok(hop.frames.some((frame) => frame.type === "heartbeat"));
	assert.equal(hop.hellos[0]?.streams.length, 3);
	assert.deepEqual(hop.refusals, []);
});

test("a link that breaks goes on where the hop says, without doubles or holes", async (t) => {
	const { hop, link, lanes } = await stage(t);
	hop.isReceipting = false;
	link.start();
	await until("the link", () => link.isUp);
	for (let pid = 1; pid <= 20; pid++) {
		put(lanes, "trace", pid);
		if (pid % 7 === 0) {
			hop.drop();
			await until("the loss", () => !link.isUp);
			await until("the link", () => link.isUp);
		}
	}
	await until("all", () => hop.events.length === 20);
	assert.deepEqual(
		pids(hop),
		Array.from({ length: 20 }, (_, index) => index + 1),
	);
	assert.deepEqual(hop.refusals, []);
});

test("batches that a living link lost on the way are sent again after a while, without doubles", async (t) => {
	const { hop, link, lanes, clock } = await stage(t);
	link.start();
	await until("the link", () => link.isUp);
	put(lanes, "bulk", 1);
	await until("the first", () => hop.events.length === 1);
	hop.loseNext = 2;
	put(lanes, "bulk", 2);
	put(lanes, "bulk", 3);
	await until("the loss", () => hop.loseNext === 0);
	link.heartbeat();
	assert.deepEqual(pids(hop), [1]);
	clock.aheadMs = AGENT_LIMITS.resendMs + 1;
	link.heartbeat();
	await until("the rest", () => hop.events.length === 3);
	assert.deepEqual(pids(hop), [1, 2, 3]);
	assert.deepEqual(hop.refusals, []);
});

test("a hop that comes late finds everything", async (t) => {
	const { hop, link, lanes } = await stage(t);
	const { port } = hop;
	await hop.close();
	link.start();
	put(lanes, "bulk", 1);
	await new Promise((resolve) => setTimeout(resolve, 50));
	await hop.listen(port);
	await until("the event", () => hop.events.length === 1);
});

const LAB_LEDGER = { enclave: ENCLAVE, seed: LEDGER_SEED };

/** Three trace batches and an alert that a hop holds (A1) and the Security Center does not. */
async function heldStage(t: TestContext) {
	const at = await stage(t);
	at.hop.isConfirming = false;
	at.link.start();
	for (let pid = 1; pid <= 3; pid++) put(at.lanes, "trace", pid);
	put(at.lanes, "alert", 4);
	const [trace] = at.rig.outbox.chains("trace");
	const [alert] = at.rig.outbox.chains("alert");
	assert.ok(trace && alert);
	await until("A1", () => trace.a1 === 3 && alert.a1 === 1);
	/** The next refusal's reason. */
	const refused = async (tell: () => void) => {
		const before = at.codes.length;
		tell();
		await until("a refusal", () => at.codes.length > before);
		const last = at.codes.findLast((code) => code.startsWith("custody_refused"));
		return /"reason":"([a-z_]+)"/.exec(last ?? "")?.[1];
	};
	return { ...at, trace, alert, refused };
}

test("an A2 frees up to the batch whose proof it carries, and nothing without one", async (t) => {
	const { hop, trace, alert, refused } = await heldStage(t);
	const stranger = ed25519Signer(LEDGER_ORIGIN, new Uint8Array(randomBytes(32)));
	const otherLog = ed25519Signer("sc.other/ledger", LEDGER_SEED);
	const { stream } = trace;
	const receipt = { agent: "web-01", stream, level: "a2", seq: 2 } as const;
	assert.equal(await refused(() => hop.send(encodeFrame("receipt", receipt))), "custody_missing");
	assert.equal(await refused(() => hop.confirm(stream, 2, "")), "custody_malformed");
	const two = hop.custodyOf(stream, 2);
	assert.equal(await refused(() => hop.confirm(stream, 2, two.slice(two.indexOf("\n\n") + 2))), "custody_malformed");
	const foreign = hop.ledger.custodyOf("web-01", { stream, seq: 2 }, stranger);
	assert.equal(await refused(() => hop.confirm(stream, 2, foreign)), "custody_unproven");
	const other = hop.ledger.custodyOf("web-01", { stream, seq: 2 }, otherLog);
	assert.equal(await refused(() => hop.confirm(stream, 2, other)), "custody_unproven");
	assert.deepEqual([trace.a2, alert.a2], [0, 0]);
	hop.confirm(stream, 2);
	await until("A2", () => trace.a2 === 2);
	assert.equal(alert.a2, 0);
});

test("a proof of another batch frees nothing, however high the number in the receipt", async (t) => {
	const { hop, rig, trace, alert, refused } = await heldStage(t);
	const old = hop.custodyOf(trace.stream, 1);
	assert.equal(await refused(() => hop.confirm(trace.stream, 3, old)), "custody_leaf_foreign");
	assert.equal(await refused(() => hop.confirm(alert.stream, 1, old)), "custody_leaf_foreign");
	assert.equal(rig.outbox.giveBack(), false, "nothing may be evicted");
	for (const { stream } of [trace, alert])
		assert.equal(await refused(() => hop.confirm(stream, Number.MAX_SAFE_INTEGER, old)), "custody_ahead");
	assert.deepEqual([trace.a2, alert.a2], [0, 0]);
	// An honest hop says so to an agent whose disk is an older one: no proof of what lies here will come, so it goes once more.
	await until("all four again", () =>
		[1, 2, 3, 4].every((pid) => pids(hop).filter((each) => each === pid).length === 2),
	);
	assert.notEqual(rig.outbox.victim(), null);
});

test("a proof of another content at the batch's place frees nothing: what is held goes once more, in another stream", async (t) => {
	const { hop, rig, codes, trace, refused } = await heldStage(t);
	const forked = new TestLedger(LAB_LEDGER);
	forked.append("web-01", { stream: trace.stream, seq: 1, headerBytes: Uint8Array.of(1, 2, 3) });
	const custody = forked.custodyOf("web-01", { stream: trace.stream, seq: 1 });
	assert.equal(await refused(() => hop.confirm(trace.stream, 1, custody)), "custody_body_mismatch");
	assert.equal(trace.a2, 0);
	assert.ok(codes.some((code) => code.startsWith("stream_resealed")));
	const again = rig.outbox.chains("trace").at(-1);
	assert.ok(again !== undefined && again !== trace);
	await until("A1 in the new stream", () => again.a1 === again.head);
});

test("a proof that comes again, or for a stream that is gone, is ignored without a word", async (t) => {
	const { hop, codes, trace } = await heldStage(t);
	const before = codes.length;
	const old = hop.custodyOf(trace.stream, 1);
	hop.confirm(trace.stream, 3);
	hop.confirm(trace.stream, 1, old);
	hop.confirm(trace.stream, 3, "");
	hop.confirm(new Uint8Array(8), 1, old);
	await until("A2", () => trace.a2 === 3);
	await new Promise((resolve) => setTimeout(resolve, 50));
	assert.equal(codes.length, before);
});

test("two roots of the ledger for one size are noticed, and the second frees nothing", async (t) => {
	const { hop, rig, trace, alert, refused } = await heldStage(t);
	hop.confirm(trace.stream, 3);
	await until("A2", () => trace.a2 === 3);
	const regrown = new TestLedger(LAB_LEDGER);
	regrown.appendBatch(rig.outbox.read(alert, 1) ?? new Uint8Array());
	for (let seq = 2; seq <= 4; seq++)
		regrown.append("web-01", { stream: alert.stream, seq, headerBytes: Uint8Array.of(seq) });
	const custody = regrown.custodyOf("web-01", { stream: alert.stream, seq: 1 });
	assert.equal(await refused(() => hop.confirm(alert.stream, 1, custody)), "ledger_went_back");
	assert.equal(alert.a2, 0);
});

test("a hop that asks for older batches gets them while they are kept", async (t) => {
	const { hop, link, lanes } = await stage(t);
	link.start();
	for (let pid = 1; pid <= 5; pid++) put(lanes, "bulk", pid);
	await until("five", () => hop.events.length === 5);
	// The hop lost its disk: it knows no stream any more.
	hop.streams.clear();
	hop.events.length = 0;
	hop.frames.length = 0;
	for (let pid = 6; pid <= 8; pid++) put(lanes, "bulk", pid);
	await until("all eight", () => hop.events.length === 8);
	assert.deepEqual(pids(hop), [1, 2, 3, 4, 5, 6, 7, 8]);
	assert.equal(hop.frames.filter(({ type }) => type === "batch").length, 3 + 8, "one return answers every refusal");
});

for (const [title, received, code] of [
	["knows other batches under our numbers", 3, "stream_forked"],
	["is ahead of us", 9, "stream_ahead"],
] as const)
	test(`a hop that ${title} frees nothing, and what is held goes by another stream`, async (t) => {
		const { hop, link, lanes, rig, codes } = await stage(t);
		for (let pid = 1; pid <= 3; pid++) put(lanes, "bulk", pid);
		const { stream, id } = rig.outbox.current("bulk");
		// As a hop sees an agent whose disk of yesterday was put back.
		hop.streams.set(id, { stream, state: { received, lastHash: new Uint8Array(32).fill(7) }, batches: [] });
		link.start();
		await until("all three", () => pids(hop).filter((pid) => pid !== undefined).length === 3);
		assert.ok(codes.some((each) => each.startsWith(code)));
		const gap = hop.events.find(({ kind }) => kind === "gap");
		assert.deepEqual([gap?.payload.gapFrom, gap?.payload.gapTo, gap?.payload.cause], [1n, 3n, "resealed"]);
		assert.deepEqual(hop.refusals, []);
	});

test("what lies before a batch that only the hop has whole goes by another stream: no proof of that one frees it", async (t) => {
	const { hop, link, lanes, rig } = await stage(t);
	for (let pid = 1; pid <= 2; pid++) put(lanes, "trace", pid);
	const chain = rig.outbox.current("trace");
	hop.streams.set(chain.id, { stream: chain.stream, state: { received: 2, lastHash: chain.lastHash }, batches: [] });
	// As the repair ends a stream whose last batch is damaged.
	rig.outbox.endChain(chain, 1);
	link.start();
	await until("the first, once more", () => pids(hop).includes(1));
	assert.equal(chain.end, 0);
});

test("bulk that is refused for good is named, and what follows it goes by another stream", async (t) => {
	const { hop, link, lanes } = await stage(t);
	hop.refuseNext = "batch_root_mismatch";
	for (let pid = 1; pid <= 3; pid++) put(lanes, "bulk", pid);
	link.start();
	await until("the rest", () => execs(hop).length === 2);
	await until("the gaps", () => gaps(hop).length === 2);
	assert.deepEqual(execs(hop), [2, 3]);
	assert.deepEqual(gaps(hop), [
		[1n, 1n, "refused: batch_root_mismatch"],
		[2n, 3n, "resealed"],
	]);
});

test("a sound trace that a hop refuses for good is kept, told in health, and shown again: nothing is lost or doubled", async (t) => {
	const { hop, link, lanes, clock, rig } = await stage(t);
	hop.refuseNext = "batch_root_mismatch";
	for (let pid = 1; pid <= 3; pid++) put(lanes, "trace", pid);
	const [chain] = rig.outbox.chains("trace");
	link.start();
	await until("the rest", () => execs(hop).length === 2);
	await until("the gaps", () => gaps(hop).length === 2);
	assert.deepEqual(execs(hop), [2, 3]);
	assert.deepEqual(gaps(hop), [
		[1n, 1n, "refused, kept: batch_root_mismatch"],
		[2n, 3n, "resealed"],
	]);
	assert.deepEqual([chain?.a2, chain?.end], [0, 1]);
	link.heartbeat();
	const told = () => hop.frames.findLast((frame) => frame.type === "heartbeat")?.body.health;
	await until("the word", () => told()?.refusedBatches === 1 && told()?.refusedFor === "batch_root_mismatch");
	clock.aheadMs = AGENT_LIMITS.refusedRestMs + 1;
	link.heartbeat();
	await until("the first", () => execs(hop).length === 3);
	await until("its proof", () => chain?.a2 === 1);
	assert.deepEqual(execs(hop), [2, 3, 1]);
	link.heartbeat();
	await until("no word", () => told()?.refusedBatches === undefined);
});

test("a trace that one proxy refuses for good goes to the next of the list", async (t) => {
	const { first, second, link, lanes } = await pairStage(t);
	link.start();
	await until("the first", () => first.isUp && link.isUp);
	first.refuseNext = "batch_signature_invalid";
	put(lanes, "trace", 1);
	await until("the refusal", () => gaps(first).length === 1);
	await first.close();
	await until("the trace", () => execs(second).includes(1));
});

test("a batch that is refused because the hop has another of its number goes by another stream with what follows it", async (t) => {
	const { hop, link, lanes } = await stage(t);
	hop.refuseNext = "forked";
	for (let pid = 1; pid <= 3; pid++) put(lanes, "trace", pid);
	link.start();
	await until("all", () => hop.events.filter(({ kind }) => kind === "exec").length === 3);
	await until("the gap", () => hop.events.some(({ kind }) => kind === "gap"));
	assert.deepEqual([execs(hop), gaps(hop)], [[1, 2, 3], [[1n, 3n, "resealed"]]]);
});

for (const code of ROOM_CODES)
	test(`a hop without room (${code}) gets the same batch later`, async (t) => {
		const { hop, link, lanes } = await stage(t);
		hop.refuseNext = code;
		link.start();
		put(lanes, "bulk", 1);
		await until("the refusal", () => hop.refusals.length === 1);
		put(lanes, "bulk", 2);
		await new Promise((resolve) => setTimeout(resolve, 50));
		assert.equal(hop.events.length, 0);
		await new Promise((resolve) => setTimeout(resolve, AGENT_LIMITS.rejectRestMs));
		link.heartbeat();
		await until("both", () => hop.events.length === 2);
		// The batch behind may have been on its way before the refusal arrived; then it was one too far, and came again as well.
		const [first, ...later] = hop.refusals;
		assert.equal(first, code);
		assert(later.length <= 1 && later.every((code) => code === "skipped"), later.join());
	});

test("a stream that ended before its last batch is told with its end, not with what was sealed again elsewhere", () => {
	const rig = new Rig();
	for (let pid = 1; pid <= 4; pid++) rig.put("bulk", pid);
	const chain = rig.outbox.current("bulk");
	const headOf = (stream: Uint8Array) => streamHeads(rig.outbox).find((each) => each.stream === stream)?.head;
	assert.equal(headOf(chain.stream), 4);
	rig.lanes.reseal(chain, 2, "refused: batch_unreadable");
	assert.equal(headOf(chain.stream), 1);
	assert.equal(headOf(rig.outbox.current("bulk").stream), 1, "the new stream holds what was sealed again");
});

test("while a hop has no room one batch asks for all of them, and less often each time", async (t) => {
	const { hop, link, lanes } = await stage(t);
	const sent = () => hop.frames.filter(({ type }) => type === "batch").length;
	const waits: number[] = [];
	for (let pid = 1; pid <= 5; pid++) put(lanes, "bulk", pid);
	hop.refuseNext = "disk_low";
	link.start();
	await until("the whole window", () => sent() === 5);
	const beat = setInterval(() => link.heartbeat(), 20);
	try {
		for (const expected of [6, 7]) {
			const fromMs = performance.now();
			if (expected === 6) hop.refuseNext = "disk_low";
			await until("one more", () => sent() >= expected, 6000);
			waits.push(performance.now() - fromMs);
			// The second one is taken, and the others follow at once.
			if (expected === 6) assert.equal(sent(), expected, "one batch asks");
		}
	} finally {
		clearInterval(beat);
	}
	await until("all five", () => hop.events.length === 5);
	assert.equal(sent(), 5 + 1 + 5);
	assert.ok((waits[1] ?? 0) > 1.7 * (waits[0] ?? 0), waits.join());
});

test("the window bounds what is sent without a receipt, and a trace passes a backlog", async (t) => {
	const { hop, link, lanes } = await stage(t);
	hop.isReceipting = false;
	for (let batch = 0; batch < 12; batch++) {
		for (let event = 0; event < 100; event++) lanes.add("bulk", draftOf(event, "x".repeat(4000)));
		lanes.flush(["bulk"]);
	}
	link.start();
	await until("the window", () => hop.events.length >= 500);
	await new Promise((resolve) => setTimeout(resolve, 200));
	const sent = hop.events.length;
	assert.ok(sent < 800, `${sent} events were sent`);
	put(lanes, "trace", 7777);
	await until("the trace", () => pids(hop).includes(7777));
	assert.equal(hop.events.length, sent + 1);
});

for (const [title, role, enclave] of [
	["an agent's certificate", "agent", undefined],
	["a proxy of another enclave", "px", "other"],
] as const) {
	test(`a server that shows ${title} gets no hello`, async (t) => {
		const uri = `spiffe://${enclave ?? "lab"}/${role}/evil`;
		const { hop, link, codes } = await stage(t, (lab) =>
			lab.issue("evil", { role, id: "evil", ...(enclave === undefined ? {} : { enclave }) }),
		);
		for (const claimed of [uri, "spiffe://lab/px/edge-1"]) {
			hop.serverUri = claimed;
			const before = codes.length;
			if (claimed === uri) link.start();
			await until("a refusal", () => codes.length > before + 1);
		}
		assert.ok(codes.every((line) => line.startsWith("link_failed")));
		assert.equal(hop.hellos.length, 0);
	});
}

test("a proxy that the agent's certificate does not name gets no hello, one that it names gets one", async (t) => {
	const { hop, link, codes } = await stage(t, undefined, { proxies: ["edge-2"] });
	link.start();
	await until("the refusal", () => codes.some((line) => line.includes("proxy_not_listed")));
	assert.equal(hop.hellos.length, 0);
	const named = await stage(t, undefined, { proxies: ["edge-2", "edge-1"] });
	named.link.start();
	await until("the link", () => named.link.isUp);
});

test("a server that claims another name than its certificate bears gets no hello", async (t) => {
	const { hop, link, codes } = await stage(t);
	hop.serverUri = "spiffe://lab/sc/main";
	link.start();
	await until("the refusal", () => codes.some((line) => line.includes("server_identity")));
	assert.equal(hop.hellos.length, 0);
});

test("a frame before the welcome, garbage and a text message each drop the link", async (t) => {
	const { hop, link, codes } = await stage(t);
	link.start();
	await until("the link", () => link.isUp);
	hop.send(Uint8Array.of(1, 2, 3));
	await until("the drop", () => codes.some((line) => line.startsWith("link_frame_refused")));
	await until("the return", () => hop.hellos.length === 2);
});

test("a frame of the other tier is ignored without dropping the link", async (t) => {
	const { hop, link, codes } = await stage(t);
	link.start();
	await until("the link", () => link.isUp);
	hop.send(encodeFrame("command_received", { agent: "web-01", commandId: new Uint8Array(16) }));
	await until("the log", () => codes.some((line) => line.startsWith("link_frame_ignored")));
	assert.ok(link.isUp);
});

/** A stage with a second proxy behind its own. */
async function pairStage(t: TestContext) {
	const others: Hop[] = [];
	const at = await stage(t, undefined, {
		later: async (lab) => {
			const other = new Hop(lab.proxy);
			await other.listen();
			others.push(other);
			return [other.port];
		},
	});
	const [second] = others;
	assert.ok(second);
	t.after(() => second.close());
	return { ...at, first: at.hop, second };
}

/** What two proxies hold, by stream and number: the key by which the Security Center stores a batch once. */
function heldBy(...hops: readonly Hop[]): Map<string, Uint8Array> {
	const held = new Map<string, Uint8Array>();
	for (const { streams } of hops)
		for (const [id, { batches }] of streams)
			for (const { header, headerBytes } of batches) {
				const key = `${id}/${header.seq}`;
				assert.deepEqual(held.get(key) ?? headerBytes, headerBytes, "one number, one content");
				held.set(key, headerBytes);
			}
	return held;
}

test("a dead proxy is passed over for the next of the list and taken back when it is well; nothing is lost or doubled", async (t) => {
	const { first, second, link, lanes, codes } = await pairStage(t);
	const { port } = first;
	const add = (from: number, to: number) => {
		for (let pid = from; pid <= to; pid++)
			for (const lane of ["trace", "alert", "bulk"] as const) put(lanes, lane, pid);
	};
	link.start();
	await until("the first", () => first.isUp);
	add(1, 5);
	await until("five", () => first.events.length === 15);
	const diedAtMs = performance.now();
	await first.close();
	add(6, 10);
	await until("the second", () => second.isUp, 10_000);
	assert.ok(performance.now() - diedAtMs < 10_000);
	await until("ten", () => new Set(pids(second)).size >= 5);
	const backAtMs = performance.now();
	await first.listen(port);
	await until("the return", () => first.isUp);
	assert.ok(performance.now() - backAtMs >= STABLE_MS, "before it had been well for long enough");
	assert.equal(second.isUp, false);
	add(11, 15);
	const all = () => [...first.events, ...second.events];
	await until("fifteen", () => pids(first).filter((pid) => pid === 15).length === 3);
	assert.deepEqual(
		[...new Set(all().map(({ payload }) => payload.pid))].sort((a, b) => Number(a) - Number(b)),
		Array.from({ length: 15 }, (_, index) => index + 1),
	);
	assert.equal(all().filter(({ kind }) => kind === "gap").length, 0);
	assert.equal(heldBy(first, second).size, 45, "fifteen batches of three lanes, each under one number");
	assert.equal(codes.filter((line) => line.startsWith("link_moves")).length, 1);
});

test("a preferred proxy that comes and goes is not taken back", async (t) => {
	const { first, second, link, codes } = await pairStage(t);
	const { port } = first;
	await first.close();
	link.start();
	await until("the second", () => second.isUp);
	for (let round = 0; round < 4; round++) {
		await first.listen(port);
		await new Promise((resolve) => setTimeout(resolve, STABLE_MS / 2));
		await first.close();
		await new Promise((resolve) => setTimeout(resolve, STABLE_MS / 4));
	}
	assert.ok(second.isUp);
	assert.equal(second.hellos.length, 1);
	assert.equal(codes.filter((line) => line.startsWith("link_moves")).length, 0);
});

test("a proxy that accepts and never answers is given up while another waits, within ten seconds", async (t) => {
	const { first, second, link } = await pairStage(t);
	const { port } = first;
	await first.close();
	const silent = createServer();
	await new Promise<void>((resolve) => silent.listen(port, "127.0.0.1", resolve));
	const sockets: Socket[] = [];
	silent.on("connection", (socket) => sockets.push(socket));
	t.after(() => {
		for (const socket of sockets) socket.destroy();
		silent.close();
	});
	const startedAtMs = performance.now();
	link.start();
	await until("the second", () => second.isUp, 10_000);
	assert.ok(performance.now() - startedAtMs < 10_000);
	assert.ok(sockets.length >= 1);
});

test("a heartbeat says how fast the hop answers, how often the link was made anew, and why the last one ended", async (t) => {
	const { hop, link } = await stage(t);
	const beats = () => hop.frames.flatMap((frame) => (frame.type === "heartbeat" ? [frame.body.health] : []));
	link.start();
	await until("the first beat", () => beats().length === 1);
	assert.deepEqual([beats()[0]?.reconnects, beats()[0]?.lastError], [0, undefined]);
	await new Promise((resolve) => setTimeout(resolve, 300));
	link.heartbeat();
	await until("a measured round trip", () => beats().at(-1)?.roundTripMs !== undefined);
	const roundTripMs = beats().at(-1)?.roundTripMs ?? -1;
	assert.ok(roundTripMs >= 0 && roundTripMs < 1000, `${roundTripMs}`);
	hop.send(encodeFrame("bye", { code: "replaced", detail: "a newer session came" }));
	hop.drop();
	await until("the next link's beat", () => beats().at(-1)?.reconnects === 1);
	assert.match(beats().at(-1)?.lastError ?? "", /^(replaced: a newer session came|closed with 1006)$/);
});

test("a hop of another protocol version is named with both, shown the hello, and tried ever more rarely", async (t) => {
	const { hop, link, codes } = await stage(t);
	hop.protocol = 2;
	link.start();
	await until("two refusals", () => hop.refusals.length === 2);
	assert.deepEqual(hop.refusals, ["hello_protocol", "hello_protocol"]);
	assert.ok(
		codes.includes('link_failed {"reason":"server_protocol","detail":"the server speaks protocol 2, this agent 1"}'),
		codes.join("\n"),
	);
	assert.equal(link.isUp, false);
	hop.protocol = 1;
	const beats = () => hop.frames.flatMap((frame) => (frame.type === "heartbeat" ? [frame.body.health] : []));
	await until("the link", () => beats().length > 0);
	assert.equal(beats()[0]?.lastError, "server_protocol: the server speaks protocol 2, this agent 1");
});

test("an agent without a link, or with a hop that has no room, is behind; one whose hop takes everything is not", async (t) => {
	const { hop, link, lanes } = await stage(t);
	assert.ok(link.isBehind, "there is no link yet");
	link.start();
	await until("the link", () => link.isUp);
	assert.equal(link.isBehind, false);
	put(lanes, "bulk", 1);
	await until("the batch", () => pids(hop).length === 1);
	assert.equal(link.isBehind, false, "what is on its way is not behind");
	hop.isReceipting = false;
	for (let pid = 0; !link.isBehind && pid < 200; pid++) put(lanes, "bulk", pid, "x".repeat(60_000));
	assert.ok(link.isBehind, "the window is full of what nobody acknowledged");
});
