import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { hexOf } from "#core/bytes/bytes.ts";
import { HELLO_HEADER, LINK_PATHS } from "#core/identity/challenge.ts";
import { PATH_LIMITS } from "#core/identity/path.ts";
import { ENCLAVE, startTestEnclave, type TestEnclave, type TestProxy, until } from "./harness.ts";
import { ask, askNonce, helloOf, type Identity, identityOf, TestLink, TestStream, UPGRADE } from "./test-agent.ts";

/** Loops of one, two and three proxies that a careless site configured, and a list that begins with a loop. */
const LOOPS = [["px-s"], ["px-a", "px-b"], ["px-c", "px-d", "px-e"]] as const;
let enclave: TestEnclave;
let web01: Identity;
let web02: Identity;

before(async () => {
	const loops = LOOPS.flatMap((ids) =>
		ids.map((id, index) => ({ id, upstream: ids[(index + 1) % ids.length] as string })),
	);
	enclave = await startTestEnclave(
		{ fsync_interval_ms: 20, failover: { probe_secs: 0.2, stable_secs: 0.5 } },
		{ tree: [{ id: "px-1", upstream: ["px-2", "sc"] }, { id: "px-2", upstream: ["px-1", "sc"] }, ...loops] },
	);
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
	web02 = identityOf("web-02", enclave.pathsOf("agent", "web-02"));
});
after(() => enclave?.stop());

const proxyOf = (id: string) => enclave.proxies[id] as TestProxy;
const uplinkOf = async (id: string) =>
	(await proxyOf(id).health()).uplink as unknown as {
		isForwarding: boolean;
		isUp: boolean;
		lastError: string | null;
		path: string[];
		walBytes: number;
	};
const isRefusal = (lastError: string | null) => lastError?.startsWith("path_cycle: ") === true;
const px = (id: string) => `spiffe://${ENCLAVE}/px/${id}`;

for (const ids of LOOPS)
	test(`a loop of ${ids.length} is refused by name in log and health, tried again, and nothing runs round in it`, async () => {
		const link = await TestLink.open(proxyOf(ids[0]), web01);
		await link.expect("welcome");
		const streams = (["trace", "alert", "bulk"] as const).map((lane) => new TestStream(web01, lane));
		for (const stream of streams) {
			link.send("batch", { bytes: stream.next().bytes });
			// The loop's entrance takes what agents bring, as a proxy does that is cut off.
			await link.expect("receipt", (body) => hexOf(body.stream) === hexOf(stream.stream) && body.level === "a1");
		}
		const held = (await uplinkOf(ids[0])).walBytes;
		ok(held > 0);
		const states = await until(
			"a refusal",
			() => Promise.all(ids.map(uplinkOf)),
			(each) => each.some(({ lastError }) => isRefusal(lastError)),
		);
		for (const { isForwarding } of states) equal(isForwarding, false);
		const refused = () =>
			ids
				.map((id) => readFileSync(proxyOf(id).box.logPath, "utf8"))
				.join("")
				.split('"reason":"path_cycle: ').length;
		const before = refused();
		await until("another try", refused, (count) => count > before, 30_000);
		await sleep(500);
		const after = await Promise.all(ids.map(uplinkOf));
		deepEqual(
			after.map(({ walBytes }) => walBytes),
			ids.map((_, index) => (index === 0 ? held : 0)),
		);
		link.close();
	});

test("two proxies that name each other first and the center second both arrive, one through the other or beside it", async () => {
	const states = await until(
		"both",
		() => Promise.all(["px-1", "px-2"].map(uplinkOf)),
		(each) => each.every(({ isForwarding }) => isForwarding),
		30_000,
	);
	for (const { path } of states) {
		equal(path.at(-1), `spiffe://${ENCLAVE}/sc/main`);
		equal(new Set(path).size, path.length);
	}
	const link = await TestLink.open(proxyOf("px-1"), web02);
	const stream = new TestStream(web02, "alert");
	link.send("batch", { bytes: stream.next().bytes });
	await link.expect("receipt", (body) => body.level === "a2" && hexOf(body.stream) === hexOf(stream.stream));
	link.close();
});

test("a hello whose path holds its maker, a node twice, or too many nodes is refused by name", async () => {
	const identity = identityOf("px-a", enclave.pathsOf("px", "px-a"));
	const target = proxyOf("px-1");
	const attempt = async (path: string[]) => {
		const hello = helloOf(identity, await askNonce(target, identity), { serverUri: target.uri, path });
		const { status, body } = await ask(target, identity, LINK_PATHS.peer, { ...UPGRADE, [HELLO_HEADER]: hello });
		return `${status} ${body === "" ? "" : (JSON.parse(body) as { code: string }).code}`.trim();
	};
	const sc = `spiffe://${ENCLAVE}/sc/main`;
	const long = Array.from({ length: PATH_LIMITS.nodesMax - 1 }, (_, index) => px(`px-${index + 1}`));
	equal(await attempt([px("px-1"), px("px-a"), sc]), "403 path_cycle");
	equal(await attempt([px("px-1"), px("px-9"), px("px-1"), sc]), "403 path_cycle");
	equal(await attempt([...long, sc]), "403 path_too_long");
	equal(await attempt([...long.slice(1), sc]), "101");
});

test("a proxy that shows a route through the node it came to is dropped: what it brings has been there", async () => {
	const identity = identityOf("px-a", enclave.pathsOf("px", "px-a"));
	const own = identityOf("px-2", enclave.pathsOf("px", "px-2"));
	const target = proxyOf("px-2");
	const link = await TestLink.open(target, identity, LINK_PATHS.peer);
	await link.expect("welcome");
	const steps = [
		[web01, px("px-2")],
		[own, px("px-a")],
	] as const;
	const route = steps.map(([maker, serverUri]) => {
		const hello = helloOf(maker, new Uint8Array(32), { serverUri });
		return new Uint8Array(Buffer.from(hello, "base64"));
	});
	link.send("agent_state", { agent: "web-01", isUp: true, proof: web01.proof, heardAtMs: Date.now(), route });
	const bye = await link.expect("bye");
	equal(bye.code, "path_cycle");
	match(readFileSync(target.box.logPath, "utf8"), /"peer_dropped".*"path_cycle"|path_cycle.*peer_dropped/);
});
