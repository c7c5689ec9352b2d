/**
 * The Security Center's drain: what an AgentChannel delivers becomes rows, ledger leaves and news. Guarantees the order: events
 * verified → stored → under a signed checkpoint → told to the desk → answered; so a receipt means custody, and proves it. A batch
 * whose events do not verify is kept verbatim with the reason and raises an alarm, and the lane goes on. When the store or the
 * signer does not answer, nothing is promised and the channel tries again; every step takes a repetition.
 */
import { equalBytes, hexOf } from "#core/bytes/bytes.ts";
import { nodeUri } from "#core/identity/node-uri.ts";
import { batchSubject, bodyHash, encodeLeaf, formatCustody, parseCheckpoint, SALT_BYTES } from "#core/ledger/index.ts";
import { readBatch, verifyBatchEvents } from "#core/model/batch.ts";
import { type Event, KEPT_GAP_CAUSE } from "#core/model/event.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import type {
	AgentState,
	ChannelAlarm,
	Delivered,
	Delivery,
	NamedGap,
	QuarantinedItem,
	StoreDrain,
	StreamCustody,
	WalBatch,
} from "../../../durable/drain.ts";
import { type LaneDepths, WATCH_NAME } from "../../../durable/faces.ts";
import { logLine } from "../../../durable/log.ts";
import { OBJECT_NAMES } from "../../../durable/sc-objects.ts";
import type { AgentNews } from "../../../durable/trace-desk.ts";
import { noteAlarm, noteCleared, raiseAlarm } from "../alarms.ts";
import type { LiveNote } from "../api/answers.ts";
import type { ScEnv } from "../env.ts";
import type { Alarm } from "../store/alarms.ts";
import type { Client, Store } from "../store/client.ts";
import type { IncomingBatch, StoredBatch } from "../store/ingest.ts";
import { storeOf } from "../store/open.ts";
import { storeQuarantined } from "../store/quarantine.ts";
import { addState, markDelivery, storeDelivery } from "../store/together.ts";
import { attribute } from "./attribution.ts";

type Outcome<T> = Result<T, "drain_unavailable">;

/** procmond's cause of a tamper event that concerns the kernel and not the collector itself. */
const FOREIGN_KERNEL_CODE = "kernel_code";

/** A stored batch whose leaf is in the ledger. */
type IndexedBatch = StoredBatch & { readonly ledgerIndex: number };

interface Covered {
	/** Of the tree whose signed checkpoint covers them all. */
	readonly size: number;
	readonly batches: readonly IndexedBatch[];
}

/** The ledger's own note, which it has opened with its key. */
function sizeOf(note: string): number {
	const parsed = parseCheckpoint(note.slice(0, note.indexOf("\n\n") + 1));
	assertInvariant(parsed.ok, "the ledger answered a note that is no checkpoint");
	return parsed.value.size;
}

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
		subject: batchSubject(stored.stream, stored.seq),
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

/** Ways of tampering that a collector names. Another text is a rooted host's, and makes one alarm, not one each. */
const TAMPER_CAUSES: ReadonlySet<string> = new Set([
	"own_object",
	"own_process",
	"killed_by_kernel",
	"link",
	"map",
	"program",
	"handler",
]);

/** Somebody on the host acted on its collector: one alarm per way, counted. Code put into the kernel by others is an event only. */
export function tamperAlarms(agent: string, events: readonly Event[]): Alarm[] {
	const byWay = new Map<string, Alarm>();
	for (const { kind, payload } of events) {
		const { call = "?", cause = "", name = "?", pid = 0 } = payload;
		if (kind !== "tamper" || cause === FOREIGN_KERNEL_CODE) continue;
		const detail = `${name} (${pid}) acted on the collector: ${call}, ${cause}.`;
		// `link:on_fork` says which; the way is `link`.
		const way = cause.split(":", 1)[0] ?? "";
		const sameAs = TAMPER_CAUSES.has(way) ? way : "";
		// The event is in the ledger with its batch, so the alarm needs no leaf of its own.
		byWay.set(sameAs, { agent, code: "sensor_tampered", detail, evidence: null, sameAs });
	}
	return [...byWay.values()];
}

