/**
 * A console without a browser: signs in the one operator, and follows the live feed as the page does. Guarantees that what it
 * measures is what a person's browser would hold: the events come from the same routes.
 */
import { randomBytes } from "node:crypto";
import { bytesOfHex, hexOf } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES } from "#core/crypto/dsse.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { ed25519PublicKey } from "#crypto";
import { type OperatorClient, operatorClient } from "../cli/operator-client.ts";
import type { RunningEnclave } from "../host/enclave/enclave.ts";

/** What the bench reads of a LiveNote. */
export interface LiveNote {
	readonly kind: string;
	readonly traceId?: string;
}

export interface ConsoleSession {
	readonly operator: OperatorClient;
	/** Calls `onNote` for every note until the signal is aborted; settles when the feed ended. */
	follow(onNote: (note: LiveNote) => void, signal: AbortSignal): Promise<Result<void, string>>;
}

/** Takes complete events out of a text/event-stream; the rest waits for more. */
export function takeNotes(buffered: string): { readonly notes: LiveNote[]; readonly rest: string } {
	const end = buffered.lastIndexOf("\n\n");
	if (end < 0) return { notes: [], rest: buffered };
	const lines = buffered.slice(0, end).split("\n");
	const notes = lines.filter((line) => line.startsWith("data: ")).map((line) => JSON.parse(line.slice(6)) as LiveNote);
	return { notes, rest: buffered.slice(end + 2) };
}

/** A cookie of its own for the feed: the operator's client keeps its one to itself. */
async function openCookie(
	consoleUrl: string,
	operator: OperatorClient,
	publicKey: string,
): Promise<Result<string, string>> {
	const asked = await operator.post<{ challenge: string }>("/api/session/challenge", { publicKey });
	if (!asked.ok) return asked;
	const challenge = bytesOfHex(asked.value.challenge);
	if (challenge === null) return fail("challenge_unreadable", "the challenge is no hex");
	const signature = hexOf(operator.sign(PAYLOAD_TYPES.signIn, challenge));
	const answer = await fetch(`${consoleUrl}/api/session`, {
		method: "POST",
		headers: { "content-type": "application/json", origin: consoleUrl, "sec-fetch-site": "same-origin" },
		body: JSON.stringify({ publicKey, challenge: asked.value.challenge, signature }),
	});
	const cookie = answer.headers.getSetCookie()[0]?.split(";")[0];
	return answer.ok && cookie !== undefined
		? ok(cookie)
		: fail("sign_in_refused", `the session answered ${answer.status}`);
}

async function followFeed(
	url: string,
	cookie: string,
	options: { readonly onNote: (note: LiveNote) => void; readonly signal: AbortSignal },
): Promise<Result<void, string>> {
	try {
		const answer = await fetch(url, { headers: { cookie }, signal: options.signal });
		if (!answer.ok || answer.body === null) return fail("feed_refused", `/api/live answered ${answer.status}`);
		let buffered = "";
		for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
			const { notes, rest } = takeNotes(buffered + text);
			buffered = rest;
			for (const note of notes) options.onNote(note);
		}
		return fail("feed_ended", "the live feed ended");
	} catch (error) {
		if (options.signal.aborted) return ok(undefined);
		return fail("feed_failed", (error as Error).message);
	}
}

/** Redeems the first link and signs in. */
export async function openConsole(enclave: RunningEnclave): Promise<Result<ConsoleSession, string>> {
	const first = enclave.firstLinks[0];
	if (first === undefined) return fail("no_invitation", "the enclave has no unused invitation");
	const { consoleUrl } = enclave;
	const seed = new Uint8Array(randomBytes(32));
	const operator = operatorClient(consoleUrl, first.operatorId, seed);
	const redeemed = await operator.redeem(first.url.slice(first.url.lastIndexOf("/") + 1));
	if (!redeemed.ok) return redeemed;
	const signedIn = await operator.signIn();
	if (!signedIn.ok) return signedIn;
	const cookie = await openCookie(consoleUrl, operator, hexOf(ed25519PublicKey(seed)));
	if (!cookie.ok) return cookie;
	return ok({
		operator,
		follow: (onNote, signal) => followFeed(`${consoleUrl}/api/live`, cookie.value, { onNote, signal }),
	});
}
