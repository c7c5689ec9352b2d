/**
 * When trace batches became rows: follows the store's file, read-only, beside sqld. Guarantees that a row is seen at most one poll
 * after a query could find it.
 */
import type { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { TREE_LIMITS } from "./limits.ts";
import type { SentProbe } from "./plan.ts";

const nowMs = () => performance.timeOrigin + performance.now();
const keyOf = (stream: string, seq: number) => `${stream}/${seq}`;

export class TraceRows {
	readonly #seenMs = new Map<string, number>();
	readonly #newRows: ReturnType<DatabaseSync["prepare"]>;
	#lastRow: number;
	#isFollowing = true;
	readonly #following: Promise<void>;

	constructor(database: DatabaseSync) {
		this.#lastRow = Number(database.prepare("SELECT coalesce(max(id), 0) AS id FROM batches").get()?.id);
		this.#newRows = database.prepare("SELECT id, lane, stream, seq FROM batches WHERE id > ? ORDER BY id");
		this.#following = this.#follow();
	}

	async #follow(): Promise<void> {
		while (this.#isFollowing) {
			for (const { id, lane, stream, seq } of this.#newRows.all(this.#lastRow)) {
				this.#lastRow = Number(id);
				if (lane === "trace") this.#seenMs.set(keyOf(hexOf(stream as Uint8Array), Number(seq)), nowMs());
			}
			await sleep(TREE_LIMITS.rowPollMs);
		}
	}

	async stop(): Promise<void> {
		this.#isFollowing = false;
		await this.#following;
	}

	/** Milliseconds from the send of each to its row; waits for the last of them. */
	async latenciesOf(sent: readonly SentProbe[], signal: AbortSignal): Promise<Result<number[], string>> {
		const untilMs = performance.now() + TREE_LIMITS.rowMsMax;
		const missing = () => sent.filter(({ stream, seq }) => !this.#seenMs.has(keyOf(stream, seq))).length;
		while (missing() > 0) {
			if (signal.aborted) return fail("interrupted", "interrupted while rows arrived");
			if (performance.now() > untilMs)
				return fail("rows_missing", `${missing()} of ${sent.length} trace batches are no rows yet`);
			await sleep(TREE_LIMITS.pollMs);
		}
		return ok(sent.map(({ stream, seq, atMs }) => (this.#seenMs.get(keyOf(stream, seq)) as number) - atMs));
	}
}