/** What the agent says will not come in its streams: not what it keeps, and shows again until it is taken. */
export function namedGapsOf(events: readonly Event[]): NamedGap[] {
	return events.flatMap(({ kind, payload: { gapScope, gapStream, gapFrom, gapTo, cause } }) => {
		if (cause?.startsWith(KEPT_GAP_CAUSE)) return [];
		if (kind !== "gap" || gapScope !== "stream" || gapStream === undefined) return [];
		const [first, last] = [Number(gapFrom ?? 0n), Number(gapTo ?? 0n)];
		return Number.isSafeInteger(first) && Number.isSafeInteger(last) ? [{ stream: gapStream, first, last }] : [];
	});
}

export class ScDrain implements StoreDrain {
	readonly #env: ScEnv;

	constructor(env: ScEnv) {
		this.#env = env;
	}

	async deliver(agent: string, { signingKey, batches, onStored }: Delivery): Promise<Outcome<Delivered>> {
		try {
			const store = await storeOf(this.#env);
			const desk = this.#env.TRACE_DESK.getByName(OBJECT_NAMES.desk);
			const read = batches.map((batch) => incomingOf(batch, signingKey));
			const { batches: incoming, alarms } = await attribute(desk, agent, read);
			for (const alarm of alarms) await raiseAlarm(this.#env, store.writer, alarm);
			const { stored, lastEventRow } = await storeDelivery(store.writer, { agent, batches: incoming });
			onStored();
			await this.#alarms(store.writer, { agent, incoming, stored });
			for (const alarm of tamperAlarms(
				agent,
				incoming.flatMap(({ events }) => events),
			))
				await noteAlarm(this.#env, store.writer, alarm);
			const covered = await this.#cover(store, agent, { incoming, stored });
			if (!covered.ok) return covered;
			const { size, batches: own } = covered.value;
			const custody = await this.#prove(own, size);
			const events = incoming.flatMap((batch) => batch.events);
			const news = newsOf(agent, events);
			if (news.answers.length + news.seals.length > 0) {
				const { sealsIgnored } = await desk.observe(news);
				if (sealsIgnored > 0) await this.#alarmOfSeals(store.writer, agent);
			}
			this.#announce(events, { lastEventRow, size });
			return ok({ custody, gaps: namedGapsOf(events) });
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
				await raiseAlarm(this.#env, writer, {
					agent,
					code: "batch_forked",
					detail: `Another batch ${name} of ${agent} is stored already.`,
					evidence: batch.bytes,
				});
			if (batch.refusal !== "")
				await raiseAlarm(this.#env, writer, {
					agent,
					code: "batch_events_refused",
					detail: `The events of batch ${name} were not believed: ${batch.refusal}`,
					evidence: null,
				});
		}
	}

	async #alarmOfSeals(writer: Client, agent: string): Promise<void> {
		const detail = `${agent} sealed a trace more often than it was started there.`;
		await raiseAlarm(this.#env, writer, { agent, code: "trace_seal_unexpected", detail, evidence: null });
	}

	/** Puts what is not yet in the ledger there; answers a signed tree's size and which batches of the delivery it covers. */
	async #cover(
		store: Store,
		agent: string,
		delivery: { incoming: readonly IncomingBatch[]; stored: readonly StoredBatch[] },
	): Promise<Outcome<Covered>> {
		const ledger = this.#env.LEDGER.getByName(OBJECT_NAMES.ledger);
		// A forked batch is not the one that stands in the store: it is kept as an alarm, and no leaf speaks for it.
		const own = delivery.stored.filter(({ hash }, i) => equalBytes(hash, (delivery.incoming[i] as IncomingBatch).hash));
		const fresh = own.filter(({ ledgerIndex }) => ledgerIndex === null);
		const known = own.filter((batch): batch is IndexedBatch => batch.ledgerIndex !== null);
		if (fresh.length === 0) {
			const latest = await ledger.latest();
			if (latest === null) return fail("drain_unavailable", "no checkpoint is signed yet");
			return ok({ size: latest.size, batches: known });
		}
		const appended = await ledger.append(fresh.map((batch) => batchLeaf(this.#env.ENCLAVE, agent, batch)));
		if (!appended.ok) return fail("drain_unavailable", `${appended.code}: ${appended.detail}`);
		const { indexes, checkpoint } = appended.value;
		const indexed = fresh.map((batch, i) => ({ ...batch, ledgerIndex: indexes[i] as number }));
		const places = indexed.map(({ row, ledgerIndex }) => ({ row, index: ledgerIndex }));
		await markDelivery(store.writer, delivery.incoming, places);
		return ok({ size: sizeOf(checkpoint), batches: [...known, ...indexed] });
	}

	/** What the agent is shown: of each stream the proof of its highest batch. */
	async #prove(batches: readonly IndexedBatch[], size: number): Promise<StreamCustody[]> {
		const highest = new Map<string, IndexedBatch>();
		for (const batch of batches) {
			const stream = hexOf(batch.stream);
			if (batch.seq > (highest.get(stream)?.seq ?? 0)) highest.set(stream, batch);
		}
		const proved = [...highest.values()];
		if (proved.length === 0) return [];
		const ledger = this.#env.LEDGER.getByName(OBJECT_NAMES.ledger);
		const { checkpoint, leaves } = await ledger.prove(
			proved.map(({ ledgerIndex }) => ledgerIndex),
			size,
		);
		return leaves.map(({ index, leaf, path }, i) => {
			const { stream, seq, salt } = proved[i] as IndexedBatch;
			return { stream, seq, proof: formatCustody({ leaf, salt, index, hashes: path, checkpoint }) };
		});
	}

	/** Rules run and consoles hear of it after the receipt: neither may hold it back. */
	#announce(events: readonly Event[], { lastEventRow, size }: { lastEventRow: number; size: number }): void {
		const traceIds = [...new Set(events.flatMap(({ traceId }) => (traceId === undefined ? [] : [traceId])))];
		const notes: LiveNote[] = traceIds.map((traceId) => ({ kind: "events", traceId, lastRow: lastEventRow }));
		notes.push({ kind: "ledger", size });
		this.#tell(this.#env.DETECTOR.getByName(OBJECT_NAMES.detector).notify(lastEventRow));
		this.#tell(this.#env.FEED.getByName(OBJECT_NAMES.feed).publish(notes.map((note) => JSON.stringify(note))));
	}

	#tell(call: Promise<void>): void {
		call.catch((error: Error) => logLine("warning", "note_not_taken", { detail: error.message }));
	}

