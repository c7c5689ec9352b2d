/**
 * The Security Center's drain: what an AgentChannel delivers becomes rows, ledger leaves and news. Guarantees the order: events
 * verified → stored → under a signed checkpoint → told to the desk → answered; so a receipt means custody. A batch whose events
 * do not verify is kept verbatim with the reason and raises an alarm, and the lane goes on. When the store or the signer does not
 * answer, nothing is promised and the channel tries again; every step takes a repetition.
 */
import { hexOf, utf8 } from "#core/bytes/bytes.ts";
import { nodeUri } from "#core/identity/node-uri.ts";
import { bodyHash, encodeLeaf, SALT_BYTES } from "#core/ledger/index.ts";
import { readBatch, verifyBatchEvents } from "#core/model/batch.ts";
import type { Event } from "#core/model/event.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import type { AgentState, ChannelAlarm, Delivered, StoreDrain, WalBatch } from "../../../durable/drain.ts";
import { logLine } from "../../../durable/log.ts";
import { OBJECT_NAMES } from "../../../durable/sc-objects.ts";
import type { AgentNews } from "../../../durable/trace-desk.ts";
import type { LiveNote } from "../api/answers.ts";
import type { ScEnv } from "../env.ts";
import type { Client, Store } from "../store/client.ts";
import { type IncomingBatch, markLedgerIndexes, type StoredBatch, storeAlarm, storeBatches } from "../store/ingest.ts";
import { storeState } from "../store/nodes.ts";
import { storeOf } from "../store/open.ts";

type Outcome<T> = Result<T, "drain_unavailable">;

function incomingOf(batch: WalBatch, signingKey: Uint8Array): IncomingBatch {
	const read = readBatch(batch.bytes);
	// The channel has read and verified it before it was acknowledged.
	assertInvariant(read.ok, "the channel delivered a batch that does not read");
	const events = verifyBatchEvents(read.value, signingKey);
	return {
		stream: batch.stream,
		seq: batch.seq,
		lane: batch.lane,
		hash: batch.hash,
		header: read.value.headerBytes,
		bytes: batch.bytes,
		salt: crypto.getRandomValues(new Uint8Array(SALT_BYTES)),
		events: events.ok ? events.value : [],
		refusal: events.ok ? "" : `${events.code}: ${events.detail}`,
	};
}

/** The leaf of a stored batch: made of stored values only, so that making it again makes the same leaf. */
export function batchLeaf(enclave: string, agent: string, stored: StoredBatch): Uint8Array {
	return encodeLeaf({
		kind: "batch",
		tsMs: stored.receivedMs,
		actor: nodeUri({ enclave, role: "agent", id: agent }),
		subject: `${hexOf(stored.stream)}/${stored.seq}`,
		bodyHash: bodyHash(stored.salt, stored.header),
	});
}

/** Answers and seals among the events, for the desk. */
export function newsOf(agent: string, events: readonly Event[]): AgentNews {
	const answers: AgentNews["answers"][number][] = [];
	const seals: AgentNews["seals"][number][] = [];
	for (const { kind, payload, traceId, wallTimeMs } of events) {
		if (kind === "command_answer" && payload.commandId !== undefined)
			answers.push({
				commandId: hexOf(payload.commandId),
				isAccepted: payload.isAccepted === true,
				cause: payload.cause ?? "",
			});
		if (kind === "trace_seal" && traceId !== undefined) {
			const { cause = "", eventCount = 0, gapCount = 0 } = payload;
			seals.push({ traceId, cause, eventCount, gapCount, timeMs: wallTimeMs });
		}
	}
	return { agent, answers, seals };
}

export class ScDrain implements StoreDrain {
	readonly #env: ScEnv;

	constructor(env: ScEnv) {
		this.#env = env;
	}

