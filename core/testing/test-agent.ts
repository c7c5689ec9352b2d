/** An agent for tests: seals real batches with a real key, numbering streams and events as an agent does. */
import { type BatchHeader, type Lane, readBatch, sealBatch, sealEvent, ZERO_HASH } from "#core/model/batch.ts";
import { type Event, type EventPayload, ZERO_PROCESS } from "#core/model/event.ts";
import { ed25519PublicKey, sha256 } from "#crypto";

export const bytesNamed = (name: string, length: number): Uint8Array =>
	sha256(new TextEncoder().encode(name)).subarray(0, length);
/** A process key for a name. */
export const processNamed = (name: string): Uint8Array => bytesNamed(`process ${name}`, 16);

export interface SealedTestBatch {
	readonly stream: Uint8Array;
	readonly seq: number;
	readonly lane: Lane;
	readonly bytes: Uint8Array;
	readonly hash: Uint8Array;
	readonly header: BatchHeader;
}

type EventLike = Partial<Omit<Event, "payload">> & Pick<Event, "kind"> & { payload?: EventPayload };

export class TestAgent {
	readonly id: string;
	readonly seed: Uint8Array;
	readonly publicKey: Uint8Array;
	timeMs: number;
	readonly #streams = new Map<Lane, { seq: number; hash: Uint8Array; events: number }>();

	constructor(id: string, timeMs = 1_780_000_000_000, seed?: Uint8Array) {
		this.id = id;
		this.seed = seed ?? bytesNamed(`seed ${id}`, 32);
		this.publicKey = ed25519PublicKey(this.seed);
		this.timeMs = timeMs;
	}

	stream(lane: Lane): Uint8Array {
		return bytesNamed(`${this.id} ${lane}`, 8);
	}

	/** The next batch of a lane; each event is 10 ms after the one before. */
	batch(lane: Lane, events: readonly EventLike[]): SealedTestBatch {
		const state = this.#streams.get(lane) ?? { seq: 0, hash: ZERO_HASH, events: 0 };
		const startMs = this.timeMs;
		const sealed = events.map((event, i) => {
			this.timeMs += 10;
			const whole: Event = {
				process: ZERO_PROCESS,
				kernelTimeNs: BigInt(this.timeMs) * 1_000_000n,
				wallTimeMs: this.timeMs,
				seq: state.events + i,
				tier: "ebpf",
				...event,
				payload: event.payload ?? {},
			};
			return sealEvent(whole, lane === "trace" ? this.seed : null);
		});
		const header = {
			agent: this.id,
			stream: this.stream(lane),
			seq: state.seq + 1,
			prevHash: state.hash,
			startMs,
			endMs: this.timeMs,
			lane,
			firstEvent: state.events,
		};
		const { bytes, hash } = sealBatch(header, sealed, this.seed);
		this.#streams.set(lane, { seq: header.seq, hash, events: state.events + events.length });
		const read = readBatch(bytes);
		if (!read.ok) throw new Error(read.detail);
		return { stream: header.stream, seq: header.seq, lane, bytes, hash, header: read.value.header };
	}
}
