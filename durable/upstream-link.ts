/**
 * The client side of a link: challenge, hello, upgrade, welcome. Guarantees that a hello is made only for the server we were told
 * to reach, and that whatever is wrong has a name. One object is one connection; it never reconnects itself.
 */
import { base64Of, bytesOfHex } from "#core/bytes/bytes.ts";
import { type CborValue, readAs } from "#core/codec/index.ts";
import type { NodeProof } from "#core/identity/binding.ts";
import { HELLO_HEADER, LINK_PATHS, LINK_SUBPROTOCOL, PEER_CHALLENGE_SEARCH } from "#core/identity/challenge.ts";
import { PROTOCOL_VERSION, signHello } from "#core/identity/hello.ts";
import { type PathCode, pathShape } from "#core/identity/path.ts";
import { encodeFrame, type Frame } from "#core/protocol/index.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { sha256 } from "#crypto";
import { UPLINK_LIMITS } from "./limits.ts";
import { readMessage } from "./read-message.ts";

export interface Upstream {
	/** The service binding: TLS with our client certificate lives in it. */
	readonly service: { fetch(url: string, init?: RequestInit): Promise<Response> };
	readonly host: string;
	/** The node's own name, which the challenge must repeat. */
	readonly uri: string;
	readonly proof: NodeProof;
	readonly seed: Uint8Array;
}

export type ConnectCode =
	| "upstream_unreachable"
	| "upstream_wrong_server"
	| "upstream_refused"
	| "upstream_malformed"
	/** It speaks another version of the protocol. */
	| "upstream_protocol"
	| PathCode;

export interface LinkEvents {
	/** The path that the challenge names, before the hello: a refusal ends the try. */
	readonly onPath: (path: readonly string[]) => Result<true, PathCode>;
	readonly onFrame: (frame: Frame) => void;
	/** Called once, whatever ended the link. */
	readonly onClosed: (reason: string) => void;
}

interface Challenge {
	readonly nonce: Uint8Array;
	readonly protocol: number;
	/** What we would have above us. */
	readonly path: readonly string[];
}

async function askChallenge(upstream: Upstream, signal: AbortSignal): Promise<Result<Challenge, ConnectCode>> {
	const url = `https://${upstream.host}${LINK_PATHS.challenge}${PEER_CHALLENGE_SEARCH}`;
	const response = await upstream.service.fetch(url, { signal });
	const body = new Uint8Array(await response.arrayBuffer());
	if (response.status !== 200) return fail("upstream_refused", `the challenge answered ${response.status}`);
	if (body.length > UPLINK_LIMITS.challengeBytesMax) return fail("upstream_malformed", "the challenge is too long");
	const answer = parseChallenge(new TextDecoder().decode(body));
	if (answer === null) return fail("upstream_malformed", "the challenge does not read");
	if (answer.serverUri !== upstream.uri)
		return fail("upstream_wrong_server", `${answer.serverUri} answered, ${upstream.uri} was meant`);
	return ok(answer);
}

function parseChallenge(text: string): (Challenge & { serverUri: string }) | null {
	try {
		const { nonce, serverUri, protocol, path = [serverUri] } = JSON.parse(text) as Record<string, unknown>;
		const bytes = typeof nonce === "string" ? bytesOfHex(nonce) : null;
		const above = readAs(pathShape, path as CborValue);
		if (bytes === null || typeof serverUri !== "string" || !above.ok || !Number.isSafeInteger(protocol)) return null;
		return { nonce: bytes, serverUri, protocol: protocol as number, path: above.value };
	} catch {
		// Not JSON: the caller names it.
		return null;
	}
}

/** The server's own word for a refusal, where it is one that the log and the health must name. */
function refusalOf(status: number, problem: string): Result<never, ConnectCode> {
	const code = /"code":"(path_cycle|path_too_long)"/.exec(problem)?.[1] as PathCode | undefined;
	return fail(code ?? "upstream_refused", `the link was refused with ${status}: ${problem}`);
}