	async onState(state: AgentState): Promise<void> {
		const { writer } = await storeOf(this.#env);
		await addState(writer, state);
		const note: LiveNote = { kind: "fleet", agent: state.agent };
		this.#tell(this.#env.FEED.getByName(OBJECT_NAMES.feed).publish([JSON.stringify(note)]));
	}

	async onQuarantine(agent: string, items: readonly QuarantinedItem[]): Promise<void> {
		const { writer } = await storeOf(this.#env);
		const ownName = this.#env.NODE_URI.slice(this.#env.NODE_URI.lastIndexOf("/") + 1);
		await storeQuarantined(writer, agent, { items, ownName });
		for (const { hop, cause } of items) {
			const where = hop === "" ? ownName : hop;
			const detail = `${where} refused an item of ${agent} for good: ${cause}.`;
			// One alarm per host and link: what stands behind the first name is the proxy's word, which it could vary at will.
			const sameAs = where.split("/", 1)[0] ?? "";
			await noteAlarm(this.#env, writer, { agent, code: "item_refused", detail, evidence: null, sameAs });
		}
	}

	async onAlarm(alarm: ChannelAlarm): Promise<void> {
		const { writer } = await storeOf(this.#env);
		if (alarm.isCleared === true) await noteCleared(this.#env, writer, alarm);
		else await raiseAlarm(this.#env, writer, alarm);
	}

	onBacklog(agent: string, depths: LaneDepths): void {
		this.#tell(this.#env.FLEET_WATCH.getByName(WATCH_NAME).storeBacklog(agent, depths));
	}
}
