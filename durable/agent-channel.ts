/**
 * AgentChannel: everything one hop does for one agent, the same class at a proxy and at the Security Center. It owns the agent's
 * session, the sequence of each stream, the write-ahead log, the command queue and the custody watermarks. Guarantees: acked ⊆
 * stored (a receipt is sent in the same turn as the write, and the runtime's output gate holds it until the write is fsynced);
 * no batch stored twice; the bytes stored are the bytes that came; a refused item disturbs nothing else. Must never be addressed
 * for an id that has not proved itself: its mere existence is a file.
 */
import { DurableObject } from "cloudflare:workers";
import { encodeAs } from "#core/codec/index.ts";
import { nodeProofShape } from "#core/identity/binding.ts";
import { LINK_SUBPROTOCOL } from "#core/identity/challenge.ts";
import { agentStatusShape } from "#core/identity/hello.ts";
import { routeShape } from "#core/identity/route.ts";
import { type Lane, peekLane } from "#core/model/batch.ts";
import { encodeFrame, type FrameBody, isPassingCode, isRoomCode } from "#core/protocol/index.ts";
import { assertInvariant, fail, type Result } from "#core/result.ts";
import { readAdmitted } from "./admitted.ts";
import { AgentSession } from "./agent-session.ts";
import { type BoxDisk, boxDiskOf, type DiskEnv, refreshDisk } from "./box-disk.ts";
import { type ChannelIdentity, ChannelStore, type StreamRow } from "./channel-store.ts";
import { DeferredBulk } from "./deferred-bulk.ts";
import type { AgentState, QuarantinedItem, StoreDrain } from "./drain.ts";
import {
	type Acknowledged,
	type AgentChannelFace,
	type AgentNews,
	type Arrival,
	type ChannelStats,
	type EnqueueCode,
	type IngestAnswer,
	type LaneDepths,
	type Namespace,
	type PeerLinkFace,
	type QueuedCommand,
	type Refusal,
	type Report,
	UPLINK_NAME,
	type UplinkFace,
	type WalRow,
} from "./faces.ts";
import { heardNodes } from "./heard-nodes.ts";
import { alarmHoles } from "./holes.ts";
import { Intake } from "./intake.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { ownProxyOf, PeerArrivals } from "./peer-arrivals.ts";
import { TELLERS } from "./quarantine.ts";
import { QuarantineTeller } from "./quarantine-teller.ts";
import { readMessage } from "./read-message.ts";
import { type ProxySettings, readFlowSettings } from "./settings.ts";
import { StateTeller } from "./state-teller.ts";
import { StorePump } from "./store-pump.ts";
import { storeTurns } from "./store-turns.ts";
import { TailWatch } from "./tail-watch.ts";
import { WaitingCommands } from "./waiting-commands.ts";
import type { WatchSettings } from "./watch-face.ts";

export interface ChannelEnv extends DiskEnv {
	readonly PROXY?: ProxySettings;
	/** At a proxy: where batches go. */
	readonly UPLINK?: Namespace<UplinkFace>;
	/** Where agents behind another proxy are reached. */
	readonly PEER_LINK?: Namespace<PeerLinkFace>;
	/** Shorter times for tests. */
	readonly WATCH?: WatchSettings;
}

