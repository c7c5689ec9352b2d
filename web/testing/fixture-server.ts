/**
 * A stand-in for the Security Center in the console's own browser tests: serves a built console under the production content security
 * policy and answers the API from the story. It checks every signature it is given with the real primitives. Only tests use it;
 * whole flows run against the real Security Center elsewhere.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { base64Of, bytesOfBase64, bytesOfHex, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import type { Role } from "#core/trust/trust-document.ts";
import { ed25519Verify } from "#crypto";
import type { CommandsAnswer, LiveNote, Problem, SessionAnswer } from "../../workers/sc/api/answers.ts";
import { calmed, cutOff, keyOf, type Story, TRACE_ID, tellStory } from "./story.ts";

export const CSP =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'";

const TYPES: Record<string, string> = {
	".html": "text/html; charset=utf-8",
	".js": "text/javascript",
	".css": "text/css",
	".svg": "image/svg+xml",
};
const ROLES: Record<string, Role[]> = {
	ana: ["viewer", "analyst", "approver", "exporter"],
	vera: ["viewer"],
};

/** `calm`: every link is well. `cut`: the top proxy is silent. `unmatched`: db-01's accept is not stored yet. `ended`: the processes of the hits are gone. `refused`: the agent said no. */
type Mode =
	| "story"
	| "calm"
	| "cut"
	| "empty"
	| "error"
	| "hostile"
	| "unfollowed"
	| "unmatched"
	| "ended"
	| "refused"
	| "silent";

/** What a signed request proved. */
export interface Seen {
	readonly commands: TraceCommand[];
	readonly approvals: string[];
	readonly exports: string[];
	readonly live: Set<ServerResponse>;
}

export interface Fixture {
	readonly url: string;
	readonly seen: Seen;
	setMode(mode: Mode): void;
	tell(note: LiveNote): void;
	/** Ends every live feed, as a restart would. */
	dropLive(): void;
	/** Makes the list of waiting commands lie about the host, the signed bytes staying as they are. */
	lieAboutWaiting(): void;
	close(): Promise<void>;
}

interface State {
	readonly root: string;
	mode: Mode;
	story: Story;
	readonly keys: Map<string, string>;
	readonly usedTokens: Set<string>;
	readonly challenges: Set<string>;
	readonly sessions: Map<string, string>;
	readonly waiting: CommandsAnswer["commands"];
	readonly seen: Seen;
}

class Refusal extends Error {
	readonly status: number;
	readonly code: string;
	constructor(status: number, code: string, detail: string) {
		super(detail);
		this.status = status;
		this.code = code;
	}
}

export const REFUSAL = "root_gone: process 4315 has ended";

function storyOf(mode: Mode): Story {
	const nowMs = Date.now();
	const isFollowed = mode !== "unfollowed" && mode !== "unmatched";
	const story = tellStory({ isFollowed, isHostile: mode === "hostile", nowMs });
	if (mode === "unmatched") {
		const unseen = { to: null, followTarget: null, confidence: 0, reasons: [], timeMs: nowMs };
		story.trace.hops = story.trace.hops.map((hop) => ({ ...hop, ...unseen }));
	}
	if (mode === "calm") story.nodes = calmed(story.nodes);
	if (mode === "cut") story.nodes = cutOff(story.nodes, nowMs);
	if (mode === "refused") {
		story.trace.trace.state = "refused";
		for (const command of story.trace.commands) Object.assign(command, { state: "refused", cause: REFUSAL });
	}
	return story;
}

/** A command of another operator that waits for the tester's approval. */
function waitingCommand(nowMs: number): CommandsAnswer["commands"][number] {
	const command: TraceCommand = {
		traceId: "T-20261122-wait77",
		targetAgent: "db-01",
		targetPid: 601,
		depth: 12,
		collectCmdlines: true,
		collectNetwork: true,
		collectFileMeta: false,
		maxDurationSecs: 900,
		initiatedBy: "ben",
		timestampMs: nowMs,
		targetProcess: bytesOfHex(keyOf("db-01", 601)) as Uint8Array,
		commandId: randomBytes(16),
		expiresAtMs: nowMs + 900_000,
		reason: "sshd serves a client that should not reach it",
		trustVersion: 1,
		act: "start",
	};
	return {
		commandId: hexOf(command.commandId),
		act: "start",
		agent: "db-01",
		targetProcess: hexOf(command.targetProcess),
		targetPid: 601,
		initiatedBy: "ben",
		approvedBy: [],
		approvalsNeeded: 1,
		state: "awaiting_approval",
		cause: "",
		sentAtMs: null,
		answeredAtMs: null,
		expiresAtMs: command.expiresAtMs,
		maxDurationSecs: 900,
		payload: base64Of(encodeAs(traceCommandShape, command)),
		parentLink: null,
		traceId: command.traceId,
		reason: command.reason,
	};
}

