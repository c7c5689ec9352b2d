/**
 * The challenge before a link: a client asks for a nonce over HTTPS, then opens the WebSocket with its hello in the upgrade
 * request. So a socket, a Durable Object or a file exists only for a node that has proved itself (ADR 0003). The nonce is
 * stateless: time and a MAC by a key of this process; the caller remembers used ones for as long as they live.
 */
import { concatBytes, equalBytes, utf8 } from "#core/bytes/bytes.ts";
import { sha256 } from "#crypto";

/** Path of the challenge and header of the hello on every link. */
export const LINK_PATHS = { challenge: "/link/challenge", agent: "/link/agent", peer: "/link/peer" } as const;
/** What a proxy adds to the challenge's path: it is told the path that it would have above it. */
export const PEER_CHALLENGE_SEARCH = "?peer";
export const HELLO_HEADER = "daemoneye-hello";
/** WebSocket subprotocol: both sides name the version before any frame. */
export const LINK_SUBPROTOCOL = "daemoneye.1";
/** Long enough for a slow link, short enough to remember every used nonce. */
export const CHALLENGE_AGE_MS_MAX = 30_000;

function mac(key: Uint8Array, body: Uint8Array): Uint8Array {
	return sha256(key, sha256(key, utf8("daemoneye-challenge-v1"), body)).subarray(0, 16);
}

/** 32 bytes: 8 of time, 8 random, 16 of MAC. `key` is 32 random bytes of this process, `random` 8 fresh ones. */
export function makeNonce(key: Uint8Array, nowMs: number, random: Uint8Array): Uint8Array {
	const body = new Uint8Array(16);
	new DataView(body.buffer).setBigUint64(0, BigInt(nowMs));
	body.set(random.subarray(0, 8), 8);
	return concatBytes(body, mac(key, body));
}

/** Whether this process made the nonce within `CHALLENGE_AGE_MS_MAX`. */
export function isNonceFresh(key: Uint8Array, nonce: Uint8Array, nowMs: number): boolean {
	if (nonce.length !== 32) return false;
	const body = nonce.subarray(0, 16);
	if (!equalBytes(mac(key, body), nonce.subarray(16))) return false;
	const madeAtMs = Number(new DataView(nonce.buffer, nonce.byteOffset).getBigUint64(0));
	return nowMs >= madeAtMs - 1000 && nowMs - madeAtMs <= CHALLENGE_AGE_MS_MAX;
}
