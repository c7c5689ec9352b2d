/**
 * What a proxy counts of its own link to the upstream: how often it was made anew, and how fast it answers. Pure; forgotten when the
 * process ends, which is a reconnect nobody needs to count.
 */

/** At one every ten seconds: a minute or so, in which one quick answer is likely. */
const ROUND_TRIPS_MAX = 8;

export class LinkMeter {
	#welcomes = 0;
	#askedAtMs: number | null = null;
	#roundTrips: number[] = [];

	/** Links opened since start, less the first. */
	get reconnects(): number {
		return Math.max(0, this.#welcomes - 1);
	}

	/** The fastest of the newest answers; null until one came. */
	get roundTripMs(): number | null {
		return this.#roundTrips.length === 0 ? null : Math.min(...this.#roundTrips);
	}

	/** A new link, perhaps to another upstream. */
	welcomed(): void {
		this.#welcomes++;
		this.#askedAtMs = null;
		this.#roundTrips = [];
	}

	/** A heartbeat went up. */
	asked(nowMs: number): void {
		this.#askedAtMs = nowMs;
	}

	/** It was said back. */
	answered(nowMs: number): void {
		if (this.#askedAtMs === null) return;
		this.#roundTrips = [...this.#roundTrips, Math.max(0, nowMs - this.#askedAtMs)].slice(-ROUND_TRIPS_MAX);
		this.#askedAtMs = null;
	}
}
