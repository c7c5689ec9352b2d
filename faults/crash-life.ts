/**
 * A life of a hop that is recorded and cut: how an agent's batches come to it by hand, what it acknowledged and when, the cuts and what a
 * power loss would leave at each, and what lies in a hop's own logs. Must never ask the hop itself what it holds.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { LANES, type Lane } from "#core/model/batch.ts";
import { packCarrier } from "../durable/carrier.ts";
import { boxPaths } from "../host/enclave/layout.ts";
import { identityOf, routeTo, type SealedBatch, TestLink, type TestStream } from "../miniflare-tests/test-agent.ts";
import type { FaultBox } from "./box.ts";
import { BLOCK_BYTES, CrashDisk, type Image } from "./crash-disk.ts";
import { type HandAgent, send } from "./hand-agent.ts";
import { FAULT_LIMITS } from "./limits.ts";
import type { DiskOp, WriteLog } from "./write-log.ts";

export const AGENT = "agent-1";
const WORKERS = ["sc", "px-1"] as const;

export interface Sent {
	readonly stream: TestStream;
	readonly batch: SealedBatch;
}

export interface Ack {
	readonly stream: string;
	readonly level: "a1" | "a2";
	readonly seq: number;
	readonly atMs: number;
}

/** A hop, and how an agent's batches come to it by hand. */
export interface Hop {
	readonly name: (typeof WORKERS)[number];
	/** Where its objects lie. */
	readonly folder: string;
	open(): Promise<TestLink>;
	send(link: TestLink, sent: Sent): void;
}

export function proxyHop(box: FaultBox, hand: HandAgent): Hop {
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
export function centerHop(box: FaultBox, hand: HandAgent): Hop {
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

export function acksOf(link: TestLink): Ack[] {
	return link.frames.flatMap(({ type, body }, index) =>
		type === "receipt"
			? [{ stream: hexOf(body.stream), level: body.level, seq: body.seq, atMs: link.cameAtMs[index] as number }]
			: [],
	);
}

/** Feeds by hand: small batches of every lane one by one, then bulk enough that the database's own log is taken in and begun anew. */
export async function feedByHand(
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

export const lastOf = (sent: readonly Sent[]) =>
	new Map(sent.map(({ stream, batch }) => [hexOf(stream.stream), batch.seq]));

/** Waits until the last batch of every stream has been acknowledged; false: it was not. */
export async function allAcked(link: TestLink, sent: readonly Sent[], level: "a1" | "a2"): Promise<boolean> {
	for (const [stream, seq] of lastOf(sent)) {
		const fits = (body: { stream: Uint8Array; seq: number; level: string }) =>
			hexOf(body.stream) === stream && body.seq >= seq && (level === "a1" || body.level === "a2");
		const came = await link.expect("receipt", fits, FAULT_LIMITS.crashAckMsMax).catch(() => null);
		if (came === null) return false;
	}
	return true;
}

export const MODES = ["whole", "torn", "synced"] as const;
export type Mode = (typeof MODES)[number];

export interface Cut {
	/** So many calls had been done. */
	readonly after: number;
	readonly mode: Mode;
	readonly image: Image;
	readonly says: string;
}

/** Walks the life once and stops at the chosen calls, with what a power loss would leave there by each reading. */
export function* cutsOf(
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
export function choose(ops: readonly DiskOp[], most: number, random: (below: number) => number): Set<number> {
	if (ops.length < most) return new Set(ops.map((_, index) => index + 1));
	const chosen = new Set([ops.length]);
	while (chosen.size < most) chosen.add(1 + random(ops.length));
	return chosen;
}

/** The newest receipt of each stream that had come before the call behind the cut began. */
export function ackedAt(acks: readonly Ack[], next: DiskOp | undefined, level: "a1" | "a2"): Map<string, number> {
	const untilMs = next?.startMs ?? Number.POSITIVE_INFINITY;
	const acked = new Map<string, number>();
	for (const { stream, seq, level: of, atMs } of acks)
		if (atMs <= untilMs && (level === "a1" || of === "a2")) acked.set(stream, Math.max(seq, acked.get(stream) ?? 0));
	return acked;
}

export const sha256Of = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Batches in the write-ahead logs of a hop's agents, by stream and number; throws where a file does not open. */
export function heldIn(folder: string): Map<string, string[]> {
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
export function missing(
	held: ReadonlyMap<string, readonly string[]>,
	sent: readonly Sent[],
	acked: ReadonlyMap<string, number>,
): string[] {
	return sent.flatMap(({ stream, batch }) => {
		const id = hexOf(stream.stream);
		if (batch.seq > (acked.get(id) ?? 0)) return [];
		return held.get(`${id}/${batch.seq}`)?.includes(sha256Of(batch.bytes)) ? [] : [`${id}/${batch.seq}`];
	});
}
