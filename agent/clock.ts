/**
 * The host's two clocks joined: kernel time (CLOCK_BOOTTIME, what events are ordered by) and wall time (what people read). The
 * pairs come from procmond, which reads both clocks at one moment. Must never reorder anything by wall time.
 */

/** What the agent can read by itself. */
export interface ClockSource {
	readonly wallMs: () => number;
	/** CLOCK_BOOTTIME in ns, roughly: used before the first pair only. */
	readonly bootNs: () => bigint;
	/** A clock that only goes forward, in ms. */
	readonly monotonicMs: () => number;
}

export class HostClock {
	readonly #source: ClockSource;
	#pair: { wallNs: bigint; kernelNs: bigint; atMs: number } | null = null;

	constructor(source: ClockSource) {
		this.#source = source;
	}

	/** Both clocks at one moment, as procmond read them. */
	setPair(wallNs: bigint, kernelNs: bigint): void {
		this.#pair = { wallNs, kernelNs, atMs: this.#source.monotonicMs() };
	}

	nowMs(): number {
		return this.#source.wallMs();
	}

	monotonicMs(): number {
		return this.#source.monotonicMs();
	}

	/** Kernel time now, for the agent's own events. */
	kernelNowNs(): bigint {
		if (this.#pair === null) return this.#source.bootNs();
		const sinceMs = Math.max(0, this.#source.monotonicMs() - this.#pair.atMs);
		return this.#pair.kernelNs + BigInt(Math.round(sinceMs * 1000)) * 1000n;
	}

	/** Wall time of a kernel time; never negative, whatever the frame claims. */
	wallMsOf(kernelNs: bigint): number {
		const pair = this.#pair;
		if (pair === null) return this.#source.wallMs();
		const wallMs = (pair.wallNs + kernelNs - pair.kernelNs) / 1_000_000n;
		return wallMs < 0n || wallMs > 8_640_000_000_000_000n ? this.#source.wallMs() : Number(wallMs);
	}
}