export class AgentChannelBase<E extends ChannelEnv = ChannelEnv> extends DurableObject<E> implements AgentChannelFace {
	/** The Security Center's worker sets it; without one the channel is a relay and its Uplink pulls. */
	protected readonly drain: StoreDrain | null = null;
	readonly #disk: BoxDisk;
	readonly #store: ChannelStore;
	readonly #session: AgentSession;
	#intake: Intake | null = null;
	#arrivals: PeerArrivals | null = null;
	#teller: QuarantineTeller | null = null;
	readonly #states = new StateTeller(
		({ via, proof, ...told }) =>
			this.drain?.onState({ ...told, via, ...(proof === undefined ? {} : { proof }) }) ?? this.#tellRelay(told),
		(error) => logLine("warning", "state_not_told", { agent: this.#identity?.agent, detail: error.message }),
	);
	#pump: StorePump | null = null;
	#commands: WaitingCommands | null = null;
	#tails: TailWatch | null = null;
	#identity: ChannelIdentity | null;
	#alarmAtMs: number | null = null;
	readonly #bulk = new DeferredBulk((error) => {
		logLine("error", "bulk_not_taken", { agent: this.#identity?.agent, detail: error.message, stack: error.stack });
		this.ctx.abort("bulk could not be taken");
	});
	#heardAtMs = 0;
	#refusalsInRow = 0;

	constructor(ctx: DurableObjectState, env: E) {
		super(ctx, env);
		this.#disk = boxDiskOf(env);
		this.#store = new ChannelStore(ctx.storage.sql, (bytes) => this.#disk.waits(ctx.id.toString(), bytes));
		this.#session = new AgentSession(ctx);
		this.#identity = this.#store.identity();
		this.#heardAtMs = this.#identity?.heardAtMs ?? 0;
		// Floating on purpose: the runtime holds every event back until it is done.
		void ctx.blockConcurrencyWhile(async () => {
			this.#alarmAtMs = await ctx.storage.getAlarm();
		});
	}

	#relay(): UplinkFace | null {
		return this.drain === null ? (this.env.UPLINK?.getByName(UPLINK_NAME) ?? null) : null;
	}

