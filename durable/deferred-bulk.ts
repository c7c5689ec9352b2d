/**
 * Bulk that one agent sent and that was not looked at yet. An event loop knows no lanes: a message waits behind every message that came
 * before it, of whatever agent, and bulk costs each of them half a millisecond. So bulk is put aside as it came, which costs little, and
 * taken in small slices, each in a turn of its own; what comes meanwhile in other lanes is ahead of the rest.
 * Guarantees the order within bulk and a bound on what is put aside: beyond it some is taken at once. Nothing of it is
 * acknowledged or on disk; what dies with the process is sent again. Must never see anything but bulk.
 */
import { DEFER_LIMITS } from "./limits.ts";

/** What the channels of one isolate have put aside. A channel that was reset never takes its own: after a while it counts no more. */
class Shelf {
	readonly #channels = new Map<object, { bytes: number; atMs: number }>();
	#bytes = 0;

	get bytes(): number {
		return this.#bytes;
	}

	/** How many channels have something on it. */
	get size(): number {
		return this.#channels.size;
	}

	note(channel: object, bytes: number, nowMs: number): void {
		this.#drop(channel);
		if (bytes > 0) {
			this.#channels.set(channel, { bytes, atMs: nowMs });
			this.#bytes += bytes;
		}
		for (const [each, { atMs }] of this.#channels) {
			if (Math.abs(nowMs - atMs) <= DEFER_LIMITS.goneMs) break;
			this.#drop(each);
		}
	}

	#drop(channel: object): void {
		this.#bytes -= this.#channels.get(channel)?.bytes ?? 0;
		this.#channels.delete(channel);
	}
}

const shelf = new Shelf();

interface Item {
	readonly bytes: number;
	readonly take: () => void;
}

export class DeferredBulk {
	readonly #onBroken: (error: Error) => void;
	#items: Item[] = [];
	#bytes = 0;
	#isRunning = false;

	/** `onBroken`: taking an item threw, which is our own mistake. */
	constructor(onBroken: (error: Error) => void) {
		this.#onBroken = onBroken;
	}

	/** Takes it soon, in the order given. */
	add(bytes: number, take: () => void): void {
		this.#items.push({ bytes, take });
		this.#bytes += bytes;
		shelf.note(this, this.#bytes, Date.now());
		const isTooMuch =
			this.#bytes > DEFER_LIMITS.channelBytesMax ||
			shelf.bytes > DEFER_LIMITS.bytesMax ||
			this.#items.length > DEFER_LIMITS.itemsMax;
		if (isTooMuch) this.#take(DEFER_LIMITS.roundBytes);
		else if (!this.#isRunning) void this.#run();
	}

	/** Takes everything now. */
	flush(): void {
		this.#take(Number.POSITIVE_INFINITY);
	}

	/** Its sender is not worth it. */
	clear(): void {
		this.#bytes = 0;
		this.#items = [];
		shelf.note(this, 0, Date.now());
	}

	#take(bytesMax: number): void {
		let taken = 0;
		try {
			for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) {
				taken += item.bytes;
				this.#bytes -= item.bytes;
				item.take();
				if (taken >= bytesMax) return;
			}
		} finally {
			shelf.note(this, this.#bytes, Date.now());
		}
	}

	async #run(): Promise<void> {
		this.#isRunning = true;
		try {
			while (this.#items.length > 0) {
				// To the end of the event loop's queue: what came meanwhile in other lanes, or for other agents, is first.
				await new Promise((resolve) => setTimeout(resolve, 0));
				this.#take(DEFER_LIMITS.roundBytes / Math.max(1, shelf.size));
			}
		} catch (error) {
			this.#onBroken(error as Error);
		} finally {
			this.#isRunning = false;
		}
	}
}
