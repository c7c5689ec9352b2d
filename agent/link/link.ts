/**
 * The link to the hop: challenge, hello, WebSocket, frames, and again, to the best of the listed proxies that is well. Evidence fails open: whatever the hop does, capture goes
 * on and the outbox holds. Guarantees: the server is the one whose URI its certificate bears, on both connections; the first
 * frame is a welcome; a link without a sign of life is dropped. Must never decide anything about a trace: a command is handed on
 * as the bytes that came.
 */
import { randomBytes } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { WebSocket } from "ws";
import { base64Of } from "#core/bytes/bytes.ts";
import type { Binding } from "#core/identity/binding.ts";
import { HELLO_HEADER, LINK_PATHS, LINK_SUBPROTOCOL } from "#core/identity/challenge.ts";
import { type AgentStatus, PROTOCOL_VERSION, signHello } from "#core/identity/hello.ts";
import { LANES } from "#core/model/batch.ts";
import {
	decodeFrame,
	encodeFrame,
	type Frame,
	type Health,
	LINK_LIMITS,
	PARENT_LIMITS,
	Parents,
	type ParentTimes,
} from "#core/protocol/index.ts";
import { assertInvariant } from "#core/result.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
import { ed25519PublicKey } from "#crypto";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import { type Chain, sendableTo } from "../outbox/chain.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { FirstBatch } from "../stream/lanes.ts";
import type { LedgerMemory } from "./ledger-memory.ts";
import { Refusals } from "./refusals.ts";
import { Sender } from "./sender.ts";
import {
	type Challenge,
	fetchChallenge,
	type LinkTarget,
	type PeerContext,
	type TlsFiles,
	tlsOptions,
	verifyPeer,
} from "./server-identity.ts";

/** What the agent proves of itself. */
export interface LinkIdentity {
	readonly agent: string;
	readonly enclave: string;
	readonly certFingerprint: Uint8Array;
	/** DER, leaf first, without the root. */
	readonly chain: readonly Uint8Array[];
	readonly binding: Binding;
	/** Ed25519 seed. */
	readonly seed: Uint8Array;
	/** DER of the pinned root. */
	readonly root: Uint8Array;
	/** The proxies that the certificate names; null: every one of the enclave. */
	readonly proxies: readonly string[] | null;
}

export interface LinkOptions {
	/** In order of preference. */
	readonly targets: readonly LinkTarget[];
	readonly parentTimes: ParentTimes;
	readonly tls: TlsFiles;
	readonly identity: LinkIdentity;
	readonly outbox: Outbox;
	readonly ledger: LedgerMemory;
	readonly log: Log;
	readonly nowMs: () => number;
	readonly monotonicMs: () => number;
	readonly random: () => number;
	readonly trust: () => TrustDocument;
	readonly status: () => AgentStatus;
	readonly health: () => Omit<
		Health,
		"streams" | "roundTripMs" | "reconnects" | "lastError" | "refusedBatches" | "refusedFor"
	>;
	readonly onTrust: (documents: readonly Uint8Array[]) => void;
	readonly onCommand: (envelope: Uint8Array) => void;
	readonly reseal: (chain: Chain, from: number, fate: FirstBatch) => void;
	readonly disown: (stream: Uint8Array, from: number) => void;
	/** A broken invariant or a failed disk inside a handler: the process stops. */
	readonly onFatal: (error: unknown) => void;
}

/**
 * Streams a hello or heartbeat can name: the newest of each lane first, then older ones that still hold data. The head is the highest
 * batch that is or will be sent: what stands behind the end of a stream was sealed again in another, and is missed by nobody.
 */
export function streamHeads(outbox: Outbox): { lane: Chain["lane"]; stream: Uint8Array; head: number }[] {
	const newest = LANES.map((lane) => outbox.chains(lane).at(-1)).filter((chain) => chain !== undefined);
	const older = outbox.chains().filter((chain) => !newest.includes(chain));
	return [...newest, ...older]
		.slice(0, 8)
		.map((chain) => ({ lane: chain.lane, stream: chain.stream, head: sendableTo(chain) }));
}

export class Link {
	readonly #options: LinkOptions;
	readonly #parents: Parents;
	readonly #refusals: Refusals;
	readonly #publicKey: Uint8Array;
	#socket: WebSocket | null = null;
	#sender: Sender | null = null;
	#life: LinkLife | null = null;
	/** The wait before the next try. */
	#timer: NodeJS.Timeout | null = null;
	/** The wait before the next look at preferred proxies. */
	#probeTimer: NodeJS.Timeout | null = null;
	#upAtMs: number | null = null;
	#isMoving = false;
	#isStopped = false;
	/** Links that were welcomed since start. */
	#welcomes = 0;
	/** Why the link under way ended or did not come about, and why the one before it did. */
	#lastError: string | null = null;
	#previousError: string | null = null;

