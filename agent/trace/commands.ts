/**
 * The agent's own judgement of commands. Guarantees the invariant of DESIGN §5: nothing starts, stops or widens a trace but a
 * command that this agent verified itself against its own pinned trust document, once. Every judged command is answered by a
 * signed event, accepted or refused by name. Must never take the word of the hop that delivered it.
 */
import { equalBytes, hexOf } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { signedEnvelopeShape, type TraceCommand } from "#core/model/command.ts";
import type { EventPayload } from "#core/model/event.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { policyOf } from "#core/trust/capture-policy.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
import { type CommandCode, verifyTraceCommand } from "#core/trust/verify-command.ts";
import { sha256 } from "#crypto";
import type { HostClock } from "../clock.ts";
import { agentEvent, type EventDraft } from "../events/draft.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import type { ProcessTable } from "../process-table/process-table.ts";
import type { SeenCode, SeenCommands } from "./seen-commands.ts";
import type { TraceRoot, Traces } from "./traces.ts";

export type RefusalCode =
	| CommandCode
	| SeenCode
	/** No process has the pid now, or another one has. */
	| "target_gone"
	| "collector_not_ready"
	/** procmond answered with a cause, or not at all. */
	| "collector_refused"
	| "slots_full"
	/** A stop for a trace that does not run here. */
	| "trace_unknown";

/** What procmond said to a trace_add. */
export type SlotAnswer = Result<{ readonly processCount: number }, "collector_refused">;

export interface CommandsOptions {
	readonly agentId: string;
	readonly clock: HostClock;
	readonly log: Log;
	readonly seen: SeenCommands;
	readonly traces: Traces;
	readonly trust: () => TrustDocument;
	/** Null until procmond is ready. */
	readonly table: () => ProcessTable | null;
	readonly defaultDepth: number;
	readonly addSlot: (root: TraceRoot) => Promise<SlotAnswer>;
	readonly emit: (answer: EventDraft) => void;
	/** Everything that was seen so far is in its place before a trace begins or ends. */
	readonly settle: () => void;
}

/** `cause`: what of the command is not done although it was accepted. */
type Judged = Result<{ readonly processCount?: number; readonly cause?: string }, RefusalCode>;

const NO_MEMORY_HEADERS = "memory headers are not collected: the capture policy does not allow them";

/** Bytes of the payload hash that name a refused envelope in an answer: enough to find it among a day's commands. */
const PAYLOAD_NAME_BYTES = 8;

/** What can be said of an envelope that nobody is known to have signed: which bytes it held. */
function payloadName(envelopeBytes: Uint8Array): string {
	const envelope = decodeAs(signedEnvelopeShape, envelopeBytes);
	const payload = envelope.ok ? envelope.value.payload : envelopeBytes;
	return `${envelope.ok ? "payload" : "envelope"} ${hexOf(sha256(payload).subarray(0, PAYLOAD_NAME_BYTES))}`;
}

export class Commands {
	readonly #options: CommandsOptions;
	#minuteStartMs = 0;
	#refusalsInMinute = 0;

	constructor(options: CommandsOptions) {
		this.#options = options;
	}

	/** Judges one envelope and does what it says. Resolves when the answer is emitted. Throws `DiskFailure` only. */
	async handle(envelope: Uint8Array): Promise<void> {
		const { agentId, clock, seen, trust } = this.#options;
		const verified = verifyTraceCommand(envelope, {
			trust: trust(),
			agentId,
			nowMs: clock.nowMs(),
			hasSeen: (id) => seen.has(id),
		});
		if (!verified.ok) {
			const { command } = verified;
			if (command === null) this.#refuse({ ...verified, detail: `${verified.detail}; ${payloadName(envelope)}` }, null);
			else if (verified.code !== "command_replayed" || !this.#isAnswered(command, envelope))
				this.#refuse(verified, command);
			return;
		}
		const { command, payload } = verified.value;
		const { commandId: id, expiresAtMs } = command;
		const recorded = seen.record({ id, payloadHash: sha256(payload), expiresAtMs }, clock.nowMs());
		const judged: Judged = recorded.ok ? await this.#act(command) : recorded;
		if (judged.ok) this.#answer({ commandId: id, isAccepted: true, ...judged.value }, command.traceId);
		else this.#refuse(judged, command);
	}

	#isAnswered({ commandId }: TraceCommand, envelopeBytes: Uint8Array): boolean {
		const envelope = decodeAs(signedEnvelopeShape, envelopeBytes);
		return envelope.ok && this.#options.seen.isAnswered(commandId, sha256(envelope.value.payload));
	}

