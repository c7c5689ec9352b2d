/**
 * Acts into the ledger: what people did or were refused, one leaf each, with the salt and the body it hides kept beside the desk.
 * Guarantees that an act's leaf is under a signed checkpoint when `write` answers. Refusals of strangers are counted beyond a
 * bound, not written, because anyone on the network can cause them; the next leaf says how many.
 */
import { utf8 } from "#core/bytes/bytes.ts";
import { bodyHash, encodeLeaf, type LeafKind, SALT_BYTES } from "#core/ledger/index.ts";
import { type Failure, ok, type Result } from "#core/result.ts";
import type { DeskStore } from "./desk-store.ts";
import type { LedgerCode, LedgerFace } from "./ledger.ts";
import { logLine } from "./log.ts";
import { DESK_LIMITS } from "./sc-objects.ts";

export interface Act {
	readonly kind: LeafKind;
	/** An operator's id, a node's name, or `stranger`. */
	readonly actor: string;
	readonly subject: string;
	readonly body: Uint8Array;
	readonly traceId?: string;
}

export type Attempt = Pick<Act, "actor" | "subject" | "traceId">;

/** Who has not proved who he is. */
export const STRANGER = "stranger";

export class Acts {
	readonly #store: DeskStore;
	readonly #ledger: () => LedgerFace;
	#strangerWindowMs = 0;
	#strangerLeaves = 0;
	#unwritten = 0;

	constructor(store: DeskStore, ledger: () => LedgerFace) {
		this.#store = store;
		this.#ledger = ledger;
	}

	/** Answers the ledger index. */
	async write(act: Act): Promise<Result<number, LedgerCode>> {
		const written = await this.writeAll([act]);
		return written.ok ? ok(written.value[0] as number) : written;
	}

	/** Acts that belong together under one signature; answers their ledger indexes in order. */
	async writeAll(acts: readonly Act[]): Promise<Result<readonly number[], LedgerCode>> {
		if (acts.length === 0) return ok([]);
		const kept = acts.map((act) => this.#keep(act));
		const appended = await this.#ledger().append(kept.map(({ leaf }) => leaf));
		if (!appended.ok) return appended;
		const { indexes } = appended.value;
		for (const [i, { seq }] of kept.entries()) this.#store.setActIndex(seq, indexes[i] as number);
		return ok(indexes);
	}

	/** Stores what the leaf hides before there is a leaf. */
	#keep({ kind, actor, subject, body, traceId }: Act): { seq: number; leaf: Uint8Array } {
		const salt = crypto.getRandomValues(new Uint8Array(SALT_BYTES));
		const leaf = encodeLeaf({
			kind,
			tsMs: Date.now(),
			actor,
			subject,
			bodyHash: bodyHash(salt, body),
			...(traceId === undefined ? {} : { traceId }),
		});
		const seq = this.#store.addAct({ kind, traceId: traceId ?? null, actor, subject, leaf, salt, body });
		return { seq, leaf };
	}

	#isOverBound(nowMs: number): boolean {
		if (nowMs - this.#strangerWindowMs > 60_000) {
			this.#strangerWindowMs = nowMs;
			this.#strangerLeaves = 0;
		}
		this.#strangerLeaves++;
		return this.#strangerLeaves > DESK_LIMITS.strangerLeavesPerMinute;
	}

	/** A refused act is an act: who tried what, and why it was refused. The refusal stands also when the ledger is down. */
	async refused<C extends string>(refusal: Failure<C>, attempt: Attempt): Promise<Failure<C>> {
		if (attempt.actor === STRANGER && this.#isOverBound(Date.now())) {
			this.#unwritten++;
			return refusal;
		}
		const { code, detail } = refusal;
		const body = utf8(JSON.stringify({ code, detail, unwrittenBefore: this.#unwritten }));
		const written = await this.write({ kind: "refusal", body, ...attempt });
		if (written.ok) this.#unwritten = 0;
		else logLine("error", "refusal_not_in_ledger", { code: written.code, refusal: code });
		return refusal;
	}
}
