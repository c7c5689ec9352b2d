/**
 * Power that goes at a hop: a recorded life is cut at its writes, and the hop is started on what the disk would have kept. What was
 * acknowledged before the cut must be there, without anyone's help; what is sent again must be there once.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { LANES, type Lane } from "#core/model/batch.ts";
import { packCarrier } from "../durable/carrier.ts";
import { boxPaths } from "../host/enclave/layout.ts";
import { signerPaths } from "../host/pki/layout.ts";
import { identityOf, routeTo, type SealedBatch, TestLink, type TestStream } from "../miniflare-tests/test-agent.ts";
import { type FaultBox, judgeBox, judgeLedger } from "./box.ts";
import { BLOCK_BYTES, CrashDisk, type Image, writeImage } from "./crash-disk.ts";
import { HandAgent, send } from "./hand-agent.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";
import { seededRandom } from "./seeded-random.ts";
import { StoreReader } from "./store-view.ts";
import { type BaseFile, type DiskOp, record, type WriteLog } from "./write-log.ts";

const AGENT = "agent-1";
const WORKERS = ["sc", "px-1"] as const;

interface Sent {
	readonly stream: TestStream;
	readonly batch: SealedBatch;
}

interface Ack {
	readonly stream: string;
	readonly level: "a1" | "a2";
	readonly seq: number;
	readonly atMs: number;
}

/** A hop, and how an agent's batches come to it by hand. */
interface Hop {
	readonly name: (typeof WORKERS)[number];
	/** Where its objects lie. */
	readonly folder: string;
	open(): Promise<TestLink>;
	send(link: TestLink, sent: Sent): void;
}

function proxyHop(box: FaultBox, hand: HandAgent): Hop {
	return {
		name: "px-1",
		folder: join(box.dataDir, "px-1", "wal"),
		async open() {
			const link = await hand.open();
			await link.expect("welcome");
			return link;
		},
		send: (link, { batch }) => send(link, batch),
	};
}

/** The Security Center, to which the first proxy's own key brings the agent's batches: the proxy itself must not run. */
function centerHop(box: FaultBox, hand: HandAgent): Hop {
	const uriOf = (end: string) => box.pki.nodes.find(({ uri }) => uri.endsWith(end))?.uri ?? "";
	const port = Number(box.center.listen.slice(box.center.listen.lastIndexOf(":") + 1));
	const proxy = identityOf("px-1", box.nodeOf("px-1").paths);
	return {
		name: "sc",
		folder: boxPaths(box.dataDir).centerData,
		async open() {
			const link = await TestLink.open({ port, name: "localhost", uri: uriOf("/sc-1") }, proxy, LINK_PATHS.peer);
			await link.expect("welcome");
			const heardAtMs = Date.now();
			const route = routeTo(uriOf("/px-1"), hand.identity, heardAtMs);
			link.send("agent_state", { agent: AGENT, isUp: true, proof: hand.identity.proof, heardAtMs, route });
			return link;
		},
		send: (link, { stream, batch }) =>
			link.sendRaw(packCarrier(stream.lane, "none", [{ agent: AGENT, bytes: batch.bytes }])),
	};
}

function acksOf(link: TestLink): Ack[] {
	return link.frames.flatMap(({ type, body }, index) =>
		type === "receipt"
			? [{ stream: hexOf(body.stream), level: body.level, seq: body.seq, atMs: link.cameAtMs[index] as number }]
			: [],
	);
}

/** Feeds by hand: small batches of every lane one by one, then bulk enough that the database's own log is taken in and begun anew. */
async function feedByHand(
	hop: Hop,
	hand: HandAgent,
	{ link, bulkBatches }: { link: TestLink; bulkBatches: number },
): Promise<Sent[]> {
	const streams = new Map<Lane, TestStream>(LANES.map((lane) => [lane, hand.stream(lane)]));
	const sent: Sent[] = [];
	const put = (lane: Lane, padBytes: number) => {
		const stream = streams.get(lane) as TestStream;
		const each = { stream, batch: hand.seal(stream, padBytes) };
		sent.push(each);
		hop.send(link, each);
	};
	for (let round = 0; round < FAULT_LIMITS.crashRounds; round++) {
		for (const lane of LANES) put(lane, 0);
		await sleep(FAULT_LIMITS.crashRoundMs);
	}
	for (let batch = 0; batch < bulkBatches; batch++) {
		put("bulk", FAULT_LIMITS.crashBulkBytes);
		await sleep(FAULT_LIMITS.crashRoundMs / 4);
	}
	return sent;
}

const lastOf = (sent: readonly Sent[]) => new Map(sent.map(({ stream, batch }) => [hexOf(stream.stream), batch.seq]));

