/** A small agent for tests: it opens real links with a real hello and seals real batches, good ones and bad ones. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import type { Socket } from "node:net";
import WebSocket from "ws";
import { base64Of, bytesOfBase64, bytesOfHex } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { type NodeProof, nodeProofShape } from "#core/identity/binding.ts";
import { HELLO_HEADER, LINK_PATHS, LINK_SUBPROTOCOL } from "#core/identity/challenge.ts";
import { type HelloPayload, signHello } from "#core/identity/hello.ts";
import { type Lane, sealBatch, sealEvent, ZERO_HASH } from "#core/model/batch.ts";
import { ZERO_PROCESS } from "#core/model/event.ts";
import { decodeFrame, encodeFrame, type Frame, type FrameBody, type FrameType } from "#core/protocol/index.ts";
import { sha256 } from "#crypto";
import { nodeProofOf } from "../host/enclave/node-proof.ts";
import type { NodePaths } from "../host/pki/layout.ts";

export interface Target {
	readonly port: number;
	/** DNS name in the server's certificate. */
	readonly name: string;
	/** The server's node name, signed into the hello. */
	readonly uri: string;
}

export interface Identity {
	readonly id: string;
	readonly proof: NodeProof;
	readonly seed: Uint8Array;
	readonly tls: { readonly key: Buffer; readonly cert: Buffer; readonly ca: Buffer };
}

export function identityOf(id: string, paths: NodePaths): Identity {
	const proof = decodeAs(nodeProofShape, bytesOfBase64(nodeProofOf(paths)) as Uint8Array);
	if (!proof.ok) throw new Error(proof.detail);
	const read = (path: string) => readFileSync(path);
	return {
		id,
		proof: proof.value,
		seed: new Uint8Array(read(paths.signingKey)),
		tls: { key: read(paths.tlsKey), cert: read(paths.chain), ca: read(paths.ca) },
	};
}

/** One HTTPS request with a client certificate; for an upgrade that is refused it answers the refusal. */
export function ask(
	target: Target,
	identity: Identity,
	path: string,
	headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
	return new Promise((resolve, reject) => {
		const options = {
			...identity.tls,
			host: "127.0.0.1",
			port: target.port,
			servername: target.name,
			path,
			headers,
			agent: false,
		};
		const asked = request(options, (answer) => {
			let body = "";
			answer.setEncoding("utf8");
			answer.on("data", (text: string) => {
				body += text;
			});
			answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
		});
		asked.on("upgrade", (answer, socket) => {
			socket.destroy();
			resolve({ status: answer.statusCode ?? 0, body: "" });
		});
		asked.on("error", reject);
		asked.end();
	});
}

export async function askNonce(target: Target, identity: Identity): Promise<Uint8Array> {
	const { body } = await ask(target, identity, LINK_PATHS.challenge);
	return bytesOfHex((JSON.parse(body) as { nonce: string }).nonce) as Uint8Array;
}

export function helloOf(
	identity: Identity,
	nonce: Uint8Array,
	changes: Partial<HelloPayload> & { serverUri: string },
): string {
	const payload = {
		...{
			protocol: 1,
			serverNonce: nonce,
			clientNonce: new Uint8Array(randomBytes(32)),
			timeMs: Date.now(),
			streams: [],
		},
		certFingerprint: sha256(identity.proof.chain[0] as Uint8Array),
		...changes,
	};
	return base64Of(signHello(payload, identity.seed, identity.proof));
}

/** The route of an agent that came to this proxy at this time: what an honest proxy shows upstream. */
export function routeTo(proxyUri: string, identity: Identity, timeMs: number): Uint8Array[] {
	const hello = helloOf(identity, new Uint8Array(randomBytes(32)), { serverUri: proxyUri, timeMs });
	return [bytesOfBase64(hello) as Uint8Array];
}

export const UPGRADE = {
	connection: "Upgrade",
	upgrade: "websocket",
	"sec-websocket-version": "13",
	"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
	"sec-websocket-protocol": LINK_SUBPROTOCOL,
};

/** An open link and everything that came over it. */
export class TestLink {
	readonly frames: Frame[] = [];
	/** When each of them came, by the wall clock, in milliseconds with a fraction. */
	readonly cameAtMs: number[] = [];
	readonly #socket: WebSocket;
	isClosed = false;
	#wake: (() => void)[] = [];

