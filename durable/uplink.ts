/**
 * Uplink: a proxy's one link upwards (`ways-up.ts` chooses to whom). It pulls waiting batches from the AgentChannels, most urgent lane first, packs them
 * into carriers under a window of unacknowledged bytes, and hands receipts, refusals, commands and trust documents back to the
 * channels. Guarantees that after a crash every backlog is found again (agents are registered on disk before their first
 * acknowledgement) and that its memory is bounded by the window, not by the backlog. It never keeps a batch: the channels do.
 */
import { DurableObject } from "cloudflare:workers";
import { bytesOfBase64 } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { type NodeProof, nodeProofShape } from "#core/identity/binding.ts";
import { agentStatusShape, PROTOCOL_VERSION } from "#core/identity/hello.ts";
import { type NodeName, nodeUri, parseNodeUri } from "#core/identity/node-uri.ts";
import { routeShape } from "#core/identity/route.ts";
import { LANES } from "#core/model/batch.ts";
import { encodeFrame, type Frame, LINK_LIMITS, type LinkHealth } from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import { AgentRegistry } from "./agent-registry.ts";
import { CarrierPump } from "./carrier-pump.ts";
import type { QuarantinedItem } from "./drain.ts";
import {
	AGENT_UNPROVED,
	type AgentChannelFace,
	type AgentNews,
	CHANNEL_UNAVAILABLE,
	type LaneDepths,
	type Namespace,
	type PeerLinkFace,
	type ProxyState,
	type RefusedWords,
	type UplinkFace,
	type UplinkHealth,
} from "./faces.ts";
import { UPLINK_LIMITS } from "./limits.ts";
import { LinkMeter } from "./link-meter.ts";
import { logLine } from "./log.ts";
import { NestedProxies } from "./nested-proxies.ts";
import { OwnWord } from "./own-word.ts";
import { PendingWork } from "./pending-work.ts";
import { QuarantineStore } from "./quarantine.ts";
import { type FlowSettings, type ProxySettings, readFlowSettings, readParentTimes } from "./settings.ts";
import { type Stranger, Strangers } from "./strangers.ts";
import { TrustChain } from "./trust-chain.ts";
import { UplinkStore } from "./uplink-store.ts";
import type { Upstream } from "./upstream-link.ts";
import { WaysUp } from "./ways-up.ts";

export interface UplinkEnv {
	readonly PROXY?: ProxySettings;
	readonly NODE_URI: string;
	/** Version of this build, told upstream. */
	readonly SOFTWARE_VERSION?: string;
	/** `nodeProofShape`, base64. */
	readonly NODE_PROOF: string;
	/** The signed trust document version 0 that this node was enrolled with, base64. */
	readonly GENESIS: string;
	/** 32 bytes, base64. */
	readonly SIGNING_SEED: string;
	/** In order of preference; `binding` names the service in this environment. */
	readonly UPSTREAMS: readonly { readonly binding: string; readonly uri: string; readonly host: string }[];
	readonly AGENT_CHANNEL: Namespace<AgentChannelFace>;
	readonly PEER_LINK?: Namespace<PeerLinkFace>;
}

function signerOf(env: UplinkEnv): { uri: string; proof: NodeProof; seed: Uint8Array } {
	const proof = decodeAs(nodeProofShape, bytesOfBase64(env.NODE_PROOF) ?? new Uint8Array());
	assertInvariant(proof.ok, "NODE_PROOF does not read");
	const seed = bytesOfBase64(env.SIGNING_SEED);
	assertInvariant(seed?.length === 32, "SIGNING_SEED is not 32 bytes of base64");
	return { uri: env.NODE_URI, proof: proof.value, seed };
}

function upstreamsOf(env: UplinkEnv): Upstream[] {
	const { proof, seed } = signerOf(env);
	return env.UPSTREAMS.map(({ binding, uri, host }) => {
		const service = (env as unknown as Record<string, Upstream["service"] | undefined>)[binding];
		assertInvariant(service !== undefined, `${binding} is not bound`);
		return { service, host, uri, proof, seed };
	});
}