/** Waits until the last batch of every stream has been acknowledged; false: it was not. */
async function allAcked(link: TestLink, sent: readonly Sent[], level: "a1" | "a2"): Promise<boolean> {
	for (const [stream, seq] of lastOf(sent)) {
		const fits = (body: { stream: Uint8Array; seq: number; level: string }) =>
			hexOf(body.stream) === stream && body.seq >= seq && (level === "a1" || body.level === "a2");
		const came = await link.expect("receipt", fits, FAULT_LIMITS.crashAckMsMax).catch(() => null);
		if (came === null) return false;
	}
	return true;
}

const MODES = ["whole", "torn", "synced"] as const;
type Mode = (typeof MODES)[number];

interface Cut {
	/** So many calls had been done. */
	readonly after: number;
	readonly mode: Mode;
	readonly image: Image;
	readonly says: string;
}

/** Walks the life once and stops at the chosen calls, with what a power loss would leave there by each reading. */
function* cutsOf(
	{ base, ops }: WriteLog,
	{ chosen, random }: { chosen: ReadonlySet<number>; random: (below: number) => number },
): Generator<Cut> {
	const disk = new CrashDisk(base);
	for (let after = 0; after <= ops.length; after++) {
		if (after > 0) disk.apply(ops[after - 1] as DiskOp);
		if (!chosen.has(after)) continue;
		const next = ops[after];
		const says = `after call ${after} of ${ops.length}`;
		yield { after, mode: "whole", image: disk.whole(), says: `${says}, everything written` };
		yield { after, mode: "synced", image: disk.synced(), says: `${says}, only what was fsynced` };
		if (next?.kind !== "write" || next.bytes.length <= BLOCK_BYTES) continue;
		const blocks = 1 + random(Math.ceil(next.bytes.length / BLOCK_BYTES) - 1);
		yield { after, mode: "torn", image: disk.torn(next, blocks), says: `${says}, ${blocks} blocks of the next` };
	}
}

/** All calls of a short life; of a long one so many, spread by the seed. */
function choose(ops: readonly DiskOp[], most: number, random: (below: number) => number): Set<number> {
	if (ops.length < most) return new Set(ops.map((_, index) => index + 1));
	const chosen = new Set([ops.length]);
	while (chosen.size < most) chosen.add(1 + random(ops.length));
	return chosen;
}

/** The newest receipt of each stream that had come before the call behind the cut began. */
function ackedAt(acks: readonly Ack[], next: DiskOp | undefined, level: "a1" | "a2"): Map<string, number> {
	const untilMs = next?.startMs ?? Number.POSITIVE_INFINITY;
	const acked = new Map<string, number>();
	for (const { stream, seq, level: of, atMs } of acks)
		if (atMs <= untilMs && (level === "a1" || of === "a2")) acked.set(stream, Math.max(seq, acked.get(stream) ?? 0));
	return acked;
}

const sha256Of = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Batches in the write-ahead logs of a hop's agents, by stream and number; throws where a file does not open. */
function heldIn(folder: string): Map<string, string[]> {
	const held = new Map<string, string[]>();
	const files = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
	for (const name of files.filter((each) => each.includes("AgentChannel") && each.endsWith(".sqlite"))) {
		const database = new DatabaseSync(join(folder, name), { timeout: 2000 });
		try {
			const has = database.prepare("SELECT count(*) AS n FROM sqlite_master WHERE name = 'wal'").get();
			if (Number(has?.n) === 0) continue;
			for (const row of database.prepare("SELECT stream, seq, bytes FROM wal").iterate()) {
				const key = `${hexOf(row.stream as Uint8Array)}/${row.seq}`;
				held.set(key, [...(held.get(key) ?? []), sha256Of(row.bytes as Uint8Array)]);
			}
		} finally {
			database.close();
		}
	}
	return held;
}

/** What of the acknowledged is not held, with its bytes. */
function missing(held: ReadonlyMap<string, readonly string[]>, sent: readonly Sent[], acked: Map<string, number>) {
	return sent.flatMap(({ stream, batch }) => {
		const id = hexOf(stream.stream);
		if (batch.seq > (acked.get(id) ?? 0)) return [];
		return held.get(`${id}/${batch.seq}`)?.includes(sha256Of(batch.bytes)) ? [] : [`${id}/${batch.seq}`];
	});
}

interface Life {
	readonly hop: Hop;
	readonly sent: readonly Sent[];
	readonly acks: readonly Ack[];
	readonly log: WriteLog;
}

