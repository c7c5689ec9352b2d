/**
 * A hop for tests: a real TLS server with challenge, hello and WebSocket that judges batches as a proxy does. It can be told to
 * refuse, to forget and to be silent. Must never be used outside tests.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { bytesOfBase64, hexOf } from "#core/bytes/bytes.ts";
import { HELLO_HEADER, LINK_PATHS, LINK_SUBPROTOCOL } from "#core/identity/challenge.ts";
import { type HelloPayload, PROTOCOL_VERSION, verifyHello } from "#core/identity/hello.ts";
import { batchHash, type ReadBatch, readBatch, verifyBatch, verifyBatchEvents } from "#core/model/batch.ts";
import type { Event } from "#core/model/event.ts";
import {
	decodeFrame,
	EMPTY_STREAM,
	encodeFrame,
	type Frame,
	judgeSequence,
	type StreamState,
} from "#core/protocol/index.ts";
import { TestLedger } from "#core/testing/test-ledger.ts";
import type { nodePaths } from "../../host/pki/layout.ts";
import { ENCLAVE, fileText, LEDGER_SEED } from "./lab.ts";

interface StreamAtHop {
	state: StreamState;
	readonly stream: Uint8Array;
	readonly batches: ReadBatch[];
}

export class Hop {
	readonly #server: Server;
	readonly #sockets: WebSocketServer;
	readonly #nonces = new Set<string>();
	readonly ledger = new TestLedger({ enclave: ENCLAVE, seed: LEDGER_SEED });
	#current: WebSocket | null = null;
	#raw: Duplex | null = null;
	port = 0;
	signingKey: Uint8Array = new Uint8Array(32);
	readonly hellos: HelloPayload[] = [];
	readonly frames: Frame[] = [];
	readonly events: Event[] = [];
	readonly streams = new Map<string, StreamAtHop>();
	refusals: string[] = [];
	/** What the challenge says of the server; its certificate says it too unless a test lies. */
	serverUri = "spiffe://lab/px/edge-1";
	trust: readonly Uint8Array[] = [];
	isReceipting = true;
	isConfirming = true;
	/** Refuses the next batch with this code. */
	refuseNext: string | null = null;
	/** So many batches vanish without a word. */
	loseNext = 0;
	#rootDer: Uint8Array;

	/** The version it names; another than ours refuses every hello, as a real one does. */
	protocol = PROTOCOL_VERSION;

	constructor(proxy: ReturnType<typeof nodePaths>) {
		const pem = fileText(proxy.ca);
		this.#rootDer = new Uint8Array(Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64"));
		this.#server = createServer({
			cert: fileText(proxy.chain),
			key: fileText(proxy.tlsKey),
			ca: pem,
			requestCert: true,
			rejectUnauthorized: true,
		});
		this.#sockets = new WebSocketServer({ noServer: true, handleProtocols: () => LINK_SUBPROTOCOL });
		this.#server.on("request", (request, response) => {
			if (request.url !== LINK_PATHS.challenge) return void response.writeHead(404).end();
			const nonce = randomBytes(32).toString("hex");
			this.#nonces.add(nonce);
			response.end(JSON.stringify({ nonce, serverUri: this.serverUri, timeMs: Date.now(), protocol: this.protocol }));
		});
		this.#server.on("upgrade", (request, socket, head) => {
			void this.#greet(request).then((isGood) => {
				if (!isGood) return socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
				this.#raw = socket;
				this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#open(webSocket));
			});
		});
	}

	async listen(port = 0): Promise<void> {
		await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
		this.port = (this.#server.address() as AddressInfo).port;
	}

	async close(): Promise<void> {
		this.drop();
		this.#raw?.destroy();
		this.#server.closeAllConnections();
		await new Promise<void>((resolve) => this.#server.close(() => resolve()));
	}

	drop(): void {
		this.#current?.terminate();
		this.#current = null;
	}

	/** The connection stands and nothing more is read from it or said: a half-open link. */
	freeze(): void {
		this.#raw?.pause();
	}

	get isUp(): boolean {
		return this.#current !== null;
	}

	async #greet(request: IncomingMessage): Promise<boolean> {
		const bytes = bytesOfBase64(String(request.headers[HELLO_HEADER] ?? ""));
		if (bytes === null) return false;
		for (const nonce of this.#nonces) {
			const context = {
				serverNonce: new Uint8Array(Buffer.from(nonce, "hex")),
				serverUri: this.serverUri,
				root: this.#rootDer,
				nowMs: Date.now(),
			};
			const hello = await verifyHello(bytes, context);
			if (!hello.ok && hello.code === "hello_nonce") continue;
			if (hello.ok && this.protocol !== PROTOCOL_VERSION) {
				this.refusals.push("hello_protocol");
				return false;
			}
			if (!hello.ok) {
				this.refusals.push(hello.code);
				return false;
			}
			this.#nonces.delete(nonce);
			this.signingKey = hello.value.node.signingKey;
			this.hellos.push(hello.value.payload);
			return true;
		}
		this.refusals.push("hello_nonce");
		return false;
	}

	#open(socket: WebSocket): void {
		this.#current = socket;
		socket.on("message", (data: Buffer) => this.#take(new Uint8Array(data)));
		socket.on("close", () => {
			if (this.#current === socket) this.#current = null;
		});
		const watermarks = [...this.streams.values()].map(({ stream, state }) => {
			return { stream, a1: state.received, a2: 0, hash: state.lastHash };
		});
		this.send(encodeFrame("welcome", { timeMs: Date.now(), watermarks: watermarks.slice(0, 64), trust: this.trust }));
	}

	send(frame: Uint8Array): void {
		this.#current?.send(frame);
	}

	#take(message: Uint8Array): void {
		const frame = decodeFrame(message);
		if (!frame.ok) {
			this.refusals.push(frame.code);
			return;
		}
		this.frames.push(frame.value);
		if (frame.value.type !== "batch") return;
		if (this.loseNext > 0) this.loseNext--;
		else this.#batch(frame.value.body.bytes);
	}

	#batch(bytes: Uint8Array): void {
		const read = readBatch(bytes);
		if (!read.ok || !verifyBatch(read.value, this.signingKey).ok) {
			this.refusals.push("batch_invalid");
			return;
		}
		const { stream, seq, prevHash, agent } = read.value.header;
		const id = hexOf(stream);
		const known = this.streams.get(id) ?? { state: EMPTY_STREAM, stream, batches: [] };
		const refuse = (code: string, at: number) => {
			this.refusals.push(code);
			this.send(encodeFrame("reject", { agent, stream, seq: at, code, detail: "a test" }));
		};
		if (this.refuseNext !== null) {
			const code = this.refuseNext;
			this.refuseNext = null;
			refuse(code, seq);
			return;
		}
		const verdict = judgeSequence(known.state, { seq, prevHash, hash: batchHash(read.value.headerBytes) });
		if (verdict.verdict === "skipped" || verdict.verdict === "forked") {
			refuse(verdict.verdict, verdict.verdict === "skipped" ? verdict.expected : seq);
			return;
		}
		if (verdict.verdict === "next") {
			const events = verifyBatchEvents(read.value, this.signingKey);
			if (!events.ok) {
				refuse(events.code, seq);
				return;
			}
			known.state = verdict.state;
			known.batches.push(read.value);
			this.streams.set(id, known);
			this.events.push(...events.value);
		}
		this.ledger.appendBatch(bytes);
		if (this.isReceipting) this.send(encodeFrame("receipt", { agent, stream, level: "a1", seq }));
		if (this.isReceipting && this.isConfirming) this.confirm(stream, seq);
	}

	/** An A2 receipt with the proof of that batch, or with another text. */
	confirm(stream: Uint8Array, seq: number, custody = this.custodyOf(stream, seq)): void {
		this.send(encodeFrame("receipt", { agent: "web-01", stream, level: "a2", seq, custody }));
	}

	custodyOf(stream: Uint8Array, seq: number): string {
		return this.ledger.custodyOf("web-01", { stream, seq });
	}

	command(envelope: Uint8Array, commandId: Uint8Array): void {
		this.send(encodeFrame("command", { agent: "web-01", commandId, envelope, expiresAtMs: Date.now() + 60_000 }));
	}
}

/** Waits until something is so; fails by name after the limit. */
export async function until(what: string, isSo: () => boolean, limitMs = 8000): Promise<void> {
	const endMs = Date.now() + limitMs;
	while (!isSo()) {
		if (Date.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
}