function requireSigned(
	publicKey: string,
	type: (typeof PAYLOAD_TYPES)[keyof typeof PAYLOAD_TYPES],
	body: Uint8Array,
	signature: unknown,
): void {
	const key = bytesOfHex(publicKey);
	const bytes = typeof signature === "string" ? bytesOfHex(signature) : null;
	if (key === null || bytes === null || !ed25519Verify(key, preAuthEncoding(type, body), bytes))
		throw new Refusal(403, "signature_invalid", "The signature does not cover these bytes.");
}

function sessionAnswer(operator: string | null): SessionAnswer {
	return {
		enclave: "north-lab",
		mode: "two_person",
		trustVersion: 1,
		isAwaitingOperators: false,
		operator:
			operator === null
				? null
				: { id: operator, name: operator === "ana" ? "Ana Ruiz" : "Vera Lind", roles: ROLES[operator] ?? [] },
		ceilings: { depthMax: 64, durationSecsMax: 86_400, approvals: 1 },
		serverTimeMs: Date.now(),
	};
}

type Body = Record<string, unknown>;

function enter(state: State, path: string, body: Body): { answer: unknown; cookie?: string } | null {
	const publicKey = String(body.publicKey ?? "");
	if (path === "/api/invitations/redeem") {
		const token = String(body.token);
		const operator = /^invite-([a-z]+)$/.exec(token)?.[1];
		if (!operator) throw new Refusal(403, "invitation_unknown", "This enclave made no such invitation.");
		if (state.usedTokens.has(token)) throw new Refusal(409, "invitation_used", `${operator} has a key already.`);
		requireSigned(publicKey, PAYLOAD_TYPES.signIn, utf8(token), body.signature);
		state.usedTokens.add(token);
		state.keys.set(publicKey, operator);
		return { answer: { operatorId: operator, isTrustComplete: true, trustVersion: 1 } };
	}
	if (path === "/api/session/challenge") {
		const challenge = randomBytes(32).toString("hex");
		state.challenges.add(challenge);
		return { answer: { challenge, expiresAtMs: Date.now() + 30_000 } };
	}
	if (path !== "/api/session") return null;
	const challenge = String(body.challenge);
	const operator = state.keys.get(publicKey);
	if (!operator) throw new Refusal(403, "operator_unknown", "This key is not in the trust document.");
	if (!state.challenges.delete(challenge)) throw new Refusal(403, "challenge_unknown", "The challenge is not ours.");
	requireSigned(publicKey, PAYLOAD_TYPES.signIn, bytesOfHex(challenge) ?? new Uint8Array(), body.signature);
	const cookie = randomBytes(16).toString("hex");
	state.sessions.set(cookie, operator);
	return { answer: sessionAnswer(operator), cookie };
}

function keyOfOperator(state: State, operator: string): string {
	return [...state.keys].find(([, id]) => id === operator)?.[0] ?? "";
}

function takeCommand(state: State, operator: string, body: Body): unknown {
	const envelope = decodeAs(signedEnvelopeShape, bytesOfBase64(String(body.envelope)) ?? new Uint8Array());
	if (!envelope.ok) throw new Refusal(400, envelope.code, envelope.detail);
	const command = decodeAs(traceCommandShape, envelope.value.payload);
	if (!command.ok) throw new Refusal(400, command.code, command.detail);
	const signature = envelope.value.signatures[0]?.signature ?? new Uint8Array();
	requireSigned(keyOfOperator(state, operator), PAYLOAD_TYPES.traceCommand, envelope.value.payload, hexOf(signature));
	state.seen.commands.push(command.value);
	const view = {
		...waitingCommand(Date.now()),
		commandId: hexOf(command.value.commandId),
		agent: command.value.targetAgent,
	};
	return { command: view, traceId: command.value.traceId };
}

function takeApproval(state: State, operator: string, commandId: string, body: Body): unknown {
	const at = state.waiting.findIndex((each) => each.commandId === commandId);
	const command = state.waiting[at];
	if (!command) throw new Refusal(404, "command_unknown", "No such command waits.");
	const payload = bytesOfBase64(command.payload) ?? new Uint8Array();
	requireSigned(keyOfOperator(state, operator), PAYLOAD_TYPES.traceCommand, payload, body.signature);
	state.waiting.splice(at, 1);
	state.seen.approvals.push(commandId);
	return { command: { ...command, state: "sent" }, traceId: command.traceId };
}

