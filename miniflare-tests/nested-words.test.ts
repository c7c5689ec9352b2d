/** A captured proxy that speaks of others: what it makes up is refused by name at the node above it, and disturbs nothing else. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import type { FrameBody, LinkHealth } from "#core/protocol/index.ts";
import type { ProxyState, RefusedWords } from "../durable/faces.ts";
import { OwnWord } from "../durable/own-word.ts";
import { addNode } from "../host/pki/enclave.ts";
import { readOpenMetrics, seriesValue } from "../workers/edge/testing/open-metrics-reader.ts";
import { ENCLAVE, startTestEnclave, TEST_METRICS_TOKEN, type TestEnclave, until } from "./harness.ts";
import { type Identity, identityOf, type Target, TestLink } from "./test-agent.ts";

interface Recorded {
	readonly proxies: readonly ProxyState[];
	readonly refused: readonly RefusedWords[];
}

let enclave: TestEnclave;
let center: Target;
let proxy: Target;
/** The captured one, an honest one below it, and one that is elsewhere. */
let rogue: Identity;
let site: Identity;
let other: Identity;

before(async () => {
	enclave = await startTestEnclave();
	center = { port: enclave.centerPort, name: enclave.centerName, uri: `spiffe://${ENCLAVE}/sc/main` };
	proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	const enrolled = async (id: string) => {
		const added = await addNode(enclave.pkiDir, { role: "px", id }, Date.now());
		ok(added.ok);
		return identityOf(id, added.value.paths);
	};
	[rogue, site, other] = [await enrolled("px-rogue"), await enrolled("px-site"), await enrolled("px-other")];
});
after(() => enclave?.stop());

const recorded = () => enclave.center<Recorded>("/recorded");
const uriOf = (id: string) => `spiffe://${ENCLAVE}/px/${id}`;
const linkTo = (upstream: string): LinkHealth => ({
	...{ timeMs: Date.now(), upstream, sinceMs: Date.now(), reconnects: 0, lanes: [], unackedBytes: 0 },
	...{ windowBytes: 100, agents: 0, agentsUp: 0, softwareVersion: "0.1.0", strangers: [] },
});
const wordOf = (identity: Identity, { uri = uriOf(identity.id), seed = identity.seed } = {}) =>
	new OwnWord({ uri, seed, proof: identity.proof });
const toldOf = (id: string, word?: Uint8Array): FrameBody<"proxy_state"> => {
	return { proxy: id, via: "px-rogue", isUp: true, ageMs: 0, ...(word === undefined ? {} : { word }) };
};
const byRogue = linkTo(uriOf("px-rogue"));

/** More than a link has places for, and every way to speak for somebody else. */
function forgeries(): FrameBody<"proxy_state">[] {
	const madeUp = Array.from({ length: 300 }, (_, index) => toldOf(`px-made-up-${index}`));
	return [
		...madeUp,
		toldOf("px-other"),
		toldOf("px-other", wordOf(rogue).of(byRogue)),
		toldOf("px-other", wordOf(rogue, { uri: uriOf("px-other") }).of(byRogue)),
		toldOf("px-other", wordOf(other, { seed: rogue.seed }).of(byRogue)),
		// What it once heard of a proxy that is linked elsewhere.
		toldOf("px-other", wordOf(other).of(linkTo(uriOf("px-1")))),
		toldOf("px-other", wordOf(other).of({ ...byRogue, timeMs: Date.now() - 11 * 60_000 })),
	];
}
const CODES = ["proxy_word_missing", "proxy_word_of_another", "proxy_word_signature_invalid", "proxy_word_clock"];

test("of a captured proxy the Security Center takes the words that others signed for it, and nothing it made up", async () => {
	const link = await TestLink.open(center, rogue, LINK_PATHS.peer);
	await link.expect("welcome");
	const forged = forgeries();
	for (const told of forged) link.send("proxy_state", told);
	link.send("proxy_state", { ...toldOf("px-other"), isUp: false });
	link.send("proxy_state", toldOf("px-site", wordOf(site).of(byRogue)));
	const { proxies } = await until("the honest word", recorded, (all) =>
		all.proxies.some((each) => each.proxy === "px-site"),
	);
	equal(proxies.filter((each) => each.proxy === "px-site").length, 1);
	const { refused } = await until(
		"the count",
		recorded,
		(all) => all.refused.reduce((sum, { words }) => sum + words, 0) >= forged.length,
		15_000,
	);
	equal(
		refused.reduce((sum, { words }) => sum + words, 0),
		forged.length,
	);
	ok(
		refused.every(({ peer, code }) => peer === "px-rogue" && CODES.includes(code)),
		JSON.stringify(refused),
	);
	const told = (await recorded()).proxies.map((each) => each.proxy).filter((id) => id !== "px-1" && id !== "px-rogue");
	deepEqual(told, ["px-site"]);
	link.send("heartbeat", {
		health: { timeMs: 1, streams: [], outboxBytes: 0, oldestUnackedMs: 0, rssBytes: 0, eventCount: 0, gapCount: 0 },
	});
	await link.expect("heartbeat");
	link.close();
});

test("a proxy passes nothing up that is not shown to be its sender's, and its metrics count it", async () => {
	const link = await TestLink.open(proxy, rogue, LINK_PATHS.peer);
	await link.expect("welcome");
	const forged = forgeries();
	for (const told of forged) link.send("proxy_state", told);
	const word = wordOf(site).of(byRogue);
	link.send("proxy_state", toldOf("px-site", word));
	const { proxies } = await until("the honest word", recorded, (all) =>
		all.proxies.some((each) => each.proxy === "px-site" && each.broughtBy === "px-1"),
	);
	const byHop = proxies.filter(({ broughtBy, proxy: id }) => broughtBy === "px-1" && id !== "px-1");
	deepEqual(
		byHop.map(({ proxy: id, via }) => [id, via]),
		[["px-site", "px-rogue"]],
	);
	await until(
		"the count",
		async () => {
			const headers = { authorization: `Bearer ${TEST_METRICS_TOKEN}` };
			const answer = await fetch(`${enclave.healthUrl}/metrics`, { headers });
			return seriesValue(readOpenMetrics(await answer.text()), "daemoneye_refused_proxy_words_total");
		},
		(count) => count === forged.length,
		15_000,
	);
	link.close();
});
