/**
 * Frames back in the order of their kernel times. The ring keeps the order of commits, which differs from it by what one program
 * overtakes on another CPU. Guarantees a bounded wait and a bounded number; what comes after its place has passed is marked late
 * and never dropped. Frames without a number (snapshots, answers) keep their place among each other and wait for nobody.
 */
import type { CaptureFrame } from "./frame.ts";

export interface ReorderLimits {
	/** How long a frame waits for one that should stand before it. */
	readonly windowMs: number;
	readonly framesMax: number;
}

interface Held {
	readonly frame: CaptureFrame;
	readonly arrivedMs: number;
}

export class ReorderWindow {
	readonly #limits: ReorderLimits;
	readonly #release: (frame: CaptureFrame, isLate: boolean) => void;
	/** By kernel time; frames of one time in the order they came. Nearly sorted input makes insertion cheap. */
	readonly #held: Held[] = [];
	#releasedNs = 0n;

	constructor(limits: ReorderLimits, release: (frame: CaptureFrame, isLate: boolean) => void) {
		this.#limits = limits;
		this.#release = release;
	}

	get size(): number {
		return this.#held.length;
	}

	/** Takes a frame; may release others. `nowMs` is the monotonic clock. */
	take(frame: CaptureFrame, nowMs: number): void {
		if (frame.cpuSeq === 0n) {
			this.#release(frame, false);
			return;
		}
		if (frame.ktimeNs < this.#releasedNs) {
			this.#release(frame, true);
			return;
		}
		let at = this.#held.length;
		while (at > 0 && (this.#held[at - 1] as Held).frame.ktimeNs > frame.ktimeNs) at--;
		this.#held.splice(at, 0, { frame, arrivedMs: nowMs });
		if (this.#held.length > this.#limits.framesMax) this.#let(this.#held.length - this.#limits.framesMax);
	}

	/** Releases what has waited its time, and everything that stands before it. */
	tick(nowMs: number): void {
		let count = this.#held.length;
		while (count > 0 && nowMs - (this.#held[count - 1] as Held).arrivedMs < this.#limits.windowMs) count--;
		this.#let(count);
	}

	/** Releases everything: the stream is over, or a trace begins and must know all that came. */
	flush(): void {
		this.#let(this.#held.length);
	}

	#let(count: number): void {
		for (const { frame } of this.#held.splice(0, count)) {
			this.#releasedNs = frame.ktimeNs;
			this.#release(frame, false);
		}
	}
}