const MANIFEST = JSON.stringify(
	{
		_type: "https://in-toto.io/Statement/v1",
		subject: [{ name: "batches/1.cbor", digest: { sha256: "00" } }],
		predicate: { hosts: [{ agent: "web-01" }, { agent: "db-01" }], gaps: [] },
	},
	null,
	1,
);

function readAnswer(state: State, url: URL): unknown {
	const { story, mode } = state;
	const isEmpty = mode === "empty";
	const path = url.pathname;
	if (path === "/api/fleet")
		return {
			nodes: isEmpty ? [] : story.nodes,
			...{
				storeLanes: [],
				strangers: story.strangers,
				refusedWords: 0,
				lookedAtMs: Date.now(),
				lateLooks: 0,
				agentSilentMs: 60_000,
				proxySilentMs: 45_000,
				timeMs: Date.now(),
			},
		};
	if (path === "/api/alarms") return { alarms: isEmpty ? [] : story.alarms };
	if (path === "/api/quarantine") return { items: isEmpty ? [] : story.quarantine };
	if (path === "/api/hits") {
		const hits = story.hits.map((hit) =>
			mode === "hostile" && hit.id === 12
				? { ...hit, summary: "bash → ss\u202eh<b>\u0007", eventTimeMs: Number.MAX_SAFE_INTEGER }
				: hit,
		);
		return { hits: isEmpty ? [] : hits };
	}
	if (path === "/api/traces") return { traces: isEmpty ? [] : [story.trace.trace] };
	if (path === "/api/commands") return { commands: isEmpty ? [] : state.waiting };
	if (path === "/api/ledger")
		return {
			origin: "sc.north-lab/ledger",
			size: 10_482,
			root: "9f3a52c1".repeat(8),
			checkpoint: "sc.north-lab/ledger\n10482\nnzpSwZ86UsGfOlLBnzpSwZ86UsE=\n\n— sc.north-lab/ledger AbCdEf\n",
			signedAtMs: Date.now() - 2000,
		};
	if (path === `/api/traces/${TRACE_ID}`) return story.trace;
	if (path.includes("-unknown")) throw new Refusal(404, "trace_unknown", "There is no such trace.");
	if (path.startsWith("/api/traces/T-") && path.split("/").length === 4)
		return {
			...story.trace,
			trace: { ...story.trace.trace, id: path.slice(12), state: "awaiting_approval", eventCount: 0 },
			hosts: [],
			hops: [],
			commands: [],
			completeness: { isComplete: true, gaps: [] },
		};
	if (path.endsWith("/events")) {
		const after = Number(url.searchParams.get("after"));
		// Small pages, so that paging is walked.
		const rest = path.includes(TRACE_ID) ? story.events.filter((event) => event.row > after) : [];
		const events = rest.slice(0, 120);
		return {
			events,
			nextAfter: events.at(-1)?.row ?? after,
			hasMore: rest.length > events.length,
			completeness: path.includes(TRACE_ID) ? story.trace.completeness : { isComplete: true, gaps: [] },
		};
	}
	const process = /^\/api\/agents\/([^/]+)\/processes\/([0-9a-f]{32})$/.exec(path);
	const hit = story.hits.find((each) => each.process === process?.[2]);
	if (hit)
		return {
			agent: hit.agent,
			process: hit.process,
			pid: hit.pid,
			name: hit.summary.split("→ ")[1],
			exe: "/usr/bin/bash",
			isAlive: mode !== "ended",
			ancestry: hit.ancestry,
		};
	throw new Refusal(404, "not_found", "There is no such thing here.");
}

function write(state: State, operator: string, path: string, body: Body): { answer: unknown } | { file: Buffer } {
	if (path === "/api/commands") return { answer: takeCommand(state, operator, body) };
	const approval = /^\/api\/commands\/([0-9a-f]{32})\/approvals$/.exec(path);
	if (approval) return { answer: takeApproval(state, operator, approval[1] ?? "", body) };
	if (path.endsWith("/export/prepare"))
		return {
			answer: {
				exportId: "x1",
				manifest: base64Of(utf8(MANIFEST)),
				fileName: `${TRACE_ID}.depkg`,
				expiresAtMs: Date.now() + 60_000,
			},
		};
	if (path === "/api/exports/x1") {
		requireSigned(keyOfOperator(state, operator), PAYLOAD_TYPES.packageManifest, utf8(MANIFEST), body.signature);
		state.seen.exports.push("x1");
		return { file: Buffer.from("PK\u0005\u0006") };
	}
	throw new Refusal(404, "not_found", "There is no such thing here.");
}

