/**
 * The moving part of an Uplink: reads waiting batches from the channels, packs carriers, keeps the window, and hands receipts and
 * refusals back. Guarantees that memory is bounded (one carrier's reads and the window's numbers) and that a stream which upstream
 * refuses for a while waits alone: everything else goes on. What was sent and not acknowledged is sent again on the next link.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import { LANES, type Lane } from "#core/model/batch.ts";
import { type FrameBody, isPassingCode, LINK_LIMITS, PipeDepth } from "#core/protocol/index.ts";
import type { AgentRegistry } from "./agent-registry.ts";
import { backoffMs } from "./backoff.ts";
import { packCarrier } from "./carrier.ts";
import type { Acknowledged, AgentChannelFace, LaneDepths, Refusal, WalRow } from "./faces.ts";
import { LaneScheduler, SendWindow } from "./flow.ts";
import { forgetOldest } from "./forget-oldest.ts";
import { UPLINK_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import type { FlowSettings } from "./settings.ts";

export interface CarrierPumpParts {
	readonly settings: FlowSettings;
	readonly registry: AgentRegistry;
	readonly channelOf: (agent: string) => Pick<AgentChannelFace, "read" | "acked" | "refused">;
	/** False when the link is gone. */
	readonly send: (frame: Uint8Array) => boolean;
	/** Shows upstream the agent's proof again. */
	readonly prove: (agent: string) => void;
	/** An agent went and nothing of it waits any more. */
	readonly onDrained: (agent: string) => void;
	/** Our own mistake: what was read may be lost on this link, so the link must end and everything be sent again. */
	readonly onBroken: (error: Error) => void;
}

interface Flow {
	/** Last row sent on this link. */
	cursor: number;
	/** Perhaps has more to read. */
	isDirty: boolean;
	pausedUntilMs: number;
	pauses: number;
}

interface Read {
	readonly agent: string;
	readonly rows: readonly WalRow[];
	readonly flow: Flow;
}

/** An agent of which upstream takes nothing. */
interface Unproved {
	/** Shows its proof again; null once that was done. */
	timer: ReturnType<typeof setTimeout> | null;
	tries: number;
}

interface Acks {
	readonly pending: Map<string, Acknowledged>;
	isRunning: boolean;
}

const PAUSE = { firstMs: UPLINK_LIMITS.holePauseMs, longestMs: UPLINK_LIMITS.holePauseMsMax };
const DISBELIEF = { firstMs: UPLINK_LIMITS.proofPauseMs, longestMs: UPLINK_LIMITS.proofPauseMsMax };

export class CarrierPump {
	readonly #parts: CarrierPumpParts;
	readonly #scheduler: LaneScheduler;
	readonly #lowestLane: Lane;
	#window = newWindow();
	#depth = newDepth();
	/** By lane, then agent; the order of an inner map is the order of turns. */
	#flows = newFlows();
	readonly #laneOfStream = new Map<string, Lane>();
	readonly #acks = new Map<string, Acks>();
	readonly #unproved = new Map<string, Unproved>();
	#isStarted = false;
	#generation = 0;
	/** The link on which a carrier of the lowest lane is being read. */
	#lowestUnderWay: number | null = null;
	#isRunning = false;
	#isKicked = false;

	constructor(parts: CarrierPumpParts) {
		this.#parts = parts;
		this.#scheduler = new LaneScheduler(parts.settings.priorities, UPLINK_LIMITS.floorEvery);
		this.#lowestLane = parts.settings.priorities.at(-1) as Lane;
	}

	get unackedBytes(): number {
		return this.#window.unackedBytes;
	}