	constructor(options: LinkOptions) {
		this.#options = options;
		this.#parents = new Parents(options.targets.length, options.random, options.parentTimes);
		this.#refusals = new Refusals(options.monotonicMs);
		this.#publicKey = ed25519PublicKey(options.identity.seed);
	}

	get isUp(): boolean {
		return this.#sender !== null;
	}

	/** Whether what is on the disk waits: there is no link, or it has no room for more. */
	get isBehind(): boolean {
		return this.#sender?.isBehind ?? true;
	}

	start(): void {
		void this.#attempt();
	}

	/** New batches are on disk. */
	pump(): void {
		this.#sender?.pump();
	}

	stop(): void {
		this.#isStopped = true;
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#stopProbing();
		if (this.#sender !== null)
			this.#send(encodeFrame("bye", { code: "agent_stopped", detail: "the agent was stopped" }));
		this.#socket?.close(1000);
	}

	/** Drops the link after a hop of the own trust has become wrong, or for a test. */
	drop(): void {
		this.#socket?.terminate();
	}

	#peer(): PeerContext {
		const { root, enclave, proxies } = this.#options.identity;
		return { root, enclave, proxies, nowMs: this.#options.nowMs(), timeoutMs: this.#timeoutMs() };
	}

	/** Where another proxy waits for its turn, a silent one is given up sooner. */
	#timeoutMs(): number {
		return this.#options.targets.length > 1 ? PARENT_LIMITS.tryMsMax : AGENT_LIMITS.connectTimeoutMs;
	}

