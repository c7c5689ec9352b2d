/**
 * The one signing envelope: DSSE's pre-authentication encoding (secure-systems-lab/dsse v1, protocol.md). Guarantees that a
 * signature over one kind of object never verifies over another: the payload type is part of what is signed. Must never see a
 * re-encoded object: callers pass the bytes they sent or received.
 */
import { concatBytes, utf8 } from "#core/bytes/bytes.ts";

/** Every kind of object that anything in the enclave signs. Append-only. */
export const PAYLOAD_TYPES = {
	batch: "application/vnd.daemoneye.batch.v1+cbor",
	event: "application/vnd.daemoneye.event.v1+cbor",
	traceCommand: "application/vnd.daemoneye.trace-command.v1+cbor",
	trustDocument: "application/vnd.daemoneye.trust-document.v1+cbor",
	binding: "application/vnd.daemoneye.node-binding.v1+cbor",
	hello: "application/vnd.daemoneye.hello.v1+cbor",
	signIn: "application/vnd.daemoneye.sign-in.v1+cbor",
	packageManifest: "application/vnd.in-toto+json",
	proxyWord: "application/vnd.daemoneye.proxy-word.v1+cbor",
} as const;

export type PayloadType = (typeof PAYLOAD_TYPES)[keyof typeof PAYLOAD_TYPES];

/** The bytes to sign: `DSSEv1 SP len(type) SP type SP len(body) SP body`. */
export function preAuthEncoding(type: PayloadType, body: Uint8Array): Uint8Array {
	return concatBytes(utf8(`DSSEv1 ${type.length} ${type} ${body.length} `), body);
}
