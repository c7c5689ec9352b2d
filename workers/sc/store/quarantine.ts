/**
 * Items that a hop refused for good, as the console lists them. Guarantees that a report that comes again is one row, and that no
 * host can fill the table or the list, and no proxy push out what others told: of each host and teller the newest few are kept. What stands here is the reporter's word, not evidence.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { QuarantinedItem } from "../../../durable/drain.ts";
import type { QuarantineView } from "../api/answers.ts";
import { STORE_LIMITS } from "../limits.ts";
import { type Client, column } from "./client.ts";

/** `hop` of an item of this node itself is empty; `ownName` stands for it, with the proxy that brought it. */
export async function storeQuarantined(
	client: Client,
	agent: string,
	report: { readonly items: readonly QuarantinedItem[]; readonly ownName: string },
): Promise<void> {
	const inserts = report.items.map((item) => ({
		sql: `INSERT INTO quarantine (agent, hop, lane, stream, seq, cause, detail, bytes_kept, at_ms)
			SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE NOT EXISTS (SELECT 1 FROM quarantine
			WHERE agent = ?1 AND hop = ?2 AND at_ms = ?9 AND cause = ?6 AND stream = ?4 AND seq IS ?5)`,
		args: [
			agent,
			hopOf(item, report.ownName),
			item.lane ?? "",
			item.stream ?? new Uint8Array(),
			item.seq ?? null,
			item.cause,
			item.detail,
			item.bytesKept,
			item.atMs,
		],
	}));
	const tellers = new Set(report.items.map((item) => tellerOf(hopOf(item, report.ownName))));
	const prunes = [...tellers].map((teller) => ({
		sql: `DELETE FROM quarantine WHERE agent = ?1 AND ${TELLER} = ?3 AND id <= (
			SELECT id FROM quarantine WHERE agent = ?1 AND ${TELLER} = ?3 ORDER BY id DESC LIMIT 1 OFFSET ?2)`,
		args: [agent, STORE_LIMITS.quarantinePerTellerMax, teller],
	}));
	await client.batch([...inserts, ...prunes], "write");
}

/** Whose word a row is: what stands behind the first name is that proxy's, which it could vary at will. */
const TELLER = "substr(hop, 1, instr(hop || '/', '/') - 1)";

function tellerOf(hop: string): string {
	return hop.split("/", 1)[0] as string;
}

function hopOf({ hop, broughtBy }: QuarantinedItem, ownName: string): string {
	if (hop !== "") return hop;
	return broughtBy === undefined ? ownName : `${ownName}, brought by ${broughtBy}`;
}

/** The ones reported last first, at most `perTellerMax` of one host and teller. */
export async function quarantinedItems(
	client: Client,
	limits: { max: number; perTellerMax: number },
): Promise<QuarantineView[]> {
	const { rows } = await client.execute({
		sql: `SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY agent, ${TELLER} ORDER BY id DESC) AS place FROM quarantine)
			WHERE place <= ?2 ORDER BY id DESC LIMIT ?1`,
		args: [limits.max, limits.perTellerMax],
	});
	return rows.map((row) => ({
		id: column.number(row, "id"),
		agent: column.text(row, "agent"),
		hop: column.text(row, "hop"),
		lane: column.text(row, "lane") as QuarantineView["lane"],
		stream: hexOf(column.bytes(row, "stream")),
		seq: column.numberOrNull(row, "seq"),
		cause: column.text(row, "cause"),
		detail: column.text(row, "detail"),
		bytesKept: column.number(row, "bytes_kept"),
		atMs: column.number(row, "at_ms"),
	}));
}
