import assert from "node:assert/strict";
import { test } from "node:test";
import { TestPki } from "#core/testing/test-pki.ts";
import { type LinkHealth, PROXY_WORD_LIMITS, type ProxyWord, signProxyWord, verifyProxyWord } from "./index.ts";

const NOW = Date.UTC(2026, 10, 22);
const SC = "spiffe://lab/sc/main";
const pki = await TestPki.make(NOW);
const site = await pki.node("spiffe://lab/px/px-site");
const link: LinkHealth = {
	...{ timeMs: NOW, upstream: "spiffe://lab/px/px-1", sinceMs: NOW - 9, reconnects: 2, lastError: "closed" },
	...{ lanes: [], unackedBytes: 1, windowBytes: 2, agents: 3, agentsUp: 3, softwareVersion: "0.1", strangers: [] },
};
const word: ProxyWord = { uri: site.uri, number: NOW, link };
const told = { proxy: "px-site", via: "px-1", selfUri: SC, root: pki.root, nowMs: NOW, afterNumber: 0 };
const said = (over: Partial<ProxyWord> = {}, signer = site) =>
	signProxyWord({ ...word, ...over }, signer.seed, signer.proof);

test("a proxy's own word is believed, also where it is linked to the reader", async () => {
	assert.deepEqual(await verifyProxyWord(said(), told), { ok: true, value: { number: NOW, link } });
	const direct = await verifyProxyWord(said({ link: { ...link, upstream: SC } }), { ...told, via: "" });
	assert(direct.ok && direct.value !== null);
});

const agent = await pki.node("spiffe://lab/agent/px-site");
const other = await pki.node("spiffe://lab/px/px-rogue");
const abroad = await pki.node("spiffe://field/px/px-site");
const expired = await pki.node(site.uri, NOW - PROXY_WORD_LIMITS.ageMsMax - 1);
const elsewhere = await (await TestPki.make(NOW)).node(site.uri);
const { ageMsMax } = PROXY_WORD_LIMITS;
const at = (timeMs: number) => ({ link: { ...link, timeMs } });
const wrong: [string, Uint8Array, Partial<typeof told>, string][] = [
	["of another proxy", said({ uri: other.uri }, other), {}, "proxy_word_of_another"],
	["in its name by another proxy's proof", said({}, other), {}, "proxy_word_of_another"],
	[
		"in its name by its proof and another key",
		signProxyWord(word, other.seed, site.proof),
		{},
		"proxy_word_signature_invalid",
	],
	["of an agent of that id", said({ uri: agent.uri }, agent), {}, "proxy_word_of_another"],
	["of another enclave", said({ uri: abroad.uri }, abroad), {}, "proxy_word_of_another"],
	["under another root", said({}, elsewhere), {}, "chain_signature_invalid"],
	["by a certificate that has ended", said({}, expired), {}, "chain_expired"],
	["meant for another upstream", said(), { via: "px-rogue" }, "proxy_word_way"],
	["meant for its upstream, told as linked here", said(), { via: "" }, "proxy_word_way"],
	["held back too long", said(at(NOW - ageMsMax - 1)), {}, "proxy_word_clock"],
	["of a clock too far ahead", said(at(NOW + ageMsMax + 1)), {}, "proxy_word_clock"],
	["with a number that shuts out what comes", said({ number: NOW + 2 * ageMsMax + 1 }), {}, "proxy_word_clock"],
];
for (const [name, bytes, over, code] of wrong)
	test(`a word ${name} is refused as ${code}`, async () => {
		const refused = await verifyProxyWord(bytes, { ...told, ...over });
		assert(!refused.ok);
		assert.equal(refused.code, code);
	});

test("a word at the limits of time, and of a certificate that ended within them, is believed", async () => {
	const ends = await pki.node(site.uri, NOW - 1000);
	for (const bytes of [
		said(at(NOW - ageMsMax)),
		said(at(NOW + ageMsMax)),
		said({ number: NOW + 2 * ageMsMax }),
		said({}, ends),
	])
		assert((await verifyProxyWord(bytes, told)).ok);
});

test("a word that was taken before says nothing, nor does an older one, whoever brings it", async () => {
	for (const afterNumber of [NOW, NOW + 1])
		assert.deepEqual(await verifyProxyWord(said(), { ...told, afterNumber }), { ok: true, value: null });
	const newer = await verifyProxyWord(said(), { ...told, afterNumber: NOW - 1 });
	assert(newer.ok && newer.value !== null);
});

test("a word cut anywhere is refused, and one with any bit flipped never says anything else", async () => {
	const bytes = said();
	for (let cut = 0; cut < bytes.length; cut++) assert(!(await verifyProxyWord(bytes.subarray(0, cut), told)).ok);
	for (let index = 0; index < bytes.length; index += 7) {
		const flipped = Uint8Array.from(bytes);
		flipped[index] = (flipped[index] as number) ^ (1 << (index % 8));
		const judged = await verifyProxyWord(flipped, told);
		if (judged.ok) assert.deepEqual(judged.value, { number: NOW, link }, `byte ${index}`);
	}
});
