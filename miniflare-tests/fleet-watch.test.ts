/** Silence and lagging links at the real Security Center: who is accused, when, and that it ends. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { hexOf, utf8 } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import type { LinkHealth } from "#core/protocol/index.ts";
import { bytesNamed } from "#core/testing/test-agent.ts";
import { ed25519PublicKey, ed25519Sign } from "#crypto";
import { type ReadFamily, readOpenMetrics, seriesValue } from "../workers/edge/testing/open-metrics-reader.ts";
import type { AlarmsAnswer, AlarmView, FleetAnswer, FleetNode } from "../workers/sc/api/answers.ts";
import { arriveHost, until } from "../workers/sc/testing/hosts.ts";
import { ORIGIN, type RunningSc, startSc } from "../workers/sc/testing/running-sc.ts";
import { noSqld } from "../workers/sc/testing/running-store.ts";
import { until as untilLong } from "./harness.ts";
import { pluginsOf } from "./test-builds.ts";

/** Shorter than a site's, in the same order. */
const WATCH = { agentSilentMs: 2500, proxySilentMs: 1800, tickMs: 200, lookGapMsMax: 3000 };
const TOKEN = "0123456789abcdef".repeat(4);
const options = { skip: noSqld };
const seed = bytesNamed("ana", 32);
let sc: RunningSc;
let cookie = "";

before(async () => {
	if (noSqld !== false) return;
	sc = await startSc("solo", { bindings: { WATCH, METRICS_TOKEN: TOKEN }, plugins: pluginsOf(null) });
	cookie = await signIn();
});
after(async () => {
	await sc?.stop();
});

async function signIn(): Promise<string> {
	const post = (path: string, body: unknown) =>
		sc.fetch(path, {
			method: "POST",
			headers: { origin: ORIGIN, "content-type": "application/json" },
			body: JSON.stringify(body),
		});
	const sign = (bytes: Uint8Array) => hexOf(ed25519Sign(seed, preAuthEncoding(PAYLOAD_TYPES.signIn, bytes)));
	const publicKey = hexOf(ed25519PublicKey(seed));
	const token = sc.invitations[0]?.token ?? "";
	equal((await post("/api/invitations/redeem", { token, publicKey, signature: sign(utf8(token)) })).status, 200);
	const { challenge } = (await (await post("/api/session/challenge", { publicKey })).json()) as { challenge: string };
	const bytes = new Uint8Array(Buffer.from(challenge, "hex"));
	const entered = await post("/api/session", { publicKey, challenge, signature: sign(bytes) });
	return entered.headers.get("set-cookie")?.split(";")[0] ?? "";
}

async function get<T>(path: string): Promise<T> {
	const answer = await sc.fetch(path, { headers: { cookie } });
	equal(answer.status, 200, path);
	return (await answer.json()) as T;
}

const nodeOf = async (id: string): Promise<FleetNode | undefined> =>
	(await get<FleetAnswer>("/api/fleet")).nodes.find((node) => node.id === id);
const alarmOf = async (agent: string, code: string): Promise<AlarmView | undefined> =>
	(await get<AlarmsAnswer>("/api/alarms")).alarms.find((alarm) => alarm.agent === agent && alarm.code === code);
async function metrics(): Promise<ReadFamily[]> {
	const answer = await sc.fetch("/metrics", { headers: { authorization: `Bearer ${TOKEN}` } });
	equal(answer.status, 200);
	return readOpenMetrics(await answer.text());
}
const stateOf = async (id: string): Promise<string | undefined> => (await nodeOf(id))?.state;

const linkOf = (over: Partial<LinkHealth> = {}): LinkHealth => ({
	...{ timeMs: Date.now(), upstream: "spiffe://lab/sc/sc", sinceMs: Date.now() - 60_000, reconnects: 2, lanes: [] },
	...{ unackedBytes: 10, windowBytes: 100, agents: 1, agentsUp: 1, softwareVersion: "0.1.0", strangers: [] },
	...over,
});

/** One beat of a proxy, as its PeerLink tells of it. */
async function beat(
	proxy: string,
	over: Partial<Parameters<Awaited<ReturnType<RunningSc["watch"]>>["proxyState"]>[0]> = {},
) {
	const clock = { offsetMs: 0, boundMs: 3 };
	const state = { proxy, via: "", broughtBy: proxy, isUp: true, heardHereMs: Date.now(), clock, link: linkOf() };
	await (await sc.watch()).proxyState({ ...state, ...over });
}

