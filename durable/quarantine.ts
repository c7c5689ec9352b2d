/**
 * Items that were refused for good: kept with their cause, and told upwards until the Security Center has it, so that a person sees
 * what a proxy put aside. Guarantees that the newest items of each teller stay within its own bounds, whatever others bring; that
 * every item is told, one by one or in a count; that telling goes on after a start and after an upstream that was away; and that the
 * bytes stay where they were refused, only the facts travel. Must never hold up the lane: it is written in the turn of the refusal and
 * told later.
 */
import type { Lane } from "#core/model/batch.ts";
import type { FrameBody } from "#core/protocol/index.ts";
import type { QuarantinedItem } from "./drain.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { paceNext, type Sum, sumOf } from "./quarantine-pace.ts";

export const QUARANTINE_SCHEMA = `
CREATE TABLE IF NOT EXISTS quarantine (
	id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, cause TEXT NOT NULL, detail TEXT NOT NULL, bytes BLOB NOT NULL,
	bytes_kept INTEGER NOT NULL, hop TEXT NOT NULL, stream BLOB, seq INTEGER, lane TEXT, is_told INTEGER NOT NULL,
	teller TEXT NOT NULL, is_note INTEGER NOT NULL, item_count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine_sums (
	teller TEXT NOT NULL, hop TEXT NOT NULL, cause TEXT NOT NULL, since_ms INTEGER NOT NULL, told_each INTEGER NOT NULL,
	more INTEGER NOT NULL, due INTEGER NOT NULL, due_at_ms INTEGER NOT NULL, PRIMARY KEY (teller, hop, cause));
`;

/** Tables of this file, as `ChannelStore.remake` takes them over. */
export const QUARANTINE_TABLES = ["quarantine", "quarantine_sums"] as const;

/** Who brought an item where it is no relay below, which is named by its id: the agent's own link, and the hop above. */
export const TELLERS = { agent: "", upstream: "^" } as const;

/** Stands for the tellers that came when every place of its own was taken, and for the causes beyond their bound. */
const OTHERS = { teller: "?", cause: "other_causes" } as const;

type Row = Record<string, SqlStorageValue>;

/** An item of this hop; `teller` brought it. */
export type OwnItem = Omit<QuarantinedItem, "bytesKept" | "broughtBy" | "count"> & { readonly teller: string };

/** What is told in one go; hand it to `told`. */
export interface Untold {
	readonly items: readonly QuarantinedItem[];
	readonly upTo: number;
	/** Counts that this telling speaks for. */
	readonly sums: readonly { readonly teller: string; readonly hop: string; readonly cause: string }[];
}

function itemOf(row: Row): QuarantinedItem {
	const teller = row.teller as string;
	const isOfRelay = row.is_note === 0 && teller !== TELLERS.agent && teller !== TELLERS.upstream;
	return {
		cause: row.cause as string,
		detail: row.detail as string,
		atMs: row.at_ms as number,
		bytesKept: row.bytes_kept as number,
		hop: row.hop as string,
		...(row.stream === null ? {} : { stream: new Uint8Array(row.stream as ArrayBuffer) }),
		...(row.seq === null ? {} : { seq: row.seq as number }),
		...(row.lane === null ? {} : { lane: row.lane as Lane }),
		...(isOfRelay ? { broughtBy: teller } : {}),
		...(row.item_count === 1 ? {} : { count: row.item_count as number }),
	};
}

/** How much one teller's items may take: bytes are kept, notes are words only. */
function boundsOf(teller: string, isNote: boolean): { rows: number; bytes: number } {
	const { quarantineRowsMax, quarantineBytesMax, quarantineRelayRowsMax, quarantineRelayBytesMax } = CHANNEL_LIMITS;
	if (isNote) return { rows: CHANNEL_LIMITS.quarantineNotesMax, bytes: 0 };
	if (teller === TELLERS.upstream)
		return { rows: CHANNEL_LIMITS.quarantineUpstreamRowsMax, bytes: CHANNEL_LIMITS.bulkWalBytesMax };
	const isOfRelay = teller !== TELLERS.agent;
	if (isOfRelay) return { rows: quarantineRelayRowsMax, bytes: quarantineRelayBytesMax };
	return { rows: quarantineRowsMax, bytes: quarantineBytesMax };
}

export class QuarantineStore {
	readonly #sql: SqlStorage;
	/** Whether anything may wait to be told; looked up again after a start. */
	#mayOwe = true;

	constructor(sql: SqlStorage) {
		this.#sql = sql;
	}

