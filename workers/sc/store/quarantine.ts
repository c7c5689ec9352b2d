/**
 * Items that a hop refused for good, as the console lists them. Guarantees that a report that comes again is one row, and that no
 * host can fill the table or the list: of each the newest few are kept. What stands here is the reporter's word, not evidence.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { QuarantinedItem } from "../../../durable/drain.ts";
import type { QuarantineView } from "../api/answers.ts";
import { STORE_LIMITS } from "../limits.ts";
import { type Client, column } from "./client.ts";

/** `hop` of an item of this node itself is empty; `ownName` stands for it. */
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
			item.hop === "" ? report.ownName : item.hop,
			item.lane ?? "",
			item.stream ?? new Uint8Array(),
			item.seq ?? null,
			item.cause,
			item.detail,
			item.bytesKept,
			item.atMs,
		],
	}));
	const prune = {
		sql: `DELETE FROM quarantine WHERE agent = ?1 AND id <= (
			SELECT id FROM quarantine WHERE agent = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`,
		args: [agent, STORE_LIMITS.quarantinePerAgentMax],
	};
	await client.batch([...inserts, prune], "write");
}

/** The ones reported last first, at most `perAgentMax` of one host. */
export async function quarantinedItems(
	client: Client,
	limits: { max: number; perAgentMax: number },
): Promise<QuarantineView[]> {
	const { rows } = await client.execute({
		sql: `SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY agent ORDER BY id DESC) AS place FROM quarantine)
			WHERE place <= ?2 ORDER BY id DESC LIMIT ?1`,
		args: [limits.max, limits.perAgentMax],
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
