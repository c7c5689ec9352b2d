/**
 * Redeeming an invitation and signing in. Both prove possession of the key by a signature over what the Security Center can check:
 * the invitation's token, or a fresh challenge. The token is never stored.
 */
import { bytesOfHex, hexOf, utf8 } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES } from "#core/crypto/dsse.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { ChallengeAnswer, RedeemAnswer, SessionAnswer } from "../../../workers/sc/api/answers.ts";
import { type ApiCode, postJson } from "../api/client.ts";
import { keepOperatorKey, type OperatorKey, signBody } from "./operator-keys.ts";

/** Registers the key by the invitation and remembers whose it is. */
export async function redeemInvitation(
	key: OperatorKey,
	token: string,
): Promise<Result<{ key: OperatorKey; answer: RedeemAnswer }, ApiCode>> {
	const signature = hexOf(await signBody(key, PAYLOAD_TYPES.signIn, utf8(token)));
	const redeemed = await postJson<RedeemAnswer>("/api/invitations/redeem", {
		token,
		publicKey: key.publicKey,
		signature,
	});
	if (!redeemed.ok) return redeemed;
	const registered: OperatorKey = { ...key, operatorId: redeemed.value.operatorId };
	const kept = await keepOperatorKey(registered);
	return kept.ok ? ok({ key: registered, answer: redeemed.value }) : kept;
}

/** Answers a challenge with the key; the session is a cookie that scripts cannot read. */
export async function signIn(key: OperatorKey): Promise<Result<SessionAnswer, ApiCode>> {
	const { publicKey } = key;
	const asked = await postJson<ChallengeAnswer>("/api/session/challenge", { publicKey });
	if (!asked.ok) return asked;
	const { challenge } = asked.value;
	const bytes = bytesOfHex(challenge);
	if (bytes === null) return fail("answer_unreadable", "The challenge is not hex.");
	const signature = hexOf(await signBody(key, PAYLOAD_TYPES.signIn, bytes));
	return postJson<SessionAnswer>("/api/session", { publicKey, challenge, signature });
}
