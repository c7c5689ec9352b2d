/**
 * A proxy's word of itself: how its link is, signed by its own node key with its proof beside it, carried verbatim up the tree. Guarantees
 * that what is told of a proxy behind another one is that proxy's own (certificate, role, enclave, signature), that it was meant for the
 * upstream it is told to have, and that it is of about now. Must never be taken twice: the reader keeps the highest number it has taken.
 */
import {
	bytes,
	decodeAs,
	encodeAs,
	field,
	record,
	type ShapeCode,
	type TypeOf,
	text,
	uint,
} from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { type IdentityCode, type NodeProof, nodeProofShape, proveNodeNear } from "#core/identity/binding.ts";
import { HELLO_LIMITS } from "#core/identity/hello.ts";
import { nodeUri, parseNodeUri } from "#core/identity/node-uri.ts";
import { signatureShape } from "#core/model/ids.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { ed25519Sign, ed25519Verify } from "#crypto";
import { type LinkHealth, linkHealthShape } from "./frames.ts";

export const PROXY_WORD_LIMITS = {
	/**
	 * A word is refused when its time is further from the reader's: what a proxy on the way held back shows the sender alive no longer.
	 * As much as the door of a node allows two clocks to differ.
	 */
	ageMsMax: HELLO_LIMITS.clockSkewMsMax,
	/** The longest `link`, with eight strangers and a reason, is below 4 KiB. */
	payloadBytesMax: 8192,
} as const;

/** Its time is `link.timeMs`, whom it was meant for `link.upstream`. */
const payloadShape = record({
	/** Node URI of the proxy that speaks. */
	uri: field(1, text(200)),
	/** Rises with every word: the proxy's clock, or one more than the last where the clock was set back. */
	number: field(2, uint()),
	link: field(3, linkHealthShape),
});
export type ProxyWord = TypeOf<typeof payloadShape>;

const proxyWordShape = record({
	payload: field(1, bytes(PROXY_WORD_LIMITS.payloadBytesMax)),
	signature: field(2, signatureShape),
	proof: field(3, nodeProofShape),
});

export type ProxyWordCode =
	| IdentityCode
	| ShapeCode
	/** Nothing signed came with what was told. */
	| "proxy_word_missing"
	/** Of another node than it was told of, of no proxy, or of another enclave. */
	| "proxy_word_of_another"
	/** Meant for another upstream than the one it is told to have. */
	| "proxy_word_way"
	| "proxy_word_clock"
	| "proxy_word_signature_invalid";

export interface ProxyWordContext {
	/** Id of the proxy that it is told of. */
	readonly proxy: string;
	/** Id of the proxy above it, as told; empty: linked to the reader. */
	readonly via: string;
	/** The reader's node URI: its enclave is the only one. */
	readonly selfUri: string;
	readonly root: Uint8Array;
	readonly nowMs: number;
	/** Highest number taken of this proxy: a word that is not newer is answered before anything is verified. */
	readonly afterNumber: number;
}

export function signProxyWord(word: ProxyWord, seed: Uint8Array, proof: NodeProof): Uint8Array {
	const payload = encodeAs(payloadShape, word);
	const signature = ed25519Sign(seed, preAuthEncoding(PAYLOAD_TYPES.proxyWord, payload));
	return encodeAs(proxyWordShape, { payload, signature, proof });
}

/** Judges a word; null when it is no newer than what was taken before: it says nothing, and whoever passed it on did no wrong. */
export async function verifyProxyWord(
	word: Uint8Array,
	context: ProxyWordContext,
): Promise<Result<{ number: number; link: LinkHealth } | null, ProxyWordCode>> {
	const outer = decodeAs(proxyWordShape, word);
	if (!outer.ok) return outer;
	const payload = decodeAs(payloadShape, outer.value.payload);
	if (!payload.ok) return payload;
	const { uri, number, link } = payload.value;
	const { proxy, via, selfUri, root, nowMs, afterNumber } = context;
	const self = parseNodeUri(selfUri);
	assertInvariant(self.ok, "the reader knows its own name");
	const proxyUri = (id: string) => nodeUri({ ...self.value, role: "px", id });
	if (uri !== proxyUri(proxy)) return fail("proxy_word_of_another", `it is of ${uri}`);
	const upstream = via === "" ? selfUri : proxyUri(via);
	if (link.upstream !== upstream) return fail("proxy_word_way", `it was meant for ${link.upstream}`);
	const { ageMsMax } = PROXY_WORD_LIMITS;
	// The number follows the clock, so that one far ahead cannot shut out what the proxy says later.
	if (Math.abs(link.timeMs - nowMs) > ageMsMax || number > nowMs + 2 * ageMsMax)
		return fail("proxy_word_clock", `its time is ${link.timeMs - nowMs} ms from ours, its number ${number - nowMs}`);
	if (number <= afterNumber) return ok(null);
	const node = await proveNodeNear(outer.value.proof, { root, nowMs: link.timeMs, usage: "client" }, ageMsMax);
	if (!node.ok) return node;
	if (node.value.uri !== uri) return fail("proxy_word_of_another", `it is shown by the proof of ${node.value.uri}`);
	const message = preAuthEncoding(PAYLOAD_TYPES.proxyWord, outer.value.payload);
	if (!ed25519Verify(node.value.signingKey, message, outer.value.signature))
		return fail("proxy_word_signature_invalid", "it is not signed by the bound key");
	return ok({ number, link });
}
