/**
 * The link gate: the only way from the mTLS socket to a Durable Object. It hands out challenges and judges the hello of every
 * upgrade. Guarantees that an object is addressed only by the id of a node that has proved itself for that path, so a stranger can
 * make no object and no file; that a nonce opens one link; and that nothing of the outside request reaches the object but what was
 * verified.
 */
import { bytesOfBase64, hexOf } from "#core/bytes/bytes.ts";
import {
	CHALLENGE_AGE_MS_MAX,
	HELLO_HEADER,
	isNonceFresh,
	LINK_PATHS,
	LINK_SUBPROTOCOL,
	makeNonce,
	PEER_CHALLENGE_SEARCH,
} from "#core/identity/challenge.ts";
import {
	HELLO_LIMITS,
	type HelloCode,
	PROTOCOL_VERSION,
	readHelloNonce,
	readStranger,
	verifyHello,
} from "#core/identity/hello.ts";
import { type NodeRole, parseNodeUri } from "#core/identity/node-uri.ts";
import { judgePath, type PathCode } from "#core/identity/path.ts";
import { isListed } from "#core/identity/proxy-list.ts";
import { assertInvariant, type Failure, fail, ok, type Result } from "#core/result.ts";
import { type Admitted, admittedRequest } from "../../durable/admitted.ts";
import type { ProxyWatch } from "../../durable/faces.ts";
import { EDGE_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { problemResponse } from "./problem.ts";

interface Door {
	getByName(id: string): { fetch(request: Request): Promise<Response> };
}

export interface LinkGateEnv {
	readonly NODE_URI: string;
	/** DER, base64. */
	readonly ROOT_CERT: string;
}

/** Whom each path leads to; a path without a door answers 404. */
export interface LinkDoors {
	readonly agent: Door | null;
	readonly peer: Door | null;
	/** The path that a proxy below this node would have above it: this node first. */
	readonly path: () => Promise<readonly string[]>;
	/** Who hears of a proved node that speaks another protocol version. */
	readonly watch?: Pick<ProxyWatch, "strangerCame">;
}

export type LinkCode =
	| HelloCode
	| "not_found"
	| "method_not_allowed"
	| "upgrade_required"
	| "subprotocol_missing"
	| "hello_missing"
	| "hello_too_large"
	| "hello_unreadable"
	| "hello_nonce_stale"
	| "hello_nonce_used"
	| "hello_role"
	| "hello_enclave"
	| PathCode
	/** The agent's certificate assigns it to other proxies. */
	| "proxy_not_listed"
	| "nonces_exhausted";

/** Refusals whose status is not 403. */
const STATUS: Partial<Record<LinkCode, number>> = {
	not_found: 404,
	method_not_allowed: 405,
	upgrade_required: 426,
	subprotocol_missing: 400,
	hello_missing: 401,
	hello_too_large: 431,
	hello_unreadable: 400,
	nonces_exhausted: 429,
};

/** Nonces of this process. The runtime refuses randomness outside a request, so the key is made by the first one. */
export class Nonces {
	#key: Uint8Array | null = null;
	/** Used nonces with the time after which they are stale anyway; a Map keeps them in order of use. */
	readonly #used = new Map<string, number>();

	#keyOf(): Uint8Array {
		this.#key ??= crypto.getRandomValues(new Uint8Array(32));
		return this.#key;
	}

	make(nowMs: number): Uint8Array {
		return makeNonce(this.#keyOf(), nowMs, crypto.getRandomValues(new Uint8Array(8)));
	}

	isFresh(nonce: Uint8Array, nowMs: number): boolean {
		return isNonceFresh(this.#keyOf(), nonce, nowMs);
	}

	/** Marks a nonce as used, at most once. Synchronous, so two upgrades cannot both pass. */
	use(nonce: Uint8Array, nowMs: number): Result<true, "hello_nonce_used" | "nonces_exhausted"> {
		for (const [key, untilMs] of this.#used) {
			if (untilMs > nowMs) break;
			this.#used.delete(key);
		}
		const key = hexOf(nonce);
		if (this.#used.has(key)) return fail("hello_nonce_used", "this challenge has opened a link already");
		if (this.#used.size >= EDGE_LIMITS.usedNoncesMax)
			return fail("nonces_exhausted", "too many links were opened within half a minute");
		this.#used.set(key, nowMs + CHALLENGE_AGE_MS_MAX + 2000);
		return ok(true);
	}
}

function readHello(request: Request): Result<Uint8Array, LinkCode> {
	if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
		return fail("upgrade_required", "a link is a WebSocket");
	const protocols =
		request.headers
			.get("sec-websocket-protocol")
			?.split(",")
			.map((each) => each.trim()) ?? [];
	if (!protocols.includes(LINK_SUBPROTOCOL))
		return fail("subprotocol_missing", `the subprotocol is ${LINK_SUBPROTOCOL}`);
	const encoded = request.headers.get(HELLO_HEADER);
	if (encoded === null) return fail("hello_missing", `a link begins with the header ${HELLO_HEADER}`);
	if (encoded.length > EDGE_LIMITS.helloHeaderCharactersMax)
		return fail("hello_too_large", `at most ${EDGE_LIMITS.helloHeaderCharactersMax} characters`);
	const hello = bytesOfBase64(encoded);
	return hello === null ? fail("hello_unreadable", "the hello is not base64") : ok(hello);
}

async function admit(
	request: Request,
	role: NodeRole,
	context: { env: LinkGateEnv; nonces: Nonces; watch: LinkDoors["watch"] | undefined },
): Promise<Result<Admitted, LinkCode>> {
	const { env, nonces, watch } = context;
	const nowMs = Date.now();
	const hello = readHello(request);
	if (!hello.ok) return hello;
	const serverNonce = readHelloNonce(hello.value);
	if (serverNonce === null) return fail("hello_unreadable", "the hello does not read");
	if (!nonces.isFresh(serverNonce, nowMs)) return fail("hello_nonce_stale", "the challenge is not ours or is too old");
	const root = bytesOfBase64(env.ROOT_CERT);
	const self = parseNodeUri(env.NODE_URI);
	assertInvariant(root !== null && self.ok, "ROOT_CERT and NODE_URI come from the host, which checked them");
	const verified = await verifyHello(hello.value, { serverNonce, serverUri: env.NODE_URI, root, nowMs });
	if (!verified.ok && verified.code === "hello_protocol") {
		const stranger = await readStranger(hello.value, { serverUri: env.NODE_URI, root, nowMs });
		// Once per challenge: a nonce that is used up cannot be told of again.
		if (stranger !== null && nonces.use(serverNonce, nowMs).ok) await tellOf(watch, stranger, nowMs);
	}
	if (!verified.ok) return verified;
	const { node, proof, payload } = verified.value;
	if (node.role !== role) return fail("hello_role", `${node.uri} may not use this path`);
	if (node.enclave !== self.value.enclave) return fail("hello_enclave", `${node.uri} is of another enclave`);
	if (role === "agent" && !isListed(node.proxies, env.NODE_URI))
		return fail("proxy_not_listed", `the certificate of ${node.uri} does not name this proxy`);
	const path = judgePath(payload.path ?? [], node.uri);
	if (!path.ok) return path;
	const used = nonces.use(serverNonce, nowMs);
	if (!used.ok) return used;
	const { id, uri, signingKey, notAfterMs } = node;
	const skewMs = payload.timeMs - nowMs;
	// It brings evidence all the same; above here nothing goes down to it until the two agree (docs/protocol.md).
	if (Math.abs(skewMs) > HELLO_LIMITS.clockSkewMsMax) logLine("warning", "clock_skew", { node: uri, skewMs });
	return ok({
		...{ id, uri, proof, signingKey, notAfterMs, hello: hello.value, helloTimeMs: payload.timeMs },
		...(payload.status === undefined ? {} : { status: payload.status }),
	});
}

/** Whoever cannot be told hears of it at the next try; the refusal stands either way. */
async function tellOf(
	watch: LinkDoors["watch"] | undefined,
	{ uri, protocol }: { uri: string; protocol: number },
	atMs: number,
): Promise<void> {
	logLine("warning", "protocol_differs", { node: uri, theirs: protocol, ours: PROTOCOL_VERSION });
	await watch?.strangerCame({ node: uri, protocol, atMs }).catch((error: Error) => {
		logLine("warning", "stranger_not_told", { node: uri, detail: error.message });
	});
}

function refuse(request: Request, refusal: Failure<LinkCode>): Response {
	const { code, detail } = refusal;
	const status = STATUS[code] ?? 403;
	logLine("warning", "link_refused", { code, detail, status, path: new URL(request.url).pathname.slice(0, 64) });
	return problemResponse({ status, code, detail });
}

/** This process's nonces: both the challenge and the upgrade see the same ones. */
const processNonces = new Nonces();

/** Answers one request of the mTLS socket. */
export async function answerLink(
	request: Request,
	env: LinkGateEnv,
	doors: LinkDoors,
	nonces: Nonces = processNonces,
): Promise<Response> {
	if (request.method !== "GET") return refuse(request, fail("method_not_allowed", "links are opened by GET"));
	const { pathname, search } = new URL(request.url);
	if (pathname === LINK_PATHS.challenge) {
		const timeMs = Date.now();
		const answer = {
			...{ nonce: hexOf(nonces.make(timeMs)), serverUri: env.NODE_URI, timeMs, protocol: PROTOCOL_VERSION },
			// Agents come in thousands and need no path: it costs a question to an object.
			...(search === PEER_CHALLENGE_SEARCH && doors.peer !== null ? { path: await doors.path() } : {}),
		};
		return Response.json(answer, { headers: { "cache-control": "no-store" } });
	}
	const way =
		pathname === LINK_PATHS.agent
			? ({ role: "agent", door: doors.agent } as const)
			: pathname === LINK_PATHS.peer
				? ({ role: "px", door: doors.peer } as const)
				: null;
	if (way === null || way.door === null) return refuse(request, fail("not_found", "there is nothing here"));
	const admitted = await admit(request, way.role, { env, nonces, watch: doors.watch });
	if (!admitted.ok) return refuse(request, admitted);
	return way.door.getByName(admitted.value.id).fetch(admittedRequest(admitted.value));
}