	#intakeOf(): Intake {
		this.#intake ??= new Intake({
			...{ store: this.#store, disk: this.#disk },
			isRelay: this.drain === null,
			fsyncIntervalMs: readFlowSettings(this.env.PROXY).fsyncIntervalMs,
			transaction: (write) => this.ctx.storage.transactionSync(write),
			abort: (reason) => this.ctx.abort(reason),
			onCommitted: (receipts) => this.#committed(receipts),
		});
		return this.#intake;
	}

	#pumpOf(drain: StoreDrain): StorePump {
		this.#pump ??= new StorePump(this.#known().agent, {
			store: this.#store,
			drain,
			turns: storeTurns(),
			news: () => [...this.#store.holeNews(), ...this.#tailsOf().news(Date.now())],
			transaction: (write) => this.ctx.storage.transactionSync(write),
			wakeAt: (atMs) => this.#wakeAt(atMs),
			onDelivered: (receipts) => this.#sendReceipts(receipts),
		});
		return this.#pump;
	}

	#known(): ChannelIdentity {
		assertInvariant(this.#identity !== null, "a channel was used before its agent had proved itself");
		return this.#identity;
	}

	/** A call that may fail with its callee: whatever it told is told again by a reconnect, a tick or an alarm. */
	#tell(event: string, call: Promise<unknown> | undefined): void {
		call?.catch((error: Error) => logLine("warning", event, { agent: this.#identity?.agent, detail: error.message }));
	}

	#wakeAt(atMs: number): void {
		// One long due was set under a clock that has been set forward since: it waits by the old one, perhaps for hours.
		const isComing = this.#alarmAtMs !== null && this.#alarmAtMs > Date.now() - CHANNEL_LIMITS.alarmLateMsMax;
		if (isComing && (this.#alarmAtMs as number) <= atMs) return;
		this.#alarmAtMs = atMs;
		this.#tell("alarm_not_set", this.ctx.storage.setAlarm(atMs));
	}

	#writeIdentity(identity: ChannelIdentity): void {
		this.#identity = identity;
		this.#store.writeIdentity(identity);
	}

	// ── the agent's own session ──────────────────────────────────────────────────────────────────────────────────────────

	/** An upgrade that passed the link gate. */
	override async fetch(request: Request): Promise<Response> {
		const admitted = readAdmitted(request);
		const nowMs = Date.now();
		const { id: agent, status, signingKey, notAfterMs } = admitted;
		const identity = {
			...{ agent, signingKey, notAfterMs, proof: encodeAs(nodeProofShape, admitted.proof) },
			...{ via: "", linkId: crypto.randomUUID(), isUp: true, heardAtMs: nowMs },
			...{ route: encodeAs(routeShape, [admitted.hello]), routeTimesMs: [admitted.helloTimeMs] },
			status: status === undefined ? null : encodeAs(agentStatusShape, status),
		};
		// Registered before the first acknowledgement, so that a crash after it finds the backlog again.
		const trust = (await this.#relay()?.register(newsOf(identity))) ?? [];
		// Of the link before: it counts as that one's.
		this.#bulk.flush();
		this.#writeIdentity(identity);
		// A session in which nothing is said any more ends with its certificate all the same.
		this.#wakeAt(notAfterMs + 1);
		const { 0: client, 1: server } = new WebSocketPair();
		this.#session.open(server);
		this.#intakeOf().startLink();
		this.#heardAtMs = nowMs;
		this.#refusalsInRow = 0;
		const watermarks = this.#store.streams().map(({ stream, a1, a2, state }) => {
			return { stream, a1, a2, ...(isHashKnown({ a1, state }) ? { hash: state.lastHash } : {}) };
		});
		this.#session.send(encodeFrame("welcome", { timeMs: nowMs, watermarks, trust }));
		this.#sendCustody("");
		this.#commandsOf().sendAll(Date.now());
		this.#tellState({ isUp: true, ...(status === undefined ? {} : { status }) });
		const headers = { "sec-websocket-protocol": LINK_SUBPROTOCOL };
		return new Response(null, { status: 101, webSocket: client, headers });
	}

	/** An Uplink that does not know an agent who is here gets to know it again: its batches and commands go by what it knows. */
	async #tellRelay(state: Parameters<UplinkFace["agentState"]>[0]): Promise<void> {
		const isKnown = await this.#relay()?.agentState(state);
		if (isKnown === false && state.isUp) await this.#relay()?.register(newsOf(this.#known()));
	}

	#tellState(state: Pick<FrameBody<"agent_state">, "isUp" | "status" | "health">): void {
		const { agent } = this.#known();
		const heard = { heardAtMs: this.#heardAtMs, heardHereMs: this.#heardAtMs };
		// No hop is below an agent's own session; what there was no room for here waits at the agent, and is not lost.
		const waiting = this.#intakeOf().waitingLanes;
		this.#tell("state_not_told", this.#tellRelay({ agent, ...heard, waiting, ...state }));
	}

	override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
		if (!this.#session.isCurrent(socket)) return;
		this.#heardAtMs = Date.now();
		if (this.#dropIfExpired()) return;
		const frame = readMessage(message, CHANNEL_LIMITS.messageBytesMax);
		if (!frame.ok) {
			const { code, detail } = frame;
			if (code === "frame_too_large" && typeof message !== "string")
				this.#keepFrame(code, detail, new Uint8Array(message));
			if (typeof message === "string" || code === "frame_too_large") this.#drop(code, detail);
			else this.#refuseFrame(code, detail, new Uint8Array(message));
			return;
		}
		const { type, body } = frame.value;
		if (type === "batch") this.#takeInTurn(body.bytes);
		else if (type === "heartbeat") this.#tellState({ isUp: true, health: body.health });
		else if (type === "command_received") this.#tell("command_receipt_lost", this.commandReceived(body.commandId));
		else if (type === "bye") this.#drop("bye", "the agent said so");
		else this.#refuseFrame("frame_unexpected", `${type} is not for a hop`, new Uint8Array(message as ArrayBuffer));
	}

	#takeInTurn(bytes: Uint8Array): void {
		const { agent, signingKey } = this.#known();
		const take = () => this.#takeBatch(bytes, { agent, signingKey });
		if (peekLane(bytes) === "bulk") this.#bulk.add(bytes.length, take);
		else take();
	}

	#takeBatch(bytes: Uint8Array, sender: Pick<ChannelIdentity, "agent" | "signingKey">): void {
		void refreshDisk(this.env, Date.now());
		const answer = this.#intakeOf().take(bytes, sender, Date.now());
		if (answer.refusal !== null) this.#refuse(answer.refusal);
		// A repetition costs its sender nothing: it pardons none.
		else if (answer.isNew) this.#refusalsInRow = 0;
		if (answer.repeated !== null) this.#sendReceipts([{ ...answer.repeated, level: "a1" }]);
	}

	#refuseFrame(code: string, detail: string, bytes: Uint8Array): void {
		this.#keepFrame(code, detail, bytes);
		this.#refuse({ code, detail });
	}

	#keepFrame(cause: string, detail: string, bytes: Uint8Array): void {
		const item = { cause, detail, atMs: Date.now(), hop: "", teller: TELLERS.agent };
		this.#store.quarantine.keep(item, bytes);
	}

	#refuse(refusal: Refusal): void {
		const { agent } = this.#known();
		this.#session.send(encodeFrame("reject", { agent, ...refusal }));
		// An honest agent that is asked for patience has a window of batches on the way: each is answered, none is a fault.
		if (isPassingCode(refusal.code)) return;
		logLine("warning", "item_refused", { agent, code: refusal.code, detail: refusal.detail });
		this.#raiseAlarms();
		if (++this.#refusalsInRow < CHANNEL_LIMITS.refusalsInRowMax) return;
		this.#bulk.clear();
		this.#drop("refusals_in_row", `${this.#refusalsInRow} items in a row were refused`);
	}

	#dropIfExpired(): boolean {
		if (Date.now() <= this.#known().notAfterMs) return false;
		this.#drop("certificate_expired", "the certificate of this session has expired");
		return true;
	}

	#drop(code: string, detail: string): void {
		this.#session.close(code, detail);
		this.#tellerOf().kick();
		this.#gone();
	}

	/** The session ended: what still waits for its commit is written, and the way up hears that the agent went. */
	#gone(): void {
		const { via, isUp } = this.#known();
		if (via !== "" || !isUp) return;
		this.#bulk.flush();
		this.#intakeOf().commit();
		this.#writeIdentity({ ...this.#known(), isUp: false, heardAtMs: this.#heardAtMs });
		this.#tellState({ isUp: false });
	}

	override webSocketClose(socket: WebSocket): void {
		// Woken from hibernation by the close itself, the session may already know that nobody is there.
		if (this.#session.closed(socket) || !this.#session.isOpen) this.#gone();
	}

	override webSocketError(socket: WebSocket): void {
		this.webSocketClose(socket);
	}

	async closeSilent(silentMsMax: number): Promise<void> {
		if (!this.#session.isOpen) {
			// After a crash the file may still say that the agent is here.
			if (this.#identity !== null) this.#gone();
			return;
		}
		if (Date.now() - this.#heardAtMs > silentMsMax) this.#drop("silent", `nothing was heard for ${silentMsMax} ms`);
	}

	async pushTrust(documents: readonly Uint8Array[]): Promise<void> {
		this.#session.send(encodeFrame("trust", { documents }));
	}

	// ── an agent behind a PeerLink ───────────────────────────────────────────────────────────────────────────────────────

	#arrivalsOf(): PeerArrivals {
		this.#arrivals ??= new PeerArrivals({
			identity: () => this.#identity,
			writeIdentity: (identity) => this.#writeIdentity(identity),
			heard: (atMs) => {
				this.#heardAtMs = Math.max(this.#heardAtMs, atMs);
			},
			hasSession: () => this.#session.isOpen,
			isLive: async (via, linkId) => (await this.env.PEER_LINK?.getByName(via).isLive(linkId)) === true,
			register: async (identity) => {
				await this.#relay()?.register(newsOf(identity));
			},
			onArrived: (via, hasTakenOver) => this.#arrivedBy(via, hasTakenOver),
			tellState: (state) => {
				// The watch hears it now, whenever the store does.
				const { isUp, heardHereMs = Date.now() } = state;
				if (this.drain !== null && isUp) heardNodes().agentHeard(state.agent, heardHereMs);
				// Its own proxy, which need not be the one that told: that is what a person looks for.
				this.#states.tell({ ...state, via: ownProxyOf(this.#known()) ?? state.via });
				this.#heardHeads(state);
			},
		});
		return this.#arrivals;
	}

	#arrivedBy(via: string, hasTakenOver: boolean): void {
		const { agent } = this.#known();
		this.#intakeOf().startLink();
		this.#store.noteBroughtBy(via);
		// To the link that arrived, even when the agent itself is elsewhere: its backlog may long be here.
		for (const { stream, a1 } of this.#store.streams())
			if (a1 > 0) this.#sendVia(via, receiptFrame(agent, { stream, level: "a1", seq: a1 }));
		this.#sendCustody(via);
		if (hasTakenOver) this.#commandsOf().sendAll(Date.now());
	}

	async arrive(arrival: Arrival): Promise<void> {
		await this.#arrivalsOf().arrive(arrival);
		if (this.#store.walBytes() > 0) this.#drainOrTell(arrival.agent);
	}

	async report(report: Report): Promise<void> {
		this.#arrivalsOf().report(report);
	}

	async unlink(ended: Report): Promise<void> {
		const linkId = this.#identity?.linkId;
		this.#arrivalsOf().unlink(ended);
		if (this.drain !== null && this.#identity?.linkId !== linkId) this.#tailsOf().lostSight(Date.now());
	}

	/** Compares what the agent says it has made with what has come. */
	#heardHeads({ health, waiting }: Pick<AgentState, "health" | "waiting">): void {
		if (this.drain === null || health === undefined) return;
		this.#tailsOf().heard(health.streams, waiting, Date.now());
		this.#judgeTails();
		this.#askForTails();
	}

	/** Nobody on the way has what is missing, or it would have come: whoever made it is asked, as behind a hole. */
	#askForTails(): void {
		const { agent, via } = this.#known();
		for (const { stream, seq } of this.#tailsOf().missing()) {
			if (!this.#intakeOf().mayAsk(stream, Date.now())) continue;
			const detail = `batch ${seq} was made and never came`;
			this.#sendVia(via, encodeFrame("reject", { agent, stream, seq, code: "skipped", detail }));
		}
	}

	#tailsOf(): TailWatch {
		const receivedOf = (stream: Uint8Array) => this.#store.stream(stream)?.a1 ?? 0;
		const missingMs = this.env.WATCH?.tailMissingMs ?? CHANNEL_LIMITS.holeAlarmMs;
		const waitMs = this.env.WATCH?.tailWaitMs ?? CHANNEL_LIMITS.tailWaitMsMax;
		this.#tails ??= new TailWatch({ sql: this.ctx.storage.sql, receivedOf, missingMs, waitMs });
		return this.#tails;
	}

	#judgeTails(): void {
		const tails = this.#tailsOf();
		const dueAtMs = tails.dueAtMs;
		if (dueAtMs !== null) this.#wakeAt(Math.max(dueAtMs, Date.now() + 1));
		if (tails.news(Date.now()).length > 0) this.#drainOrTell(this.#known().agent);
	}

	async ingest(agent: string, batches: readonly Uint8Array[], broughtBy: string): Promise<IngestAnswer> {
		const known = this.#known();
		assertInvariant(known.agent === agent, "a channel serves one agent");
		void refreshDisk(this.env, Date.now());
		const answer = this.#intakeOf().takeAll(batches, { ...known, broughtBy }, Date.now());
		this.#raiseAlarms();
		return answer;
	}

	// ── custody ──────────────────────────────────────────────────────────────────────────────────────────────────────────

	/** Runs in the turn of the write: what it sends leaves after the fsync. */
	#committed(receipts: readonly { stream: Uint8Array; seq: number }[]): void {
		if (this.#session.isOpen) this.#sendReceipts(receipts.map((receipt) => ({ ...receipt, level: "a1" })));
		this.#drainOrTell(this.#known().agent);
	}

	/** Sets what waits in motion; the alarm set before finds it again should this process end now. */
	#drainOrTell(agent: string): void {
		if (this.drain === null) {
			this.#tell("backlog_not_told", this.#relay()?.backlog(agent, this.#store.depths()));
			return;
		}
		this.#wakeAt(Date.now() + CHANNEL_LIMITS.deliverGuardMs);
		this.#tell("drain_failed", this.#pumpOf(this.drain).kick());
	}

	#tellerOf(): QuarantineTeller {
		this.#teller ??= new QuarantineTeller({
			quarantine: this.#store.quarantine,
			tell: async (items) => {
				const { agent } = this.#known();
				if (this.drain === null) return (await this.#relay()?.quarantined(agent, items)) === true;
				await this.drain.onQuarantine(agent, items);
				return true;
			},
			wakeAt: (atMs) => this.#wakeAt(atMs),
			onError: (error) => logLine("warning", "quarantine_not_told", { detail: error.message }),
		});
		return this.#teller;
	}

	async quarantinedBelow(item: QuarantinedItem): Promise<void> {
		this.#store.quarantine.note(item, Date.now());
		this.#tellerOf().kick();
	}

	/** After a refusal: what a person must see goes its way. */
	#raiseAlarms(): void {
		this.#tellerOf().kick();
		const isDue = this.drain !== null && (this.#store.alarms().length > 0 || this.#store.holeNews().length > 0);
		if (isDue) this.#drainOrTell(this.#known().agent);
	}

	#sendVia(via: string, frame: Uint8Array): void {
		if (via === "") this.#session.send(frame);
		else this.#tell("frame_not_sent", this.env.PEER_LINK?.getByName(via).sendDown(frame));
	}

	/** By the agent's own route, or, where none could be judged yet, by whom its evidence came: no command ever goes so. */
	#sendReceipts(receipts: readonly Acknowledged[]): void {
		const { agent, via } = this.#known();
		const way = via !== "" || this.#session.isOpen ? via : this.#store.broughtBy();
		for (const receipt of receipts) this.#sendVia(way, receiptFrame(agent, receipt));
	}

	/** Every proof of custody that is known here, to a new link: a receipt that found none must not be lost. */
	#sendCustody(via: string): void {
		const { agent } = this.#known();
		for (const { stream, a2, custody } of this.#store.streams())
			if (custody !== null) this.#sendVia(via, receiptFrame(agent, { stream, level: "a2", seq: a2, custody }));
	}

	async read(lane: Lane, afterRow: number, bytesMax: number): Promise<{ rows: WalRow[]; depths: LaneDepths }> {
		// Whoever asks for evidence has a way up: what could not be told goes by it.
		this.#teller?.wayIsBack();
		const stored = this.#store.read(lane, afterRow, { bytesMax, batchesMax: CHANNEL_LIMITS.deliverBatchesMax });
		const rows = stored.map(({ row, stream, seq, bytes }) => ({ row, stream, seq, bytes }));
		return { rows, depths: this.#store.depths() };
	}

	async acked(receipts: readonly Acknowledged[]): Promise<LaneDepths> {
		let isOpened = false;
		const raised = this.ctx.storage.transactionSync(() =>
			receipts.filter(({ stream, level, seq, custody }) => {
				const wasAhead = this.#store.hasAhead(stream);
				if (this.#store.free(stream, seq) > 0 && wasAhead) isOpened = true;
				if (level !== "a2") return false;
				// A proof of a stream that this disk has never seen, or lost, is passed on all the same: the agent waits for it.
				return this.#store.stream(stream) === undefined || this.#store.raiseA2(stream, seq, custody ?? null);
			}),
		);
		if (raised.length > 0) this.#sendReceipts(raised);
		// What a reader passed over, because a hole was before it, may be read now.
		if (isOpened) this.#drainOrTell(this.#known().agent);
		this.#giveBackDisk();
		return this.#store.depths();
	}

	/**
	 * A backlog that was drained leaves its pages in the file. A relay may make the file anew: everything of its streams is upstream,
	 * and a stream it forgot may resume. The Security Center may not: its streams tell what it has.
	 */
	#giveBackDisk(): void {
		if (this.drain !== null || this.#store.walBytes() > 0 || this.#intakeOf().isStaging) return;
		if (this.#store.reusableBytes() < CHANNEL_LIMITS.compactBytesMin) return;
		const alarmAtMs = this.#alarmAtMs;
		this.#store.remake(() => this.#tell("file_not_made_anew", this.ctx.storage.deleteAll()));
		// The alarm went with everything else.
		this.#alarmAtMs = null;
		if (alarmAtMs !== null) this.#wakeAt(alarmAtMs);
	}

	async refused(refusal: Refusal): Promise<LaneDepths> {
		const { agent, via } = this.#known();
		const { stream, seq, code, detail } = refusal;
		// The batch is held here and sent again from here: how much room upstream has is no news to the agent.
		if (isRoomCode(code)) return this.#store.depths();
		const isHole = code === "skipped" && stream !== undefined && seq !== undefined;
		if (isHole && !this.#intakeOf().misses(stream, seq, Date.now())) return this.#store.depths();
		if (stream !== undefined && seq !== undefined && !isPassingCode(code)) {
			const bytes = this.#store.take(stream, seq);
			const item = { cause: code, detail, atMs: Date.now(), hop: "", teller: TELLERS.upstream, stream, seq };
			// Upstream refused it and has told of it itself.
			if (bytes !== null) this.#store.quarantine.keep(item, bytes, true);
			// The agent keeps it and what follows, and shows it again: perhaps upstream will have it then.
			if (code !== "forked" && this.#store.stream(stream)?.lane !== "bulk") this.#store.reopen(stream, seq);
		}
		this.#sendVia(via, encodeFrame("reject", { agent, ...refusal }));
		return this.#store.depths();
	}

	// ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

	#commandsOf(): WaitingCommands {
		this.#commands ??= new WaitingCommands({
			store: this.#store,
			send: (command) => {
				const { agent, via } = this.#known();
				this.#sendVia(via, encodeFrame("command", { agent, ...command }));
			},
			tellReceived: (commandId) =>
				this.#tell("command_receipt_lost", this.#relay()?.commandReceived(this.#known().agent, commandId)),
			wakeAt: (atMs) => this.#wakeAt(atMs),
		});
		return this.#commands;
	}

	async enqueueCommand(agent: string, command: QueuedCommand): Promise<Result<true, EnqueueCode>> {
		if (this.#identity?.agent !== agent) return fail("agent_unknown", `${agent} has never been seen here`);
		return this.#commandsOf().add(command, Date.now());
	}

	async commandReceived(commandId: Uint8Array): Promise<void> {
		this.#commandsOf().received(commandId);
	}

	// ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────────────

	override async alarm(): Promise<void> {
		this.#alarmAtMs = null;
		const identity = this.#identity;
		if (identity === null) return;
		if (this.#session.isOpen && !this.#dropIfExpired()) this.#wakeAt(identity.notAfterMs + 1);
		this.#commandsOf().expire(Date.now());
		this.#tellerOf().kick();
		if (this.drain === null) return;
		this.#judgeTails();
		const holesDueMs = alarmHoles(this.#store, Date.now());
		if (holesDueMs !== null) this.#wakeAt(holesDueMs);
		this.#raiseAlarms();
		if (this.#store.walBytes() === 0 && this.#store.alarms().length === 0) return;
		this.#wakeAt(Date.now() + CHANNEL_LIMITS.deliverGuardMs);
		await this.#pumpOf(this.drain).kick();
	}

	async stats(): Promise<ChannelStats> {
		return {
			agent: this.#identity?.agent ?? null,
			via: this.#identity?.via ?? null,
			isUp: this.#identity?.isUp ?? false,
			depths: this.#store.depths(),
			commands: this.#store.commands(Date.now()).length,
			quarantine: this.#store.quarantine.items(),
			streams: this.#store.streams().map(({ stream, lane, a1, a2 }) => ({ stream, lane, a1, a2 })),
		};
	}
}

/** Whether what is on disk ends with the batch whose hash is known. */
function isHashKnown({ a1, state }: Pick<StreamRow, "a1" | "state">): boolean {
	return a1 > 0 && a1 === state.received && state.lastHash.length > 0;
}

function newsOf({ agent, proof, route, status, heardAtMs, isUp }: ChannelIdentity): AgentNews {
	return { agent, proof, route, status, heardAtMs, isUp };
}

function receiptFrame(agent: string, receipt: Acknowledged): Uint8Array {
	const { stream, level, seq, custody } = receipt;
	return encodeFrame("receipt", { agent, stream, level, seq, ...(custody === undefined ? {} : { custody }) });
}
