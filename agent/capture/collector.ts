/**
 * The link to procmond: bytes in, frames out, four commands back. Guarantees that nothing is sent before `configure`, that the
 * capture policy follows it at once, and that
 * a malformed frame ends the link: after it no byte can be trusted to begin a frame. The owner decides what an end means (the
 * process stops: without its collector an agent only pretends).
 */
import type { Duplex } from "node:stream";
import { lossyTextOf } from "#core/bytes/bytes.ts";
import { fail, ok } from "#core/result.ts";
import type { CapturePolicy } from "#core/trust/capture-policy.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import type { SlotAnswer } from "../trace/commands.ts";
import type { TraceRoot } from "../trace/traces.ts";
import { type CaptureFrame, encodeFrame, FrameReader, tagBytes, tagNumber } from "./frame.ts";
import { COLLECT_BITS } from "./layout.ts";
import { encodePolicy } from "./policy-frame.ts";

export interface CaptureConfig {
	/** Path below the cgroup v2 mount; empty = the whole machine. */
	readonly scopeCgroup: string;
	/** `auto` takes the best tier the kernel allows; any other is forced and ends procmond where it is refused. */
	readonly source: "auto" | "ebpf" | "netlink" | "proc";
	/** How often the polling tiers look; at least this, longer where looking would be the load. */
	readonly pollMs: number;
	/** Whether the polling tiers look at connections too. */
	readonly pollsConnections: boolean;
}

export interface CollectorOptions {
	readonly config: CaptureConfig;
	/** In force at the start. */
	readonly policy: CapturePolicy;
	readonly log: Log;
	readonly onFrame: (frame: CaptureFrame) => void;
	/** The link is over; one sentence why. Called once. */
	readonly onEnd: (code: string, sentence: string) => void;
}

interface Waiting {
	readonly settle: (answer: SlotAnswer) => void;
	readonly timer: NodeJS.Timeout;
}

export class Collector {
	readonly #socket: Duplex;
	readonly #options: CollectorOptions;
	readonly #reader = new FrameReader();
	readonly #waiting = new Map<number, Waiting>();
	/** Unknown kinds that were already told, so that a newer procmond does not fill the log. */
	readonly #unknownKinds = new Set<number>();
	#isOver = false;

	constructor(socket: Duplex, options: CollectorOptions) {
		this.#socket = socket;
		this.#options = options;
		const { scopeCgroup, source, pollMs, pollsConnections } = options.config;
		const COLLECT = Number(pollsConnections) << COLLECT_BITS.network;
		this.#send(
			encodeFrame({
				kind: "configure",
				tags: { SCOPE_CGROUP: scopeCgroup, SOURCE: source, POLL_MS: pollMs, COLLECT },
			}),
		);
		this.setPolicy(options.policy);
		socket.on("data", (chunk: Buffer) => this.#take(chunk));
		socket.on("end", () => {
			const end = this.#reader.end();
			if (end.ok) this.#over("collector_gone", "procmond closed its socket; its own last words say why.");
			else this.#over(end.code, `procmond ended in the middle of a frame: ${end.detail}.`);
		});
		socket.on("error", (error: Error) =>
			this.#over("collector_gone", `The socket to procmond failed: ${error.message}.`),
		);
	}

	#take(chunk: Uint8Array): void {
		if (this.#isOver) return;
		const frames = this.#reader.push(chunk);
		if (!frames.ok) {
			this.#over(frames.code, `procmond sent a frame that cannot be read: ${frames.detail}. Use its own version.`);
			return;
		}
		for (const frame of frames.value) {
			if (this.#isOver) return;
			if (frame.kind === null) this.#skip(frame.number);
			else if (frame.kind === "trace_state") this.#settle(frame);
			else this.#options.onFrame(frame);
		}
	}

	#skip(kind: number): void {
		if (this.#unknownKinds.has(kind) || this.#unknownKinds.size >= 16) return;
		this.#unknownKinds.add(kind);
		this.#options.log("frame_kind_unknown", { kind });
	}

	#settle(frame: CaptureFrame): void {
		const slot = tagNumber(frame, "SLOT");
		const waiting = slot === undefined ? undefined : this.#waiting.get(slot);
		if (slot === undefined || waiting === undefined) return;
		this.#waiting.delete(slot);
		clearTimeout(waiting.timer);
		const cause = lossyTextOf(tagBytes(frame, "CAUSE") ?? new Uint8Array(0));
		if (cause === "") waiting.settle(ok({ processCount: tagNumber(frame, "COUNT") ?? 0 }));
		else waiting.settle(fail("collector_refused", `procmond refused: ${cause}`));
	}

	/** Puts a lineage in scope and waits for procmond's answer. */
	addSlot(root: TraceRoot): Promise<SlotAnswer> {
		const { slot, entry, depth, collects } = root;
		const bits =
			(Number(collects.fileMeta) << COLLECT_BITS.file) |
			(Number(collects.network) << COLLECT_BITS.network) |
			(Number(collects.cmdlines) << COLLECT_BITS.cmdline) |
			(Number(collects.memoryHeaders) << COLLECT_BITS.memory);
		return new Promise((settle) => {
			const timer = setTimeout(() => {
				this.#waiting.delete(slot);
				this.removeSlot(slot);
				settle(fail("collector_refused", `procmond did not answer within ${AGENT_LIMITS.traceAnswerMs} ms`));
			}, AGENT_LIMITS.traceAnswerMs);
			this.#waiting.set(slot, { settle, timer });
			const { tgid, startTicks } = entry;
			this.#send(
				encodeFrame({ kind: "trace_add", tgid, startTicks, tags: { SLOT: slot, DEPTH: depth, COLLECT: bits } }),
			);
		});
	}

	/** Replaces what procmond watches, hashes and tells beyond processes and connections. */
	setPolicy(policy: CapturePolicy): void {
		const { bytes, leftOutCount } = encodePolicy(policy);
		if (leftOutCount > 0) this.#options.log("policy_path_too_long", { count: leftOutCount });
		this.#send(bytes);
	}

	removeSlot(slot: number): void {
		this.#send(encodeFrame({ kind: "trace_remove", tags: { SLOT: slot } }));
	}

	#send(bytes: Uint8Array): void {
		if (this.#isOver) return;
		this.#socket.write(bytes);
		if (this.#socket.writableLength > AGENT_LIMITS.collectorBacklogBytesMax)
			this.#over("collector_stuck", "procmond does not read its socket any more; restart it with the agent.");
	}

	#over(code: string, sentence: string): void {
		if (this.#isOver) return;
		this.#isOver = true;
		for (const { settle, timer } of this.#waiting.values()) {
			clearTimeout(timer);
			settle(fail("collector_refused", "the collector is gone"));
		}
		this.#waiting.clear();
		this.#options.onEnd(code, sentence);
	}

	/** Closes the socket: procmond ends with it. */
	stop(): void {
		this.#isOver = true;
		for (const { timer } of this.#waiting.values()) clearTimeout(timer);
		this.#socket.destroy();
	}
}