	#rows(query: string, ...bindings: unknown[]): Row[] {
		return this.#sql.exec<Row>(query, ...bindings).toArray();
	}

	/** Keeps an item, the oldest of its teller giving way. `isTold`: the way up knows of it already. */
	keep({ teller, ...item }: OwnItem, bytes: Uint8Array, isTold = false): void {
		const kept = bytes.subarray(0, CHANNEL_LIMITS.quarantineItemBytesMax);
		const told = { ...item, bytesKept: kept.length };
		this.#insert(told, kept, { teller: this.#placeOf(teller), isNote: false, isTold, nowMs: item.atMs });
	}

	/** Notes what a hop below keeps; the relay that told it is the first of the hops. The same word once more is one note. */
	note(item: QuarantinedItem, nowMs: number): void {
		const teller = this.#placeOf(item.hop.split("/", 1)[0] as string);
		const isKnown = this.#rows(
			`SELECT 1 FROM quarantine WHERE teller = ? AND is_note = 1 AND hop = ? AND at_ms = ? AND cause = ? AND stream IS ?
			AND seq IS ? AND item_count = ? LIMIT 1`,
			...[teller, item.hop, item.atMs, item.cause, item.stream ?? null, item.seq ?? null, item.count ?? 1],
		);
		if (isKnown.length === 0) this.#insert(item, new Uint8Array(), { teller, isNote: true, isTold: false, nowMs });
	}

	/** The ring of a teller: its own while there is a place. */
	#placeOf(teller: string): string {
		if (teller === TELLERS.agent || teller === TELLERS.upstream) return teller;
		const [row] = this.#rows(
			"SELECT count(DISTINCT teller) AS n, max(teller = ?) AS known FROM quarantine_sums WHERE teller <> ? AND teller <> ?",
			...[teller, TELLERS.agent, TELLERS.upstream],
		);
		const isPlaced = row?.known === 1 || (row?.n as number) < CHANNEL_LIMITS.quarantineTellersMax;
		return isPlaced ? teller : OTHERS.teller;
	}

	#insert(
		item: QuarantinedItem,
		bytes: Uint8Array,
		{ teller, isNote, isTold, nowMs }: { teller: string; isNote: boolean; isTold: boolean; nowMs: number },
	): void {
		const count = item.count ?? 1;
		const isCounted = !isTold && !this.#pace(teller, item, { count, nowMs });
		this.#sql.exec(
			`INSERT INTO quarantine (at_ms, cause, detail, bytes, bytes_kept, hop, stream, seq, lane, is_told, teller, is_note, item_count)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			...[item.atMs, item.cause, item.detail, bytes, item.bytesKept, item.hop, item.stream ?? null, item.seq ?? null],
			...[item.lane ?? null, isTold || isCounted ? 1 : 0, teller, isNote ? 1 : 0, count],
		);
		this.#mayOwe = true;
		this.#prune(teller, isNote, nowMs);
	}

	/** What gives way before it was told is told in a count. */
	#prune(teller: string, isNote: boolean, nowMs: number): void {
		const bounds = boundsOf(teller, isNote);
		const gone = this.#rows(
			`DELETE FROM quarantine WHERE teller = ?1 AND is_note = ?2 AND id <= (SELECT max(id) FROM (SELECT id,
				row_number() OVER (ORDER BY id DESC) AS place, sum(length(bytes)) OVER (ORDER BY id DESC) AS bytes
				FROM quarantine WHERE teller = ?1 AND is_note = ?2) WHERE place > ?3 OR bytes > ?4)
			RETURNING is_told, hop, cause, item_count`,
			...[teller, isNote ? 1 : 0, bounds.rows, bounds.bytes],
		);
		for (const { is_told: isTold, hop, cause, item_count: count } of gone)
			if (isTold === 0)
				this.#add(teller, { hop: hop as string, cause: cause as string }, { count: count as number, nowMs });
	}

	/** True: the item is told by itself. False: it is counted, and the count is told when its time has come. */
	#pace(teller: string, item: Pick<QuarantinedItem, "hop" | "cause">, came: { count: number; nowMs: number }): boolean {
		const { key, sum } = this.#sumOf(teller, item, came.nowMs);
		const next = paceNext(sum, came);
		this.#write(key, next.sum);
		return next.isToldAlone;
	}

	#add(teller: string, item: Pick<QuarantinedItem, "hop" | "cause">, came: { count: number; nowMs: number }): void {
		const { key, sum } = this.#sumOf(teller, item, came.nowMs);
		this.#write(key, { ...sum, more: sumOf(sum.more, came.count) });
	}

	#sumOf(teller: string, { hop, cause }: Pick<QuarantinedItem, "hop" | "cause">, nowMs: number) {
		const keys = { own: [teller, hop, cause], others: [teller, hop.split("/", 1)[0] as string, OTHERS.cause] } as const;
		const find = (key: readonly string[]) =>
			this.#rows("SELECT * FROM quarantine_sums WHERE teller = ? AND hop = ? AND cause = ?", ...key)[0];
		const known = find(keys.own);
		const fresh: Sum = { sinceMs: nowMs, toldEach: 0, more: 0 };
		if (known !== undefined) return { key: keys.own, sum: sumOfRow(known) };
		if (this.#hasPlaceForSum(teller, nowMs)) return { key: keys.own, sum: fresh };
		const shared = find(keys.others);
		return { key: keys.others, sum: shared === undefined ? fresh : sumOfRow(shared) };
	}

	/** The cause that was met longest ago, and of which nothing is owed, gives its place. */
	#hasPlaceForSum(teller: string, nowMs: number): boolean {
		const countOf = () =>
			this.#rows("SELECT count(*) AS n FROM quarantine_sums WHERE teller = ?", teller)[0]?.n as number;
		if (countOf() < CHANNEL_LIMITS.quarantineCausesMax) return true;
		this.#sql.exec(
			`DELETE FROM quarantine_sums WHERE rowid = (SELECT rowid FROM quarantine_sums WHERE teller = ? AND more = 0 AND due = 0
			AND since_ms <= ? ORDER BY since_ms LIMIT 1)`,
			...[teller, nowMs - CHANNEL_LIMITS.quarantineSumMs],
		);
		return countOf() < CHANNEL_LIMITS.quarantineCausesMax;
	}

	#write(key: readonly string[], { sinceMs, toldEach, more }: Sum): void {
		this.#sql.exec(
			`INSERT INTO quarantine_sums VALUES (?, ?, ?, ?, ?, ?, 0, 0) ON CONFLICT (teller, hop, cause)
			DO UPDATE SET since_ms = excluded.since_ms, told_each = excluded.told_each, more = excluded.more`,
			...[...key, sinceMs, toldEach, more],
		);
	}

	/** Oldest first. */
	items(): QuarantinedItem[] {
		return this.#rows("SELECT * FROM quarantine ORDER BY id").map(itemOf);
	}

	/** When there is something to tell: now or earlier, at a time to come, or null for never. */
	dueAtMs(nowMs: number): number | null {
		if (!this.#mayOwe) return null;
		if (this.#rows("SELECT 1 FROM quarantine WHERE is_told = 0 LIMIT 1").length > 0) return nowMs;
		const [row] = this.#rows(
			"SELECT max(due) AS due, min(CASE WHEN more > 0 THEN since_ms END) AS since_ms FROM quarantine_sums",
		);
		if (((row?.due ?? 0) as number) > 0) return nowMs;
		const sinceMs = (row?.since_ms ?? null) as number | null;
		this.#mayOwe = sinceMs !== null;
		// One of a clock that has been set back since does not wait for it.
		if (sinceMs === null || sinceMs > nowMs) return sinceMs === null ? null : nowMs;
		return sinceMs + CHANNEL_LIMITS.quarantineSumMs;
	}

	/** The oldest that nobody above knows of, and the counts whose time has come. A count that was taken here does not change until told. */
	untold(nowMs: number): Untold {
		const query = "SELECT * FROM quarantine WHERE is_told = 0 ORDER BY id LIMIT ?";
		const rows = this.#rows(query, CHANNEL_LIMITS.quarantineToldAtOnceMax);
		this.#sql.exec(
			`UPDATE quarantine_sums SET due = more, due_at_ms = ?1, more = 0, since_ms = ?1
			WHERE due = 0 AND more > 0 AND (since_ms <= ?2 OR since_ms > ?1)`,
			...[nowMs, nowMs - CHANNEL_LIMITS.quarantineSumMs],
		);
		const sums = this.#rows("SELECT * FROM quarantine_sums WHERE due > 0");
		return {
			items: [...rows.map(itemOf), ...sums.map(itemOfSum)],
			upTo: (rows.at(-1)?.id ?? 0) as number,
			sums: sums.map((row) => ({ teller: row.teller as string, hop: row.hop as string, cause: row.cause as string })),
		};
	}

	told({ upTo, sums }: Untold): void {
		this.#sql.exec("UPDATE quarantine SET is_told = 1 WHERE id <= ?", upTo);
		for (const { teller, hop, cause } of sums)
			this.#sql.exec(
				"UPDATE quarantine_sums SET due = 0 WHERE teller = ? AND hop = ? AND cause = ?",
				...[teller, hop, cause],
			);
	}

	/** The frame that tells of an item; `hop` is this node's own name. */
	static frameOf(agent: string, item: QuarantinedItem, hop: string): FrameBody<"reject"> {
		const { cause, detail, atMs, bytesKept, stream, seq, lane, count } = item;
		const kept = {
			...{ hop: item.hop === "" ? hop : `${hop}/${item.hop}`, bytes: bytesKept, atMs },
			...(lane === undefined ? {} : { lane }),
			...(count === undefined ? {} : { count }),
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
			...(kept.count === undefined ? {} : { count: kept.count }),
		};
	}
}

function sumOfRow(row: Row): Sum {
	return { sinceMs: row.since_ms as number, toldEach: row.told_each as number, more: row.more as number };
}

function itemOfSum(row: Row): QuarantinedItem {
	const { due: count, teller } = row as { due: number; teller: string };
	const hop = row.hop as string;
	const isOfRelay = hop === "" && teller !== TELLERS.agent && teller !== TELLERS.upstream;
	return {
		cause: row.cause as string,
		detail: `${count} more of this cause, which were not told one by one`,
		...{ atMs: row.due_at_ms as number, bytesKept: 0, hop, count },
		...(isOfRelay ? { broughtBy: teller } : {}),
	};
}
