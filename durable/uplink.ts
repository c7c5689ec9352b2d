/**
 * Uplink: a proxy's one link to its upstream. It pulls waiting batches from the AgentChannels, most urgent lane first, packs them
 * into carriers under a window of unacknowledged bytes, and hands receipts, refusals, commands and trust documents back to the
 * channels. Guarantees that after a crash every backlog is found again (agents are registered on disk before their first
 * acknowledgement) and that its memory is bounded by the window, not by the backlog. It never keeps a batch: the channels do.
 */
import { DurableObject } from "cloudflare:workers";
import { bytesOfBase64 } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { nodeProofShape } from "#core/identity/binding.ts";
import { agentStatusShape } from "#core/identity/hello.ts";
import { routeShape } from "#core/identity/route.ts";
import { encodeFrame, type Frame } from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import { AgentRegistry } from "./agent-registry.ts";
import { backoffMs } from "./backoff.ts";
import { CarrierPump } from "./carrier-pump.ts";
import type { QuarantinedItem } from "./drain.ts";
import {
	type AgentChannelFace,
	type AgentNews,
	CHANNEL_UNAVAILABLE,
	type LaneDepths,
	type Namespace,
	type PeerLinkFace,
	type UplinkFace,
	type UplinkHealth,
} from "./faces.ts";
import { UPLINK_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { QuarantineStore } from "./quarantine.ts";
import { type FlowSettings, type ProxySettings, readFlowSettings } from "./settings.ts";
import { TrustChain } from "./trust-chain.ts";
import { UplinkStore } from "./uplink-store.ts";
import { type Upstream, UpstreamLink } from "./upstream-link.ts";

export interface UplinkEnv {
	readonly PROXY?: ProxySettings;
	readonly NODE_URI: string;
	/** `nodeProofShape`, base64. */
	readonly NODE_PROOF: string;
	/** The signed trust document version 0 that this node was enrolled with, base64. */
	readonly GENESIS: string;
	/** 32 bytes, base64. */
	readonly SIGNING_SEED: string;
	readonly UPSTREAM: Upstream["service"];
	readonly UPSTREAM_URI: string;
	readonly UPSTREAM_HOST: string;
	readonly AGENT_CHANNEL: Namespace<AgentChannelFace>;
	readonly PEER_LINK?: Namespace<PeerLinkFace>;
}

const BACKOFF = { firstMs: UPLINK_LIMITS.connectBackoffMs, longestMs: UPLINK_LIMITS.connectBackoffMsMax };

function upstreamOf(env: UplinkEnv): Upstream {
	assertInvariant(env.UPSTREAM_URI !== env.NODE_URI, "a node is not its own upstream");
	const proof = decodeAs(nodeProofShape, bytesOfBase64(env.NODE_PROOF) ?? new Uint8Array());
	assertInvariant(proof.ok, "NODE_PROOF does not read");
	const seed = bytesOfBase64(env.SIGNING_SEED);
	assertInvariant(seed?.length === 32, "SIGNING_SEED is not 32 bytes of base64");
	return { service: env.UPSTREAM, host: env.UPSTREAM_HOST, uri: env.UPSTREAM_URI, proof: proof.value, seed };
}

export class Uplink extends DurableObject<UplinkEnv> implements UplinkFace {
	readonly #store: UplinkStore;
	readonly #trust: TrustChain;
	readonly #upstream: Upstream;
	readonly #settings: FlowSettings;
	readonly #registry: AgentRegistry;
	readonly #pump: CarrierPump;
	#link: UpstreamLink | null = null;
	/** True from `welcome` on. */
	#isUp = false;
	#isConnecting = false;
	#failures = 0;
	#sinceMs = Date.now();
	#lastError: string | null = null;
	#stateTimer: ReturnType<typeof setTimeout> | null = null;

	constructor(ctx: DurableObjectState, env: UplinkEnv) {
		super(ctx, env);
		this.#store = new UplinkStore(ctx.storage.sql);
		this.#trust = new TrustChain(this.#store, env.GENESIS);
		this.#upstream = upstreamOf(env);
		this.#settings = readFlowSettings(env.PROXY);
		this.#registry = new AgentRegistry(this.#store.agents());
		this.#pump = new CarrierPump({
			settings: this.#settings,
			registry: this.#registry,
			channelOf: (agent) => env.AGENT_CHANNEL.getByName(agent),
			send: (frame) => this.#isUp && this.#link?.send(frame) === true,
			onDrained: (agent) => this.#store.forget(agent),
			onBroken: (error) => {
				logLine("error", "pump_broken", { detail: error.message, stack: error.stack });
				this.#link?.close("pump_broken", "the proxy could not send on");
			},
		});
		// Floating on purpose: the first tick is set whatever else happens.
		void ctx.storage.setAlarm(Date.now() + UPLINK_LIMITS.tickMs);
		this.#connect();
	}

	// ── the link ─────────────────────────────────────────────────────────────────────────────────────────────────────────

	#connect(): void {
		if (this.#isConnecting || this.#link !== null) return;
		this.#isConnecting = true;
		const events = {
			onFrame: (frame: Frame) => this.#take(frame),
			onClosed: (reason: string) => this.#closed(reason),
		};
		void UpstreamLink.open(this.#upstream, events).then((opened) => {
			this.#isConnecting = false;
			if (opened.ok) this.#link = opened.value;
			if (opened.ok && !opened.value.isOpen) this.#closed("closed before the welcome");
			if (!opened.ok) this.#closed(`${opened.code}: ${opened.detail}`);
		});
	}

	#closed(reason: string): void {
		if (this.#isUp) this.#sinceMs = Date.now();
		this.#link = null;
		this.#isUp = false;
		this.#lastError = reason;
		this.#failures++;
		this.#pump.stop();
		const waitMs = backoffMs(BACKOFF, this.#failures, Math.random());
		logLine("warning", "uplink_down", { upstream: this.#upstream.uri, reason, failures: this.#failures, waitMs });
		setTimeout(() => this.#connect(), waitMs);
	}

	#take(frame: Frame): void {
		const { type, body } = frame;
		if (!this.#isUp && type !== "welcome") {
			this.#link?.close("frame_unexpected", `${type} before the welcome`);
			return;
		}
		if (type === "welcome") this.#welcome(body.trust);
		else if (type === "trust") this.#takeTrust(body.documents);
		else if (type === "receipt") this.#pump.acknowledged(body);
		else if (type === "reject") this.#refused(body);
		else if (type === "command") this.#command(body);
		else if (type !== "heartbeat") this.#link?.close("frame_unexpected", `${type} does not come from upstream`);
	}

	#welcome(trust: readonly Uint8Array[]): void {
		this.#isUp = true;
		this.#failures = 0;
		this.#sinceMs = Date.now();
		logLine("info", "uplink_up", { upstream: this.#upstream.uri, agents: this.#registry.size });
		this.#takeTrust(trust);
		// Proofs go first: upstream addresses no channel for an agent it has not seen proved.
		for (const news of this.#registry.everyone()) this.#sendState(news);
		this.#flushStates();
		this.#pump.start();
	}

	#refused(body: Extract<Frame, { type: "reject" }>["body"]): void {
		const { agent, code, detail } = body;
		logLine("warning", "upstream_refused", { agent, code, detail });
		if (agent === undefined || !this.#registry.has(agent)) return;
		if (body.stream === undefined) this.#pump.refusedAgent(agent, code === CHANNEL_UNAVAILABLE);
		else this.#pump.refused(agent, { ...body, stream: body.stream });
	}

	#command(body: Extract<Frame, { type: "command" }>["body"]): void {
		const { agent, commandId, envelope, expiresAtMs } = body;
		const refuse = (code: string, detail: string) => this.#link?.send(encodeFrame("reject", { agent, code, detail }));
		if (!this.#registry.has(agent)) {
			refuse("agent_unknown", "the agent is not behind this proxy");
			return;
		}
		this.#tell(
			"command_not_queued",
			this.env.AGENT_CHANNEL.getByName(agent)
				.enqueueCommand(agent, { commandId, envelope, expiresAtMs })
				.then((queued) => {
					if (!queued.ok) refuse(queued.code, queued.detail);
				}),
		);
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
		if (this.#isUp) this.#sendState(news);
		return this.#trust.documents();
	}

	async agentState(state: Parameters<UplinkFace["agentState"]>[0]): Promise<void> {
		if (!state.isUp) this.#store.markHeard(state.agent, state.heardAtMs);
		this.#registry.note(state);
		this.#stateTimer ??= setTimeout(() => this.#flushStates(), UPLINK_LIMITS.stateIntervalMs);
		if (!state.isUp) this.#pump.kick();
	}

	#flushStates(): void {
		if (this.#stateTimer !== null) clearTimeout(this.#stateTimer);
		this.#stateTimer = null;
		if (!this.#isUp) return;
		for (const news of this.#registry.takeNoted()) {
			this.#link?.send(encodeFrame("agent_state", news));
			this.#pump.forgetDrained(news.agent);
		}
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
		this.#link?.send(encodeFrame("agent_state", { agent, isUp, heardAtMs, proof: proof.value, ...known }));
	}

	async backlog(agent: string, depths: LaneDepths): Promise<void> {
		this.#pump.hasBacklog(agent, depths);
	}

	async commandReceived(agent: string, commandId: Uint8Array): Promise<void> {
		// Lost when the link is down: upstream sends the command again and the agent answers again.
		if (this.#isUp) this.#link?.send(encodeFrame("command_received", { agent, commandId }));
	}

	async quarantined(agent: string, items: readonly QuarantinedItem[]): Promise<boolean> {
		const hop = this.env.NODE_URI.slice(this.env.NODE_URI.lastIndexOf("/") + 1);
		return items.every(
			(item) =>
				this.#isUp && this.#link?.send(encodeFrame("reject", QuarantineStore.frameOf(agent, item, hop))) === true,
		);
	}

	async joinPeer(peer: string): Promise<readonly Uint8Array[]> {
		this.#store.joinPeer(peer, Date.now());
		return this.#trust.documents();
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
		this.#pump.kick();
	}

	/** Says that we live, and drops a link that says nothing back. */
	#beat(nowMs: number): void {
		if (this.#link === null) {
			this.#connect();
			return;
		}
		if (nowMs - this.#link.heardAtMs > UPLINK_LIMITS.silentMsMax) {
			this.#link.close("silent", "nothing was heard");
			return;
		}
		const { walBytes, lagMs } = this.#load(nowMs);
		const health = {
			...{ timeMs: nowMs, streams: [], outboxBytes: walBytes, oldestUnackedMs: lagMs },
			...{ rssBytes: 0, eventCount: 0, gapCount: 0 },
		};
		if (this.#isUp) this.#link.send(encodeFrame("heartbeat", { health }));
	}

	#load(nowMs: number): { lanes: LaneDepths; walBytes: number; lagMs: number } {
		const lanes = this.#registry.totals();
		const all = Object.values(lanes);
		const oldest = Math.min(...all.map((depth) => depth.oldestMs ?? nowMs));
		return { lanes, walBytes: all.reduce((sum, depth) => sum + depth.bytes, 0), lagMs: Math.max(0, nowMs - oldest) };
	}

	async health(): Promise<UplinkHealth> {
		const nowMs = Date.now();
		if (this.#link === null) this.#connect();
		return {
			isUp: this.#isUp,
			upstream: this.#upstream.uri,
			sinceMs: this.#sinceMs,
			lastError: this.#lastError,
			agents: this.#registry.size,
			agentsUp: this.#registry.agentsUp().length,
			...this.#load(nowMs),
			unackedBytes: this.#pump.unackedBytes,
		};
	}
}
