/**
 * The signer's face: HTTP over a Unix socket that only this user can open. Two things can be asked for, a checkpoint and trust
 * document version 1; each desk decides for itself. Must never listen on a network, and never answer with key material.
 *
 *     POST /checkpoint     {origin, size, root, oldSize, consistency}  → {note}
 *     POST /trust-version  {document, invitations}                     → {signed}
 *     GET  /health                                                     → {size, hasGenesisKey}
 *
 * A refusal is `{code, detail}` with 409, and for `not_from_last` also `{lastSize, lastNote}`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { base64Of } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { HOST_LIMITS } from "../limits.ts";
import type { CheckpointDesk } from "./checkpoint-desk.ts";
import type { GenesisDesk } from "./genesis-desk.ts";
import { readCheckpointRequest, readTrustVersionRequest } from "./requests.ts";

export interface Desks {
	readonly checkpoints: CheckpointDesk;
	readonly genesis: GenesisDesk;
}

interface Answer {
	readonly status: number;
	readonly body: Readonly<Record<string, unknown>>;
}

function refusal(status: number, code: string, detail: string): Answer {
	return { status, body: { code, detail } };
}

function answerCheckpoint(desk: CheckpointDesk, body: unknown): Answer {
	const request = readCheckpointRequest(body);
	if (!request.ok) return refusal(400, request.code, request.detail);
	const signed = desk.sign(request.value);
	if (signed.ok) return { status: 200, body: { note: signed.value } };
	const { code, detail } = signed;
	const last = desk.last();
	return {
		status: 409,
		body: { code, detail, ...(code === "not_from_last" ? { lastSize: last.size, lastNote: last.note } : {}) },
	};
}

function answerTrustVersion(desk: GenesisDesk, body: unknown): Answer {
	const request = readTrustVersionRequest(body);
	if (!request.ok) return refusal(400, request.code, request.detail);
	const signed = desk.sign(request.value.document, request.value.invitations);
	if (!signed.ok) return refusal(409, signed.code, signed.detail);
	return { status: 200, body: { signed: base64Of(signed.value) } };
}

async function readBody(request: IncomingMessage): Promise<Result<unknown, "body_too_large" | "request_malformed">> {
	const chunks: Buffer[] = [];
	let length = 0;
	for await (const chunk of request as AsyncIterable<Buffer>) {
		length += chunk.length;
		// The rest is still read, so that the caller gets the answer instead of a reset; it is not kept.
		if (length <= HOST_LIMITS.signerBodyBytesMax) chunks.push(chunk);
	}
	if (length > HOST_LIMITS.signerBodyBytesMax)
		return fail("body_too_large", `A request has at most ${HOST_LIMITS.signerBodyBytesMax} bytes.`);
	try {
		return ok(JSON.parse(Buffer.concat(chunks).toString("utf8")));
	} catch {
		return fail("request_malformed", "The body is not JSON.");
	}
}

async function answer(desks: Desks, request: IncomingMessage): Promise<Answer> {
	const { method, url } = request;
	if (url === "/health") {
		if (method !== "GET") return refusal(405, "method_not_allowed", "GET only.");
		const body = { size: desks.checkpoints.last().size, hasGenesisKey: desks.genesis.hasKey() };
		return { status: 200, body };
	}
	if (url !== "/checkpoint" && url !== "/trust-version") return refusal(404, "not_found", "There is nothing here.");
	if (method !== "POST") return refusal(405, "method_not_allowed", "POST only.");
	const body = await readBody(request);
	if (!body.ok) return refusal(body.code === "body_too_large" ? 413 : 400, body.code, body.detail);
	return url === "/checkpoint"
		? answerCheckpoint(desks.checkpoints, body.value)
		: answerTrustVersion(desks.genesis, body.value);
}

function send(response: ServerResponse, { status, body }: Answer): void {
	response.writeHead(status, { "content-type": "application/json" });
	response.end(JSON.stringify(body));
}

/**
 * The server, not yet listening. `onBroken` gets an error no desk expects (a full disk, a broken invariant): the process must
 * end, because what is on disk and what is in memory may differ.
 */
export function createSignerServer(desks: Desks, onBroken: (error: unknown) => void): Server {
	return createServer((request, response) => {
		answer(desks, request).then(
			(each) => send(response, each),
			(error: unknown) => {
				// A caller that hangs up in mid-body is its own affair.
				if (request.destroyed && !request.complete) return;
				send(response, refusal(500, "signer_broken", "The signer stops; see its log."));
				onBroken(error);
			},
		);
	});
}