	async #act(command: TraceCommand): Promise<Judged> {
		const { traces, settle } = this.#options;
		settle();
		if (command.act === "start") return this.#start(command);
		const trace = traces.find(command.traceId);
		if (trace === undefined) return fail("trace_unknown", "no such trace runs on this agent");
		traces.end(trace, "stopped");
		return ok({});
	}

	async #start(command: TraceCommand): Promise<Judged> {
		const { traces, addSlot, trust, defaultDepth } = this.#options;
		const table = this.#options.table();
		if (table === null) return fail("collector_not_ready", "the collector has not reported yet");
		const target = table.byTgid(command.targetPid);
		if (target === undefined || !target.isAlive || !equalBytes(target.key, command.targetProcess))
			return fail("target_gone", `process ${command.targetPid} has ended or is another one now`);
		const slot = traces.freeSlot();
		if (slot === null) return fail("slots_full", `${AGENT_LIMITS.traceSlotsMax} traces run already`);
		// As in the seed's message, 0 is "not set": the site's default stands in, below the signed ceiling.
		const depth = command.depth > 0 ? command.depth : Math.min(defaultDepth, trust().traceDepthMax);
		const wantsMemory = command.collectMemoryHeaders === true;
		const memoryHeaders = wantsMemory && policyOf(trust()).allowsMemoryHeaders;
		const root: TraceRoot = {
			slot,
			entry: target,
			depth,
			collects: {
				cmdlines: command.collectCmdlines,
				network: command.collectNetwork,
				fileMeta: command.collectFileMeta,
				memoryHeaders,
			},
		};
		// Opened before procmond answers: file events come from the moment the slot is open.
		const trace = traces.open(command.traceId, root, command.maxDurationSecs, table);
		const answer = await addSlot(root);
		const { processCount } = answer.ok ? answer.value : { processCount: 0 };
		if (answer.ok)
			return ok(wantsMemory && !memoryHeaders ? { processCount, cause: NO_MEMORY_HEADERS } : { processCount });
		if (traces.find(command.traceId) === trace) traces.dropRoot(trace, root, "collector_refused");
		return answer;
	}

	/** Answers by name. Ids are only those of a command that its initiator signed: a hop must not refuse another's in our name. */
	#refuse(refusal: { code: RefusalCode; detail: string }, command: TraceCommand | null): void {
		const { clock, log } = this.#options;
		log("command_refused", { reason: refusal.code });
		const nowMs = clock.monotonicMs();
		if (nowMs - this.#minuteStartMs >= 60_000) {
			this.#minuteStartMs = nowMs;
			this.#refusalsInMinute = 0;
		}
		if (++this.#refusalsInMinute > AGENT_LIMITS.refusalEventsPerMinuteMax) return;
		const answer: EventPayload = { isAccepted: false, cause: `${refusal.code}: ${refusal.detail}` };
		this.#answer(command === null ? answer : { ...answer, commandId: command.commandId }, command?.traceId ?? null);
	}

	#answer(payload: EventPayload, traceId: string | null): void {
		const { clock, emit, log } = this.#options;
		if (payload.isAccepted === true) log("command_accepted");
		const event = agentEvent(clock, "command_answer", payload);
		emit(traceId === null ? event : { ...event, traceId });
	}
}
