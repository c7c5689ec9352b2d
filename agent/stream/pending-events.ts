/**
 * The events of one lane that wait for their batch, as their encoded bytes in one buffer: drafts are a dozen objects each, and
 * what waits while hundreds more come is what a collector of garbage pays for twice. Guarantees the order and the numbers they
 * were encoded with. Must never hold what a batch has taken: `drop` is called when it is stored.
 */
import type { SealedEvent } from "#core/model/event.ts";

/** What the lane still asks of an event that is bytes already. */
export interface PendingFacts {
	readonly wallTimeMs: number;
	readonly traceId: string | undefined;
}

/** A quarter of a second at 450 events a second fits; what a storm took beyond it is given back when the lane is empty. */
const KEPT_BYTES = 64 * 1024;

export class PendingEvents {
	#bytes = new Uint8Array(KEPT_BYTES);
	/** Where each event ends. */
	#ends: number[] = [];
	#signatures: (Uint8Array | undefined)[] = [];
	#wallTimesMs: number[] = [];
	#traceIds: (string | undefined)[] = [];
	/** The number that the first of them was encoded with; the others follow it. */
	firstSeq = 0;

	get count(): number {
		return this.#ends.length;
	}

	get byteLength(): number {
		return this.#ends.at(-1) ?? 0;
	}

	add({ bytes, signature }: SealedEvent, { wallTimeMs, traceId }: PendingFacts): void {
		const start = this.byteLength;
		const end = start + bytes.length;
		if (end > this.#bytes.length) {
			const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
			grown.set(this.#bytes.subarray(0, start));
			this.#bytes = grown;
		}
		this.#bytes.set(bytes, start);
		this.#ends.push(end);
		this.#signatures.push(signature);
		this.#wallTimesMs.push(wallTimeMs);
		this.#traceIds.push(traceId);
	}

	lengthOf(index: number): number {
		return (this.#ends[index] as number) - (this.#ends[index - 1] ?? 0);
	}

	/** A view: good until something is added or dropped. */
	event(index: number): SealedEvent {
		const bytes = this.#bytes.subarray(this.#ends[index - 1] ?? 0, this.#ends[index]);
		const signature = this.#signatures[index];
		return signature === undefined ? { bytes } : { bytes, signature };
	}

	facts(index: number): PendingFacts {
		return { wallTimeMs: this.#wallTimesMs[index] as number, traceId: this.#traceIds[index] };
	}

	/** Forgets the first of them: they are stored, or given up. */
	drop(count: number): void {
		const from = this.#ends[count - 1] ?? 0;
		const length = this.byteLength - from;
		if (length === 0 && this.#bytes.length > KEPT_BYTES) this.#bytes = new Uint8Array(KEPT_BYTES);
		else this.#bytes.copyWithin(0, from, from + length);
		this.#ends = this.#ends.slice(count).map((end) => end - from);
		this.#signatures = this.#signatures.slice(count);
		this.#wallTimesMs = this.#wallTimesMs.slice(count);
		this.#traceIds = this.#traceIds.slice(count);
		this.firstSeq += count;
	}
}
