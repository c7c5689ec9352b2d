/**
 * Power that goes at a hop: a recorded life is cut at its writes, and the hop is started on what the disk would have kept. What was
 * acknowledged before the cut must be there, without anyone's help; what is sent again must be there once.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { signerPaths } from "../host/pki/layout.ts";
import type { TestLink } from "../miniflare-tests/test-agent.ts";
import { type FaultBox, judgeBox, judgeLedger } from "./box.ts";
import { writeImage } from "./crash-disk.ts";
import {
	type Ack,
	AGENT,
	ackedAt,
	acksOf,
	allAcked,
	centerHop,
	choose,
	cutsOf,
	feedByHand,
	type Hop,
	heldIn,
	lastOf,
	MODES,
	missing,
	proxyHop,
	type Sent,
	sha256Of,
} from "./crash-life.ts";
import { HandAgent } from "./hand-agent.ts";
import { inBox } from "./kill.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { RowContext, RowOutcome } from "./row.ts";
import { seededRandom } from "./seeded-random.ts";
import { StoreReader } from "./store-view.ts";
import { type BaseFile, record, type WriteLog } from "./write-log.ts";

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

/** The newest acknowledged number of each stream. */
interface Acked {
	readonly a1: ReadonlyMap<string, number>;
	readonly a2: ReadonlyMap<string, number>;
}

/** What the store must hold and does not yet; null while it cannot be read. */
function unstored(box: FaultBox, sent: readonly Sent[], { a1, a2 }: Acked): string[] | null {
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

/** The processes of a Security Center, in the order in which they start. */
const CENTER = ["sqld", "signer", "sc"] as const;

/** Waits for the store to hold again what was acknowledged; answers what is wrong when it does not come to that. */
async function replayed(box: FaultBox, sent: readonly Sent[], acked: Acked): Promise<string[]> {
	const untilMs = performance.now() + FAULT_LIMITS.crashReplayMsMax;
	let lost = unstored(box, sent, acked);
	while ((lost === null || lost.length > 0) && performance.now() < untilMs) {
		await sleep(FAULT_LIMITS.settlePollMs);
		lost = unstored(box, sent, acked);
	}
	if (lost === null) return ["the store cannot be read"];
	return lost.length === 0 ? [] : [`I1: ${lost.length} acknowledged and gone: ${lost[0]}`];
}

/** Starts the whole Security Center on images of one moment each; the last one is left running. */
async function startCenterOnImages(
	{ sent, acks, log }: Life,
	box: FaultBox,
	{ context, folders }: { context: RowContext; folders: readonly string[] },
): Promise<string[]> {
	const random = seededRandom(context.seed);
	const violations: string[] = [];
	let starts = 0;
	let proven = 0;
	for (const cut of cutsOf(log, { chosen: choose(log.ops, FAULT_LIMITS.crashCenters, random), random })) {
		if (context.signal.aborted || violations.length >= FAULT_LIMITS.crashViolationsMax) break;
		const isLast = cut.after === log.ops.length;
		// The strictest reading mostly; all that was written now and then.
		if (cut.mode !== (starts % 4 === 3 && !isLast ? "whole" : "synced")) continue;
		starts++;
		const next = log.ops[cut.after];
		const acked = { a1: ackedAt(acks, next, "a1"), a2: ackedAt(acks, next, "a2") };
		if (acked.a2.size > 0) proven++;
		writeImage(cut.image, folders);
		try {
			for (const name of CENTER) await box.process(name).start(1);
		} catch (error) {
			violations.push(`${cut.says}: it does not start: ${(error as Error).message}`);
			for (const name of CENTER) await box.process(name).kill();
			continue;
		}
		const found = [...(await replayed(box, sent, acked)), ...judgeLedger(box)];
		violations.push(...found.map((each) => `${cut.says}: ${each}`));
		if (!isLast) for (const name of CENTER) await box.process(name).kill();
	}
	context.step(`${log.ops.length} calls, started on ${starts} images, ${proven} of them with something in custody`);
	return proven === 0 ? ["nothing was in custody: the row tries nothing", ...violations] : violations;
}

/** Row 8: the whole Security Center loses its power, store, ledger and objects at one moment. */
export function losePowerAtCenter(context: RowContext): Promise<RowOutcome> {
	return inBox(context, { agents: [AGENT] }, async (box) => {
		const hand = new HandAgent(box, AGENT);
		await box.process("px-1").kill();
		const hop = centerHop(box, hand);
		const folders = [join(box.dataDir, "sqld", "db"), signerPaths(box.dataDir).directory, hop.folder];
		const link = await hop.open();
		const recording = await record(
			CENTER.map((name) => box.process(name).pid),
			folders,
		);
		const sent = await feedByHand(hop, hand, { link, bulkBatches: FAULT_LIMITS.crashStoreBatches });
		const isAcked = await allAcked(link, sent, "a2");
		for (const name of CENTER) await box.process(name).kill();
		const life: Life = { hop, sent, acks: acksOf(link), log: await recording.end() };
		hand.takeReceipts(link);
		link.close();
		const violations = isAcked ? [] : ["not everything came into custody: the row tries nothing"];
		violations.push(...(await startCenterOnImages(life, box, { context, folders })));
		// A life that broke too much was left at one of its images.
		for (const name of CENTER) if (!box.process(name).isRunning) await box.process(name).start();
		const again = await hop.open();
		for (const each of sent) hop.send(again, each);
		if (!(await allAcked(again, sent, "a1"))) violations.push("what came again was not acknowledged");
		again.close();
		const outcome = await judgeBox(box, context, { agents: [hand] });
		return { ...outcome, violations: [...violations, ...outcome.violations] };
	});
}