async function heartbeat(agent: string, clockMs = Date.now()): Promise<void> {
	const counts = { outboxBytes: 0, oldestUnackedMs: 0, rssBytes: 1, eventCount: 2, gapCount: 0 };
	const health = {
		timeMs: clockMs,
		streams: [],
		...counts,
		roundTripMs: 2,
		reconnects: 5,
		lastError: "closed with 1006",
	};
	const nowMs = Date.now();
	const heard = { heardAtMs: nowMs, heardHereMs: nowMs, waiting: [] };
	await (await sc.channel(agent)).report({ agent, via: "px-1", linkId: "link", isUp: true, health, ...heard });
}

/** Beats of the named nodes until told otherwise. */
function keepingAlive(work: () => Promise<void>): { stop: () => Promise<void> } {
	let isOn = true;
	const done = (async () => {
		while (isOn) {
			await work();
			await new Promise((resolve) => setTimeout(resolve, 250));
		}
	})();
	return {
		stop: async () => {
			isOn = false;
			await done;
		},
	};
}

test(
	"an agent that falls silent behind a living proxy is an alarm in its time, and the alarm is over when it returns",
	options,
	async () => {
		await beat("px-1");
		await arriveHost(sc, "web-01");
		await arriveHost(sc, "db-01");
		const lastMs = Date.now();
		const alive = keepingAlive(async () => {
			await beat("px-1");
			await heartbeat("db-01");
		});
		const alarm = await until(
			"the alarm",
			() => alarmOf("web-01", "agent_silent"),
			(found) => found !== undefined,
		);
		const tookMs = (alarm?.firstAtMs ?? 0) - lastMs;
		ok(tookMs >= WATCH.agentSilentMs - 500 && tookMs < WATCH.agentSilentMs + 2000, `it took ${tookMs} ms`);
		match(alarm?.detail ?? "", /^web-01 has said nothing since .*; its proxy px-1 is heard\.$/);
		deepEqual([await stateOf("web-01"), await stateOf("db-01"), await stateOf("px-1")], ["silent", "alive", "alive"]);
		equal(alarm?.clearedAtMs, null);
		const families = await metrics();
		equal(seriesValue(families, "daemoneye_fleet_agents", { state: "silent" }), 1);
		equal(seriesValue(families, "daemoneye_fleet_agents", { state: "alive" }), 1);
		equal(seriesValue(families, "daemoneye_fleet_proxies", { state: "alive" }), 1);
		equal(seriesValue(families, "daemoneye_standing_alarms"), 1);
		equal((await sc.fetch("/metrics")).status, 401);
		equal((await sc.fetch("/metrics", { headers: { cookie } })).status, 401, "nor is a session a token");
		equal(await alarmOf("db-01", "agent_silent"), undefined);
		await heartbeat("web-01");
		const over = await until(
			"its end",
			() => alarmOf("web-01", "agent_silent"),
			(found) => found?.clearedAtMs !== null,
		);
		deepEqual([over?.id, over?.times], [alarm?.id, 1], "one row");
		equal(await stateOf("web-01"), "alive");
		await alive.stop();
	},
);

test(
	"when a proxy falls silent it is accused and what is behind it is unknown; when it returns its agents have their time",
	options,
	async () => {
		await beat("px-1");
		await Promise.all([heartbeat("web-01"), heartbeat("db-01")]);
		const alarm = await until(
			"the alarm",
			() => alarmOf("px-1", "proxy_silent"),
			(found) => found !== undefined,
		);
		match(alarm?.detail ?? "", /^px-1 has said nothing since .*; 2 hosts came by it last\.$/);
		await new Promise((resolve) => setTimeout(resolve, WATCH.agentSilentMs));
		deepEqual(
			[await stateOf("px-1"), await stateOf("web-01"), await stateOf("db-01")],
			["silent", "unknown", "unknown"],
		);
		equal((await nodeOf("web-01"))?.hiddenBy, "px-1");
		equal((await alarmOf("db-01", "agent_silent")) ?? null, null, "never accused for its proxy");
		await beat("px-1");
		const backMs = Date.now();
		const alive = keepingAlive(() => beat("px-1"));
		await until(
			"its end",
			() => alarmOf("px-1", "proxy_silent"),
			(found) => found?.clearedAtMs !== null,
		);
		equal(await stateOf("db-01"), "alive", "its time begins anew");
		const late = await until(
			"the agent's own silence",
			() => alarmOf("db-01", "agent_silent"),
			(found) => found !== undefined,
		);
		ok((late?.firstAtMs ?? 0) - backMs >= WATCH.agentSilentMs - 300);
		await alive.stop();
	},
);

