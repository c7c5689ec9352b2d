import { equal, notDeepEqual } from "node:assert/strict";
import { test } from "node:test";
import { CHALLENGE_AGE_MS_MAX } from "#core/identity/challenge.ts";
import { SignInChallenges } from "./sign-in-challenges.ts";

const ana = new Uint8Array(32).fill(1);
const ben = new Uint8Array(32).fill(2);
const NOW_MS = 1_795_305_600_000;

test("a challenge is good for the key that asked, as long as it lives, and not in another process", () => {
	const challenges = new SignInChallenges();
	const { challenge, expiresAtMs } = challenges.make(ana, NOW_MS);
	equal(expiresAtMs, NOW_MS + CHALLENGE_AGE_MS_MAX);
	equal(challenges.isGood(ana, challenge, expiresAtMs), true);
	equal(challenges.isGood(ana, challenge, expiresAtMs + 1), false);
	equal(challenges.isGood(ben, challenge, NOW_MS), false);
	equal(challenges.isGood(ana, challenge.with(0, (challenge[0] as number) ^ 1), NOW_MS), false);
	equal(challenges.isGood(ana, challenge.subarray(1), NOW_MS), false);
	equal(new SignInChallenges().isGood(ana, challenge, NOW_MS), false);
});

test("a used challenge is used until it is stale anyway, and others stay good", () => {
	const challenges = new SignInChallenges();
	const first = challenges.make(ana, NOW_MS).challenge;
	const second = challenges.make(ana, NOW_MS).challenge;
	notDeepEqual(first, second);
	challenges.use(first, NOW_MS);
	equal(challenges.isGood(ana, first, NOW_MS), false);
	equal(challenges.isGood(ana, second, NOW_MS), true);
	challenges.use(second, NOW_MS + 10);
	equal(challenges.isGood(ana, first, NOW_MS + CHALLENGE_AGE_MS_MAX), false);
	// A challenge of a moment ago that a clock set back makes young again was used all the same.
	challenges.use(challenges.make(ana, NOW_MS + 20).challenge, NOW_MS + CHALLENGE_AGE_MS_MAX);
	equal(challenges.isGood(ana, first, NOW_MS - 500), false);
});