function sendJson(
	response: ServerResponse,
	status: number,
	answer: unknown,
	headers: Record<string, string> = {},
): void {
	response.writeHead(status, {
		"content-type": status < 400 ? "application/json" : "application/problem+json",
		...headers,
	});
	response.end(JSON.stringify(answer));
}

function serveFile(response: ServerResponse, root: string, path: string): void {
	const file = join(root, normalize(path === "/" ? "/index.html" : path));
	if (!file.startsWith(root) || !existsSync(file)) return void response.writeHead(404).end();
	response.writeHead(200, {
		"content-type": TYPES[extname(file)] ?? "application/octet-stream",
		"content-security-policy": CSP,
		"x-content-type-options": "nosniff",
	});
	response.end(readFileSync(file));
}

async function readBody(request: IncomingMessage): Promise<Body> {
	const parts: Buffer[] = [];
	for await (const part of request) parts.push(part as Buffer);
	return parts.length === 0 ? {} : (JSON.parse(Buffer.concat(parts).toString()) as Body);
}

async function answer(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const url = new URL(request.url ?? "/", "http://fixture");
	if (!url.pathname.startsWith("/api/")) return serveFile(response, state.root, url.pathname);
	const cookie = /session=([0-9a-f]+)/.exec(request.headers.cookie ?? "")?.[1] ?? "";
	const operator = state.sessions.get(cookie) ?? null;
	if (request.method === "DELETE") {
		state.sessions.delete(cookie);
		return void response.writeHead(204).end();
	}
	const body = request.method === "POST" ? await readBody(request) : {};
	if (url.pathname === "/api/session" && request.method === "GET")
		return sendJson(response, 200, sessionAnswer(operator));
	const entered = request.method === "POST" ? enter(state, url.pathname, body) : null;
	if (entered)
		return sendJson(
			response,
			200,
			entered.answer,
			entered.cookie ? { "set-cookie": `session=${entered.cookie}; HttpOnly; SameSite=Strict` } : {},
		);
	if (operator === null) throw new Refusal(401, "session_missing", "Sign in first.");
	if (url.pathname === "/api/live") {
		response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
		// A quick retry, so that the test of a lost feed need not wait for the browser's three seconds.
		response.write("retry: 200\n\n");
		state.seen.live.add(response);
		response.on("close", () => state.seen.live.delete(response));
		return;
	}
	if (state.mode === "silent") return;
	if (state.mode === "error" && request.method === "GET")
		throw new Refusal(503, "store_unavailable", "The store does not answer.");
	if (request.method === "GET") return sendJson(response, 200, readAnswer(state, url));
	const written = write(state, operator, url.pathname, body);
	if ("answer" in written) return sendJson(response, 202, written.answer);
	response.writeHead(200, { "content-type": "application/zip", "content-disposition": "attachment" }).end(written.file);
}

function refuse(response: ServerResponse, error: unknown): void {
	if (!(error instanceof Refusal)) throw error;
	const problem: Problem = {
		type: "about:blank",
		title: error.code,
		status: error.status,
		code: error.code,
		detail: error.message,
	};
	sendJson(response, error.status, problem);
}

/** Starts on a free port; `root` is a built console. */
export async function openFixture(root: string): Promise<Fixture> {
	const state: State = {
		root,
		mode: "story",
		story: storyOf("story"),
		keys: new Map(),
		usedTokens: new Set(),
		challenges: new Set(),
		sessions: new Map(),
		waiting: [waitingCommand(Date.now())],
		seen: { commands: [], approvals: [], exports: [], live: new Set() },
	};
	const server: Server = createServer((request, response) => {
		answer(state, request, response).catch((error: unknown) => refuse(response, error));
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return {
		// Only a secure context has WebCrypto; localhost is one.
		url: `http://localhost:${(server.address() as AddressInfo).port}`,
		seen: state.seen,
		setMode(mode) {
			state.mode = mode;
			state.story = storyOf(mode);
		},
		tell(note) {
			for (const response of state.seen.live) response.write(`data: ${JSON.stringify(note)}\n\n`);
		},
		dropLive() {
			for (const response of state.seen.live) response.destroy();
		},
		lieAboutWaiting() {
			for (const command of state.waiting) command.agent = "web-01";
		},
		async close() {
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
		},
	};
}
