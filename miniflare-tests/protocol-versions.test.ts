/**
 * Nodes of neighbouring protocol versions, agent and proxy, proxy and Security Center, in both directions: each names the other's, and
 * they do not hammer each other. And nodes of one version but different builds, which go on together.
 */
import { equal, match, ok } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { type CborValue, decodeCbor, encodeCbor } from "#core/codec/index.ts";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { encodeFrame, type FrameBody } from "#core/protocol/index.ts";
import { enclavePaths } from "../host/pki/layout.ts";
import { ENCLAVE, startTestEnclave, type TestEnclave, until } from "./harness.ts";
import type { openLoneLink } from "./lone-link.ts";
import { identityOf, TestLink, TestStream } from "./test-agent.ts";
import { type ChangeName, pluginsOf } from "./test-builds.ts";

const WATCHED_MS = 6000;

async function meet(
	builds: { px?: ChangeName; sc?: ChangeName },
	proxySpeaks: number,
	centerSpeaks: number,
): Promise<void> {
	const enclave = await startTestEnclave({}, { builds });
	try {
		const { uplink } = await until(
			"the refusal",
			enclave.health,
			(health) => health.uplink.lastError?.startsWith("upstream_protocol") === true,
		);
		equal(
			uplink.lastError,
			`upstream_protocol: the upstream speaks protocol ${centerSpeaks}, this node ${proxySpeaks}`,
		);
		equal(uplink.protocol, proxySpeaks);
		const { strangers } = await until(
			"the Security Center's own word",
			() => enclave.center<{ strangers: { node: string; protocol: number }[] }>("/recorded"),
			(answer) => answer.strangers.length > 0,
		);
		equal(strangers[0]?.node, "spiffe://lab.test/px/px-1");
		equal(strangers[0]?.protocol, proxySpeaks);
		await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
		const tries = readFileSync(enclave.px.logPath, "utf8").match(/"uplink_down".*upstream_protocol/g) ?? [];
		// Half a second doubling, spread over its upper half: five at most fit, and each wait is longer than the last.
		ok(tries.length >= 2 && tries.length <= 6, `${tries.length} tries`);
		match(
			readFileSync(enclave.sc.logPath, "utf8"),
			new RegExp(`protocol_differs.*px/px-1.*"theirs":${proxySpeaks},"ours":${centerSpeaks}`),
		);
		equal((await enclave.health()).uplink.isUp, false);
	} finally {
		await enclave.stop();
	}
}

test("a Security Center of the next version and a proxy of this one name each other's version and rest between tries", async () => {
	await meet({ sc: "next_protocol" }, 1, 2);
});

test("a proxy of the next version and a Security Center of this one do the same", async () => {
	await meet({ px: "next_protocol" }, 2, 1);
});

/** The agent's link as a build of it has it. */
async function agentBuild(change: ChangeName | null, directory: string): Promise<typeof openLoneLink> {
	const outfile = join(directory, "link.mjs");
	const require = 'import { createRequire as made } from "node:module"; const require = made(import.meta.url);';
	await build({
		...{ entryPoints: ["miniflare-tests/lone-link.ts"], outfile, bundle: true, format: "esm", platform: "node" },
		...{ conditions: ["node"], banner: { js: require }, logLevel: "error", plugins: pluginsOf(change) },
		external: ["bufferutil", "utf-8-validate"],
	});
	return ((await import(pathToFileURL(outfile).href)) as { openLoneLink: typeof openLoneLink }).openLoneLink;
}

interface Heard {
	readonly code: string;
	readonly fields: Readonly<Record<string, unknown>>;
	readonly atMs: number;
}

