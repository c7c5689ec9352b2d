/** An operator for tests: a key, a cookie, and the console's requests. */
import { bytesOfHex, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { encodeAs } from "#core/codec/index.ts";
import { PAYLOAD_TYPES, type PayloadType, preAuthEncoding } from "#core/crypto/dsse.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { bytesNamed } from "#core/testing/test-agent.ts";
import { ed25519PublicKey, ed25519Sign } from "#crypto";
import { ORIGIN, type RunningSc } from "./running-sc.ts";

export async function codeOf(answer: Response): Promise<string> {
	return `${answer.status} ${((await answer.json()) as { code: string }).code}`;
}

export class TestOperator {
	readonly id: string;
	readonly seed: Uint8Array;
	readonly publicKey: string;
	readonly #sc: RunningSc;
	#cookie = "";

	constructor(sc: RunningSc, id: string) {
		this.#sc = sc;
		this.id = id;
		this.seed = bytesNamed(`operator ${id}`, 32);
		this.publicKey = hexOf(ed25519PublicKey(this.seed));
	}

	sign(type: PayloadType, bytes: Uint8Array): Uint8Array {
		return ed25519Sign(this.seed, preAuthEncoding(type, bytes));
	}

	post(path: string, body: unknown): Promise<Response> {
		const headers = { origin: ORIGIN, "content-type": "application/json", cookie: this.#cookie };
		return this.#sc.fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
	}

	ask(path: string, method = "GET"): Promise<Response> {
		return this.#sc.fetch(path, { method, headers: { origin: ORIGIN, cookie: this.#cookie } });
	}

	async get<T>(path: string): Promise<T> {
		const answer = await this.ask(path);
		if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
		return (await answer.json()) as T;
	}

	async redeem(): Promise<Response> {
		const token = this.#sc.invitations.find(({ operatorId }) => operatorId === this.id)?.token ?? "";
		const signature = hexOf(this.sign(PAYLOAD_TYPES.signIn, utf8(token)));
		return this.post("/api/invitations/redeem", { token, publicKey: this.publicKey, signature });
	}

	async signIn(): Promise<Response> {
		const asked = await this.post("/api/session/challenge", { publicKey: this.publicKey });
		const { challenge } = (await asked.json()) as { challenge: string };
		const signature = hexOf(this.sign(PAYLOAD_TYPES.signIn, bytesOfHex(challenge) as Uint8Array));
		const answer = await this.post("/api/session", { publicKey: this.publicKey, challenge, signature });
		this.#cookie = (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
		return answer;
	}

	/** Signs in with a challenge that was made for another key; answers the status and code. */
	async signInWithChallengeOf(publicKey: string): Promise<string> {
		const { challenge } = (await (await this.post("/api/session/challenge", { publicKey })).json()) as {
			challenge: string;
		};
		const signature = hexOf(this.sign(PAYLOAD_TYPES.signIn, bytesOfHex(challenge) as Uint8Array));
		return codeOf(await this.post("/api/session", { publicKey: this.publicKey, challenge, signature }));
	}

	/** A command signed by this operator alone. */
	command(over: Partial<TraceCommand> = {}): { envelope: Uint8Array; payload: Uint8Array } {
		const nowMs = Date.now();
		const payload = encodeAs(traceCommandShape, {
			traceId: "T-20261122-abc123",
			targetAgent: "web-01",
			targetPid: 10,
			depth: 3,
			collectCmdlines: true,
			collectNetwork: true,
			collectFileMeta: true,
			maxDurationSecs: 600,
			initiatedBy: this.id,
			timestampMs: nowMs,
			targetProcess: bytesNamed("process", 16),
			commandId: bytesNamed(`command ${nowMs} ${JSON.stringify(Object.keys(over))}`, 16),
			expiresAtMs: nowMs + 600_000,
			reason: "a test",
			trustVersion: 1,
			act: "start",
			...over,
		});
		const signatures = [{ operator: this.id, signature: this.sign(PAYLOAD_TYPES.traceCommand, payload) }];
		return { envelope: encodeAs(signedEnvelopeShape, { payload, signatures }), payload };
	}
}
