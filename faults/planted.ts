/**
 * Bugs that are planted on purpose, to prove that the fault matrix can fail: each breaks one promise by a few lines of the source,
 * changed while the matrix bundles what it runs. The product has no switch for any of them.
 */
import type { SourceChange } from "../tools/source-changes.ts";

export interface PlantedSource {
	readonly says: string;
	readonly changes: readonly SourceChange[];
}

export const PLANTED_BUGS = {
	ack_before_commit: {
		says: "a hop receipts a batch before its log is written",
		changes: [
			{
				file: "durable/intake.ts",
				from: "	commit(): void {\n",
				to: `	commit(): void {
		this.#parts.onCommitted(this.#staged.map(({ stream, seq }) => ({ stream, seq })));
		this.#timer ??= setTimeout(() => this.#commitLate(), CHANNEL_LIMITS.fsyncIntervalMsMax);
	}

	#commitLate(): void {
`,
			},
			{
				file: "durable/intake.ts",
				from: "this.#parts.store.stream(stream)?.a1 ?? 0;",
				to: "this.#parts.store.stream(stream)?.state.received ?? 0;",
			},
		],
	},
	chunk_dropped: {
		says: "the agent opens its outbox without the newest segment and without any that is damaged",
		changes: [
			{
				file: "agent/outbox/recover.ts",
				from: "		if (read.segment.bytes < bytes.length) {",
				to: `		if (read.hasLoss || found.every((each) => each.lane !== lane || each.index <= index)) {
			storage.remove(name);
			continue;
		}
		if (read.segment.bytes < bytes.length) {`,
			},
		],
	},
	dedup_off: {
		says: "a batch that comes again is taken and stored again",
		changes: [
			{
				file: "durable/admission.ts",
				from: "			const held = context.heldHash(stream, seq);",
				to: `			const held = context.heldHash(stream, seq);
			if (held === undefined) return { kind: "taken", batch: { stream, seq, lane, bytes: batch.bytes, hash }, state };`,
			},
			{ file: "workers/sc/store/ingest.ts", from: " AND b.hash = ?4 AND b.has_events = 0`", to: " AND b.hash = ?4`" },
		],
	},
	depth_unbounded: {
		says: "what nests is read however deep it nests",
		changes: [{ file: "core/codec/scan.ts", from: "if (depth > this.#limits.depthMax)", to: "if (depth < 0)" }],
	},
	expiry_off: {
		says: "a hop hands out commands after their time",
		changes: [
			{
				file: "durable/channel-store.ts",
				from: `this.#sql.exec("DELETE FROM commands WHERE expires_at_ms < ?", nowMs);`,
				to: "",
			},
		],
	},
	flow_off: {
		says: "senders ask for no credit: everything waiting is sent at once",
		changes: [
			{
				file: "agent/link/sender.ts",
				from: "		if (this.#inFlightBytes >= AGENT_LIMITS.windowBytesMax) return false;",
				to: "		if (this.#inFlightBytes >= 0) return true;",
			},
			{
				file: "durable/flow.ts",
				from: "return this.#unackedBytes < (isLowestLane",
				to: "return this.#unackedBytes >= 0 || this.#unackedBytes < (isLowestLane",
			},
		],
	},
	fork_unseen: {
		says: "other bytes under a known number pass as a repetition, and an old outbox goes on with its stream",
		changes: [
			{
				file: "agent/link/sender.ts",
				from: "if (!this.#isOurs(chain, mark)) {",
				to: "if (!this.#isOurs(chain, mark) && mark.a1 < 0) {",
			},
			{
				file: "durable/admission.ts",
				from: "	const base = isResumed ?",
				to: `	if (seq <= state.received) return { kind: "repeated", stream, lane };
	const base = isResumed || seq === state.received + 1 ?`,
			},
		],
	},
	failover_off: {
		says: "a node tries the first of its list only",
		changes: [
			{
				file: "core/protocol/parents.ts",
				from: "			this.#current = (this.#current + 1) % this.#count;",
				to: "			this.#current = 0;",
			},
		],
	},
	fsync_off: {
		says: "the agent's outbox never asks for an fsync",
		changes: [
			{
				file: "agent/outbox/outbox.ts",
				from: 'this.#guard("sync", () => this.#storage.sync(active.handle));',
				to: "",
			},
		],
	},
	time_window_dedup: {
		says: "a batch that began more than an hour ago counts as a repetition",
		changes: [
			{
				file: "durable/admission.ts",
				from: "	const verdict = judgeSequence(",
				to: `	if (batch.header.startMs < Date.now() - 3_600_000) return { kind: "repeated", stream, lane };
	const verdict = judgeSequence(`,
			},
		],
	},
	frame_unbounded: {
		says: "a message is read however long it is",
		changes: [
			{
				file: "durable/read-message.ts",
				from: "	if (message.byteLength > bytesMax) return fail(",
				to: "	if (message.byteLength < bytesMax - bytesMax) return fail(",
			},
		],
	},
	gap_code_off: {
		says: "the agent makes no gap records",
		changes: [
			{
				file: "agent/stream/lanes.ts",
				from: "		const { events } = pending;\n		if (events.count === 0) events.firstSeq",
				to: '		if (draft.kind === "gap") return;\n		const { events } = pending;\n		if (events.count === 0) events.firstSeq',
			},
		],
	},
	hole_unasked: {
		says: "a hop that has lost what upstream waits for asks nobody for it",
		changes: [
			{
				file: "durable/intake.ts",
				from: "		if (!this.mayAsk(stream, nowMs)) return false;",
				to: "		if (nowMs > 0) return false;",
			},
		],
	},
	inflate_uncapped: {
		says: "frames are inflated as many and as far as they go",
		changes: [
			{
				file: "durable/zstd-frames.ts",
				from: "		if (frames.length === framesMax)",
				to: "		if (frames.length > 16 * framesMax)",
			},
			{
				file: "durable/zstd-frames.ts",
				from: "			if (piece.length > ZSTD_LIMITS.frameBytesMax || bytes > bytesMax)",
				to: "			if (bytes < 0)",
			},
		],
	},
	jitter_off: {
		says: "nodes wait for their next try all alike",
		changes: [
			{
				file: "core/protocol/parents.ts",
				from: "return Math.ceil(this.#random() * longestMs);",
				to: "return Math.ceil(longestMs);",
			},
		],
	},
	lock_off: {
		says: "a box is served by whoever starts",
		changes: [
			{
				file: "host/supervisor/data-dir-lock.ts",
				from: "	if (run.status === 0) return ok(",
				to: "	if (run.status !== null) return ok(",
			},
		],
	},
	nonce_reused: {
		says: "a challenge opens as many links as are asked for",
		changes: [
			{
				file: "workers/edge/link-gate.ts",
				from: "		if (this.#used.has(key)) return fail(",
				to: '		if (key === "") return fail(',
			},
		],
	},
	object_before_proof: {
		says: "a hello reaches the object before it is judged",
		changes: [
			{
				file: "workers/edge/link-gate.ts",
				from: "	const admitted = await admit(request, way.role,",
				to: `	await way.door.getByName("nobody").fetch("https://nobody.invalid/").catch(() => undefined);
	const admitted = await admit(request, way.role,`,
			},
		],
	},
	order_off: {
		says: "a hop takes a batch behind a hole",
		changes: [
			{
				file: "durable/admission.ts",
				from: "const isResumed = !isSetBack && seq > state.received + 1 && context.mayResume(stream);",
				to: "const isResumed = !isSetBack && seq > state.received + 1;",
			},
		],
	},
	refusal_untold: {
		says: "a hop refuses without a word to the sender",
		changes: [
			{
				file: "durable/agent-channel.ts",
				from: `this.#session.send(encodeFrame("reject", { agent, ...refusal }));`,
				to: "if (agent !== undefined) return;",
			},
		],
	},
	path_unjudged: {
		says: "a node takes any path above it",
		changes: [
			{
				file: "core/identity/path.ts",
				from: "	if (path.includes(selfUri))",
				to: '	if (path.includes(selfUri) && selfUri === "")',
			},
			{
				file: "core/identity/path.ts",
				from: "	if (new Set(path).size !== path.length)",
				to: "	if (new Set(path).size > path.length)",
			},
		],
	},
	session_forgotten: {
		says: "an object that left memory does not know the session it had",
		changes: [
			{
				file: "durable/agent-session.ts",
				from: "live.sort((a, b) => opened(b) - opened(a))[0] ?? null;",
				to: "live.sort((a, b) => opened(b) - opened(a))[64] ?? null;",
			},
		],
	},
	watermark_off: {
		says: "a hop takes every lane, however full its disk is",
		changes: [
			{
				file: "durable/box-disk.ts",
				from: "if (freeBytes > floorBytes) return null;",
				to: "if (freeBytes >= 0) return null;",
			},
		],
	},
	priority_off: {
		says: "a hop sends the lanes in the wrong order, bulk first",
		changes: [
			{
				file: "durable/carrier-pump.ts",
				from: "				const lane = this.#scheduler.next(",
				to: '				const lane = this.#ready("bulk").length > 0 ? ("bulk" as const) : this.#scheduler.next(',
			},
		],
	},
	retry_as_success: {
		says: "a write that failed counts as done",
		changes: [
			{
				file: "agent/outbox/outbox.ts",
				from: `this.#guard("sync", () => this.#storage.sync(active.handle));`,
				to: `try {
				this.#storage.sync(active.handle);
			} catch {}`,
			},
			{
				file: "agent/outbox/outbox.ts",
				from: `			const trouble = this.#diskTrouble(error, "write");`,
				to: `			if (written >= 0) {
				active.segment.bytes += bytes.length;
				return ok(true);
			}
			const trouble = this.#diskTrouble(error, "write");`,
			},
			{
				file: "durable/intake.ts",
				from: `			this.#parts.abort("the write-ahead log could not be written");
			throw error;`,
				to: "return undefined as T;",
			},
			{
				file: "durable/intake.ts",
				from: `			this.#parts.onCommitted(receipts);
		});`,
				to: `			this.#parts.onCommitted(receipts);
		});
		this.#parts.onCommitted(batches.map(({ stream, seq }) => ({ stream, seq })));`,
			},
		],
	},
	store_relaxed: {
		says: "the store is run with sqld's own durability",
		changes: [
			{
				file: "host/sqld/sqld.ts",
				from: "afterHealthy: () => makeDurable(adminUrl, adminKey),",
				to: "afterHealthy: async () => ok(undefined),",
			},
		],
	},
	signature_unchecked: {
		says: "a hop believes whoever claims to have signed",
		changes: [
			{
				file: "durable/admission.ts",
				from: "	if (!verified.ok) return refused(",
				to: "	if (!verified.ok && seq < 0) return refused(",
			},
		],
	},
	silence_unseen: {
		says: "nobody minds a silent link",
		changes: [
			{
				file: "agent/link/link.ts",
				from: "if (++this.#silentIntervals > 2) {",
				to: "if (++this.#silentIntervals < 0) {",
			},
			{
				file: "durable/ways-up.ts",
				from: "else if (nowMs - this.#link.heardAtMs > UPLINK_LIMITS.silentMsMax)",
				to: "else if (nowMs < 0)",
			},
		],
	},
} as const satisfies Readonly<Record<string, PlantedSource>>;

export type PlantedBug = keyof typeof PLANTED_BUGS;
