/** What a link is told of proxies: whom it believes, what it costs, and that a place comes free. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type LinkHealth, PROXY_WORD_LIMITS, verifyProxyWord } from "#core/protocol/index.ts";
import { TestPki } from "#core/testing/test-pki.ts";
import { PEER_LIMITS } from "./limits.ts";
import { NestedWords } from "./nested-words.ts";
import { OwnWord } from "./own-word.ts";

const NOW = Date.UTC(2026, 10, 22);
const SC = "spiffe://lab/sc/main";
const pki = await TestPki.make(NOW);
const uriOf = (id: string) => `spiffe://lab/px/${id}`;
const linkTo = (upstream: string, timeMs = NOW): LinkHealth => ({
	...{ timeMs, upstream, sinceMs: NOW, reconnects: 0, lanes: [] },
	...{ unackedBytes: 0, windowBytes: 1, agents: 0, agentsUp: 0, softwareVersion: "", strangers: [] },
});
const wordsHere = () => new NestedWords({ peer: "px-1", selfUri: SC, root: pki.root });
const site = new OwnWord(await pki.node(uriOf("px-site")));
const told = (proxy: string, word?: Uint8Array) => ({ proxy, via: "px-1", isUp: true, word });

test("only what a proxy signed is taken of it, and only once; what is refused is counted under a name", async () => {
	const words = wordsHere();
	const word = site.of(linkTo(uriOf("px-1")));
	const taken = await words.judge(told("px-site", word), NOW);
	assert(taken.ok && taken.value?.link !== undefined);
	assert.equal(taken.value.word?.bytes, word);
	assert.deepEqual(await words.judge(told("px-site", word), NOW), { ok: true, value: null }, "said again");
	for (const [wrong, code] of [
		[told("px-site"), "proxy_word_missing"],
		[told("px-made-up"), "proxy_word_missing"],
		[told("px-made-up", word), "proxy_word_of_another"],
		[told("px-1", word), "proxy_word_of_itself"],
		[{ ...told("px-site", site.of(linkTo(uriOf("px-1")))), via: "px-rogue" }, "proxy_word_way"],
	] as const) {
		const judged = await words.judge(wrong, NOW);
		assert(!judged.ok);
		assert.equal(judged.code, code);
		words.refused(wrong.proxy, judged.code);
	}
	assert.equal(words.size, 1, "a name that nobody proves takes no place");
	assert.deepEqual(words.takeRefused(), { peer: "px-1", proxy: "px-site", code: "proxy_word_way", words: 5 });
	assert.equal(words.takeRefused(), null);
});

test("that a proxy went is believed of one that this link has shown, and its place is free", async () => {
	const words = wordsHere();
	const gone = { ...told("px-site"), isUp: false };
	assert.deepEqual(await words.judge(gone, NOW), { ok: true, value: null });
	await words.judge(told("px-site", site.of(linkTo(uriOf("px-1")))), NOW);
	assert.deepEqual(await words.judge(gone, NOW), { ok: true, value: {} });
	assert.equal(words.size, 0);
});

test("a link has places for so many proxies, and one that is not heard any more gives its own away", async () => {
	const words = wordsHere();
	const say = async (id: string, nowMs: number) => {
		const own = new OwnWord(await pki.node(uriOf(id)));
		return words.judge(told(id, own.of(linkTo(uriOf("px-1"), nowMs))), nowMs);
	};
	for (let index = 0; index < PEER_LIMITS.nestedMax; index++) assert((await say(`px-${index + 2}`, NOW)).ok);
	const refused = await say("px-more", NOW);
	assert(!refused.ok && refused.code === "proxy_words_max");
	assert((await say("px-2", NOW + PEER_LIMITS.nestedAgeMsMax)).ok, "one that has a place keeps it");
	words.forgetOld(NOW + PEER_LIMITS.nestedAgeMsMax);
	assert.equal(words.size, PEER_LIMITS.nestedMax);
	words.forgetOld(NOW + PEER_LIMITS.nestedAgeMsMax + 1);
	assert.equal(words.size, 1);
	assert((await say("px-more", NOW + PEER_LIMITS.nestedAgeMsMax + 1)).ok);
});

test("the number of a proxy's words rises when its clock is set back, and follows a clock that was far ahead", async () => {
	const own = new OwnWord(await pki.node(uriOf("px-site")));
	const { ageMsMax } = PROXY_WORD_LIMITS;
	const numberAt = async (timeMs: number): Promise<number> => {
		const context = { proxy: "px-site", via: "px-1", selfUri: SC, root: pki.root, nowMs: timeMs, afterNumber: 0 };
		const judged = await verifyProxyWord(own.of(linkTo(uriOf("px-1"), timeMs)), context);
		assert(judged.ok && judged.value !== null);
		return judged.value.number;
	};
	assert.equal(await numberAt(NOW), NOW);
	assert.equal(await numberAt(NOW - ageMsMax), NOW + 1);
	assert.equal(await numberAt(NOW - ageMsMax + 5), NOW + 2);
	assert.equal(await numberAt(NOW - 2 * ageMsMax), NOW - 2 * ageMsMax);
});