	#target(index: number): LinkTarget {
		const target = this.#options.targets[index];
		assertInvariant(target !== undefined, "a proxy stands in the list");
		return target;
	}

	async #attempt(): Promise<void> {
		const { tls, log, nowMs, onFatal } = this.#options;
		try {
			const target = this.#target(this.#parents.current);
			const challenge = await fetchChallenge(target, tls, this.#peer());
			if (this.#isStopped) return;
			if (!challenge.ok) {
				this.#failed(challenge.code, challenge.detail);
				this.#again();
				return;
			}
			const { protocol } = challenge.value;
			// The hello is shown all the same: the server refuses it by name, and so both sides know which one was forgotten.
			if (protocol !== PROTOCOL_VERSION)
				this.#failed("server_protocol", `the server speaks protocol ${protocol}, this agent ${PROTOCOL_VERSION}`);
			const skewMs = challenge.value.timeMs - nowMs();
			if (Math.abs(skewMs) > AGENT_LIMITS.clockSkewMsMax) log("clock_skew", { skewMs });
			this.#open(challenge.value);
		} catch (error) {
			onFatal(error);
		}
	}

	#failed(reason: string, detail: string): void {
		this.#lastError = `${reason}: ${detail}`;
		this.#options.log("link_failed", { reason, detail });
	}

	#again(): void {
		if (this.#isStopped) return;
		const livedMs = this.#upAtMs === null ? 0 : this.#options.monotonicMs() - this.#upAtMs;
		this.#upAtMs = null;
		const waitMs = this.#isMoving ? 0 : this.#parents.ended(livedMs);
		this.#isMoving = false;
		this.#timer = setTimeout(() => void this.#attempt(), waitMs);
	}

	#probeLater(): void {
		this.#stopProbing();
		if (this.#parents.current === 0) return;
		this.#probeTimer = setTimeout(() => void this.#probe(this.#sender), this.#parents.probeInMs());
	}

	#stopProbing(): void {
		if (this.#probeTimer !== null) clearTimeout(this.#probeTimer);
		this.#probeTimer = null;
	}

	/** Asks the preferred proxies whether they are there; leaves this link for one that has been for long enough. */
	async #probe(sender: Sender | null): Promise<void> {
		const { tls, log, monotonicMs, onFatal } = this.#options;
		try {
			for (let index = 0; index < this.#parents.current; index++) {
				const answer = await fetchChallenge(this.#target(index), tls, this.#peer());
				if (this.#isStopped || sender === null || sender !== this.#sender) return;
				this.#parents.heard(index, answer.ok, monotonicMs());
			}
			const better = this.#parents.better(monotonicMs());
			if (better === null) {
				this.#probeLater();
				return;
			}
			log("link_moves", { to: better });
			this.#parents.moveTo(better);
			this.#isMoving = true;
			this.#send(encodeFrame("bye", { code: "agent_moved", detail: "a preferred proxy is back" }));
			this.#socket?.close(1000);
		} catch (error) {
			onFatal(error);
		}
	}

	#hello(challenge: Challenge): string {
		const { identity, outbox, nowMs, status } = this.#options;
		const payload = {
			protocol: PROTOCOL_VERSION,
			serverNonce: challenge.nonce,
			clientNonce: new Uint8Array(randomBytes(32)),
			serverUri: challenge.serverUri,
			certFingerprint: identity.certFingerprint,
			timeMs: nowMs(),
			streams: streamHeads(outbox),
			status: status(),
		};
		return base64Of(signHello(payload, identity.seed, { chain: [...identity.chain], binding: identity.binding }));
	}

	#open(challenge: Challenge): void {
		const { tls, log, monotonicMs, onFatal } = this.#options;
		const target = this.#target(this.#parents.current);
		const host = target.host.includes(":") ? `[${target.host}]` : target.host;
		const socket = new WebSocket(`wss://${host}:${target.port}${LINK_PATHS.agent}`, [LINK_SUBPROTOCOL], {
			...tlsOptions(target, tls),
			headers: { [HELLO_HEADER]: this.#hello(challenge) },
			handshakeTimeout: this.#timeoutMs(),
			maxPayload: AGENT_LIMITS.linkMessageBytesMax,
			perMessageDeflate: false,
			agent: false,
		} as ConstructorParameters<typeof WebSocket>[2]);
		this.#socket = socket;
		const life = new LinkLife(socket, monotonicMs, () => {
			this.#lastError = "half_open: nothing was heard";
			log("link_half_open");
		});
		this.#life = life;
		// Frames wait until the peer of this second connection is proved too.
		let verified: Promise<boolean> = Promise.resolve(false);
		socket.on("upgrade", (response) => {
			verified = this.#verifyUpgrade(response.socket as TLSSocket, challenge.serverUri, socket);
		});
		socket.on("open", () => life.begin());
		socket.on("message", (data: Buffer, isBinary: boolean) => {
			life.sign();
			verified
				.then((isPeer) => {
					if (isPeer && socket === this.#socket) this.#take(socket, data, isBinary);
				})
				.catch(onFatal);
		});
		socket.on("unexpected-response", (_request, response) => {
			// What was wrong is known better where the challenge already named it.
			if (challenge.protocol === PROTOCOL_VERSION)
				this.#lastError = `server_refused: the link was refused with ${response.statusCode ?? 0}`;
			log("link_failed", { reason: "server_refused", status: response.statusCode ?? 0 });
			response.destroy();
			socket.terminate();
		});
		socket.on("error", (error) => {
			if (challenge.protocol === PROTOCOL_VERSION) this.#lastError = `link_error: ${error.message}`;
			log("link_error", { detail: error.message });
		});
		socket.on("close", (code) => {
			life.end();
			if (this.#sender !== null) {
				this.#lastError ??= `closed with ${code}`;
				log("link_down", { closeCode: code });
			}
			this.#sender = null;
			this.#socket = null;
			this.#life = null;
			this.#stopProbing();
			this.#again();
		});
	}

	async #verifyUpgrade(tlsSocket: TLSSocket, serverUri: string, socket: WebSocket): Promise<boolean> {
		const peer = await verifyPeer(tlsSocket, serverUri, this.#peer());
		if (peer.ok) return true;
		this.#failed(peer.code, peer.detail);
		socket.terminate();
		return false;
	}

	#take(socket: WebSocket, data: Buffer, isBinary: boolean): void {
		const frame = isBinary ? decodeFrame(new Uint8Array(data.buffer, data.byteOffset, data.length)) : null;
		if (frame === null || !frame.ok) {
			this.#options.log("link_frame_refused", { reason: frame === null ? "text_message" : frame.code });
			socket.close(1002);
			return;
		}
		if (this.#sender === null && frame.value.type !== "welcome" && frame.value.type !== "bye") {
			this.#options.log("link_frame_refused", { reason: "welcome_missing" });
			socket.close(1002);
			return;
		}
		this.#handle(frame.value);
	}

	#handle(frame: Frame): void {
		const { log, onTrust, onCommand, identity } = this.#options;
		switch (frame.type) {
			case "welcome":
				if (this.#sender === null) this.#welcome(frame.body);
				return;
			case "receipt":
				this.#sender?.receipt(frame.body);
				return;
			case "reject":
				this.#sender?.reject(frame.body);
				return;
			case "trust":
				onTrust(frame.body.documents);
				return;
			case "command": {
				if (frame.body.agent !== identity.agent) {
					log("command_misrouted");
					return;
				}
				const { agent, commandId, envelope } = frame.body;
				onCommand(envelope);
				this.#send(encodeFrame("command_received", { agent, commandId }));
				return;
			}
			case "bye":
				this.#lastError = `${frame.body.code}: ${frame.body.detail}`;
				log("link_bye", { reason: frame.body.code });
				return;
			default:
				// Frames between proxies and the Security Center: not ours, and no reason to drop a link.
				log("link_frame_ignored", { type: frame.type });
		}
	}

	#welcome(body: Extract<Frame, { type: "welcome" }>["body"]): void {
		const { outbox, ledger, log, monotonicMs, trust, identity, onTrust, reseal, disown } = this.#options;
		onTrust(body.trust);
		const send = (bytes: Uint8Array) => this.#send(encodeFrame("batch", { bytes }));
		this.#sender = new Sender(
			{
				...{ agent: identity.agent, publicKey: this.#publicKey, refusals: this.#refusals },
				...{ outbox, ledger, trust, log, monotonicMs, send, reseal, disown },
			},
			body.watermarks,
		);
		log("link_up");
		this.#upAtMs = monotonicMs();
		this.#parents.up();
		this.#probeLater();
		this.#welcomes++;
		this.#previousError = this.#lastError ?? this.#previousError;
		this.#lastError = null;
		this.heartbeat();
		this.#sender.pump();
	}

	/** Tells how the agent is. Called on a timer by the owner; also lets a resting stream go on. */
	heartbeat(): void {
		if (this.#sender === null) return;
		const { health, outbox } = this.#options;
		const lastError = this.#previousError?.slice(0, LINK_LIMITS.lastErrorCharsMax);
		const roundTripMs = this.#life?.roundTripMs;
		const refused = this.#refusals.waiting();
		const link = {
			...{ reconnects: this.#welcomes - 1 },
			...(roundTripMs === undefined ? {} : { roundTripMs }),
			...(lastError === undefined ? {} : { lastError }),
			...(refused.length === 0 ? {} : { refusedBatches: refused.length, refusedFor: refused.at(-1)?.code ?? "" }),
		};
		this.#send(encodeFrame("heartbeat", { health: { ...health(), ...link, streams: streamHeads(outbox) } }));
		this.#sender.pump();
	}

	#send(frame: Uint8Array): void {
		if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(frame);
	}
}

