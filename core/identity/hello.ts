/**
 * The hello: how a node proves itself to the node it connects to, on the first frames of every link. TLS has let it in, but TLS
 * tells the Worker no name. Guarantees: fresh (the server's nonce), meant for this server (its URI is signed), bound to the
 * certificate. Must never be accepted twice: the caller makes one nonce per socket.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import {
	bytes,
	decodeAs,
	encodeAs,
	field,
	fixedBytes,
	list,
	optional,
	record,
	type ShapeCode,
	type TypeOf,
	text,
	uint,
	wallMs,
} from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { laneShape } from "#core/model/batch.ts";
import { hashShape, signatureShape, streamIdShape } from "#core/model/ids.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { ed25519Sign, ed25519Verify } from "#crypto";
import { type IdentityCode, nodeProofShape, type ProvenNode, proveNode, proveNodeNear } from "./binding.ts";
import { parseNodeUri } from "./node-uri.ts";
import { pathShape } from "./path.ts";

/** Raised when a frame changes meaning; both sides name theirs when they differ. */
export const PROTOCOL_VERSION = 1;

export const HELLO_LIMITS = {
	/**
	 * Clocks in an enclave drift, so a hello from a reader's near future is judged as one of now. It closes no door: there the nonce says
	 * what is fresh, and evidence of a host whose clock is wrong is evidence all the same.
	 */
	clockSkewMsMax: 10 * 60_000,
} as const;

/** What an agent says about its collector; shown on the fleet page. */
export const agentStatusShape = record({
	hostName: field(1, text(255)),
	tier: field(2, text(16)),
	missing: field(3, text(2000)),
	siteTag: field(4, text(64)),
	softwareVersion: field(5, text(32)),
	addresses: field(6, list(bytes(16), 64)),
	/** Why a lower tier runs; empty for `ebpf`. */
	cause: field(7, text(500)),
});
export type AgentStatus = TypeOf<typeof agentStatusShape>;

const helloPayloadShape = record({
	protocol: field(1, uint(65_535)),
	serverNonce: field(2, fixedBytes(32)),
	clientNonce: field(3, fixedBytes(32)),
	serverUri: field(4, text(200)),
	certFingerprint: field(5, hashShape),
	timeMs: field(6, wallMs()),
	/** Streams the sender will go on with, and the highest sequence it has made in each. */
	streams: field(
		7,
		list(record({ lane: field(1, laneShape), stream: field(2, streamIdShape), head: field(3, uint()) }), 8),
	),
	status: optional(8, agentStatusShape),
	/** A proxy's: the path it will have above it, as the server told it; the server first. */
	path: optional(9, pathShape),
});
export type HelloPayload = TypeOf<typeof helloPayloadShape>;

export const helloShape = record({
	payload: field(1, bytes(16_384)),
	signature: field(2, signatureShape),
	proof: field(3, nodeProofShape),
});

export type HelloCode =
	| IdentityCode
	| ShapeCode
	| "hello_protocol"
	| "hello_nonce"
	| "hello_wrong_server"
	| "hello_certificate"
	| "hello_clock"
	| "hello_signature_invalid";

export interface HelloContext {
	readonly serverNonce: Uint8Array;
	readonly serverUri: string;
	readonly root: Uint8Array;
	readonly nowMs: number;
}

export function signHello(payload: HelloPayload, seed: Uint8Array, proof: TypeOf<typeof nodeProofShape>): Uint8Array {
	const encoded = encodeAs(helloPayloadShape, payload);
	const signature = ed25519Sign(seed, preAuthEncoding(PAYLOAD_TYPES.hello, encoded));
	return encodeAs(helloShape, { payload: encoded, signature, proof });
}

/** The server nonce that a hello names, unproved: a stateless server must find it before it can judge. Null if unreadable. */
export function readHelloNonce(hello: Uint8Array): Uint8Array | null {
	const outer = decodeAs(helloShape, hello);
	if (!outer.ok) return null;
	const payload = decodeAs(helloPayloadShape, outer.value.payload);
	return payload.ok ? payload.value.serverNonce : null;
}

/**
 * Who made a hello of another protocol version, and which, so that the refusal can name both. Null when its shape does not read any
 * more, or when its maker does not prove itself: then nobody is named.
 */
export async function readStranger(
	hello: Uint8Array,
	context: Omit<HelloContext, "serverNonce">,
): Promise<{ uri: string; protocol: number } | null> {
	const outer = decodeAs(helloShape, hello);
	if (!outer.ok) return null;
	const payload = decodeAs(helloPayloadShape, outer.value.payload);
	if (!payload.ok || payload.value.serverUri !== context.serverUri) return null;
	const node = judgeSigner(
		{ outer: outer.value, payload: payload.value },
		await proveNode(outer.value.proof, { ...context, usage: "client" }),
	);
	return node.ok ? { uri: node.value.uri, protocol: payload.value.protocol } : null;
}

