/**
 * Who is at the other end. TLS proves a name under the customer's root; this file asks whether that name is a proxy or a
 * Security Center of the own enclave, and the same one that the challenge named. Guarantees that a hello is only ever made for a
 * server that proved its URI by its own certificate. Must never accept an agent's certificate: any node could then pose as a hop.
 */
import { type RequestOptions, request } from "node:https";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { bytesOfHex } from "#core/bytes/bytes.ts";
import { validateChain } from "#core/identity/chain.ts";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { parseNodeUri } from "#core/identity/node-uri.ts";
import { isListed } from "#core/identity/proxy-list.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { AGENT_LIMITS } from "../limits.ts";

export type ServerCode =
	| "server_unreachable"
	/** It answered, but not with a challenge. */
	| "server_refused"
	/** Its certificate names no hop of this enclave, or another than it claims. */
	| "server_identity"
	/** It is a node of this enclave, but not one that this agent's certificate names. */
	| "proxy_not_listed";

export interface LinkTarget {
	readonly host: string;
	readonly port: number;
}

export interface TlsFiles {
	/** The customer root, PEM. */
	readonly ca: string;
	/** Leaf and issuing CA, PEM. */
	readonly cert: string;
	readonly key: string;
}

export interface Challenge {
	readonly nonce: Uint8Array;
	readonly serverUri: string;
	readonly timeMs: number;
	/** The version it speaks; the caller judges it. */
	readonly protocol: number;
}

/** TLS options of both requests of a link: no session is resumed, so the chain is always shown. */
export function tlsOptions(target: LinkTarget, files: TlsFiles) {
	return {
		...files,
		minVersion: "TLSv1.2",
		...(isIP(target.host) === 0 ? { servername: target.host } : {}),
	} as const;
}

/** The chain the peer showed, leaf first, without the root. */
function shownChain(socket: TLSSocket): Uint8Array[] {
	const chain: Uint8Array[] = [];
	let certificate = socket.getPeerCertificate(true);
	while (certificate?.raw !== undefined && chain.length < 3) {
		// A self-signed certificate points at itself: the root, which is the reader's to supply.
		if (certificate.issuerCertificate === certificate) break;
		chain.push(new Uint8Array(certificate.raw));
		certificate = certificate.issuerCertificate;
	}
	return chain;
}

export interface PeerContext {
	/** DER of the pinned root. */
	readonly root: Uint8Array;
	readonly enclave: string;
	/** The proxies that this agent's own certificate names; null: every one of the enclave. */
	readonly proxies: readonly string[] | null;
	readonly nowMs: number;
	/** For the whole answer. */
	readonly timeoutMs: number;
}

/** Believes that the peer of this socket is the hop of that URI, or names why not. */
export async function verifyPeer(
	socket: TLSSocket,
	serverUri: string,
	context: PeerContext,
): Promise<Result<true, ServerCode>> {
	const name = parseNodeUri(serverUri);
	if (!name.ok || name.value.role === "agent" || name.value.enclave !== context.enclave)
		return fail("server_identity", "the server names no proxy or Security Center of this enclave");
	if (!isListed(context.proxies, serverUri))
		return fail("proxy_not_listed", `this agent's certificate does not name ${serverUri}`);
	const node = await validateChain(shownChain(socket), { root: context.root, nowMs: context.nowMs, usage: "server" });
	if (!node.ok) return fail("server_identity", `the server's certificate: ${node.detail}`);
	if (node.value.uri !== serverUri)
		return fail("server_identity", `the server says ${serverUri}, its certificate says ${node.value.uri}`);
	return ok(true);
}

function parseChallenge(text: string): Result<Challenge, ServerCode> {
	let parsed: unknown;
	try {
		parsed = JSON.parse(text);
	} catch {
		return fail("server_refused", "the challenge is not JSON");
	}
	if (typeof parsed !== "object" || parsed === null) return fail("server_refused", "the challenge is no object");
	const { nonce, serverUri, timeMs, protocol } = parsed as Record<string, unknown>;
	const bytes = typeof nonce === "string" ? bytesOfHex(nonce) : null;
	const isWhole = typeof serverUri === "string" && typeof timeMs === "number" && Number.isSafeInteger(protocol);
	if (bytes?.length !== 32 || !isWhole)
		return fail("server_refused", "the challenge lacks nonce, serverUri, timeMs or protocol");
	return ok({ nonce: bytes, serverUri, timeMs, protocol: protocol as number });
}

interface Answer {
	readonly status: number;
	readonly body: string;
	readonly socket: TLSSocket;
}

function get(options: RequestOptions, timeoutMs: number): Promise<Result<Answer, ServerCode>> {
	return new Promise((resolve) => {
		const unreachable = (error: Error) => resolve(fail("server_unreachable", error.message));
		const sent = request(options, (response) => {
			const parts: Buffer[] = [];
			let bytes = 0;
			response.on("data", (part: Buffer) => {
				bytes += part.length;
				parts.push(part);
				if (bytes > AGENT_LIMITS.challengeBytesMax) sent.destroy(new Error("the challenge is too large"));
			});
			response.on("error", unreachable);
			response.on("end", () => {
				const body = Buffer.concat(parts).toString();
				resolve(ok({ status: response.statusCode ?? 0, body, socket: response.socket as TLSSocket }));
			});
		});
		// A server that sends a byte now and then is as dead as one that sends none.
		const timer = setTimeout(() => sent.destroy(new Error("no answer in time")), timeoutMs);
		sent.on("close", () => clearTimeout(timer));
		sent.on("error", unreachable);
		sent.end();
	});
}

/** Asks for a challenge and proves who gave it. */
export async function fetchChallenge(
	target: LinkTarget,
	files: TlsFiles,
	context: PeerContext,
): Promise<Result<Challenge, ServerCode>> {
	const { host, port } = target;
	const question = { ...tlsOptions(target, files), host, port, path: LINK_PATHS.challenge, agent: false };
	const answer = await get(question, context.timeoutMs);
	if (!answer.ok) return answer;
	const { status, body, socket } = answer.value;
	if (status !== 200) return fail("server_refused", `the server answered ${status}`);
	const challenge = parseChallenge(body);
	if (!challenge.ok) return challenge;
	const peer = await verifyPeer(socket, challenge.value.serverUri, context);
	return peer.ok ? challenge : peer;
}
