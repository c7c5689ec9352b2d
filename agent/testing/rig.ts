/** Lanes over an outbox on a disk in memory, with a clock and timers that tests move. */
import { batchHash, type Lane, type ReadBatch, readBatch, verifyBatch, verifyBatchEvents } from "#core/model/batch.ts";
import { type Event, ZERO_PROCESS } from "#core/model/event.ts";
import { EMPTY_STREAM, judgeSequence } from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import { ed25519PublicKey } from "#crypto";
import { HostClock } from "../clock.ts";
import { DiskSeal } from "../disk-key/disk-seal.ts";
import type { EventDraft } from "../events/draft.ts";
import { Outbox } from "../outbox/outbox.ts";
import type { SegmentStorage } from "../outbox/storage.ts";
import { Lanes } from "../stream/lanes.ts";
import { MemoryStorage } from "./memory-storage.ts";

export const SEED = new Uint8Array(32).fill(3);
export const PUBLIC_KEY = ed25519PublicKey(SEED);

/** A disk key for tests. */
export const DISK = new DiskSeal(new Uint8Array(32).fill(9));

let streamNumber = 0;
/** Bytes that differ every time, as random ones do, and are the same in every run. */
export function freshBytes(length: number): Uint8Array {
	const bytes = new Uint8Array(length);
	new DataView(bytes.buffer).setUint32(length - 4, ++streamNumber);
	return bytes;
}

export function draftOf(pid: number, text = ""): EventDraft {
	return {
		kind: "exec",
		process: ZERO_PROCESS,
		kernelTimeNs: 1_000n,
		wallTimeMs: 1_700_000_000_000 + pid,
		tier: "ebpf",
		payload: { pid, ...(text === "" ? {} : { exe: text }) },
	};
}

export class Rig<Storage extends SegmentStorage = MemoryStorage> {
	readonly storage: Storage;
	readonly codes: string[] = [];
	outbox: Outbox;
	lanes: Lanes;
	held = 0;
	nowMs = 1_700_000_000_000;
	#timers: { atMs: number; task: () => void }[] = [];
	readonly #bytesMax: number;

	constructor(bytesMax = 64 * 1024 * 1024, storage: Storage = new MemoryStorage() as SegmentStorage as Storage) {
		this.storage = storage;
		this.#bytesMax = bytesMax;
		this.outbox = this.#openOutbox();
		this.lanes = this.#openLanes();
	}

	#openOutbox(): Outbox {
		return new Outbox(this.storage, {
			bytesMax: this.#bytesMax,
			disk: DISK,
			randomBytes: freshBytes,
			nowMs: () => this.nowMs,
			log: (code) => this.codes.push(code),
		});
	}

	#openLanes(): Lanes {
		return new Lanes({
			outbox: this.outbox,
			agent: "web-01",
			seed: SEED,
			clock: new HostClock({ wallMs: () => this.nowMs, bootNs: () => 5n, monotonicMs: () => this.nowMs }),
			log: (code) => this.codes.push(code),
			batchMaxEvents: 2000,
			batchMaxMs: 250,
			schedule: (ms, task) => {
				const timer = { atMs: this.nowMs + ms, task };
				this.#timers.push(timer);
				return () => {
					this.#timers = this.#timers.filter((each) => each !== timer);
				};
			},
			onHeld: () => {
				this.held++;
			},
		});
	}

	/** The process is killed and starts again on the same disk. */
	restart(): void {
		this.#timers = [];
		this.outbox = this.#openOutbox();
		this.lanes = this.#openLanes();
		this.lanes.repair();
		this.lanes.flush();
	}

	advance(ms: number): void {
		this.nowMs += ms;
		const due = this.#timers.filter((timer) => timer.atMs <= this.nowMs);
		this.#timers = this.#timers.filter((timer) => timer.atMs > this.nowMs);
		for (const { task } of due) task();
	}

	/** One batch of one event in a lane. */
	put(lane: Lane, pid: number, text = ""): void {
		this.lanes.add(lane, draftOf(pid, text));
		this.lanes.flush([lane]);
	}

	/**
	 * Takes everything a lane would send, as a hop does: each batch verified, each stream without holes and chained. Throws when a
	 * hop would refuse one.
	 */
	delivered(lane: Lane): { batches: ReadBatch[]; events: Event[] } {
		const batches: ReadBatch[] = [];
		const events: Event[] = [];
		for (const chain of this.outbox.chains(lane)) {
			let state = { ...EMPTY_STREAM };
			for (let seq = 1; seq <= (chain.end ?? chain.head); seq++) {
				const bytes = this.outbox.read(chain, seq);
				if (bytes === null) break;
				const batch = readBatch(bytes);
				assertInvariant(batch.ok, "a stored batch reads");
				assertInvariant(verifyBatch(batch.value, PUBLIC_KEY).ok, "a stored batch verifies");
				const { header } = batch.value;
				const verdict = judgeSequence(state, { ...header, hash: batchHash(batch.value.headerBytes) });
				assertInvariant(verdict.verdict === "next", `batch ${seq} is ${verdict.verdict}`);
				state = verdict.state;
				const read = verifyBatchEvents(batch.value, PUBLIC_KEY);
				assertInvariant(read.ok, "the events of a stored batch verify");
				batches.push(batch.value);
				events.push(...read.value);
			}
		}
		return { batches, events };
	}

	gaps(): Event[] {
		return this.delivered("alert").events.filter((event) => event.kind === "gap");
	}
}