/** The id of the node that a hello was made for, unproved: for a hello that was verified before. Null if unreadable. */
export function helloTarget(hello: Uint8Array): string | null {
	const outer = decodeAs(helloShape, hello);
	const payload = outer.ok ? decodeAs(helloPayloadShape, outer.value.payload) : outer;
	const name = payload.ok ? parseNodeUri(payload.value.serverUri) : payload;
	return name.ok ? name.value.id : null;
}

/** When a hello says that it was made, unproved; null if unreadable. */
export function helloTimeMs(hello: Uint8Array): number | null {
	const outer = decodeAs(helloShape, hello);
	const payload = outer.ok ? decodeAs(helloPayloadShape, outer.value.payload) : outer;
	return payload.ok ? payload.value.timeMs : null;
}

interface ReadHello {
	readonly outer: TypeOf<typeof helloShape>;
	readonly payload: HelloPayload;
}

function readHello(hello: Uint8Array, serverUri: string): Result<ReadHello, HelloCode> {
	const outer = decodeAs(helloShape, hello);
	if (!outer.ok) return outer;
	const payload = decodeAs(helloPayloadShape, outer.value.payload);
	if (!payload.ok) return payload;
	const { protocol, serverUri: meant } = payload.value;
	if (protocol !== PROTOCOL_VERSION)
		return fail("hello_protocol", `the client speaks protocol ${protocol}, this node ${PROTOCOL_VERSION}`);
	if (meant !== serverUri) return fail("hello_wrong_server", `it was made for ${meant}, this is ${serverUri}`);
	return ok({ outer: outer.value, payload: payload.value });
}

/** Whether the node that the hello's proof proves signed it. */
function judgeSigner(
	{ outer, payload }: ReadHello,
	node: Result<ProvenNode, IdentityCode>,
): Result<ProvenNode, HelloCode> {
	if (!node.ok) return node;
	if (!equalBytes(payload.certFingerprint, node.value.certFingerprint))
		return fail("hello_certificate", "it names another certificate than it shows");
	const message = preAuthEncoding(PAYLOAD_TYPES.hello, outer.payload);
	if (!ed25519Verify(node.value.signingKey, message, outer.signature))
		return fail("hello_signature_invalid", "it is not signed by the bound key");
	return node;
}

/**
 * Judges a hello; a refusal names the reason and the link is dropped. The time it names is its maker's word and is not judged: the nonce
 * is fresh by this node's clock, and so is the certificate valid.
 */
export async function verifyHello(
	hello: Uint8Array,
	context: HelloContext,
): Promise<Result<{ node: ProvenNode; payload: HelloPayload; proof: TypeOf<typeof nodeProofShape> }, HelloCode>> {
	const read = readHello(hello, context.serverUri);
	if (!read.ok) return read;
	const { outer, payload } = read.value;
	if (!equalBytes(payload.serverNonce, context.serverNonce)) return fail("hello_nonce", "the nonce is not this link's");
	const node = judgeSigner(
		read.value,
		await proveNode(outer.proof, { root: context.root, nowMs: context.nowMs, usage: "client" }),
	);
	if (!node.ok) return node;
	return ok({ node: node.value, payload, proof: outer.proof });
}

/**
 * Judges a hello that another node was given and hands on: it proves that its maker chose `serverUri`, and when. Not that it is
 * fresh: the nonce was the other node's. The certificate is judged at the time the hello names, give or take the skew that node allowed.
 */
export async function verifyRelayedHello(
	hello: Uint8Array,
	context: Omit<HelloContext, "serverNonce">,
): Promise<Result<{ node: ProvenNode; timeMs: number }, HelloCode>> {
	const read = readHello(hello, context.serverUri);
	if (!read.ok) return read;
	const { timeMs } = read.value.payload;
	const { clockSkewMsMax } = HELLO_LIMITS;
	if (timeMs > context.nowMs + clockSkewMsMax)
		return fail("hello_clock", `it was made ${timeMs - context.nowMs} ms from now`);
	const proving = { root: context.root, nowMs: timeMs, usage: "client" } as const;
	const node = judgeSigner(read.value, await proveNodeNear(read.value.outer.proof, proving, clockSkewMsMax));
	return node.ok ? ok({ node: node.value, timeMs }) : node;
}