/** Reads each image with a SQLite of our own: many of them, and whatever the hop would do to them has not been done. */
function readImages(life: Life, context: RowContext): { images: number; acknowledged: number; violations: string[] } {
	const random = seededRandom(context.seed);
	const scratch = mkdtempSync(join(tmpdir(), "daemoneye-crash-"));
	const violations: string[] = [];
	let images = 0;
	let acknowledged = 0;
	try {
		const chosen = choose(life.log.ops, FAULT_LIMITS.crashReads, random);
		for (const { after, image, says } of cutsOf(life.log, { chosen, random })) {
			if (context.signal.aborted) break;
			const acked = ackedAt(life.acks, life.log.ops[after], "a1");
			if (acked.size > 0) acknowledged++;
			images++;
			const files = new Map<string, BaseFile>();
			for (const [path, file] of image)
				if (path.includes("AgentChannel")) files.set(join(scratch, basename(dirname(path)), basename(path)), file);
			writeImage(files, [scratch]);
			try {
				const lost = missing(heldIn(scratch), life.sent, acked);
				if (lost.length > 0) violations.push(`I1: ${life.hop.name} ${says}: ${lost.join(", ")} acknowledged and gone`);
			} catch (error) {
				violations.push(`${life.hop.name} ${says}: the file does not open: ${(error as Error).message}`);
			}
		}
	} finally {
		rmSync(scratch, { recursive: true, force: true });
	}
	return { images, acknowledged, violations };
}

/** A link to a hop that has just been started; null when it lets nobody in. */
async function opened(hop: Hop): Promise<TestLink | null> {
	const untilMs = performance.now() + FAULT_LIMITS.startMsMax;
	while (performance.now() < untilMs) {
		const link = await hop.open().catch(() => null);
		if (link !== null) return link;
		await sleep(50);
	}
	return null;
}

/** Starts the hop on some images: it must open them without help, and what is sent again must be there once. */
async function startOnImages(
	life: Life,
	box: FaultBox,
	context: RowContext,
): Promise<{ starts: number; violations: string[] }> {
	const { hop, sent, log } = life;
	const random = seededRandom(context.seed + 1);
	const violations: string[] = [];
	let starts = 0;
	const chosen = choose(log.ops, FAULT_LIMITS.crashStarts, random);
	for (const { after, mode, image, says } of cutsOf(log, { chosen, random })) {
		// One reading of each cut, in turn.
		if (context.signal.aborted || violations.length >= FAULT_LIMITS.crashViolationsMax) break;
		if (mode !== MODES[starts % MODES.length] && !(mode === "whole" && log.ops[after]?.kind !== "write")) continue;
		starts++;
		writeImage(image, [hop.folder]);
		const process = box.process(hop.name);
		process.launch();
		const link = await opened(hop);
		if (link === null) {
			violations.push(`${hop.name} ${says}: it lets nobody in: ${process.tail().at(-1)}`);
			await process.kill();
			continue;
		}
		for (const each of sent) hop.send(link, each);
		if (!(await allAcked(link, sent, "a1")))
			violations.push(`${hop.name} ${says}: what came again was not acknowledged`);
		link.close();
		await process.kill();
		const held = heldIn(hop.folder);
		const all = lastOf(sent);
		const lost = missing(held, sent, all);
		if (lost.length > 0) violations.push(`I1: ${hop.name} ${says}: ${lost.join(", ")} acknowledged again and gone`);
		const doubled = [...held].filter(([, hashes]) => hashes.length > 1);
		if (doubled.length > 0) violations.push(`I2: ${hop.name} ${says}: ${doubled[0]?.[0]} is there twice`);
	}
	return { starts, violations };
}

/** One hop's half of row 7: nothing goes on from it, so all that it acknowledged must lie in its own log. */
async function crashHop(hop: Hop, hand: HandAgent, box: FaultBox, context: RowContext): Promise<string[]> {
	const process = box.process(hop.name);
	const link = await hop.open();
	const recording = await record([process.pid], [hop.folder]);
	const sent = await feedByHand(hop, hand, { link, bulkBatches: FAULT_LIMITS.crashBulkBatches });
	const isAcked = await allAcked(link, sent, "a1");
	await process.kill();
	const life: Life = { hop, sent, acks: acksOf(link), log: await recording.end() };
	hand.takeReceipts(link);
	link.close();
	const read = readImages(life, context);
	const started = await startOnImages(life, box, context);
	context.step(
		`${hop.name}: ${life.log.ops.length} calls, ${read.images} images read, ${read.acknowledged} of them with something ` +
			`acknowledged, started on ${started.starts}`,
	);
	const idle = read.acknowledged === 0 || !isAcked ? [`${hop.name} acknowledged nothing: the row tries nothing`] : [];
	return [...idle, ...read.violations, ...started.violations];
}

