/**
 * Alarms: what a person must see. Guarantees that one alarm is one row however often it is reported, with how often and when last;
 * and that no host can fill the list: its newest few are answered, so a noisy host hides nobody else's. Evidence stays in the
 * store; the list names it and does not carry it.
 */
import { utf8 } from "#core/bytes/bytes.ts";
import { sha256 } from "#crypto";
import { WATCH_CODES, type WatchAlarm, type WatchCode } from "../../../durable/watch-face.ts";
import type { AlarmView } from "../api/answers.ts";
import { type Client, column } from "./client.ts";

export interface Alarm {
	/** Node id of the host it is about. */
	readonly agent: string;
	readonly code: string;
	readonly detail: string;
	readonly evidence: Uint8Array | null;
	/** What makes another report the same alarm, where the host could vary the detail at will. Absent: the detail. */
	readonly sameAs?: string;
}

const hashOf = ({ code, detail, evidence, sameAs }: Alarm): Uint8Array =>
	sha256(utf8(`${code}\0${sameAs ?? detail}\0`), evidence ?? new Uint8Array());

/** Keeps an alarm once; a report of one that is kept raises its count. The first detail stays while it stands. */
export async function storeAlarm(client: Client, alarm: Alarm, nowMs: number): Promise<void> {
	await client.execute({
		sql: `INSERT INTO alarms (agent, code, detail, evidence, evidence_hash, at_ms, last_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
			ON CONFLICT (agent, code, evidence_hash) DO UPDATE SET times = times + 1, last_ms = max(last_ms, excluded.last_ms),
				detail = CASE WHEN cleared_ms IS NULL THEN detail ELSE excluded.detail END, cleared_ms = NULL`,
		args: [alarm.agent, alarm.code, alarm.detail, alarm.evidence, hashOf(alarm), nowMs],
	});
}

/** What the alarm says is over: it stays in the list with the time it ended. */
export async function clearAlarm(client: Client, alarm: Alarm, nowMs: number): Promise<void> {
	await client.execute({
		sql: "UPDATE alarms SET cleared_ms = ?4 WHERE agent = ?1 AND code = ?2 AND evidence_hash = ?3 AND cleared_ms IS NULL",
		args: [alarm.agent, alarm.code, hashOf(alarm), nowMs],
	});
}

/** Alarms of the watch's own codes that stand. */
export async function standingWatchAlarms(client: Client): Promise<Pick<WatchAlarm, "agent" | "code">[]> {
	const { rows } = await client.execute({
		sql: "SELECT agent, code FROM alarms WHERE cleared_ms IS NULL AND code IN (SELECT value FROM json_each(?))",
		args: [JSON.stringify(WATCH_CODES)],
	});
	return rows.map((row) => ({ agent: column.text(row, "agent"), code: column.text(row, "code") as WatchCode }));
}

export async function isAlarmStored(client: Client, alarm: Alarm): Promise<boolean> {
	const { rows } = await client.execute({
		sql: "SELECT 1 FROM alarms WHERE agent = ? AND code = ? AND evidence_hash = ?",
		args: [alarm.agent, alarm.code, hashOf(alarm)],
	});
	return rows.length > 0;
}

/** Those that stand before those that are over, each newest first by its last report; at most `perAgentMax` of one host. */
export async function alarmsOf(client: Client, limits: { max: number; perAgentMax: number }): Promise<AlarmView[]> {
	const { rows } = await client.execute({
		sql: `SELECT id, agent, code, detail, evidence IS NOT NULL AS has_evidence, times, at_ms, last_ms, cleared_ms FROM (
				SELECT *, row_number() OVER (PARTITION BY agent ORDER BY cleared_ms IS NOT NULL, last_ms DESC, id DESC) AS place
				FROM alarms
			) WHERE place <= ?2 ORDER BY cleared_ms IS NOT NULL, last_ms DESC, id DESC LIMIT ?1`,
		args: [limits.max, limits.perAgentMax],
	});
	return rows.map((row) => ({
		id: column.number(row, "id"),
		agent: column.text(row, "agent"),
		code: column.text(row, "code"),
		detail: column.text(row, "detail"),
		hasEvidence: column.number(row, "has_evidence") === 1,
		times: column.number(row, "times"),
		firstAtMs: column.number(row, "at_ms"),
		lastAtMs: column.number(row, "last_ms"),
		clearedAtMs: column.numberOrNull(row, "cleared_ms"),
	}));
}