async function agentMeets(
	builds: { agent: ChangeName | null; px?: ChangeName },
	agentSpeaks: number,
	proxySpeaks: number,
) {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-versions-"));
	const open = await agentBuild(builds.agent, directory);
	// The Security Center is the proxy's own build: what they say to each other is tested above.
	const px = builds.px === undefined ? {} : { px: builds.px, sc: builds.px };
	const enclave = await startTestEnclave({}, { builds: px });
	const heard: Heard[] = [];
	const link = open({
		...{ directory, enclave: ENCLAVE, port: enclave.proxyPort },
		identity: identityOf("web-01", enclave.pathsOf("agent", "web-01")),
		genesis: enclavePaths(enclave.pkiDir).genesis,
		log: (code, fields = {}) => heard.push({ code, fields, atMs: performance.now() }),
	});
	try {
		const { uplink } = await until(
			"the proxy's own word",
			enclave.health,
			(health) => health.uplink.strangers.length > 0,
		);
		equal(uplink.strangers[0]?.node, "spiffe://lab.test/agent/web-01");
		equal(uplink.strangers[0]?.protocol, agentSpeaks);
		match(
			readFileSync(enclave.px.logPath, "utf8"),
			new RegExp(`protocol_differs.*agent/web-01.*"theirs":${agentSpeaks},"ours":${proxySpeaks}`),
		);
		await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
		const named = heard.filter(({ fields }) => fields.reason === "server_protocol");
		equal(named[0]?.fields.detail, `the server speaks protocol ${proxySpeaks}, this agent ${agentSpeaks}`);
		// Full jitter within waits that double from half a second: rarely short ones in a row, never a stream of them.
		ok(named.length >= 2 && named.length <= 20, `${named.length} tries`);
		equal(link.isUp, false);
		ok(!heard.some(({ code }) => code === "link_up"));
		equal((await enclave.health()).uplink.agentsUp, 0);
	} finally {
		link.stop();
		await enclave.stop();
		rmSync(directory, { recursive: true });
	}
}

test("an agent of the next version and a proxy of this one name each other's version", async () => {
	await agentMeets({ agent: "next_protocol" }, 2, 1);
});

test("an agent of this version and a proxy of the next do the same", async () => {
	await agentMeets({ agent: null, px: "next_protocol" }, 1, 2);
});

/** The same frame with a key of a later build in every map. */
function fromLaterBuild(frame: Uint8Array): Uint8Array {
	const withNews = (value: CborValue): CborValue => {
		if (Array.isArray(value)) return value.map(withNews);
		if (!(value instanceof Map)) return value;
		return new Map<number, CborValue>([
			...[...value].map(([key, each]) => [key, withNews(each)] as const),
			[400, "more"],
		]);
	};
	const decoded = decodeCbor(frame);
	if (!decoded.ok) throw new Error(decoded.detail);
	return encodeCbor(withNews(decoded.value));
}

const HEALTH: FrameBody<"heartbeat">["health"] = {
	...{
		timeMs: Date.now(),
		streams: [],
		outboxBytes: 4711,
		oldestUnackedMs: 0,
		rssBytes: 1,
		eventCount: 2,
		gapCount: 0,
	},
};

interface Recorded {
	readonly states: readonly { health: string | null }[];
	readonly proxies: readonly { link?: { softwareVersion: string } }[];
}

async function recorded(enclave: TestEnclave, what: string, fits: (recorded: Recorded) => boolean): Promise<void> {
	await until(what, () => enclave.center<Recorded>("/recorded"), fits);
}

async function laterAgent(enclave: TestEnclave): Promise<void> {
	const identity = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
	const link = await TestLink.open(
		{ port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri },
		identity,
	);
	await link.expect("welcome");
	link.sendRaw(fromLaterBuild(encodeFrame("heartbeat", { health: HEALTH })));
	await recorded(enclave, "the agent's news", ({ states }) =>
		states.some(({ health }) => health?.includes("4711") === true),
	);
	// The link is as good as any: evidence goes on by it.
	link.send("batch", { bytes: new TestStream(identity, "trace").next().bytes });
	await link.expect("receipt", ({ seq, level }) => seq === 1 && level === "a2");
	ok(!link.isClosed && !link.frames.some(({ type }) => type === "reject"));
	link.close();
}

test("what a later build of this version says of itself is heard, and its evidence taken, where it says more than is known", async () => {
	const enclave = await startTestEnclave({});
	try {
		await laterAgent(enclave);
		const sc = { port: enclave.centerPort, name: enclave.centerName, uri: `spiffe://${ENCLAVE}/sc/main` };
		const link = await TestLink.open(sc, identityOf("px-1", enclave.pathsOf("px", "px-1")), LINK_PATHS.peer);
		await link.expect("welcome");
		const own: FrameBody<"heartbeat">["link"] = {
			...{ timeMs: Date.now(), upstream: sc.uri, sinceMs: 1, reconnects: 0, lanes: [], unackedBytes: 0 },
			...{ windowBytes: 9, agents: 0, agentsUp: 0, softwareVersion: "9.9.9", strangers: [] },
		};
		link.sendRaw(fromLaterBuild(encodeFrame("heartbeat", { health: HEALTH, link: own })));
		await recorded(enclave, "the proxy's news", ({ proxies }) =>
			proxies.some((each) => each.link?.softwareVersion === "9.9.9"),
		);
		ok(!link.isClosed);
		link.close();
	} finally {
		await enclave.stop();
	}
});