/** Row 7. */
export function losePowerAtHops(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const hand = new HandAgent(box, AGENT);
		await box.process("sc").kill();
		const violations = await crashHop(proxyHop(box, hand), hand, box, context);
		await box.process("sc").start();
		await box.process("sqld").kill();
		violations.push(...(await crashHop(centerHop(box, hand), hand, box, context)));
		// The last images hold all that was sent: it goes on from them as if nothing had been.
		for (const name of ["sqld", "sc", "px-1"]) await box.process(name).start();
		context.step("everything runs again");
		const outcome = await judgeBox(box, context, { agents: [hand] });
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}

/** What the store must hold and does not yet; null while it cannot be read. */
function unstored(
	box: FaultBox,
	sent: readonly Sent[],
	{ a1, a2 }: { a1: Map<string, number>; a2: Map<string, number> },
) {
	const view = new StoreReader(box.dataDir).view(AGENT, true);
	if (view === null) return null;
	const stored = new Map(view.batches.map((batch) => [`${batch.stream}/${batch.seq}`, batch]));
	return sent.flatMap(({ stream, batch }) => {
		const id = hexOf(stream.stream);
		if (batch.seq > (a1.get(id) ?? 0)) return [];
		const row = stored.get(`${id}/${batch.seq}`);
		const isThere = row?.sha256 === sha256Of(batch.bytes) && row.events > 0 && row.events === row.distinctEvents;
		const isProven = batch.seq > (a2.get(id) ?? 0) || row?.ledgerIndex !== null;
		return isThere && isProven ? [] : [`${id}/${batch.seq}`];
	});
}

/** Row 8: the whole Security Center loses its power, store, ledger and objects at one moment. */
export function losePowerAtCenter(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const hand = new HandAgent(box, AGENT);
		await box.process("px-1").kill();
		const hop = centerHop(box, hand);
		const names = ["sqld", "signer", "sc"];
		const folders = [join(box.dataDir, "sqld", "db"), signerPaths(box.dataDir).directory, hop.folder];
		const link = await hop.open();
		const recording = await record(
			names.map((name) => box.process(name).pid),
			folders,
		);
		const sent = await feedByHand(hop, hand, { link, bulkBatches: FAULT_LIMITS.crashStoreBatches });
		const isAcked = await allAcked(link, sent, "a2");
		for (const name of names) await box.process(name).kill();
		const log = await recording.end();
		const acks = acksOf(link);
		hand.takeReceipts(link);
		link.close();
		const violations: string[] = isAcked ? [] : ["not everything came into custody: the row tries nothing"];
		const random = seededRandom(context.seed);
		const chosen = choose(log.ops, FAULT_LIMITS.crashCenters, random);
		let starts = 0;
		let proven = 0;
		for (const { after, mode, image, says } of cutsOf(log, { chosen, random })) {
			if (context.signal.aborted || violations.length >= FAULT_LIMITS.crashViolationsMax) break;
			const isLast = after === log.ops.length;
			// The strictest reading mostly; all that was written now and then.
			if (mode !== (starts % 4 === 3 && !isLast ? "whole" : "synced")) continue;
			starts++;
			const acked = { a1: ackedAt(acks, log.ops[after], "a1"), a2: ackedAt(acks, log.ops[after], "a2") };
			if (acked.a2.size > 0) proven++;
			writeImage(image, folders);
			try {
				for (const name of names) await box.process(name).start(1);
			} catch (error) {
				violations.push(`${says}: it does not start: ${(error as Error).message}`);
				continue;
			}
			const untilMs = performance.now() + FAULT_LIMITS.crashReplayMsMax;
			let lost = unstored(box, sent, acked);
			while ((lost === null || lost.length > 0) && performance.now() < untilMs) {
				await sleep(FAULT_LIMITS.settlePollMs);
				lost = unstored(box, sent, acked);
			}
			if (lost === null) violations.push(`${says}: the store cannot be read`);
			else if (lost.length > 0) violations.push(`I1: ${says}: ${lost.length} acknowledged and gone: ${lost[0]}`);
			violations.push(...judgeLedger(box).map((each) => `${says}: ${each}`));
			if (!isLast) for (const name of names) await box.process(name).kill();
		}
		context.step(`${log.ops.length} calls, started on ${starts} images, ${proven} of them with something in custody`);
		if (proven === 0) violations.push("nothing was in custody: the row tries nothing");
		// A life that broke too much was left at one of its images.
		for (const name of names) if (!box.process(name).isRunning) await box.process(name).start();
		const again = await hop.open();
		for (const each of sent) hop.send(again, each);
		if (!(await allAcked(again, sent, "a1"))) violations.push("what came again was not acknowledged");
		again.close();
		const outcome = await judgeBox(box, context, { agents: [hand] });
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}
