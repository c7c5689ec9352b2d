/**
 * Items that were refused for good: kept with their cause, and told upwards until the Security Center has it, so that a person sees
 * what a proxy put aside. Guarantees that the newest items stay within both bounds; that telling goes on after a start and after an
 * upstream that was away; and that the bytes stay where they were refused, only the facts travel. Must never hold up the lane: it is
 * written in the turn of the refusal and told later.
 */
import type { Lane } from "#core/model/batch.ts";
import type { FrameBody } from "#core/protocol/index.ts";
import type { QuarantinedItem } from "./drain.ts";
import { CHANNEL_LIMITS } from "./limits.ts";

export const QUARANTINE_SCHEMA = `
CREATE TABLE IF NOT EXISTS quarantine (
	id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, cause TEXT NOT NULL, detail TEXT NOT NULL, bytes BLOB NOT NULL,
	bytes_kept INTEGER NOT NULL, hop TEXT NOT NULL, stream BLOB, seq INTEGER, lane TEXT, is_told INTEGER NOT NULL);
`;

type Row = Record<string, SqlStorageValue>;

function itemOf(row: Row): QuarantinedItem {
	return {
		cause: row.cause as string,
		detail: row.detail as string,
		atMs: row.at_ms as number,
		bytesKept: row.bytes_kept as number,
		hop: row.hop as string,
		...(row.stream === null ? {} : { stream: new Uint8Array(row.stream as ArrayBuffer) }),
		...(row.seq === null ? {} : { seq: row.seq as number }),
		...(row.lane === null ? {} : { lane: row.lane as Lane }),
	};
}

export class QuarantineStore {
	readonly #sql: SqlStorage;

	constructor(sql: SqlStorage) {
		this.#sql = sql;
	}

	/** Keeps an item, the oldest giving way. `isTold`: the way up knows of it already. */
	keep(item: Omit<QuarantinedItem, "bytesKept">, bytes: Uint8Array, isTold = false): void {
		const kept = bytes.subarray(0, CHANNEL_LIMITS.quarantineItemBytesMax);
		this.#insert({ ...item, bytesKept: kept.length }, kept, isTold);
	}

	/** Notes what a hop below keeps. */
	note(item: QuarantinedItem): void {
		this.#insert(item, new Uint8Array(), false);
	}

	#insert(item: QuarantinedItem, bytes: Uint8Array, isTold: boolean): void {
		this.#sql.exec(
			`INSERT INTO quarantine (at_ms, cause, detail, bytes, bytes_kept, hop, stream, seq, lane, is_told)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			item.atMs,
			item.cause,
			item.detail,
			bytes,
			item.bytesKept,
			item.hop,
			item.stream ?? null,
			item.seq ?? null,
			item.lane ?? null,
			isTold ? 1 : 0,
		);
		this.#sql.exec(
			`DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS place,
			sum(length(bytes)) OVER (ORDER BY id DESC) AS bytes FROM quarantine) WHERE place > ? OR bytes > ?)`,
			CHANNEL_LIMITS.quarantineRowsMax,
			CHANNEL_LIMITS.quarantineBytesMax,
		);
	}

	/** Oldest first. */
	items(): QuarantinedItem[] {
		return this.#sql.exec<Row>("SELECT * FROM quarantine ORDER BY id").toArray().map(itemOf);
	}

	/** The oldest that nobody above knows of, and the mark to hand to `told`. */
	untold(): { readonly items: readonly QuarantinedItem[]; readonly upTo: number } {
		const query = "SELECT * FROM quarantine WHERE is_told = 0 ORDER BY id LIMIT ?";
		const rows = this.#sql.exec<Row>(query, CHANNEL_LIMITS.quarantineToldAtOnceMax).toArray();
		return { items: rows.map(itemOf), upTo: (rows.at(-1)?.id ?? 0) as number };
	}

	told(upTo: number): void {
		this.#sql.exec("UPDATE quarantine SET is_told = 1 WHERE id <= ?", upTo);
	}

	/** The frame that tells of an item; `hop` is this node's own name. */
	static frameOf(agent: string, item: QuarantinedItem, hop: string): FrameBody<"reject"> {
		const { cause, detail, atMs, bytesKept, stream, seq, lane } = item;
		const kept = {
			...{ hop: item.hop === "" ? hop : `${hop}/${item.hop}`, bytes: bytesKept, atMs },
			...(lane === undefined ? {} : { lane }),
		};
		const place = { ...(stream === undefined ? {} : { stream }), ...(seq === undefined ? {} : { seq }) };
		return { agent, code: cause, detail, kept, ...place };
	}

	/** What a frame from below tells; the name of the proxy that brought it is known, the rest is its word. */
	static itemOfFrame(body: FrameBody<"reject">, peer: string): QuarantinedItem | null {
		const { code, detail, kept, stream, seq } = body;
		if (kept === undefined) return null;
		const isOwn = kept.hop === peer || kept.hop.startsWith(`${peer}/`);
		return {
			...{ cause: code, detail, atMs: kept.atMs, bytesKept: kept.bytes, hop: isOwn ? kept.hop : `${peer}/?` },
			...(stream === undefined ? {} : { stream }),
			...(seq === undefined ? {} : { seq }),
			...(kept.lane === undefined ? {} : { lane: kept.lane }),
		};
	}
}

export interface TellerParts {
	readonly quarantine: QuarantineStore;
	/** True when whoever is above has it. */
	readonly tell: (items: readonly QuarantinedItem[]) => Promise<boolean>;
	/** Asks to be kicked again at a time, also after a start. */
	readonly wakeAt: (atMs: number) => void;
	readonly onError: (error: Error) => void;
}

/** Tells what was put aside, one run at a time, and tries again later when nobody took it. */
export class QuarantineTeller {
	readonly #parts: TellerParts;
	#isRunning = false;
	#notBeforeMs = 0;

	constructor(parts: TellerParts) {
		this.#parts = parts;
	}

	kick(): void {
		if (this.#isRunning || this.#parts.quarantine.untold().items.length === 0) return;
		// Set first: should the process end, the alarm finds what is untold.
		this.#parts.wakeAt(Math.max(this.#notBeforeMs, Date.now() + CHANNEL_LIMITS.quarantineRetryMs));
		if (Date.now() < this.#notBeforeMs) return;
		this.#isRunning = true;
		this.#run()
			.catch((error: Error) => this.#parts.onError(error))
			.finally(() => {
				this.#isRunning = false;
			});
	}

	async #run(): Promise<void> {
		const { quarantine, tell } = this.#parts;
		this.#notBeforeMs = Date.now() + CHANNEL_LIMITS.quarantineRetryMs;
		for (;;) {
			const { items, upTo } = quarantine.untold();
			if (items.length === 0) break;
			if (!(await tell(items))) return;
			quarantine.told(upTo);
		}
		this.#notBeforeMs = 0;
	}
}