async function upgrade(
	upstream: Upstream,
	{ nonce, protocol, path }: Challenge,
	signal: AbortSignal,
): Promise<Result<WebSocket, ConnectCode>> {
	const payload = {
		protocol: PROTOCOL_VERSION,
		serverNonce: nonce,
		clientNonce: crypto.getRandomValues(new Uint8Array(32)),
		serverUri: upstream.uri,
		certFingerprint: sha256(upstream.proof.chain[0] ?? new Uint8Array()),
		timeMs: Date.now(),
		streams: [],
		path: [...path],
	};
	const headers = {
		upgrade: "websocket",
		"sec-websocket-protocol": LINK_SUBPROTOCOL,
		[HELLO_HEADER]: base64Of(signHello(payload, upstream.seed, upstream.proof)),
	};
	const response = await upstream.service.fetch(`https://${upstream.host}${LINK_PATHS.peer}`, { headers, signal });
	const socket = response.webSocket;
	if (socket !== null && socket !== undefined) return ok(socket);
	const problem = (await response.text()).slice(0, 400);
	// The hello was shown all the same: so the server knows, too, who was forgotten when the other was changed.
	if (protocol !== PROTOCOL_VERSION)
		return fail("upstream_protocol", `the upstream speaks protocol ${protocol}, this node ${PROTOCOL_VERSION}`);
	return refusalOf(response.status, problem);
}

async function within<T>(
	timeoutMs: number,
	ask: (signal: AbortSignal) => Promise<Result<T, ConnectCode>>,
): Promise<Result<T, ConnectCode>> {
	const abort = new AbortController();
	// Taken back once the answer is there: an aborted request would take its WebSocket with it.
	const timer = setTimeout(() => abort.abort(new Error("no answer in time")), timeoutMs);
	try {
		return await ask(abort.signal);
	} catch (error) {
		return fail("upstream_unreachable", (error as Error).message);
	} finally {
		clearTimeout(timer);
	}
}

export class UpstreamLink {
	readonly #socket: WebSocket;
	readonly #events: LinkEvents;
	#isClosed = false;
	/** When anything was last heard. */
	heardAtMs = Date.now();

	private constructor(socket: WebSocket, events: LinkEvents) {
		this.#socket = socket;
		this.#events = events;
		// Newer compatibility dates hand out blobs otherwise.
		socket.binaryType = "arraybuffer";
		socket.addEventListener("message", (event) => this.#heard(event.data as string | ArrayBuffer));
		socket.addEventListener("close", (event) => this.#ended(`closed with ${event.code} ${event.reason}`));
		socket.addEventListener("error", () => this.#ended("the socket failed"));
		socket.accept();
	}

	static open(upstream: Upstream, events: LinkEvents, timeoutMs: number): Promise<Result<UpstreamLink, ConnectCode>> {
		return within(timeoutMs, async (signal) => {
			const challenge = await askChallenge(upstream, signal);
			if (!challenge.ok) return challenge;
			const path = events.onPath(challenge.value.path);
			if (!path.ok) return path;
			const socket = await upgrade(upstream, challenge.value, signal);
			return socket.ok ? ok(new UpstreamLink(socket.value, events)) : socket;
		});
	}

	/** Whether it answers, and the path that it would give. */
	static probe(upstream: Upstream, timeoutMs: number): Promise<Result<readonly string[], ConnectCode>> {
		return within(timeoutMs, async (signal) => {
			const challenge = await askChallenge(upstream, signal);
			return challenge.ok ? ok(challenge.value.path) : challenge;
		});
	}

	get isOpen(): boolean {
		return !this.#isClosed;
	}

	#heard(message: string | ArrayBuffer): void {
		if (this.#isClosed) return;
		this.heardAtMs = Date.now();
		const frame = readMessage(message, UPLINK_LIMITS.messageBytesMax);
		if (!frame.ok) this.close(frame.code, frame.detail);
		else if (frame.value.type === "bye") this.#ended(`${frame.value.body.code}: ${frame.value.body.detail}`);
		else this.#events.onFrame(frame.value);
	}

	/** False when the link is gone; its `onClosed` has told so or is about to. */
	send(frame: Uint8Array): boolean {
		if (this.#isClosed) return false;
		try {
			this.#socket.send(frame);
			return true;
		} catch (error) {
			this.#ended(`a send failed: ${(error as Error).message}`);
			return false;
		}
	}

	close(code: string, detail: string): void {
		this.send(encodeFrame("bye", { code, detail: detail.slice(0, 500) }));
		this.#ended(`${code}: ${detail}`);
	}

	#ended(reason: string): void {
		if (this.#isClosed) return;
		this.#isClosed = true;
		try {
			this.#socket.close(1000, "bye");
		} catch {
			// It was closed already: the same result.
		}
		this.#events.onClosed(reason);
	}
}