	/** A new link is up and everyone was proved on it: everything not acknowledged goes again. */
	start(): void {
		this.#isStarted = true;
		this.#generation++;
		this.#forgetDisbelief();
		this.#window = newWindow();
		this.#depth = newDepth();
		this.#flows = newFlows();
		this.#laneOfStream.clear();
		for (const { agent } of this.#parts.registry.everyone()) this.#readAll(agent);
		this.kick();
	}

	stop(): void {
		this.#isStarted = false;
		this.#generation++;
		this.#forgetDisbelief();
	}

	/** What one upstream thought of an agent binds no other, nor the same one on its next link. */
	#forgetDisbelief(): void {
		for (const { timer } of this.#unproved.values()) if (timer !== null) clearTimeout(timer);
		this.#unproved.clear();
		for (const { agent } of this.#parts.registry.everyone()) this.#parts.registry.setRefused(agent, false);
	}

	#flow(lane: Lane, agent: string): Flow {
		const known = this.#flows[lane].get(agent);
		if (known !== undefined) return known;
		const flow = { cursor: 0, isDirty: false, pausedUntilMs: 0, pauses: 0 };
		this.#flows[lane].set(agent, flow);
		return flow;
	}

	/**
	 * The agent is proved once more on a link that stands. Upstream lets each of its streams begin where it likes after that, so
	 * everything of it goes again from its oldest batch: what was on its way may have been lost, or refused for want of room. The
	 * channel is read when who told of the proof has had its answer: workerd never puts an object to sleep that was called while it
	 * waited in an upgrade.
	 */
	restart(agent: string): void {
		this.#forgetSent(agent);
		setTimeout(() => {
			if (!this.#parts.registry.has(agent)) return;
			this.#readAll(agent);
			this.kick();
		}, 0);
	}

	/** What is being read of it belongs to the past too. */
	#forgetSent(agent: string): void {
		this.#window.forgetOwner(`${agent}/`);
		for (const lane of LANES) this.#flows[lane].delete(agent);
	}

	#readAll(agent: string): void {
		for (const lane of LANES) this.#flow(lane, agent).isDirty = true;
	}

	/** A channel has more in these lanes. */
	hasBacklog(agent: string, depths: LaneDepths): void {
		this.#parts.registry.setDepths(agent, depths);
		for (const lane of LANES) if (depths[lane].batches > 0) this.#flow(lane, agent).isDirty = true;
		this.kick();
	}