export class Uplink extends DurableObject<UplinkEnv> implements UplinkFace {
	readonly #store: UplinkStore;
	readonly #trust: TrustChain;
	readonly #ways: WaysUp;
	readonly #self: NodeName;
	readonly #settings: FlowSettings;
	readonly #registry: AgentRegistry;
	readonly #pump: CarrierPump;
	readonly #meter = new LinkMeter();
	readonly #strangers = new Strangers();
	readonly #nested = new NestedProxies();
	readonly #ownWord: OwnWord;
	#refusedWords = 0;
	/** One that fails is sent again by the Security Center, which hears of no receipt. */
	readonly #commands = new PendingWork(UPLINK_LIMITS.commandsPending, (agent, error) =>
		logLine("warning", "command_not_queued", { agent, detail: error.message }),
	);
	#stateTimer: ReturnType<typeof setTimeout> | null = null;

	constructor(ctx: DurableObjectState, env: UplinkEnv) {
		super(ctx, env);
		this.#store = new UplinkStore(ctx.storage.sql);
		this.#trust = new TrustChain(this.#store, env.GENESIS);
		const self = parseNodeUri(env.NODE_URI);
		assertInvariant(self.ok, "NODE_URI comes from the host, which checked it");
		this.#self = self.value;
		this.#ownWord = new OwnWord(signerOf(env));
		this.#settings = readFlowSettings(env.PROXY);
		this.#registry = new AgentRegistry(this.#store.agents());
		this.#pump = new CarrierPump({
			settings: this.#settings,
			registry: this.#registry,
			channelOf: (agent) => env.AGENT_CHANNEL.getByName(agent),
			send: (frame) => this.#ways.send(frame),
			prove: (agent) => {
				const news = this.#registry.newsOf(agent);
				if (news !== null) this.#sendState(news);
			},
			onDrained: (agent) => this.#forget(agent),
			onBroken: (error) => {
				logLine("error", "pump_broken", { detail: error.message, stack: error.stack });
				this.#ways.close("pump_broken", "the proxy could not send on");
			},
		});
		this.#ways = new WaysUp({
			upstreams: upstreamsOf(env),
			selfUri: env.NODE_URI,
			times: readParentTimes(env.PROXY),
			onWelcome: ({ trust }) => this.#welcome(trust),
			onFrame: (frame) => this.#take(frame),
			onFlow: (isFlowing) => this.#flow(isFlowing),
			onPath: (path) => this.#tellPath(path),
		});
		// Floating on purpose: the first tick is set whatever else happens.
		void ctx.storage.setAlarm(Date.now() + UPLINK_LIMITS.tickMs);
		this.#ways.connect();
	}

	// ── the link ─────────────────────────────────────────────────────────────────────────────────────────────────────────

	#welcome(trust: readonly Uint8Array[]): void {
		this.#meter.welcomed();
		this.#takeTrust(trust);
		// Upstream learns our clock before it hears the first time by it.
		this.#sayHealth(Date.now());
		this.#nested.resend();
	}

	#take({ type, body }: Frame): void {
		if (type === "trust") this.#takeTrust(body.documents);
		else if (type === "receipt") this.#pump.acknowledged(body);
		else if (type === "reject") this.#refused(body);
		else if (type === "command") this.#command(body);
		else if (type === "heartbeat") this.#meter.answered(Date.now());
		else this.#ways.close("frame_unexpected", `${type} does not come from upstream`);
	}

	#flow(isFlowing: boolean): void {
		if (!isFlowing) {
			this.#pump.stop();
			return;
		}
		// Proofs go first: upstream addresses no channel for an agent it has not seen proved.
		for (const news of this.#registry.everyone()) this.#sendState(news);
		this.#flushStates();
		this.#pump.start();
	}

	/** On a full disk it stays registered there: the next start finds that nothing of it waits. */
	#forget(agent: string): void {
		try {
			this.#store.forget(agent);
		} catch (error) {
			logLine("warning", "agent_not_forgotten", { agent, detail: (error as Error).message });
		}
	}

	#tellPath(path: readonly string[]): void {
		for (const { id } of this.#store.peers())
			if (this.env.PEER_LINK !== undefined)
				this.#tell("path_not_told", this.env.PEER_LINK.getByName(id).pathChanged(path));
	}

	#refused(body: Extract<Frame, { type: "reject" }>["body"]): void {
		const { agent, code, detail } = body;
		logLine("warning", "upstream_refused", { agent, code, detail });
		if (agent === undefined || !this.#registry.has(agent)) return;
		const isForAWhile = code === CHANNEL_UNAVAILABLE || code === AGENT_UNPROVED;
		if (body.stream === undefined) this.#pump.refusedAgent(agent, isForAWhile);
		else this.#pump.refused(agent, { ...body, stream: body.stream });
	}

	#command(body: Extract<Frame, { type: "command" }>["body"]): void {
		const { agent, commandId, envelope, expiresAtMs } = body;
		const refuse = (code: string, detail: string) => this.#ways.send(encodeFrame("reject", { agent, code, detail }));
		if (!this.#registry.has(agent)) {
			refuse("agent_unknown", "the agent is not behind this proxy");
			return;
		}
		if (!this.#commands.hasRoom(envelope.length)) {
			refuse("command_queue_full", "too many commands wait for their agents' channels");
			return;
		}
		this.#commands.add(agent, envelope.length, async () => {
			const queued = await this.env.AGENT_CHANNEL.getByName(agent).enqueueCommand(agent, {
				...{ commandId, envelope, expiresAtMs },
			});
			if (!queued.ok) refuse(queued.code, queued.detail);
		});
	}

	#tell(event: string, call: Promise<unknown>): void {
		call.catch((error: Error) => logLine("warning", event, { detail: error.message }));
	}

	/** What does not follow from our genesis goes no further, whoever sent it; the link goes on. */
	#takeTrust(offered: readonly Uint8Array[]): void {
		const taken = this.#trust.take(offered);
		if (!taken.ok) logLine("error", "trust_refused", { code: taken.code, detail: taken.detail });
		if (!taken.ok || !taken.value) return;
		const documents = this.#trust.documents();
		logLine("info", "trust_taken", { documents: documents.length });
		for (const agent of this.#registry.agentsUp())
			this.#tell("trust_not_pushed", this.env.AGENT_CHANNEL.getByName(agent).pushTrust(documents));
		const frame = encodeFrame("trust", { documents });
		for (const { id } of this.#store.peers())
			if (this.env.PEER_LINK !== undefined)
				this.#tell("trust_not_pushed", this.env.PEER_LINK.getByName(id).sendDown(frame));
	}

	// ── news of agents ───────────────────────────────────────────────────────────────────────────────────────────────────

	async register(news: AgentNews): Promise<readonly Uint8Array[]> {
		if (!this.#registry.hasRoomFor(news.agent))
			throw new Error(`agents_max: ${UPLINK_LIMITS.agentsMax} agents are at this proxy already`);
		this.#store.register(news);
		this.#registry.arrived(news);
		this.#strangers.admitted(nodeUri({ ...this.#self, role: "agent", id: news.agent }));
		if (this.#ways.isFlowing) this.#sendState(news);
		this.#pump.restart(news.agent);
		return this.#trust.documents();
	}

	async agentState(state: Parameters<UplinkFace["agentState"]>[0]): Promise<boolean> {
		if (!state.isUp) this.#store.markHeard(state.agent, state.heardAtMs);
		this.#registry.note(state);
		this.#flushSoon();
		if (!state.isUp) this.#pump.kick();
		return this.#registry.has(state.agent);
	}

	#flushStates(): void {
		if (this.#stateTimer !== null) clearTimeout(this.#stateTimer);
		this.#stateTimer = null;
		if (!this.#ways.isFlowing) return;
		const nowMs = Date.now();
		for (const news of this.#registry.takeNoted(nowMs, UPLINK_LIMITS.healthIntervalMs)) {
			const { heardHereMs, ...told } = news;
			const age = heardHereMs === undefined ? {} : { ageMs: Math.max(0, nowMs - heardHereMs) };
			this.#ways.send(encodeFrame("agent_state", { ...told, ...age }));
			this.#pump.forgetDrained(news.agent);
		}
		for (const frame of this.#nested.take(nowMs)) this.#ways.send(encodeFrame("proxy_state", frame));
		if (this.#registry.hasNoted) this.#flushSoon();
	}

	#flushSoon(): void {
		this.#stateTimer ??= setTimeout(() => this.#flushStates(), UPLINK_LIMITS.stateIntervalMs);
	}

	async proxyState(state: ProxyState): Promise<void> {
		if (!this.#nested.note({ ...state, via: state.via === "" ? this.#self.id : state.via })) {
			logLine("warning", "proxy_not_told", { proxy: state.proxy, detail: "too many proxies below this one" });
			return;
		}
		this.#strangers.admitted(nodeUri({ ...this.#self, id: state.proxy }));
		this.#flushSoon();
	}

	async strangerCame(stranger: Stranger): Promise<void> {
		this.#strangers.came(stranger);
	}

	async wordsRefused({ words }: RefusedWords): Promise<void> {
		this.#refusedWords += words;
	}

	#sendState(news: AgentNews): void {
		const proof = decodeAs(nodeProofShape, news.proof);
		assertInvariant(proof.ok, "a registered proof does not read");
		const status = news.status === null ? null : decodeAs(agentStatusShape, news.status);
		const route = decodeAs(routeShape, news.route);
		assertInvariant(route.ok, "a registered route does not read");
		const { agent, isUp, heardAtMs } = news;
		const known = {
			...(status?.ok ? { status: status.value } : {}),
			...(route.value.length > 0 ? { route: route.value } : {}),
		};
		this.#ways.send(encodeFrame("agent_state", { agent, isUp, heardAtMs, proof: proof.value, ...known }));
	}

	async backlog(agent: string, depths: LaneDepths): Promise<void> {
		this.#pump.hasBacklog(agent, depths);
	}

	async commandReceived(agent: string, commandId: Uint8Array): Promise<void> {
		// Lost when the link is down: upstream sends the command again and the agent answers again.
		this.#ways.send(encodeFrame("command_received", { agent, commandId }));
	}

	async quarantined(agent: string, items: readonly QuarantinedItem[]): Promise<boolean> {
		const hop = this.env.NODE_URI.slice(this.env.NODE_URI.lastIndexOf("/") + 1);
		// Upstream hears nothing of an agent that is not proved to it.
		if (!this.#ways.isFlowing || this.#registry.isRefused(agent)) return false;
		return items.every((item) => this.#ways.send(encodeFrame("reject", QuarantineStore.frameOf(agent, item, hop))));
	}

	async joinPeer(peer: string): Promise<readonly Uint8Array[]> {
		this.#store.joinPeer(peer, Date.now());
		return this.#trust.documents();
	}

	async path(): Promise<readonly string[]> {
		return this.#ways.path;
	}

	// ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────────────

	override async alarm(): Promise<void> {
		await this.ctx.storage.setAlarm(Date.now() + UPLINK_LIMITS.tickMs);
		this.#tick();
	}

	#tick(): void {
		const nowMs = Date.now();
		this.#beat(nowMs);
		for (const agent of this.#registry.agentsUp())
			if (nowMs - this.#registry.heardAtMs(agent) > UPLINK_LIMITS.agentSilentMsMax)
				this.#tell(
					"session_not_closed",
					this.env.AGENT_CHANNEL.getByName(agent).closeSilent(UPLINK_LIMITS.agentSilentMsMax),
				);
		if (this.#ways.isFlowing) this.#pump.resendOverdue(nowMs);
		this.#pump.kick();
	}

	/** Says that we live, and drops a link that says nothing back. */
	#beat(nowMs: number): void {
		this.#ways.check(nowMs);
		this.#sayHealth(nowMs);
	}

	#sayHealth(nowMs: number): void {
		const { walBytes, lagMs } = this.#load(nowMs);
		const health = {
			...{ timeMs: nowMs, streams: [], outboxBytes: walBytes, oldestUnackedMs: lagMs },
			...{ rssBytes: 0, eventCount: 0, gapCount: 0 },
		};
		const link = this.#linkHealth(nowMs);
		const frame = encodeFrame("heartbeat", { health, link, word: this.#ownWord.of(link) });
		if (this.#ways.send(frame)) this.#meter.asked(nowMs);
	}

	#linkHealth(nowMs: number): LinkHealth {
		const { lanes } = this.#load(nowMs);
		const { reconnects, roundTripMs } = this.#meter;
		const { upstream, sinceMs, lastError } = this.#ways.health();
		return {
			...{ timeMs: nowMs, upstream, sinceMs, reconnects },
			...(lastError === null ? {} : { lastError: lastError.slice(0, LINK_LIMITS.lastErrorCharsMax) }),
			...(roundTripMs === null ? {} : { roundTripMs }),
			lanes: LANES.filter((lane) => lanes[lane].batches > 0).map((lane) => {
				const { batches, bytes, oldestMs } = lanes[lane];
				return { lane, batches, bytes, oldestAgeMs: Math.max(0, nowMs - (oldestMs ?? nowMs)) };
			}),
			...{ unackedBytes: this.#pump.unackedBytes, windowBytes: UPLINK_LIMITS.windowBytesMax },
			...{ agents: this.#registry.size, agentsUp: this.#registry.agentsUp().length },
			softwareVersion: (this.env.SOFTWARE_VERSION ?? "").slice(0, 32),
			strangers: this.#strangers.list(nowMs),
		};
	}

	#load(nowMs: number): { lanes: LaneDepths; walBytes: number; lagMs: number } {
		const lanes = this.#registry.totals();
		const all = Object.values(lanes);
		const oldest = Math.min(...all.map((depth) => depth.oldestMs ?? nowMs));
		return { lanes, walBytes: all.reduce((sum, depth) => sum + depth.bytes, 0), lagMs: Math.max(0, nowMs - oldest) };
	}

	async health(): Promise<UplinkHealth> {
		const nowMs = Date.now();
		this.#ways.connect();
		return {
			...this.#ways.health(),
			agents: this.#registry.size,
			agentsUp: this.#registry.agentsUp().length,
			...this.#load(nowMs),
			unackedBytes: this.#pump.unackedBytes,
			windowBytes: UPLINK_LIMITS.windowBytesMax,
			reconnects: this.#meter.reconnects,
			roundTripMs: this.#meter.roundTripMs,
			strangers: this.#strangers.list(nowMs),
			refusedWords: this.#refusedWords,
			protocol: PROTOCOL_VERSION,
			timeMs: nowMs,
		};
	}
}