test("a link's figures are shown as told, and a clock is the sum of what each step is off by", options, async () => {
	const lanes = [{ lane: "bulk", batches: 12, bytes: 3456, oldestAgeMs: 90_000 }] as const;
	const link = linkOf({ timeMs: Date.now() + 1000, lanes, lastError: "closed with 1006", roundTripMs: 3 });
	await beat("px-1", { clock: { offsetMs: 1000, boundMs: 3 }, link });
	await heartbeat("web-01", Date.now() + 250);
	const shown = await until(
		"the clock",
		() => nodeOf("web-01"),
		(node) => (node?.clockOffsetMs ?? 0) > 1000,
	);
	ok(Math.abs((shown?.clockOffsetMs ?? 0) - 1250) < 200, `${shown?.clockOffsetMs}`);
	equal(shown?.clockBoundMs, 5);
	deepEqual([shown?.link.to, shown?.link.reconnects, shown?.link.lastError], ["px-1", 5, "closed with 1006"]);
	const proxy = await nodeOf("px-1");
	deepEqual(
		[proxy?.clockOffsetMs, proxy?.behindMs, proxy?.outboxBytes, proxy?.softwareVersion],
		[1000, 90_000, 3456, "0.1.0"],
	);
	deepEqual(proxy?.link.lanes, [...lanes]);
	deepEqual([proxy?.link.to, proxy?.link.roundTripMs, proxy?.link.windowBytes], ["", 3, 100]);
	const families = await metrics();
	const of = { proxy: "px-1" };
	equal(seriesValue(families, "daemoneye_proxy_lag_seconds", of), 90);
	equal(seriesValue(families, "daemoneye_proxy_waiting_bytes", { ...of, lane: "bulk" }), 3456);
	equal(seriesValue(families, "daemoneye_proxy_waiting_batches", { ...of, lane: "trace" }), 0);
	equal(seriesValue(families, "daemoneye_proxy_clock_offset_seconds", of), 1);
	equal(seriesValue(families, "daemoneye_proxy_reconnects_total", of), 2);
	ok(seriesValue(families, "daemoneye_agent_clock_offset_most_seconds") > 1);
	const sinceMs = Date.now() - (proxy?.link.sinceMs ?? 0);
	ok(sinceMs > 55_000 && sinceMs < 70_000, `by our clock: ${sinceMs}`);
});

test(
	"of a nested proxy its newest word counts: nobody else can revive it, silence it or say where it is",
	options,
	async () => {
		await beat("px-1", { clock: { offsetMs: 1000, boundMs: 3 } });
		const signed = (number: number) => ({ word: { bytes: new Uint8Array(1), number } });
		const by = (broughtBy: string) => ({ via: broughtBy, broughtBy });
		await beat("px-site", { ...by("px-1"), clock: { offsetMs: 40, boundMs: 2 }, ...signed(7) });
		const nested = await nodeOf("px-site");
		deepEqual([nested?.link.to, nested?.clockOffsetMs, nested?.clockBoundMs], ["px-1", 1040, 5]);
		await beat("px-1", { clock: { offsetMs: 0, boundMs: 3 } });
		await beat("px-site", { ...by("px-rogue"), isUp: false });
		await beat("px-site", by("px-rogue"));
		await beat("px-site", { ...by("px-rogue"), ...signed(6) });
		await beat("px-site", { ...by("px-rogue"), ...signed(7) });
		await beat("px-1", { via: "px-rogue", broughtBy: "px-rogue", isUp: false });
		deepEqual(
			[(await nodeOf("px-site"))?.link.to, (await nodeOf("px-site"))?.isUp, (await nodeOf("px-1"))?.isUp],
			["px-1", true, true],
		);
		await beat("web-01", { ...by("px-rogue"), ...signed(1) });
		equal((await nodeOf("web-01"))?.role, "agent", "nor can it make a proxy of an agent");
		await beat("px-made-up", by("px-rogue"));
		await beat("px-made-up", { ...by("px-rogue"), isUp: false });
		equal(await nodeOf("px-made-up"), undefined, "nor a proxy of nothing");
		await beat("px-2");
		await beat("px-site", { ...by("px-2"), ...signed(8) });
		await beat("px-site", { ...by("px-1"), isUp: false });
		deepEqual([(await nodeOf("px-site"))?.link.to, (await nodeOf("px-site"))?.isUp], ["px-2", true], "it moved");
		await beat("px-site", { ...by("px-2"), isUp: false });
		equal((await nodeOf("px-site"))?.isUp, false, "who brought its newest word says that it went");
		await beat("px-site", { ...by("px-1"), ...signed(8) });
		equal((await nodeOf("px-site"))?.isUp, false, "what it said before is no sign of life");
	},
);

