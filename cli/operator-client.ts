/**
 * An operator without a browser: a key, a session, and the acts that need its signature. The console does the same with a key
 * that cannot leave the browser. Guarantees that what is signed is what was decoded and shown, never a server's word for it. Must
 * never send its seed.
 */
import { base64Of, bytesOfBase64, bytesOfHex, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, type PayloadType, preAuthEncoding } from "#core/crypto/dsse.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { ed25519PublicKey, ed25519Sign } from "#crypto";

export type OperatorCode = "unreachable" | "refused" | "payload_unreadable";

/** A command as the Security Center shows it to approvers. */
export interface PendingCommand {
	readonly commandId: string;
	/** Base64 of the signed payload. */
	readonly payload: string;
}

export interface OperatorClient {
	readonly operatorId: string;
	/** Redeems the invitation; when the answer says the trust document is complete, `signIn` works. */
	redeem(token: string): Promise<Result<{ isTrustComplete: boolean }, OperatorCode>>;
	signIn(): Promise<Result<void, OperatorCode>>;
	get<T>(path: string): Promise<Result<T, OperatorCode>>;
	post<T>(path: string, body: unknown): Promise<Result<T, OperatorCode>>;
	postForBytes(path: string, body: unknown): Promise<Result<Uint8Array, OperatorCode>>;
	/** Signs and sends; the answer carries the command's state. */
	command<T>(command: TraceCommand, hitId?: number): Promise<Result<T, OperatorCode>>;
	/** Decodes what is to be approved, hands it to `agree`, and signs the same bytes. */
	approve(pending: PendingCommand, agree: (command: TraceCommand) => boolean): Promise<Result<void, OperatorCode>>;
	sign(type: PayloadType, body: Uint8Array): Uint8Array;
}

interface Transport {
	send(path: string, body?: unknown): Promise<Result<Response, OperatorCode>>;
}

function transportTo(consoleUrl: string): Transport {
	let cookie = "";
	return {
		async send(path, body) {
			const headers: Record<string, string> = { origin: consoleUrl, "sec-fetch-site": "same-origin" };
			if (cookie !== "") headers.cookie = cookie;
			if (body !== undefined) headers["content-type"] = "application/json";
			const init: RequestInit = { headers, signal: AbortSignal.timeout(30_000), redirect: "error" };
			if (body !== undefined) Object.assign(init, { method: "POST", body: JSON.stringify(body) });
			try {
				const answer = await fetch(`${consoleUrl}${path}`, init);
				const set = answer.headers.getSetCookie()[0];
				if (set !== undefined) cookie = set.split(";")[0] as string;
				if (answer.ok) return ok(answer);
				return fail("refused", `${path}: ${answer.status} ${(await answer.text()).slice(0, 500)}`);
			} catch (error) {
				return fail("unreachable", `${path}: ${(error as Error).message}`);
			}
		},
	};
}

async function json<T>(answer: Result<Response, OperatorCode>): Promise<Result<T, OperatorCode>> {
	return answer.ok ? ok((await answer.value.json()) as T) : answer;
}

/** A client for one operator. `seed` is its Ed25519 seed; it stays in this process. */
export function operatorClient(consoleUrl: string, operatorId: string, seed: Uint8Array): OperatorClient {
	const transport = transportTo(consoleUrl);
	const publicKey = hexOf(ed25519PublicKey(seed));
	const sign = (type: PayloadType, body: Uint8Array) => ed25519Sign(seed, preAuthEncoding(type, body));
	const post = async <T>(path: string, body: unknown) => json<T>(await transport.send(path, body));
	return {
		operatorId,
		sign,
		post,
		get: async (path) => json(await transport.send(path)),
		redeem(token) {
			const signature = hexOf(sign(PAYLOAD_TYPES.signIn, utf8(token)));
			return post("/api/invitations/redeem", { token, publicKey, signature });
		},
		async signIn() {
			const asked = await post<{ challenge: string }>("/api/session/challenge", { publicKey });
			if (!asked.ok) return asked;
			const { challenge } = asked.value;
			const bytes = bytesOfHex(challenge);
			if (bytes === null) return fail("payload_unreadable", "the challenge is no hex");
			const signature = hexOf(sign(PAYLOAD_TYPES.signIn, bytes));
			const opened = await post<unknown>("/api/session", { publicKey, challenge, signature });
			return opened.ok ? ok(undefined) : opened;
		},
		async postForBytes(path, body) {
			const answer = await transport.send(path, body);
			return answer.ok ? ok(new Uint8Array(await answer.value.arrayBuffer())) : answer;
		},
		command(command, hitId) {
			const payload = encodeAs(traceCommandShape, command);
			const signatures = [{ operator: operatorId, signature: sign(PAYLOAD_TYPES.traceCommand, payload) }];
			const envelope = base64Of(encodeAs(signedEnvelopeShape, { payload, signatures }));
			return post("/api/commands", hitId === undefined ? { envelope } : { envelope, hitId });
		},
		async approve(pending, agree) {
			const payload = bytesOfBase64(pending.payload);
			const command = payload === null ? null : decodeAs(traceCommandShape, payload);
			if (payload === null || command === null || !command.ok)
				return fail("payload_unreadable", "what is to be approved does not decode as a TraceCommand");
			if (!agree(command.value)) return fail("refused", `${operatorId} does not agree to this command`);
			const signature = hexOf(sign(PAYLOAD_TYPES.traceCommand, payload));
			const answer = await post<unknown>(`/api/commands/${pending.commandId}/approvals`, { signature });
			return answer.ok ? ok(undefined) : answer;
		},
	};
}
