/**
 * When server rules run: after every delivery, over exactly the rows that no run has covered. Guarantees: the watermark moves
 * only after the hits of its rows are stored, so a crash repeats a window and never skips one (hits are unique, so repeating is
 * harmless); one run at a time. A failed run is repeated for ever, so only a store that does not answer may fail one: a row or a
 * rule that cannot be judged is the subclass's to step over. The rules and the store are its; this object knows row numbers only.
 */
import { DurableObject } from "cloudflare:workers";
import { logLine } from "./log.ts";

export const DETECTOR_LIMITS = {
	/** Rows of one run: bounds the time between two watermarks. */
	windowRowsMax: 20_000,
	/** A store that did not answer is asked again after this long. */
	retryMs: 5_000,
} as const;

export interface DetectorFace {
	/** Rows up to this one are in the store. Resolves when they are covered, or the attempt failed and is scheduled again. */
	notify(lastRow: number): Promise<void>;
}

export abstract class Detector<Env> extends DurableObject<Env> implements DetectorFace {
	#target = 0;
	#covered = 0;
	#running: Promise<boolean> | null = null;

	/** Runs every rule over `since` < row ≤ `until` and stores the hits. Throws only when the store does not answer. */
	protected abstract evaluate(since: number, until: number): Promise<void>;

	async notify(lastRow: number): Promise<void> {
		this.#target = Math.max(this.#target, lastRow);
		let isWell = true;
		// A run that is just ending may have read the target before it was raised: then one more follows.
		while (isWell && this.#covered < lastRow) {
			this.#running ??= this.#run().finally(() => {
				this.#running = null;
			});
			isWell = await this.#running;
		}
	}

	override async alarm(): Promise<void> {
		await this.notify((await this.ctx.storage.get<number>("target")) ?? 0);
	}

	/** False when it failed; it is then scheduled again. */
	async #run(): Promise<boolean> {
		this.#covered = (await this.ctx.storage.get<number>("watermark")) ?? 0;
		try {
			while (this.#covered < this.#target) {
				const until = Math.min(this.#target, this.#covered + DETECTOR_LIMITS.windowRowsMax);
				await this.evaluate(this.#covered, until);
				await this.ctx.storage.put("watermark", until);
				this.#covered = until;
			}
			return true;
		} catch (error) {
			const cause = (error as Error).message;
			logLine("error", "rules_not_evaluated", { watermark: this.#covered, target: this.#target, cause });
			await this.ctx.storage.put("target", this.#target);
			await this.ctx.storage.setAlarm(Date.now() + DETECTOR_LIMITS.retryMs);
			return false;
		}
	}
}
