import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { AgentState } from "./drain.ts";
import { StateTeller, StateTellers } from "./state-teller.ts";

const state = (heardAtMs: number, more: Partial<AgentState> = {}): AgentState => {
	return { agent: "web-01", via: "px-1", isUp: true, heardAtMs, ...more };
};
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("while one word waits for its answer, only the newest waits behind it, with what the ones before it brought", async () => {
	const heard: AgentState[] = [];
	let answer: () => void = () => undefined;
	const teller = new StateTeller(
		(told) => {
			heard.push(told);
			return new Promise((resolve) => {
				answer = resolve;
			});
		},
		() => undefined,
	);
	teller.tell(state(1));
	const proof = { chain: [], binding: {} } as never;
	teller.tell(state(2, { proof }));
	for (let heardAtMs = 3; heardAtMs <= 1000; heardAtMs++) teller.tell(state(heardAtMs));
	equal(heard.length, 1);
	answer();
	await settle();
	deepEqual(heard, [state(1), state(1000, { proof })]);
	answer();
	await settle();
	teller.tell(state(1001));
	deepEqual(heard.at(-1), state(1001));
});

test("a word that fails is said to have failed, and the next one is told", async () => {
	const heard: number[] = [];
	const failed: string[] = [];
	const teller = new StateTeller(
		async ({ heardAtMs }) => {
			heard.push(heardAtMs);
			if (heardAtMs === 1) throw new Error("the store is away");
		},
		(error) => failed.push(error.message),
	);
	teller.tell(state(1));
	await settle();
	teller.tell(state(2));
	await settle();
	deepEqual([heard, failed], [[1, 2], ["the store is away"]]);
});

test("nodes do not wait for each other, their number on the way is bounded, and one that was told takes no place", async () => {
	const answers: (() => void)[] = [];
	const heard: string[] = [];
	const tellers = new StateTellers<{ node: string; atMs: number }>({
		nodesMax: 3,
		tell: ({ node, atMs }) => {
			heard.push(`${node} ${atMs}`);
			return new Promise((resolve) => answers.push(resolve));
		},
		onError: () => undefined,
	});
	for (let atMs = 1; atMs <= 100; atMs++)
		for (const node of ["a", "b", "c"]) equal(tellers.tell(node, { node, atMs }), true);
	equal(tellers.tell("d", { node: "d", atMs: 1 }), false);
	deepEqual(heard, ["a 1", "b 1", "c 1"]);
	for (const answer of answers.splice(0)) answer();
	await settle();
	deepEqual(heard.slice(3), ["a 100", "b 100", "c 100"]);
	for (const answer of answers.splice(0)) answer();
	await settle();
	equal(tellers.tell("d", { node: "d", atMs: 2 }), true);
});
