/**
 * batch_signatures, event_signatures and batch_sequence: each batch by its host's key, each event, no number missing unsaid. A gap
 * is no failure; hiding one would be.
 */
import { equalBytes, hexOf } from "#core/bytes/bytes.ts";
import { batchHash, verifyBatch, verifyBatchEvents, ZERO_HASH } from "#core/model/batch.ts";
import { inOrder } from "#core/package/layout.ts";
import type { OpenedBatch } from "#core/package/view.ts";
import { keysOf, type NodeKeys } from "./check-pki.ts";
import type { BatchPart, PackageParts } from "./package-parts.ts";
import { counted, failed, gaps, type Judged, pass } from "./verdict.ts";

const nameOf = ({ batch }: OpenedBatch): string =>
	`${batch.header.agent}/${hexOf(batch.header.stream)}/${batch.header.seq}`;

/** The key that signed each batch. */
export type BatchKeys = ReadonlyMap<BatchPart, Uint8Array>;

export function checkBatches(parts: PackageParts, keys: NodeKeys): Judged<BatchKeys> {
	if (parts.batches.length === 0) return failed("package_empty", "The package holds no batch.");
	const signers = new Map<BatchPart, Uint8Array>();
	for (const part of parts.batches) {
		let refusal: ReturnType<typeof verifyBatch> | null = null;
		for (const { signingKey } of keysOf(part, keys)) {
			const verified = verifyBatch(part.opened.batch, signingKey);
			if (verified.ok) signers.set(part, signingKey);
			else if (refusal?.ok !== false || refusal.code === "batch_signature_invalid") refusal = verified;
		}
		if (signers.has(part)) continue;
		if (refusal?.ok === false) return failed(refusal.code, `${nameOf(part.opened)}: ${refusal.detail}.`);
		return failed("batch_outside_certificate", `${nameOf(part.opened)}: no certificate was in force.`);
	}
	const claim = `${counted(signers.size, "batch", "batches")}: each signed by its host over the Merkle root of its events.`;
	return pass(signers, claim);
}

export function checkEvents(signers: BatchKeys): Judged<true> {
	let eventCount = 0;
	let signedCount = 0;
	for (const [{ opened }, key] of signers) {
		const verified = verifyBatchEvents(opened.batch, key);
		if (!verified.ok) return failed(verified.code, `${nameOf(opened)}: ${verified.detail}.`);
		eventCount += opened.batch.events.length;
		signedCount += opened.batch.events.filter(({ signature }) => signature !== undefined).length;
	}
	const others = eventCount === signedCount ? "" : "; the others stand under their batch's signature";
	return pass(true, `${signedCount} of ${counted(eventCount, "event")} signed one by one${others}.`);
}

/** A hole in a stream, both ends missing. */
interface Hole {
	readonly agent: string;
	readonly stream: string;
	readonly from: number;
	readonly to: number;
}

/** Whether gap events of the same host name every missing number of the hole. */
function isExplained(hole: Hole, batches: readonly OpenedBatch[]): boolean {
	const ranges = batches
		.filter(({ batch }) => batch.header.agent === hole.agent)
		.flatMap(({ events }) => events)
		.filter(({ kind, payload }) => kind === "gap" && payload.gapScope === "stream")
		.filter(({ payload }) => payload.gapStream !== undefined && hexOf(payload.gapStream) === hole.stream)
		.map(({ payload }) => ({ from: payload.gapFrom ?? 0n, to: payload.gapTo ?? -1n }))
		.sort((a, b) => (a.from < b.from ? -1 : 1));
	let next = BigInt(hole.from);
	for (const { from, to } of ranges) if (from <= next && to >= next) next = to + 1n;
	return next > BigInt(hole.to);
}

/** What is wrong between two neighbours of one stream, or null. */
function forkBetween(before: OpenedBatch, after: OpenedBatch): string | null {
	const [a, b] = [before.batch.header, after.batch.header];
	if (a.lane !== b.lane) return `${nameOf(after)} is of another lane than its stream`;
	if (b.seq !== a.seq + 1) return null;
	if (!equalBytes(b.prevHash, batchHash(before.batch.headerBytes))) return `${nameOf(after)} names another predecessor`;
	if (b.firstEvent !== a.firstEvent + a.eventCount) return `${nameOf(after)} numbers its events anew`;
	return null;
}

function streamsIn(parts: PackageParts): OpenedBatch[][] {
	const streams = new Map<string, OpenedBatch[]>();
	for (const opened of inOrder(parts.batches.map((part) => part.opened))) {
		const { agent, stream } = opened.batch.header;
		const key = `${agent}/${hexOf(stream)}`;
		const known = streams.get(key);
		if (known === undefined) streams.set(key, [opened]);
		else known.push(opened);
	}
	return [...streams.values()];
}

/**
 * Numbers follow each other and so do hashes, from the first batch given to the last. Bulk batches are chosen one by one, so their
 * holes say nothing. The events must be believed already: a gap event explains a hole.
 */
export function checkSequence(parts: PackageParts): Judged<true> {
	const batches = parts.batches.map((part) => part.opened);
	const claims: string[] = [];
	const holes: Hole[] = [];
	for (const stream of streamsIn(parts)) {
		const [first] = stream as [OpenedBatch];
		const { agent, lane, seq } = first.batch.header;
		const name = hexOf(first.batch.header.stream);
		if (seq === 1 && !equalBytes(first.batch.header.prevHash, ZERO_HASH))
			return failed("stream_forked", `${nameOf(first)} is the first of its stream and names a predecessor.`);
		for (const [i, after] of stream.slice(1).entries()) {
			const before = stream[i] as OpenedBatch;
			const fork = forkBetween(before, after);
			if (fork !== null) return failed("stream_forked", `${fork}.`);
			const [from, to] = [before.batch.header.seq + 1, after.batch.header.seq - 1];
			if (from <= to && lane !== "bulk") holes.push({ agent, stream: name, from, to });
		}
		const last = stream.at(-1)?.batch.header.seq;
		claims.push(`${agent} ${lane} stream ${name} ${lane === "bulk" ? "in chosen batches" : `${seq} to ${last}`}`);
	}
	const unexplained = holes.filter((hole) => !isExplained(hole, batches));
	const tell = ({ agent, stream, from, to }: Hole): string => `${agent} stream ${stream} ${from} to ${to}`;
	if (unexplained.length > 0)
		return gaps(
			true,
			"stream_hole",
			`Batches are missing that no host declared lost: ${unexplained.map(tell).join("; ")}.`,
		);
	const lost =
		holes.length === 0 ? "no number missing" : `missing only what hosts declared lost (${holes.map(tell).join("; ")})`;
	return pass(true, `${claims.join("; ")}: ${lost}, each batch naming the hash of the one before.`);
}
