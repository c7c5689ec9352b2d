/**
 * PeerLink: the upstream end of one proxy's link. It takes the proxy's carriers apart, brings each batch to its agent's channel
 * and sends receipts and refusals back. Guarantees that no channel is addressed before the agent's proof has verified against our
 * own root, that the link ends with the proxy's certificate, that batches of one agent stay in order, and that inflating is capped.
 * The proxy is believed in nothing but whether and when it hears an agent that signed that it came to it.
 */
import { DurableObject } from "cloudflare:workers";
import { bytesOfBase64 } from "#core/bytes/bytes.ts";
import { proveNode } from "#core/identity/binding.ts";
import { LINK_SUBPROTOCOL } from "#core/identity/challenge.ts";
import { HELLO_LIMITS, helloTimeMs } from "#core/identity/hello.ts";
import { judgePath } from "#core/identity/path.ts";
import { ROUTE_LIMITS, type RouteCode, verifyRoute } from "#core/identity/route.ts";
import { addClockSample, clockOffsetOf } from "#core/protocol/clock-offset.ts";
import { encodeFrame, type Frame, type FrameBody } from "#core/protocol/index.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { readAdmitted } from "./admitted.ts";
import { boxDiskOf, type DiskEnv } from "./box-disk.ts";
import { BulkPace } from "./bulk-pace.ts";
import { unpackCarrier } from "./carrier.ts";
import {
	AGENT_UNPROVED,
	type AgentChannelFace,
	type AgentRoute,
	CHANNEL_UNAVAILABLE,
	DIRECTORY_NAME,
	type Namespace,
	type PeerDirectoryFace,
	type PeerLinkFace,
	type ProxyState,
	type ProxyWatch,
	type TrustSource,
	UPLINK_NAME,
	type UplinkFace,
	WATCH_NAME,
} from "./faces.ts";
import { PEER_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { NestedWords, type TakenWord, type ToldProxy } from "./nested-words.ts";
import { PendingWork } from "./pending-work.ts";
import { QuarantineStore } from "./quarantine.ts";
import { readMessage } from "./read-message.ts";
import { StateTellers } from "./state-teller.ts";

/** Refusals of a route that say no more than that its makers' clocks and ours disagree. */
const CLOCK_CODES: readonly string[] = ["hello_clock", "chain_not_yet_valid", "chain_expired"] satisfies RouteCode[];

export interface PeerLinkEnv extends DiskEnv {
	readonly NODE_URI: string;
	/** DER, base64. */
	readonly ROOT_CERT: string;
	readonly AGENT_CHANNEL: Namespace<AgentChannelFace>;
	/** At the Security Center. */
	readonly PEER_DIRECTORY?: Namespace<PeerDirectoryFace>;
	readonly FLEET_WATCH?: Namespace<ProxyWatch>;
	/** At a proxy that serves other proxies. */
	readonly UPLINK?: Namespace<UplinkFace>;
}

/** One accepted socket: what is said of an older one is ignored. */
/** What is said of an agent beside its evidence, as a lane of its own. */
const WORDS = "words";

interface Link {
	readonly id: string;
	readonly peer: string;
	readonly uri: string;
	readonly socket: WebSocket;
	readonly notAfterMs: number;
	/** The proxy's own hello: the last step of the routes that come by this link. */
	readonly hello: Uint8Array;
	readonly helloTimeMs: number;
	/** Agents proved on this link. */
	readonly agents: Set<string>;
	/** Agents whose route was made in what is this node's future, each with when it can be judged. */
	readonly unjudged: Map<string, number>;
	/** What is still being done for an agent: its batches stay in order behind it. */
	readonly pending: PendingWork;
	readonly pace: BulkPace;
	heardAtMs: number;
	/** What the proxy was last told to have above it. */
	path: readonly string[];
	/** Of the proxy's heartbeats, for its clock. */
	clockSamples: number[];
	/** What it says of itself and of the proxies below it, and the judging of it: words of one proxy stay in order. */
	readonly words: NestedWords;
	readonly judging: PendingWork;
}

export class PeerLink<E extends PeerLinkEnv = PeerLinkEnv> extends DurableObject<E> implements PeerLinkFace {
	readonly #root: Uint8Array;
	#link: Link | null = null;
	#watch: ReturnType<typeof setInterval> | null = null;
	#isAskingPath = false;
	/** Over links: what an old one said stays in front of what a newer one says. */
	readonly #proxyTellers = new StateTellers<ProxyState>({
		// The linked proxy and those below it; of an older link some may still be on the way.
		nodesMax: 2 * PEER_LIMITS.nestedMax,
		tell: (state) => this.#proxyWatch()?.proxyState(state),
		onError: (error, proxy) => logLine("warning", "proxy_not_told", { proxy, detail: error.message }),
	});

	constructor(ctx: DurableObjectState, env: E) {
		super(ctx, env);
		const root = bytesOfBase64(env.ROOT_CERT);
		assertInvariant(root !== null, "ROOT_CERT is not base64");
		this.#root = root;
	}

	#trustSource(): TrustSource {
		const source = this.env.PEER_DIRECTORY?.getByName(DIRECTORY_NAME) ?? this.env.UPLINK?.getByName(UPLINK_NAME);
		assertInvariant(source !== undefined, "a PeerLink needs a directory or an uplink");
		return source;
	}

	#proxyWatch(): ProxyWatch | undefined {
		return this.env.FLEET_WATCH?.getByName(WATCH_NAME) ?? this.env.UPLINK?.getByName(UPLINK_NAME);
	}

	/** What stands above a proxy that is linked here: this node first. */
	async #path(): Promise<readonly string[]> {
		if (this.env.PEER_DIRECTORY !== undefined) return [this.env.NODE_URI];
		return (await this.env.UPLINK?.getByName(UPLINK_NAME).path()) ?? [this.env.NODE_URI];
	}

	/** An upgrade that passed the link gate. */
	override async fetch(request: Request): Promise<Response> {
		const { id: peer, uri, notAfterMs, hello, helloTimeMs } = readAdmitted(request);
		const trust = await this.#trustSource().joinPeer(peer);
		const path = await this.#path();
		const judged = judgePath(path, uri);
		if (!judged.ok) {
			const { code, detail } = judged;
			logLine("warning", "peer_refused", { peer, code, detail });
			return Response.json({ code, detail }, { status: 403 });
		}
		if (this.#link !== null) this.#close(this.#link, "replaced", "a newer link of this proxy came");
		const { 0: client, 1: socket } = new WebSocketPair();
		// Newer compatibility dates hand out blobs otherwise.
		socket.binaryType = "arraybuffer";
		socket.accept();
		const link: Link = {
			...{ id: crypto.randomUUID(), peer, uri, socket, notAfterMs, hello, helloTimeMs, heardAtMs: Date.now(), path },
			...{
				agents: new Set<string>(),
				clockSamples: [],
				unjudged: new Map<string, number>(),
				words: new NestedWords({ peer, selfUri: this.env.NODE_URI, root: this.#root }),
			},
			judging: new PendingWork(PEER_LIMITS.wordsPending, (proxy, error) =>
				logLine("warning", "proxy_word_not_judged", { peer, proxy, detail: error.message }),
			),
			// A failure is told to the proxy, which sends everything again.
			pace: new BulkPace(),
			pending: new PendingWork(PEER_LIMITS, (agent, error) => {
				logLine("warning", "channel_unavailable", { peer, agent, detail: error.message });
				this.#refuse(link, agent, CHANNEL_UNAVAILABLE, "the agent's channel did not answer");
			}),
		};
		socket.addEventListener("message", (event) => this.#heard(link, event.data as string | ArrayBuffer));
		socket.addEventListener("close", () => this.#ended(link));
		socket.addEventListener("error", () => this.#ended(link));
		this.#link = link;
		this.#watch ??= setInterval(() => this.#check(), PEER_LIMITS.checkMs);
		logLine("info", "peer_up", { peer });
		this.#send(link, encodeFrame("welcome", { timeMs: Date.now(), watermarks: [], trust, path: [...path] }));
		return new Response(null, {
			status: 101,
			webSocket: client,
			headers: { "sec-websocket-protocol": LINK_SUBPROTOCOL },
		});
	}

	async sendDown(frame: Uint8Array): Promise<boolean> {
		return this.#link !== null && this.#send(this.#link, frame);
	}

	async pathChanged(path: readonly string[]): Promise<void> {
		const link = this.#link;
		if (link === null || path.join() === link.path.join()) return;
		const judged = judgePath(path, link.uri);
		if (!judged.ok) {
			this.#close(link, judged.code, judged.detail);
			return;
		}
		link.path = path;
		this.#send(link, encodeFrame("path", { path: [...path] }));
	}

	async isLive(linkId: string): Promise<boolean> {
		return this.#link?.id === linkId;
	}

	#send(link: Link, frame: Uint8Array): boolean {
		if (this.#link !== link) return false;
		try {
			link.socket.send(frame);
			return true;
		} catch (error) {
			logLine("warning", "peer_send_failed", { peer: link.peer, detail: (error as Error).message });
			this.#ended(link);
			return false;
		}
	}

	#close(link: Link, code: string, detail: string): void {
		logLine("warning", "peer_dropped", { peer: link.peer, code, detail });
		if (!this.#send(link, encodeFrame("bye", { code, detail }))) return;
		link.socket.close(1000, code);
		this.#ended(link);
	}

	#ended(link: Link): void {
		if (this.#link !== link) return;
		// From here on nothing can be sent to it, and the channels hear that it leads to their agents no more.
		this.#link = null;
		if (this.#watch !== null) clearInterval(this.#watch);
		this.#watch = null;
		logLine("info", "peer_down", { peer: link.peer, agents: link.agents.size });
		const heardAtMs = link.heardAtMs;
		// Behind what it said last.
		link.judging.add(link.peer, 0, async () =>
			this.#tellOfProxy({ proxy: link.peer, via: "", broughtBy: link.peer, isUp: false, heardHereMs: heardAtMs }),
		);
		this.#tellRefusedWords(link);
		for (const agent of link.agents)
			link.pending.add(agent, 0, () =>
				this.env.AGENT_CHANNEL.getByName(agent).unlink({
					agent,
					via: link.peer,
					linkId: link.id,
					isUp: false,
					heardAtMs,
				}),
			);
	}

	#check(): void {
		const link = this.#link;
		if (link === null || this.#closeIfExpired(link)) return;
		if (Date.now() - link.heardAtMs > PEER_LIMITS.silentMsMax)
			this.#close(link, "silent", `nothing was heard for ${PEER_LIMITS.silentMsMax} ms`);
		else {
			this.#askAgain(link, Date.now());
			link.words.forgetOld(Date.now());
			this.#tellRefusedWords(link);
			// A notice may have crossed with the link itself. One question at a time, however long it waits.
			if (this.#isAskingPath) return;
			this.#isAskingPath = true;
			this.#path()
				.then((path) => this.pathChanged(path))
				.catch((error: Error) => logLine("warning", "path_not_told", { peer: link.peer, detail: error.message }))
				.finally(() => {
					this.#isAskingPath = false;
				});
		}
	}

	/** Without a route nothing goes down to an agent, no proof of custody either: it is asked for again when it can be judged. */
	#askAgain(link: Link, nowMs: number): void {
		for (const [agent, dueAtMs] of link.unjudged) {
			if (nowMs < dueAtMs) continue;
			link.unjudged.delete(agent);
			this.#refuse(link, agent, AGENT_UNPROVED, "its route was made in what was the future here");
		}
	}

	#closeIfExpired(link: Link): boolean {
		if (Date.now() <= link.notAfterMs) return false;
		this.#close(link, "certificate_expired", "the certificate of this link has expired");
		return true;
	}

	#heard(link: Link, message: string | ArrayBuffer): void {
		if (this.#link !== link || this.#closeIfExpired(link)) return;
		link.heardAtMs = Date.now();
		const frame = readMessage(message, PEER_LIMITS.messageBytesMax);
		if (!frame.ok) this.#close(link, frame.code, frame.detail);
		else if (link.pending.hasRoom((message as ArrayBuffer).byteLength))
			this.#take(link, frame.value, message as ArrayBuffer);
		else this.#closeForWindow(link);
	}

	#closeForWindow(link: Link): void {
		this.#close(link, "window_exceeded", `more than ${PEER_LIMITS.pendingBytesMax} bytes are pending`);
	}

	#take(link: Link, { type, body }: Frame, message: ArrayBuffer): void {
		if (type === "carrier") this.#takeCarrier(link, body);
		else if (type === "agent_state") this.#takeStateInTurn(link, body, message.byteLength);
		else if (type === "command_received") this.#takeCommandReceived(link, body);
		else if (type === "heartbeat") this.#takeHeartbeat(link, body, new Uint8Array(message));
		else if (type === "proxy_state") this.#takeProxyState(link, body, message.byteLength);
		else if (type === "reject") this.#takeRefusal(link, body);
		else if (type === "bye") this.#ended(link);
		else this.#close(link, "frame_unexpected", `${type} does not come from a proxy`);
	}

	/** A proxy refused something: a command of ours, or for good an item of an agent, which it keeps. */
	#takeRefusal(link: Link, body: FrameBody<"reject">): void {
		const { agent, code } = body;
		const item = QuarantineStore.itemOfFrame(body, link.peer);
		logLine("warning", "peer_refused", { peer: link.peer, code, agent, isKept: item !== null });
		if (item === null || agent === undefined) return;
		// In order: the proof of the agent may be being checked.
		const work = async () => {
			if (link.agents.has(agent)) await this.env.AGENT_CHANNEL.getByName(agent).quarantinedBelow(item);
			else this.#refuse(link, agent, AGENT_UNPROVED, "no proof of this agent on this link");
		};
		link.pending.addInLane(agent, WORDS, { bytes: 0, work });
	}

	#takeHeartbeat(link: Link, { link: health, word }: FrameBody<"heartbeat">, message: Uint8Array): void {
		// Said back, so that the proxy knows the link is alive.
		this.#send(link, message);
		const nowMs = Date.now();
		const state = { proxy: link.peer, via: "", broughtBy: link.peer, isUp: true, heardHereMs: nowMs };
		let clock: ProxyState["clock"];
		if (health !== undefined) {
			link.clockSamples = addClockSample(link.clockSamples, nowMs - health.timeMs);
			clock = { offsetMs: clockOffsetOf(link.clockSamples), boundMs: health.roundTripMs ?? null };
		}
		const known = { ...(clock === undefined ? {} : { clock }), ...(health === undefined ? {} : { link: health }) };
		// The link itself shows that it lives, so the Security Center needs no word; the nodes above a proxy do.
		const isWordless = word === undefined && (health === undefined || this.env.FLEET_WATCH !== undefined);
		const told = { proxy: link.peer, via: "", isUp: true, word };
		if (isWordless) link.judging.add(link.peer, 0, async () => this.#tellOfProxy({ ...state, ...known }));
		else
			this.#judgeWord(link, told, message.byteLength, (taken) =>
				this.#tellOfProxy({ ...state, ...known, ...(taken?.word === undefined ? {} : { word: taken.word }) }),
			);
	}

	#takeProxyState(link: Link, body: FrameBody<"proxy_state">, bytes: number): void {
		const { proxy, via, isUp, ageMs, clockOffsetMs, clockBoundMs, word } = body;
		const heardHereMs = Date.now() - ageMs;
		this.#judgeWord(link, { proxy, via, isUp, word }, bytes, (taken) => {
			if (taken === null) return;
			this.#tellOfProxy({
				...{ proxy, via, broughtBy: link.peer, isUp, heardHereMs, ...taken },
				...(clockOffsetMs === undefined ? {} : { clock: { offsetMs: clockOffsetMs, boundMs: clockBoundMs ?? null } }),
			});
		});
	}

	/** Judges what is told of a proxy; `then` hears what is shown to be true, null where nothing new is. */
	#judgeWord(link: Link, told: ToldProxy, bytes: number, then: (taken: TakenWord) => void): void {
		const { proxy } = told;
		if (!link.judging.hasRoom(bytes)) {
			link.words.refused(proxy, "proxy_words_max");
			return;
		}
		link.judging.add(proxy, bytes, async () => {
			const judged = await link.words.judge(told, Date.now());
			if (!judged.ok) link.words.refused(proxy, judged.code);
			then(judged.ok ? judged.value : null);
		});
	}

	/** Gathered, because whoever forges one forges many. */
	#tellRefusedWords(link: Link): void {
		const refused = link.words.takeRefused();
		if (refused === null) return;
		logLine("warning", "proxy_word_refused", { ...refused });
		this.#proxyWatch()
			?.wordsRefused(refused)
			.catch((error: Error) => logLine("warning", "refusal_not_told", { peer: link.peer, detail: error.message }));
	}

	/** What is not taken now is said again by a later heartbeat. */
	#tellOfProxy(state: ProxyState): void {
		if (this.#proxyTellers.tell(state.proxy, state)) return;
		logLine("warning", "proxy_not_told", { proxy: state.proxy, detail: "the news of too many others is on its way" });
	}

	#refuse(link: Link, agent: string, code: string, detail: string): void {
		this.#send(link, encodeFrame("reject", { agent, code, detail }));
	}

	async #takeState(link: Link, state: FrameBody<"agent_state">): Promise<void> {
		const { agent, proof, route: hellos, ageMs, ...news } = state;
		const heardHere = ageMs === undefined ? {} : { heardHereMs: Date.now() - ageMs };
		const channel = this.env.AGENT_CHANNEL;
		const nowMs = Date.now();
		// A proxy whose clock is ahead still brings evidence (it fails open); what it says of time counts as now at most.
		const heardAtMs = Math.min(nowMs, state.heardAtMs);
		const report = { ...news, ...heardHere, heardAtMs, agent, via: link.peer, linkId: link.id };
		if (proof === undefined) {
			// News of an agent that was refused here, or not yet proved, is nobody's.
			if (link.agents.has(agent)) await channel.getByName(agent).report(report);
			return;
		}
		// Judged at the time the proxy heard it: a backlog outlives the certificate it was taken under (evidence fails open).
		const context = { root: this.#root, nowMs: heardAtMs, usage: "client" } as const;
		let node = await proveNode(proof, context);
		// A proxy whose clock is behind hears agents before their certificates begin: those are valid now.
		if (!node.ok && node.code === "chain_not_yet_valid") node = await proveNode(proof, { ...context, nowMs });
		if (!node.ok) {
			this.#refuse(link, agent, node.code, node.detail);
			return;
		}
		if (node.value.role !== "agent" || node.value.id !== agent) {
			this.#refuse(link, agent, "proof_of_another", `the proof is of ${node.value.uri}`);
			return;
		}
		if (!link.agents.has(agent) && link.agents.size >= PEER_LIMITS.agentsMax) {
			this.#refuse(link, agent, "agents_max", `${PEER_LIMITS.agentsMax} agents are behind this proxy already`);
			return;
		}
		const { uri: agentUri, signingKey, notAfterMs } = node.value;
		const route = hellos === undefined ? ok(undefined) : await this.#routeOf(link, agentUri, hellos);
		// Clocks that disagree make the route worth nothing, and the agent's evidence no less: it comes as by a proxy without one.
		link.unjudged.delete(agent);
		if (!route.ok && CLOCK_CODES.includes(route.code)) {
			logLine("warning", "route_not_judged", { peer: link.peer, agent, detail: route.detail });
			const newestMs = Math.max(...(hellos ?? []).map((hello) => helloTimeMs(hello) ?? 0));
			// One from a past without its certificate can never be judged: a later hello brings another.
			if (route.code === "hello_clock") link.unjudged.set(agent, newestMs - HELLO_LIMITS.clockSkewMsMax);
		} else if (!route.ok) {
			// A step of our own: what comes by this link has been here, and what goes by it would come back.
			if (route.code === "path_cycle") this.#close(link, route.code, route.detail);
			else this.#refuse(link, agent, route.code, route.detail);
			return;
		}
		const known = !route.ok || route.value === undefined ? {} : { route: route.value };
		await channel.getByName(agent).arrive({ ...report, proof, signingKey, notAfterMs, ...known });
		link.agents.add(agent);
	}

	async #routeOf(
		link: Link,
		agentUri: string,
		hellos: readonly Uint8Array[],
	): Promise<Result<AgentRoute, RouteCode | "route_too_long">> {
		const selfUri = this.env.NODE_URI;
		const context = { agentUri, proxyUri: link.uri, selfUri, root: this.#root, nowMs: Date.now() };
		if (hellos.length >= ROUTE_LIMITS.hopsMax)
			return fail("route_too_long", `more than ${ROUTE_LIMITS.hopsMax} steps with the one to this node`);
		const steps = await verifyRoute(hellos, context);
		if (!steps.ok) return steps;
		return ok({ hellos: [...hellos, link.hello], timesMs: [...steps.value, link.helloTimeMs] });
	}

	/** A proof is waited for by all that follows; a word on how the agent is waits for no bulk, nor does anything wait for it. */
	#takeStateInTurn(link: Link, body: FrameBody<"agent_state">, bytes: number): void {
		const work = () => this.#takeState(link, body);
		if (body.proof !== undefined) link.pending.add(body.agent, bytes, work);
		else link.pending.addInLane(body.agent, WORDS, { bytes, work });
	}

	#takeCarrier(link: Link, body: FrameBody<"carrier">): void {
		const carried = unpackCarrier(body);
		if (!carried.ok) {
			this.#close(link, carried.code, carried.detail);
			return;
		}
		if (!link.pending.hasRoom(body.rawBytes)) {
			this.#closeForWindow(link);
			return;
		}
		const byAgent = new Map<string, Uint8Array[]>();
		for (const { agent, bytes } of carried.value) {
			const batches = byAgent.get(agent) ?? [];
			batches.push(bytes);
			byAgent.set(agent, batches);
		}
		const pause = body.lane === "bulk" ? this.#pauseFor(link, body.rawBytes) : null;
		for (const [agent, batches] of byAgent) {
			const bytes = batches.reduce((sum, batch) => sum + batch.length, 0);
			const work = () => this.#ingest(link, agent, batches);
			link.pending.addInLane(agent, body.lane, { bytes, work: pause === null ? work : () => pause.then(work) });
		}
	}

	/** Null: at once. */
	#pauseFor(link: Link, bytes: number): Promise<void> | null {
		const waitMs = link.pace.waitMs(bytes, {
			waitingBytes: boxDiskOf(this.env).waitingBytes("bulk"),
			nowMs: Date.now(),
		});
		return waitMs === 0 ? null : new Promise((resolve) => setTimeout(resolve, waitMs));
	}

	async #ingest(link: Link, agent: string, batches: readonly Uint8Array[]): Promise<void> {
		if (!link.agents.has(agent)) {
			this.#refuse(link, agent, AGENT_UNPROVED, "no proof of this agent on this link");
			return;
		}
		const { receipts, refusals } = await this.env.AGENT_CHANNEL.getByName(agent).ingest(agent, batches, link.peer);
		// Refusals first: who hears that a batch was missing must not have let go of it by the receipt that came after it.
		for (const refusal of refusals) this.#send(link, encodeFrame("reject", { agent, ...refusal }));
		for (const { stream, seq } of receipts)
			this.#send(link, encodeFrame("receipt", { agent, stream, level: "a1", seq }));
	}

	#takeCommandReceived(link: Link, { agent, commandId }: FrameBody<"command_received">): void {
		if (!link.agents.has(agent)) {
			this.#refuse(link, agent, AGENT_UNPROVED, "no proof of this agent on this link");
			return;
		}
		const work = () => this.env.AGENT_CHANNEL.getByName(agent).commandReceived(commandId);
		link.pending.addInLane(agent, WORDS, { bytes: 0, work });
	}
}
