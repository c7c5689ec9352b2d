/**
 * Raising an alarm: into the ledger, into the store, to the consoles. Guarantees that the ledger has it before the store, so one that
 * is shown is also proved; and one leaf per alarm, because whoever causes an alarm can cause it again and a leaf costs a signature.
 */
import { utf8 } from "#core/bytes/bytes.ts";
import { logLine } from "../../durable/log.ts";
import { OBJECT_NAMES } from "../../durable/sc-objects.ts";
import type { LiveNote } from "./api/answers.ts";
import type { ScEnv } from "./env.ts";
import { type Alarm, clearAlarm, isAlarmStored, storeAlarm } from "./store/alarms.ts";
import type { Client } from "./store/client.ts";

/** Throws when store or ledger do not answer; raising it again is harmless. */
export async function raiseAlarm(env: ScEnv, writer: Client, alarm: Alarm): Promise<void> {
	if (!(await isAlarmStored(writer, alarm))) {
		const written = await env.TRACE_DESK.getByName(OBJECT_NAMES.desk).act({
			kind: "fork_alarm",
			actor: env.NODE_URI,
			subject: alarm.agent,
			body: utf8(JSON.stringify({ code: alarm.code, detail: alarm.detail })),
		});
		if (!written.ok) throw new Error(written.detail);
	}
	await noteAlarm(env, writer, alarm);
}

/** An alarm about our own rules: a person must see it, but it says nothing about custody and gets no leaf. */
export async function noteAlarm(env: Pick<ScEnv, "FEED">, writer: Client, alarm: Alarm): Promise<void> {
	await storeAlarm(writer, alarm, Date.now());
	tellConsoles(env, alarm);
}

/** What an alarm said is over; consoles hear of it like of the alarm. Clearing what does not stand changes nothing. */
export async function noteCleared(env: Pick<ScEnv, "FEED">, writer: Client, alarm: Alarm): Promise<void> {
	await clearAlarm(writer, alarm, Date.now());
	tellConsoles(env, alarm);
}

function tellConsoles(env: Pick<ScEnv, "FEED">, alarm: Alarm): void {
	const note: LiveNote = { kind: "alarm", agent: alarm.agent };
	const told = env.FEED.getByName(OBJECT_NAMES.feed).publish([JSON.stringify(note)]);
	told.catch((error: Error) => logLine("warning", "note_not_taken", { detail: error.message }));
}
