/**
 * A simulated agent's link: challenge, signed hello, WebSocket over mTLS, as the agent's own, and as little else as possible, so that
 * one process can be a thousand. It sends frames that were made beforehand and reads receipts. Must never free or seal anything: a
 * refusal is a trouble that ends the run. Its frames are masked with zeros, which a server cannot tell from other masks and which
 * saves this side a pass over the bytes.
 */
import { randomBytes } from "node:crypto";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { WebSocket } from "ws";
import { base64Of, bytesOfHex, equalBytes } from "#core/bytes/bytes.ts";
import { HELLO_HEADER, LINK_PATHS, LINK_SUBPROTOCOL } from "#core/identity/challenge.ts";
import { PROTOCOL_VERSION, signHello } from "#core/identity/hello.ts";
import { decodeFrame, encodeFrame, type Frame } from "#core/protocol/index.ts";
import { sha256 } from "#crypto";
import { AGENT_LIMITS } from "../../agent/limits.ts";
import type { Client, ClientEvents, ClientTls } from "./client.ts";
import type { SimulatedAgent } from "./identities.ts";

async function askNonce(tls: ClientTls): Promise<Uint8Array> {
	const { promise, resolve, reject } = Promise.withResolvers<string>();
	const timeout = AGENT_LIMITS.connectTimeoutMs;
	const asked = request({ ...tls, path: LINK_PATHS.challenge, agent: false, timeout }, (answer) => {
		text(answer).then(resolve, reject);
	});
	asked.on("timeout", () => asked.destroy(new Error("no challenge came in time")));
	asked.on("error", reject);
	asked.end();
	return bytesOfHex((JSON.parse(await promise) as { nonce: string }).nonce) as Uint8Array;
}

function helloOf(agent: SimulatedAgent, serverNonce: Uint8Array, serverUri: string): string {
	const payload = {
		protocol: PROTOCOL_VERSION,
		...{ serverNonce, serverUri, clientNonce: new Uint8Array(randomBytes(32)), timeMs: Date.now(), streams: [] },
		certFingerprint: sha256(agent.chain[0] as Uint8Array),
	};
	return base64Of(signHello(payload, agent.seed, { chain: [...agent.chain], binding: agent.binding }));
}

const ZERO_MASK = (mask: Buffer) => void mask.fill(0);

function heartbeat(): Uint8Array {
	const health = { timeMs: Date.now(), streams: [], outboxBytes: 0, oldestUnackedMs: 0 };
	return encodeFrame("heartbeat", { health: { ...health, rssBytes: 0, eventCount: 0, gapCount: 0 } });
}

/** The agent's lowest A1 and A2 so far, told onward as counts. */
class Receipts {
	readonly #events: ClientEvents;
	#stream: Uint8Array = new Uint8Array(8);
	#taken = 0;

	constructor(events: ClientEvents) {
		this.#events = events;
	}

	begin(stream: Uint8Array): void {
		this.#stream = stream;
		this.#taken = 0;
	}

	take({ type, body }: Frame): void {
		if (type === "reject") this.#events.onTrouble(`a batch was refused: ${body.code}: ${body.detail}`);
		if (type === "bye") this.#events.onTrouble(`the link was ended: ${body.code}: ${body.detail}`);
		if (type !== "receipt" || !equalBytes(body.stream, this.#stream)) return;
		if (body.level === "a2") this.#events.onStored(body.seq);
		const more = body.seq - this.#taken;
		if (body.level !== "a1" || more <= 0) return;
		this.#taken = body.seq;
		this.#events.onTaken(more);
	}
}

/** Opens the link; settles with the welcome. */
export async function openTreeClient(
	agent: SimulatedAgent,
	tls: ClientTls,
	{ serverUri, events }: { serverUri: string; events: ClientEvents },
): Promise<Client> {
	const hello = helloOf(agent, await askNonce(tls), serverUri);
	const url = `wss://127.0.0.1:${tls.port}${LINK_PATHS.agent}`;
	const socket = new WebSocket(url, [LINK_SUBPROTOCOL], {
		...tls,
		...{ headers: { [HELLO_HEADER]: hello }, perMessageDeflate: false, agent: false, generateMask: ZERO_MASK },
		handshakeTimeout: AGENT_LIMITS.connectTimeoutMs,
	} as ConstructorParameters<typeof WebSocket>[2]);
	const receipts = new Receipts(events);
	const welcomed = Promise.withResolvers<void>();
	const closed = Promise.withResolvers<void>();
	const command = (commandId: Uint8Array) => {
		events.onCommand?.(commandId);
		socket.send(encodeFrame("command_received", { agent: agent.id, commandId }));
	};
	socket.on("message", (data: Buffer) => {
		const frame = decodeFrame(new Uint8Array(data.buffer, data.byteOffset, data.length));
		if (!frame.ok) events.onTrouble(`a frame does not read: ${frame.detail}`);
		else if (frame.value.type === "welcome") welcomed.resolve();
		else if (frame.value.type === "command") command(frame.value.body.commandId);
		else receipts.take(frame.value);
	});
	socket.on("unexpected-response", (_request, answer) =>
		welcomed.reject(new Error(`the link was refused with ${answer.statusCode}`)),
	);
	socket.on("error", (error) => welcomed.reject(error));
	let isClosing = false;
	let beat: NodeJS.Timeout | undefined;
	socket.on("close", (code) => {
		closed.resolve();
		clearInterval(beat);
		welcomed.reject(new Error(`the link closed with ${code} before the welcome`));
		if (!isClosing) events.onTrouble(`the link of ${agent.id} closed with ${code}`);
	});
	await welcomed.promise;
	beat = setInterval(() => socket.send(heartbeat()), AGENT_LIMITS.heartbeatMs);
	return {
		prepare: (bytes) => encodeFrame("batch", { bytes }),
		send: (frame) => socket.send(frame),
		begin: (stream) => receipts.begin(stream),
		close() {
			isClosing = true;
			clearInterval(beat);
			socket.close(1000);
			return closed.promise;
		},
	};
}