test("who tells of proxies what those did not sign is an alarm with its name, and is counted", options, async () => {
	const watch = await sc.watch();
	for (let told = 0; told < 3; told++)
		await watch.wordsRefused({ peer: "px-rogue", proxy: `px-made-up-${told}`, code: "proxy_word_missing", words: 100 });
	const alarm = await until(
		"the alarm",
		() => alarmOf("px-rogue", "proxy_word_refused"),
		(found) => found !== undefined,
	);
	match(
		alarm?.detail ?? "",
		/^px-rogue tells of px-made-up-\d what is not shown to be its own word: proxy_word_missing\.$/,
	);
	equal(seriesValue(await metrics(), "daemoneye_refused_proxy_words_total"), 300);
});

test("a node of another protocol version is an alarm with its name, wherever it knocked", options, async () => {
	await (await sc.watch()).strangerCame({ node: "spiffe://lab/px/px-new", protocol: 2, atMs: Date.now() });
	const stranger = (id: string) => ({ node: `spiffe://lab/agent/${id}`, protocol: 2, atMs: Date.now() });
	await beat("px-1", { link: linkOf({ strangers: [stranger("web-09")] }) });
	const own = await until(
		"the alarm",
		() => alarmOf("px-new", "protocol_differs"),
		(found) => found !== undefined,
	);
	match(own?.detail ?? "", /px-new speaks protocol 2 and is turned away at the Security Center/);
	const told = await until(
		"the other",
		() => alarmOf("px-1", "protocol_differs"),
		(found) => found !== undefined,
	);
	match(told?.detail ?? "", /^web-09 speaks protocol 2 and is turned away at px-1, which speaks another version\.$/);
	const { strangers } = await get<FleetAnswer>("/api/fleet");
	deepEqual(strangers.map(({ node, at }) => [node, at]).sort(), [
		["spiffe://lab/agent/web-09", "px-1"],
		["spiffe://lab/px/px-new", ""],
	]);
	// Whoever it names, and however often others: it is one alarm of that proxy, and pushes nobody out of the list.
	const others = Array.from({ length: 8 }, (_, index) => stranger(`made-up-${index}`));
	await beat("px-1", { link: linkOf({ strangers: others }) });
	await new Promise((resolve) => setTimeout(resolve, 3 * WATCH.tickMs));
	const { alarms } = await get<AlarmsAnswer>("/api/alarms");
	deepEqual(
		alarms
			.filter(({ code }) => code === "protocol_differs")
			.map(({ agent, times }) => [agent, times])
			.sort(),
		[
			["px-1", 1],
			["px-new", 1],
		],
	);
	await beat("px-1", { link: linkOf() });
	await until(
		"its end",
		() => alarmOf("px-1", "protocol_differs"),
		(found) => found?.clearedAtMs !== null,
	);
});

test("what the store does not take is the last hop's backlog, until it does", options, async () => {
	const watch = await sc.watch();
	const none = { batches: 0, bytes: 0, oldestMs: null };
	const depths = { trace: none, alert: { batches: 2, bytes: 20, oldestMs: Date.now() - 5000 }, bulk: none };
	await watch.storeBacklog("web-01", depths);
	await watch.storeBacklog("db-01", { ...depths, alert: { batches: 1, bytes: 7, oldestMs: Date.now() - 9000 } });
	const [lane] = (await get<FleetAnswer>("/api/fleet")).storeLanes;
	deepEqual([lane?.lane, lane?.batches, lane?.bytes], ["alert", 3, 27]);
	ok((lane?.oldestAgeMs ?? 0) >= 9000);
	const families = await metrics();
	equal(seriesValue(families, "daemoneye_store_waiting_bytes", { lane: "alert" }), 27);
	ok(seriesValue(families, "daemoneye_store_lag_seconds") >= 9);
	await watch.storeBacklog("web-01", { trace: none, alert: none, bulk: none });
	await watch.storeBacklog("db-01", { trace: none, alert: none, bulk: none });
	deepEqual((await get<FleetAnswer>("/api/fleet")).storeLanes, []);
});

