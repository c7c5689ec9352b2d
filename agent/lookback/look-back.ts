/**
 * The last seconds of everything that was captured, in memory: a trace begins with what its lineage did before somebody looked.
 * Holds the encoded events, so what is kept is masked already and costs one copy. Guarantees its bounds by bytes, count and age;
 * the oldest goes first. Must never be written to disk by itself.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { eventShape, PROCESS_EVENT_KINDS } from "#core/model/event.ts";
import type { EventDraft } from "../events/draft.ts";

export interface LookBackLimits {
	readonly bytesMax: number;
	readonly maxAgeMs: number;
}

/** An event of the lineage, and how many forks lie between the root and its process. */
export interface Remembered {
	readonly draft: EventDraft;
	readonly depth: number;
}

/** A process that the table knows in the lineage, and how many forks below the root. */
export interface LineageMember {
	readonly key: Uint8Array;
	readonly depth: number;
}

/** Encoded events are hardly smaller; more slots would never be used. */
const BYTES_PER_SLOT = 128;
const NO_PARENT = 0;

const KINDS: ReadonlySet<string> = new Set(PROCESS_EVENT_KINDS);

/** 53 bits of a process key, which is a hash: the index of the ring. `lineage` compares the whole key before it tells anything. */
function indexOf(key: Uint8Array): number {
	// Byte by byte: a view would give a small array a buffer outside the heap first.
	let index = (key[1] as number) & 0xf;
	for (let at = 2; at < 8; at++) index = index * 256 + (key[at] as number);
	return 1 + index;
}

/** Members of a lineage by index, each with its whole key: two processes of one index are not taken for each other. */
class KnownMembers {
	readonly #byIndex = new Map<number, LineageMember[]>();

	constructor(members: readonly LineageMember[]) {
		for (const member of members) this.add(member);
	}

	hasIndex(index: number): boolean {
		return this.#byIndex.has(index);
	}

	depthOf(key: Uint8Array): number | undefined {
		return this.#byIndex.get(indexOf(key))?.find((member) => equalBytes(member.key, key))?.depth;
	}

	/** Takes one more; of a known one the first depth stands. */
	add(member: LineageMember): void {
		if (this.depthOf(member.key) !== undefined) return;
		const index = indexOf(member.key);
		this.#byIndex.set(index, [...(this.#byIndex.get(index) ?? []), member]);
	}
}

export class LookBack {
	readonly #maxAgeMs: number;
	readonly #bytes: Uint8Array;
	readonly #slots: number;
	readonly #offsets: Uint32Array;
	readonly #lengths: Uint32Array;
	readonly #processes: Float64Array;
	/** Of a fork: the creator's index. */
	readonly #creators: Float64Array;
	readonly #arrivedMs: Float64Array;
	/** Slots count up for ever; a slot lies at its number modulo `#slots`. */
	#first = 0;
	#next = 0;
	#writeAt = 0;

	constructor(limits: LookBackLimits) {
		this.#maxAgeMs = limits.maxAgeMs;
		this.#bytes = new Uint8Array(limits.bytesMax);
		this.#slots = Math.max(1, Math.floor(limits.bytesMax / BYTES_PER_SLOT));
		this.#offsets = new Uint32Array(this.#slots);
		this.#lengths = new Uint32Array(this.#slots);
		this.#processes = new Float64Array(this.#slots);
		this.#creators = new Float64Array(this.#slots);
		this.#arrivedMs = new Float64Array(this.#slots);
	}

	/** Events held now. */
	get size(): number {
		return this.#next - this.#first;
	}

	/** Takes an event as it was encoded. `nowMs` is the monotonic clock. */
	note(draft: EventDraft, encoded: Uint8Array, nowMs: number): void {
		if (!KINDS.has(draft.kind) || draft.payload.isLookback || encoded.length > this.#bytes.length) return;
		this.#forgetOld(nowMs);
		this.#makeRoom(encoded.length);
		const slot = this.#next % this.#slots;
		this.#bytes.set(encoded, this.#writeAt);
		this.#offsets[slot] = this.#writeAt;
		this.#lengths[slot] = encoded.length;
		this.#processes[slot] = indexOf(draft.process);
		const { creatorParent } = draft.payload;
		this.#creators[slot] = draft.kind === "fork" && creatorParent !== undefined ? indexOf(creatorParent) : NO_PARENT;
		this.#arrivedMs[slot] = nowMs;
		this.#writeAt += encoded.length;
		this.#next++;
	}

	#forgetOld(nowMs: number): void {
		while (this.size > 0 && nowMs - this.#arrivedAt(this.#first) > this.#maxAgeMs) this.#first++;
	}

	#arrivedAt(number: number): number {
		return this.#arrivedMs[number % this.#slots] as number;
	}

	/** Forgets the oldest until `length` bytes at the write position, and a slot, are free. */
	#makeRoom(length: number): void {
		if (this.#writeAt + length > this.#bytes.length) {
			// What lies between here and the end is older than everything at the beginning: it goes first.
			while (this.size > 0 && this.#offsetOf(this.#first) >= this.#writeAt) this.#first++;
			this.#writeAt = 0;
		}
		while (this.size > 0 && (this.size >= this.#slots || this.#isInTheWay(length))) this.#first++;
	}

	#offsetOf(number: number): number {
		return this.#offsets[number % this.#slots] as number;
	}

	#isInTheWay(length: number): boolean {
		const offset = this.#offsetOf(this.#first);
		return offset >= this.#writeAt && offset < this.#writeAt + length;
	}

	/**
	 * What the root and its descendants did, oldest first. `members` are the processes that the table knows below the root with
	 * their depth; descendants that died and were forgotten are found by the forks in the ring.
	 */
	lineage(members: readonly LineageMember[], depthMax: number, nowMs: number): Remembered[] {
		this.#forgetOld(nowMs);
		const known = new KnownMembers(members);
		const found: Remembered[] = [];
		for (let number = this.#first; number < this.#next; number++) {
			const slot = number % this.#slots;
			const process = this.#processes[slot] as number;
			if (!known.hasIndex(process) && !known.hasIndex(this.#creators[slot] as number)) continue;
			const draft = this.#read(slot);
			const { creatorParent } = draft.payload;
			const above = draft.kind === "fork" && creatorParent !== undefined ? known.depthOf(creatorParent) : undefined;
			if (above !== undefined && above < depthMax) known.add({ key: draft.process, depth: above + 1 });
			const depth = known.depthOf(draft.process);
			if (depth === undefined || depth > depthMax) continue;
			const twin = found.at(-1);
			// One event of two traces was encoded twice, one after the other.
			if (twin !== undefined && isSame(twin.draft, draft)) continue;
			found.push({ draft, depth });
		}
		return found;
	}

	#read(slot: number): EventDraft {
		const offset = this.#offsets[slot] as number;
		const event = decodeAs(eventShape, this.#bytes.subarray(offset, offset + (this.#lengths[slot] as number)));
		if (!event.ok) throw new Error(`An event of this process does not read any more: ${event.detail}.`);
		const { seq: _, traceId: __, ...draft } = event.value;
		return draft;
	}
}

function isSame(one: EventDraft, other: EventDraft): boolean {
	return one.kind === other.kind && one.kernelTimeNs === other.kernelTimeNs && equalBytes(one.process, other.process);
}