	/** Sends what may go now. */
	kick(): void {
		this.#isKicked = true;
		if (this.#isRunning || !this.#isStarted) return;
		this.#isRunning = true;
		void this.#run()
			.catch((error: Error) => this.#parts.onBroken(error))
			.finally(() => {
				this.#isRunning = false;
				if (this.#isKicked && this.#isStarted) this.kick();
			});
	}

	async #run(): Promise<void> {
		while (this.#isKicked && this.#isStarted) {
			this.#isKicked = false;
			const generation = this.#generation;
			while (generation === this.#generation) {
				const lane = this.#scheduler.next((each) => this.#hasRoom(each) && this.#ready(each).length > 0);
				if (lane === null) break;
				// Not waited for: what comes meanwhile in a higher lane would wait for the channels of eight agents to answer.
				if (lane === this.#lowestLane) this.#sendLowest(generation);
				else await this.#sendCarrier(lane, generation);
			}
		}
	}

	#sendLowest(generation: number): void {
		this.#lowestUnderWay = generation;
		void this.#sendCarrier(this.#lowestLane, generation)
			.catch((error: Error) => this.#parts.onBroken(error))
			.finally(() => {
				if (this.#lowestUnderWay === generation) this.#lowestUnderWay = null;
				this.kick();
			});
	}

	#hasRoom(lane: Lane): boolean {
		const isLowest = lane === this.#lowestLane;
		if (isLowest && this.#lowestUnderWay === this.#generation) return false;
		if (isLowest && this.#window.unackedBytes >= this.#depth.bytes) return false;
		return this.#window.hasRoom(isLowest);
	}

	#ready(lane: Lane): string[] {
		const nowMs = Date.now();
		const out: string[] = [];
		for (const [agent, flow] of this.#flows[lane]) {
			// A wait longer than the longest was set by a clock that has been set back since.
			const isPaused = flow.pausedUntilMs > nowMs && flow.pausedUntilMs <= nowMs + UPLINK_LIMITS.holePauseMsMax;
			if (!flow.isDirty || isPaused || this.#parts.registry.isRefused(agent)) continue;
			out.push(agent);
			if (out.length === UPLINK_LIMITS.readsAtOnceMax) break;
		}
		return out;
	}

	async #sendCarrier(lane: Lane, generation: number): Promise<void> {
		const agents = this.#ready(lane);
		const bytesMax = Math.ceil(UPLINK_LIMITS.readBytesMax / agents.length);
		const reads = await Promise.all(agents.map((agent) => this.#read(lane, agent, bytesMax)));
		if (generation !== this.#generation) return;
		const carried: { agent: string; bytes: Uint8Array }[] = [];
		let bytes = 0;
		for (const { agent, rows, flow } of reads) {
			// It was started anew meanwhile: its oldest batch goes first.
			if (flow !== this.#flows[lane].get(agent)) continue;
			for (const row of rows) {
				const isFull = bytes + row.bytes.length > UPLINK_LIMITS.carrierBytesMax;
				if (isFull || carried.length >= LINK_LIMITS.carrierBatchesMax) break;
				carried.push({ agent, bytes: row.bytes });
				bytes += row.bytes.length;
				flow.cursor = row.row;
				const key = streamKey(agent, row.stream);
				this.#window.add(key, { seq: row.seq, bytes: row.bytes.length, atMs: Date.now() });
				this.#laneOfStream.set(key, lane);
				// A forgotten one pauses in the lowest lane; its own goes on and is refused again.
				forgetOldest(this.#laneOfStream, UPLINK_LIMITS.streamsMax);
			}
		}
		if (carried.length > 0) this.#parts.send(packCarrier(lane, this.#parts.settings.compression, carried));
	}

	async #read(lane: Lane, agent: string, bytesMax: number): Promise<Read> {
		const flow = this.#flow(lane, agent);
		// Taken off before the read: a notice that comes meanwhile puts it on again.
		flow.isDirty = false;
		this.#flows[lane].delete(agent);
		this.#flows[lane].set(agent, flow);
		try {
			const { rows, depths } = await this.#parts.channelOf(agent).read(lane, flow.cursor, bytesMax);
			if (rows.length > 0) flow.isDirty = true;
			this.#heardDepths(agent, depths);
			return { agent, rows, flow };
		} catch (error) {
			logLine("warning", "channel_not_read", { agent, detail: (error as Error).message });
			this.#pause(lane, agent);
			return { agent, rows: [], flow };
		}
	}

	#heardDepths(agent: string, depths: LaneDepths): void {
		this.#parts.registry.setDepths(agent, depths);
		this.forgetDrained(agent);
	}

	/** Lets go of an agent that left and whose last word and batch are upstream. */
	forgetDrained(agent: string): void {
		const { registry } = this.#parts;
		if (!registry.isDrained(agent)) return;
		registry.forget(agent);
		for (const lane of LANES) this.#flows[lane].delete(agent);
		clearTimeout(this.#unproved.get(agent)?.timer ?? undefined);
		this.#unproved.delete(agent);
		this.#parts.onDrained(agent);
	}

	/** Starts a lane of one agent again from its oldest batch, after a wait. */
	#pause(lane: Lane, agent: string): void {
		const flow = this.#flow(lane, agent);
		flow.cursor = 0;
		flow.isDirty = true;
		if (flow.pausedUntilMs > Date.now() && flow.pausedUntilMs <= Date.now() + UPLINK_LIMITS.holePauseMsMax) return;
		flow.pauses++;
		const waitMs = backoffMs(PAUSE, flow.pauses, Math.random());
		flow.pausedUntilMs = Date.now() + waitMs;
		setTimeout(() => this.kick(), waitMs + 1);
	}

	/** Streams without a receipt for long go again from their oldest batch: a carrier was lost with nothing behind it. */
	resendOverdue(nowMs: number): void {
		for (const key of this.#window.overdue(nowMs, UPLINK_LIMITS.resendMs)) {
			this.#window.forgetStream(key);
			this.#pause(this.#laneOfStream.get(key) ?? this.#lowestLane, key.slice(0, key.lastIndexOf("/")));
		}
	}

	/** A receipt from upstream. */
	acknowledged(receipt: FrameBody<"receipt">): void {
		const { agent, stream, level, seq, custody } = receipt;
		if (!this.#parts.registry.has(agent)) return;
		const key = streamKey(agent, stream);
		const sentMs = this.#window.acknowledge(key, seq);
		const lane = this.#laneOfStream.get(key);
		const nowMs = Date.now();
		if (lane === this.#lowestLane && sentMs !== null) this.#depth.heard(nowMs - sentMs, nowMs);
		if (lane !== undefined) this.#flow(lane, agent).pauses = 0;
		if (this.#unproved.get(agent)?.timer === null) this.#unproved.delete(agent);
		const acks = this.#acks.get(agent) ?? { pending: new Map<string, Acknowledged>(), isRunning: false };
		this.#acks.set(agent, acks);
		// Watermarks only rise, so a later receipt of a stream speaks for the earlier one.
		acks.pending.set(`${level}/${key}`, { stream, level, seq, ...(custody === undefined ? {} : { custody }) });
		// What is forgotten here comes again with the next link.
		forgetOldest(acks.pending, UPLINK_LIMITS.receiptsMax);
		if (!acks.isRunning) void this.#flushAcks(agent, acks);
		this.kick();
	}

	async #flushAcks(agent: string, acks: Acks): Promise<void> {
		acks.isRunning = true;
		const generation = this.#generation;
		let failures = 0;
		while (acks.pending.size > 0) {
			const receipts = new Map(acks.pending);
			acks.pending.clear();
			try {
				this.#heardDepths(agent, await this.#parts.channelOf(agent).acked([...receipts.values()]));
				failures = 0;
			} catch (error) {
				logLine("warning", "receipt_not_taken", { agent, detail: (error as Error).message });
				// The next link brings every receipt again; this one says each only once, so they wait here for the channel.
				if (generation !== this.#generation) break;
				for (const [key, receipt] of receipts) if (!acks.pending.has(key)) acks.pending.set(key, receipt);
				forgetOldest(acks.pending, UPLINK_LIMITS.receiptsMax);
				const waitMs = backoffMs(PAUSE, ++failures, Math.random());
				await new Promise((resolve) => setTimeout(resolve, waitMs));
			}
		}
		acks.isRunning = false;
		this.#acks.delete(agent);
	}

	/** Upstream refused one batch: for a while (it is sent again) or for good (the channel keeps it aside). */
	refused(agent: string, refusal: Refusal & { readonly stream: Uint8Array }): void {
		const key = streamKey(agent, refusal.stream);
		if (isPassingCode(refusal.code)) {
			this.#window.forgetStream(key);
			this.#pause(this.#laneOfStream.get(key) ?? this.#lowestLane, agent);
		} else if (refusal.seq !== undefined) this.#window.forget(key, refusal.seq);
		const { stream, seq, code, detail } = refusal;
		const told = { stream, code, detail, ...(seq === undefined ? {} : { seq }) };
		this.#parts
			.channelOf(agent)
			.refused(told)
			.then((depths) => {
				this.#heardDepths(agent, depths);
				// What waits behind a hole is read one by one: the next may go now.
				if (isPassingCode(code) || !this.#parts.registry.has(agent)) return;
				this.#flow(this.#laneOfStream.get(key) ?? this.#lowestLane, agent).isDirty = true;
				this.kick();
			})
			.catch((error: Error) => logLine("warning", "refusal_not_told", { agent, detail: error.message }));
		this.kick();
	}

	/**
	 * Upstream takes nothing of this agent, so nothing goes until its proof was shown again: soon, where upstream could not take the
	 * proof or does not know it, and later where it did not believe it, for the fault may have been upstream's clock.
	 */
	refusedAgent(agent: string, isForAWhile: boolean): void {
		this.#forgetSent(agent);
		this.#readAll(agent);
		this.#parts.registry.setRefused(agent, true);
		const unproved = this.#unproved.get(agent) ?? { timer: null, tries: 0 };
		this.#unproved.set(agent, unproved);
		// A window of carriers is refused one by one: one proof answers all.
		if (unproved.timer !== null) return;
		unproved.tries++;
		const waitMs = backoffMs(isForAWhile ? PAUSE : DISBELIEF, unproved.tries, Math.random());
		unproved.timer = setTimeout(() => {
			unproved.timer = null;
			this.#parts.prove(agent);
			this.#forgetSent(agent);
			this.#readAll(agent);
			this.#parts.registry.setRefused(agent, false);
			this.kick();
		}, waitMs);
	}
}

function streamKey(agent: string, stream: Uint8Array): string {
	return `${agent}/${hexOf(stream)}`;
}

function newWindow(): SendWindow {
	return new SendWindow(UPLINK_LIMITS.windowBytesMax, UPLINK_LIMITS.windowReserveBytes);
}

function newDepth(): PipeDepth {
	const { windowBytesMax, windowReserveBytes, pipeBytesMin } = UPLINK_LIMITS;
	const bytesMax = windowBytesMax - windowReserveBytes;
	return new PipeDepth({ bytesMax, bytesMin: pipeBytesMin });
}

function newFlows(): Record<Lane, Map<string, Flow>> {
	return { trace: new Map(), alert: new Map(), bulk: new Map() };
}
