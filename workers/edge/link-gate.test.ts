import { deepEqual, equal, ok } from "node:assert/strict";
import { before, mock, test } from "node:test";
import { CHALLENGE_AGE_MS_MAX, LINK_PATHS } from "#core/identity/challenge.ts";
import { EDGE_LIMITS } from "./limits.ts";
import { answerLink, Nonces } from "./link-gate.ts";
import { problemResponse } from "./problem.ts";

const env = { NODE_URI: "spiffe://lab.test/px/px-1", ROOT_CERT: "" };
const doors = { agent: null, peer: null, path: async () => [] };
before(() => {
	// Refusals are logged; a test run is not the place to read them.
	mock.method(console, "log", () => undefined);
});
const NOW = 1_800_000_000_000;

test("the challenge names the server, its time and its protocol, and is never cached", async () => {
	const answer = await answerLink(new Request(`https://px${LINK_PATHS.challenge}`), env, doors);
	const body = (await answer.json()) as Record<string, unknown>;
	deepEqual([body.serverUri, body.protocol, String(body.nonce).length], [env.NODE_URI, 1, 64]);
	equal(answer.headers.get("cache-control"), "no-store");
});

test("other methods and paths, and paths without a door, are refused as problems", async () => {
	const status = async (path: string, init?: RequestInit) =>
		(await answerLink(new Request(`https://px${path}`, init), env, doors)).status;
	equal(await status("/"), 404);
	equal(await status(LINK_PATHS.agent), 404);
	equal(await status(LINK_PATHS.challenge, { method: "POST" }), 405);
});

test("a nonce is fresh only where it was made and only for its time", () => {
	const nonces = new Nonces();
	const nonce = nonces.make(NOW);
	equal(nonces.isFresh(nonce, NOW + CHALLENGE_AGE_MS_MAX), true);
	equal(nonces.isFresh(nonce, NOW + CHALLENGE_AGE_MS_MAX + 1), false);
	equal(new Nonces().isFresh(nonce, NOW), false);
});

test("a nonce is used once for as long as it is fresh", () => {
	const nonces = new Nonces();
	const nonce = nonces.make(NOW);
	equal(nonces.use(nonce, NOW).ok, true);
	for (const laterMs of [0, CHALLENGE_AGE_MS_MAX]) {
		const again = nonces.use(nonce, NOW + laterMs);
		equal(again.ok ? "" : again.code, "hello_nonce_used");
	}
});

test("as many nonces are remembered as the limit, no more are let through, and old ones make room", () => {
	const nonces = new Nonces();
	const nonceOf = (index: number) => {
		const nonce = new Uint8Array(32);
		new DataView(nonce.buffer).setUint32(0, index);
		return nonce;
	};
	for (let index = 0; index < EDGE_LIMITS.usedNoncesMax; index++) ok(nonces.use(nonceOf(index), NOW).ok);
	const beyond = nonces.use(nonceOf(EDGE_LIMITS.usedNoncesMax), NOW);
	equal(beyond.ok ? "" : beyond.code, "nonces_exhausted");
	equal(nonces.use(nonceOf(EDGE_LIMITS.usedNoncesMax), NOW + CHALLENGE_AGE_MS_MAX + 3000).ok, true);
});

test("a problem carries its code and no more detail than the limit", async () => {
	const answer = problemResponse({ status: 403, code: "hello_role", detail: "x".repeat(10_000) });
	const body = (await answer.json()) as { code: string; title: string; detail: string; status: number };
	deepEqual([answer.status, body.status, body.code, body.title], [403, 403, "hello_role", "hello role"]);
	equal(body.detail.length, EDGE_LIMITS.detailLengthMax);
	equal(answer.headers.get("content-type"), "application/problem+json");
});
