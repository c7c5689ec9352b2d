import { equal, ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { base64Of, hexOf } from "#core/bytes/bytes.ts";
import { startTestEnclave, type TestEnclave, until } from "./harness.ts";
import { type Identity, identityOf, type Target, TestLink, TestStream } from "./test-agent.ts";

/** The runtime takes an object out of memory after ten seconds in which nobody asked it anything. */
const EVICTED_MS = 12_000;
let enclave: TestEnclave;
let proxy: Target;
let web01: Identity;
let web02: Identity;

before(async () => {
	enclave = await startTestEnclave({}, { proxyWorker: "miniflare-tests/workers/counted-proxy.ts" });
	proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
	web02 = identityOf("web-02", enclave.pathsOf("agent", "web-02"));
});
after(() => enclave?.stop());

const wakesOf = (agent: string) =>
	enclave.proxies["px-1"]?.ask<number>(`/?wakes=${agent}`) ?? Promise.reject(new Error("no proxy"));

test("the object of an idle agent leaves memory, and its session goes on: a batch wakes it, and so does the close", async () => {
	const link = await TestLink.open(proxy, web01);
	await link.expect("welcome");
	const stream = new TestStream(web01, "trace");
	link.send("batch", { bytes: stream.next().bytes });
	await link.expect("receipt", (body) => body.level === "a2" && hexOf(body.stream) === hexOf(stream.stream));
	equal(await wakesOf("web-01"), 1);
	await sleep(EVICTED_MS);
	link.send("batch", { bytes: stream.next().bytes });
	await link.expect("receipt", (body) => body.level === "a2" && body.seq === 2);
	equal(await wakesOf("web-01"), 2, "it was in memory all the time, or was made twice");
	await sleep(EVICTED_MS);
	link.close();
	await until(
		"the departure",
		() => enclave.center<{ isUp: boolean }>("/stats", { agent: "web-01" }),
		(stats) => !stats.isUp,
	);
	equal(await wakesOf("web-01"), 3);
	equal(link.frames.filter(({ type }) => type === "welcome").length, 1, "it was one session");
});

test("a command for an agent whose object sleeps wakes it and goes down the same session", async () => {
	const link = await TestLink.open(proxy, web02);
	await link.expect("welcome");
	await until(
		"the arrival",
		() => enclave.center<{ isUp: boolean }>("/stats", { agent: "web-02" }),
		(stats) => stats.isUp,
	);
	equal(await wakesOf("web-02"), 1);
	await sleep(EVICTED_MS);
	await enclave.center("/command", {
		agent: "web-02",
		commandId: base64Of(new Uint8Array(16).fill(3)),
		envelope: "AQ==",
		expiresAtMs: String(Date.now() + 60_000),
	});
	await link.expect("command");
	equal(await wakesOf("web-02"), 2);
	ok(!link.isClosed);
	link.close();
});