test(
	"words that must be written drown no silence: the alarm comes in its time, and nobody is accused whose word waits for the store",
	options,
	async () => {
		await beat("px-1");
		await heartbeat("web-01");
		await heartbeat("db-01");
		await until(
			"all well",
			async () => [await stateOf("px-1"), await stateOf("web-01"), await stateOf("db-01")],
			(states) => states.every((state) => state === "alive"),
		);
		const watch = await sc.watch();
		sc.setStoreDelay(800);
		// Each is two requests, of which 48 go at once: a queue of half a minute. None is news.
		const flood = Array.from({ length: 1000 }, (_, index) =>
			beat("px-1", { via: "px-2", broughtBy: `px-way-${index}`, word: { bytes: new Uint8Array(1), number: 1 } }),
		);
		const lastMs = Date.now();
		const told: Promise<void>[] = [];
		const alive = keepingAlive(async () => {
			told.push(beat("px-1"), heartbeat("db-01"));
		});
		const { watchingSinceMs } = await watch.view();
		const standing = async () =>
			(await sc.store.store.reader.execute("SELECT agent, code FROM alarms WHERE cleared_ms IS NULL")).rows.map(
				({ agent, code }) => `${agent} ${code}`,
			);
		try {
			await untilLong("the alarm", standing, (all) => all.includes("web-01 agent_silent"), 20_000);
			const tookMs = Date.now() - lastMs;
			// A look that just missed it and the one that says it, each a read and an alarm or two, 800 ms a question, on a busy machine.
			ok(tookMs < WATCH.agentSilentMs + 13_000, `it took ${tookMs} ms`);
			await new Promise((resolve) => setTimeout(resolve, WATCH.agentSilentMs));
			deepEqual(
				(await standing()).filter((name) => /^(px-1|db-01) /.test(name)),
				[],
			);
			equal((await watch.view()).watchingSinceMs, watchingSinceMs, "it was no standstill of ours");
		} finally {
			sc.setStoreDelay(0);
			await alive.stop();
			await Promise.all([...flood, ...told]);
		}
	},
);

test(
	"a look that came late is an alarm of the Security Center itself, counted, and over with the next in time",
	options,
	async () => {
		const watch = await sc.watch();
		const before = (await watch.view()).lateLooks;
		sc.store.signal("SIGSTOP");
		await new Promise((resolve) => setTimeout(resolve, WATCH.lookGapMsMax + 1500));
		sc.store.signal("SIGCONT");
		const alarm = await until(
			"the alarm",
			() => alarmOf("sc", "watch_late"),
			(found) => found !== undefined,
		);
		match(alarm?.detail ?? "", /^The watch did not look for \d+ s: /);
		ok((await watch.view()).lateLooks > before);
		await until(
			"its end",
			() => alarmOf("sc", "watch_late"),
			(found) => found?.clearedAtMs !== null,
		);
		ok(seriesValue(await metrics(), "daemoneye_watch_late_looks_total") > before);
		ok(seriesValue(await metrics(), "daemoneye_watch_look_age_seconds") < 5);
	},
);

test("whoever asks whether all is well, however often, costs the store one question a second", options, async () => {
	// What earlier tests left to be written is written first.
	await untilLong(
		"a quiet store",
		async () => {
			const asked = sc.storeRequests();
			await new Promise((resolve) => setTimeout(resolve, 1000));
			return sc.storeRequests() - asked;
		},
		(asked) => asked <= 3 * (1000 / WATCH.tickMs + 1),
		20_000,
	);
	const before = sc.storeRequests();
	const startMs = Date.now();
	for (let round = 0; round < 10; round++) {
		const answers = await Promise.all(Array.from({ length: 50 }, () => sc.fetch("/healthz")));
		deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
	}
	const seconds = Math.ceil((Date.now() - startMs) / 1000);
	// The watch's own looks beside it: three questions a tick.
	const looks = 3 * Math.ceil((1000 * seconds) / WATCH.tickMs);
	const asked = sc.storeRequests() - before;
	ok(asked <= seconds + 1 + looks, `${asked} requests in ${seconds} s`);
});
