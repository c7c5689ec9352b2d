/**
 * Tells upwards what was put aside, one run at a time, and tries again later when nobody took it: after a while, or as soon as the
 * way up is there again. Guarantees that what was not taken is told again, also after a start; must never be awaited by a lane.
 */
import type { QuarantinedItem } from "./drain.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import type { QuarantineStore } from "./quarantine.ts";

export interface TellerParts {
	readonly quarantine: QuarantineStore;
	/** True when whoever is above has it. */
	readonly tell: (items: readonly QuarantinedItem[]) => Promise<boolean>;
	/** Asks to be kicked again at a time, also after a start. */
	readonly wakeAt: (atMs: number) => void;
	readonly onError: (error: Error) => void;
}

export class QuarantineTeller {
	readonly #parts: TellerParts;
	#isRunning = false;
	#notBeforeMs = 0;

	constructor(parts: TellerParts) {
		this.#parts = parts;
	}

	/** There is news, or time has passed. */
	kick(): void {
		const { quarantine, wakeAt } = this.#parts;
		if (this.#isRunning) return;
		const nowMs = Date.now();
		const dueAtMs = quarantine.dueAtMs(nowMs);
		if (dueAtMs === null) return;
		// Set first: should the process end, the alarm finds what is untold.
		wakeAt(Math.max(this.#notBeforeMs, dueAtMs > nowMs ? dueAtMs : nowMs + CHANNEL_LIMITS.quarantineRetryMs));
		if (dueAtMs > nowMs || nowMs < this.#notBeforeMs) return;
		this.#isRunning = true;
		this.#run()
			.catch((error: Error) => this.#parts.onError(error))
			.finally(() => {
				this.#isRunning = false;
			});
	}

	/** Whoever is above asks for evidence: what it was not there for is told now. */
	wayIsBack(): void {
		if (this.#notBeforeMs === 0 || this.#isRunning) return;
		this.#notBeforeMs = 0;
		this.kick();
	}

	async #run(): Promise<void> {
		const { quarantine, tell, wakeAt } = this.#parts;
		this.#notBeforeMs = Date.now() + CHANNEL_LIMITS.quarantineRetryMs;
		for (;;) {
			const untold = quarantine.untold(Date.now());
			if (untold.items.length === 0) break;
			if (!(await tell(untold.items))) return;
			quarantine.told(untold);
		}
		this.#notBeforeMs = 0;
		const dueAtMs = quarantine.dueAtMs(Date.now());
		if (dueAtMs !== null) wakeAt(dueAtMs);
	}
}