	constructor(socket: WebSocket) {
		this.#socket = socket;
		socket.on("message", (data: Buffer) => {
			const frame = decodeFrame(new Uint8Array(data));
			if (!frame.ok) throw new Error(frame.detail);
			this.frames.push(frame.value);
			this.cameAtMs.push(performance.timeOrigin + performance.now());
			this.#notify();
		});
		socket.on("close", () => {
			this.isClosed = true;
			this.#notify();
		});
		// A killed server resets the connection; the close event that follows is what tests look at.
		socket.on("error", () => this.#notify());
	}

	#notify(): void {
		for (const wake of this.#wake.splice(0)) wake();
	}

	static async open(target: Target, identity: Identity, path: string = LINK_PATHS.agent): Promise<TestLink> {
		const nonce = await askNonce(target, identity);
		const hello = helloOf(identity, nonce, { serverUri: target.uri });
		const options = { ...identity.tls, servername: target.name, headers: { [HELLO_HEADER]: hello } };
		const socket = new WebSocket(`wss://127.0.0.1:${target.port}${path}`, LINK_SUBPROTOCOL, options);
		const link = new TestLink(socket);
		await new Promise<void>((resolve, reject) => {
			socket.once("open", () => resolve());
			socket.once("error", reject);
			socket.once("unexpected-response", (_request, answer) => reject(new Error(`refused with ${answer.statusCode}`)));
		});
		return link;
	}

	send<T extends FrameType>(type: T, body: FrameBody<T>): void {
		this.#socket.send(encodeFrame(type, body));
	}

	sendRaw(bytes: Uint8Array): void {
		this.#socket.send(bytes);
	}

	/** Writes these bytes past the WebSocket's framing, one a second, until the link closes. */
	trickle(bytes: Uint8Array): void {
		const { _socket: raw } = this.#socket as unknown as { _socket: Socket };
		let at = 0;
		const timer = setInterval(() => {
			if (this.isClosed || at === bytes.length) clearInterval(timer);
			else raw.write(bytes.subarray(at, ++at));
		}, 1000);
	}

	/** Resolves with the first frame of the type that fits, already here or still to come. */
	async expect<T extends FrameType>(
		type: T,
		fits: (body: FrameBody<T>) => boolean = () => true,
		timeoutMs = 10_000,
	): Promise<FrameBody<T>> {
		const endMs = Date.now() + timeoutMs;
		for (;;) {
			const found = this.frames.find((frame) => frame.type === type && fits(frame.body as FrameBody<T>));
			if (found !== undefined) return found.body as FrameBody<T>;
			const leftMs = endMs - Date.now();
			if (leftMs <= 0 || (this.isClosed && type !== "bye"))
				throw new Error(
					`no ${type} came; frames: ${JSON.stringify(this.frames.map((frame) => [frame.type, frame.body])).slice(0, 800)}`,
				);
			await new Promise<void>((resolve) => {
				const timer = setTimeout(resolve, Math.min(leftMs, 250));
				this.#wake.push(() => {
					clearTimeout(timer);
					resolve();
				});
			});
		}
	}

	close(): void {
		this.#socket.terminate();
	}
}

export interface SealedBatch {
	readonly seq: number;
	readonly bytes: Uint8Array;
	readonly hash: Uint8Array;
}

/** One stream of one lane: numbers and chains its batches as the agent does. */
export class TestStream {
	readonly stream = new Uint8Array(randomBytes(8));
	readonly lane: Lane;
	readonly #identity: Identity;
	#seq = 0;
	#hash = ZERO_HASH;
	#events = 0;

	constructor(identity: Identity, lane: Lane) {
		this.#identity = identity;
		this.lane = lane;
	}

	/** Seals the next batch; `changes` make bad ones without moving the chain. */
	next(
		changes: { agent?: string; lane?: Lane; seq?: number; seed?: Uint8Array; padBytes?: number; text?: string } = {},
	): SealedBatch {
		const seq = changes.seq ?? this.#seq + 1;
		const nowMs = Date.now();
		const isTrace = this.lane === "trace";
		const count = 1 + Math.ceil((changes.padBytes ?? 0) / 16_000);
		const events = Array.from({ length: count }, (_, index) => {
			const text = changes.text ?? (count > 1 ? randomBytes(8000).toString("hex") : "/bin/true");
			return sealEvent(
				{
					kind: "exec",
					process: ZERO_PROCESS,
					kernelTimeNs: BigInt(nowMs) * 1_000_000n,
					wallTimeMs: nowMs,
					seq: this.#events + index,
					tier: "ebpf",
					payload: count > 1 ? { cmdline: [text] } : { exe: text },
				},
				isTrace ? this.#identity.seed : null,
			);
		});
		const header = {
			...{ agent: changes.agent ?? this.#identity.id, lane: changes.lane ?? this.lane },
			...{ stream: this.stream, seq, prevHash: this.#hash },
			...{ startMs: nowMs, endMs: nowMs, firstEvent: this.#events },
		};
		const sealed = sealBatch(header, events, changes.seed ?? this.#identity.seed);
		const isGood = Object.keys(changes).every((key) => key === "padBytes" || key === "text");
		if (isGood) {
			this.#seq = seq;
			this.#hash = sealed.hash;
			this.#events += count;
		}
		return { seq, ...sealed };
	}

	/** Makes a batch that is never sent: the stream has a hole then. */
	skip(): void {
		this.next();
	}
}