/** At one every ten seconds: a minute or so, in which one quick answer is likely. */
const ROUND_TRIPS_MAX = 8;

/** Signs of life of one socket: pings go out, and silence for two intervals ends it. */
class LinkLife {
	readonly #socket: WebSocket;
	readonly #onSilence: () => void;
	#timer: NodeJS.Timeout | null = null;
	readonly #monotonicMs: () => number;
	#silentIntervals = 0;
	#pingedAtMs: number | null = null;
	/** The newest few, milliseconds. */
	#roundTrips: number[] = [];

	constructor(socket: WebSocket, monotonicMs: () => number, onSilence: () => void) {
		this.#socket = socket;
		this.#monotonicMs = monotonicMs;
		this.#onSilence = onSilence;
		socket.on("pong", () => this.#answered());
		socket.on("ping", () => this.sign());
	}

	/** The fastest of the newest answers, rounded up; undefined until one came. */
	get roundTripMs(): number | undefined {
		return this.#roundTrips.length === 0 ? undefined : Math.ceil(Math.min(...this.#roundTrips));
	}

	begin(): void {
		this.#ping();
		this.#timer = setInterval(() => {
			if (++this.#silentIntervals > 2) {
				this.#onSilence();
				this.#socket.terminate();
			} else this.#ping();
		}, AGENT_LIMITS.pingMs);
	}

	#ping(): void {
		this.#pingedAtMs = this.#monotonicMs();
		this.#socket.ping();
	}

	#answered(): void {
		this.sign();
		if (this.#pingedAtMs === null) return;
		this.#roundTrips = [...this.#roundTrips, this.#monotonicMs() - this.#pingedAtMs].slice(-ROUND_TRIPS_MAX);
		this.#pingedAtMs = null;
	}

	sign(): void {
		this.#silentIntervals = 0;
	}

	end(): void {
		if (this.#timer !== null) clearInterval(this.#timer);
	}
}