	async deliver(agent: string, signingKey: Uint8Array, batches: readonly WalBatch[]): Promise<Outcome<Delivered>> {
		try {
			const store = await storeOf(this.#env);
			const incoming = batches.map((batch) => incomingOf(batch, signingKey));
			const { stored, lastEventRow } = await storeBatches(store.writer, agent, incoming, Date.now());
			await this.#alarms(store.writer, { agent, incoming, stored });
			const checkpoint = await this.#custody(store, agent, { incoming, stored });
			if (!checkpoint.ok) return checkpoint;
			const events = incoming.flatMap((batch) => batch.events);
			const news = newsOf(agent, events);
			if (news.answers.length + news.seals.length > 0)
				await this.#env.TRACE_DESK.getByName(OBJECT_NAMES.desk).observe(news);
			this.#announce(events, { lastEventRow, checkpoint: checkpoint.value });
			return ok({ checkpoint: checkpoint.value });
		} catch (error) {
			const detail = (error as Error).message;
			logLine("warning", "delivery_not_stored", { agent, batches: batches.length, detail });
			return fail("drain_unavailable", detail);
		}
	}

	/** Batches that are not what they should be: other bytes under a known number, or events that do not verify. */
	async #alarms(
		writer: Client,
		delivery: { agent: string; incoming: readonly IncomingBatch[]; stored: readonly StoredBatch[] },
	): Promise<void> {
		const { agent, incoming, stored } = delivery;
		for (const [i, batch] of incoming.entries()) {
			const name = `${hexOf(batch.stream)}/${batch.seq}`;
			if (hexOf((stored[i] as StoredBatch).hash) !== hexOf(batch.hash))
				await this.#raise(writer, {
					agent,
					code: "batch_forked",
					detail: `Another batch ${name} of ${agent} is stored already.`,
					evidence: batch.bytes,
				});
			if (batch.refusal !== "")
				await this.#raise(writer, {
					agent,
					code: "batch_events_refused",
					detail: `The events of batch ${name} were not believed: ${batch.refusal}`,
					evidence: null,
				});
		}
	}

	async #raise(writer: Client, alarm: ChannelAlarm): Promise<void> {
		await storeAlarm(writer, alarm, Date.now());
		const body = utf8(JSON.stringify({ code: alarm.code, detail: alarm.detail }));
		const written = await this.#env.TRACE_DESK.getByName(OBJECT_NAMES.desk).act({
			kind: "fork_alarm",
			actor: this.#env.NODE_URI,
			subject: alarm.agent,
			body,
		});
		if (!written.ok) throw new Error(written.detail);
	}

	/** Puts what is not yet in the ledger there; answers a signed note that covers every batch of the delivery. */
	async #custody(
		store: Store,
		agent: string,
		delivery: { incoming: readonly IncomingBatch[]; stored: readonly StoredBatch[] },
	): Promise<Outcome<string>> {
		const ledger = this.#env.LEDGER.getByName(OBJECT_NAMES.ledger);
		const fresh = delivery.stored.filter(
			({ ledgerIndex, hash }, i) =>
				ledgerIndex === null && hexOf(hash) === hexOf((delivery.incoming[i] as IncomingBatch).hash),
		);
		if (fresh.length === 0) {
			const latest = await ledger.latest();
			return latest === null ? fail("drain_unavailable", "no checkpoint is signed yet") : ok(latest.note);
		}
		const appended = await ledger.append(fresh.map((batch) => batchLeaf(this.#env.ENCLAVE, agent, batch)));
		if (!appended.ok) return fail("drain_unavailable", `${appended.code}: ${appended.detail}`);
		const { indexes, checkpoint } = appended.value;
		await markLedgerIndexes(
			store.writer,
			fresh.map(({ row }, i) => ({ row, index: indexes[i] as number })),
		);
		return ok(checkpoint);
	}

	/** Rules run and consoles hear of it after the receipt: neither may hold it back. */
	#announce(
		events: readonly Event[],
		{ lastEventRow, checkpoint }: { lastEventRow: number; checkpoint: string },
	): void {
		const traceIds = [...new Set(events.flatMap(({ traceId }) => (traceId === undefined ? [] : [traceId])))];
		const notes: LiveNote[] = traceIds.map((traceId) => ({ kind: "events", traceId, lastRow: lastEventRow }));
		notes.push({ kind: "ledger", size: Number(checkpoint.split("\n")[1]) });
		this.#tell(this.#env.DETECTOR.getByName(OBJECT_NAMES.detector).notify(lastEventRow));
		this.#tell(this.#env.FEED.getByName(OBJECT_NAMES.feed).publish(notes.map((note) => JSON.stringify(note))));
	}

	#tell(call: Promise<void>): void {
		call.catch((error: Error) => logLine("warning", "note_not_taken", { detail: error.message }));
	}

	async onState(state: AgentState): Promise<void> {
		const { writer } = await storeOf(this.#env);
		await storeState(writer, state, Date.now());
		const note: LiveNote = { kind: "fleet", agent: state.agent };
		this.#tell(this.#env.FEED.getByName(OBJECT_NAMES.feed).publish([JSON.stringify(note)]));
	}

	async onAlarm(alarm: ChannelAlarm): Promise<void> {
		const { writer } = await storeOf(this.#env);
		await this.#raise(writer, alarm);
	}
}
