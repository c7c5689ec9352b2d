/**
 * Slow-loris: many connections that say a byte a second, before the TLS handshake, in the request's headers and within a frame of a link
 * that stands. Nobody else waits for them. What came through TLS is closed by a timeout: 15 s for headers (workerd's own), and an agent
 * that says nothing whole for `agentSilentMsMax` is cut off. What never finishes its handshake is not: docs/threat-model.md says what helps.
 */
import { equal, ok } from "node:assert/strict";
import { connect as connectPlain, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { UPLINK_LIMITS } from "../durable/limits.ts";
import { startTestEnclave, type TestEnclave, until } from "./harness.ts";
import { ask, type Identity, identityOf, type Target, TestLink, TestStream } from "./test-agent.ts";

/** Of each kind. */
const COUNT = 100;
/** kj's time for the headers of a request, and what a busy machine adds. */
const HEADERS_MS = 15_000 + 5000;

let enclave: TestEnclave;
let proxy: Target;
let web01: Identity;
let web02: Identity;
const timers: ReturnType<typeof setInterval>[] = [];
const sockets: Socket[] = [];

before(async () => {
	enclave = await startTestEnclave();
	proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
	web02 = identityOf("web-02", enclave.pathsOf("agent", "web-02"));
});
after(async () => {
	for (const timer of timers) clearInterval(timer);
	for (const socket of sockets) socket.destroy();
	await enclave?.stop();
});

/** Says a byte a second; answers whether the other end has closed. */
function trickle(socket: Socket, bytes: Uint8Array): () => boolean {
	let at = 0;
	let isClosed = false;
	sockets.push(socket);
	socket.on("error", () => undefined);
	socket.on("close", () => {
		isClosed = true;
	});
	timers.push(
		setInterval(() => {
			if (!isClosed && at < bytes.length) socket.write(bytes.subarray(at, ++at));
		}, 1000),
	);
	return () => isClosed;
}

function openTls(): Socket {
	return connectTls({ ...web02.tls, host: "127.0.0.1", port: proxy.port, servername: proxy.name });
}

const CLIENT_HELLO = Buffer.concat([Buffer.from("16030100f0010000ec0303", "hex"), Buffer.alloc(229)]);
const HEADERS = Buffer.from(`GET ${LINK_PATHS.challenge} HTTP/1.1\r\nhost: x\r\nx-slow: ${"a".repeat(3000)}`);

/** Time from a trace to its receipt, of one after the other: the middle and the slowest. */
async function receiptMs(link: TestLink, stream: TestStream): Promise<{ middle: number; slowest: number }> {
	const times: number[] = [];
	for (let count = 0; count < 60; count++) {
		const batch = stream.next();
		const fromMs = performance.now();
		link.send("batch", { bytes: batch.bytes });
		await link.expect("receipt", (body) => body.level === "a1" && body.seq >= batch.seq);
		times.push(performance.now() - fromMs);
		await sleep(20);
	}
	times.sort((a, b) => a - b);
	return { middle: times[30] as number, slowest: times[59] as number };
}

test("hundreds that say a byte a second hold nobody else up, and what came through TLS is closed in its time", async () => {
	const link = await TestLink.open(proxy, web01);
	const stream = new TestStream(web01, "trace");
	const alone = await receiptMs(link, stream);
	const kinds = { plain: [], headers: [], idle: [] } as Record<"plain" | "headers" | "idle", (() => boolean)[]>;
	const fromMs = performance.now();
	for (let count = 0; count < COUNT; count++) {
		kinds.plain.push(trickle(connectPlain(proxy.port, "127.0.0.1"), CLIENT_HELLO));
		kinds.headers.push(trickle(openTls(), HEADERS));
		kinds.idle.push(trickle(openTls(), new Uint8Array()));
	}
	const agent = await TestLink.open(proxy, web02);
	await agent.expect("welcome");
	// A masked binary frame of 64 KiB, of which a byte comes a second.
	agent.trickle(Buffer.concat([Buffer.from("82feffff", "hex"), Buffer.alloc(65_000)]));
	const beside = await receiptMs(link, stream);
	ok(beside.middle < alone.middle + 20, `${alone.middle} ms alone, ${beside.middle} ms beside them`);
	ok(beside.slowest < alone.slowest + 250, `${alone.slowest} ms alone, ${beside.slowest} ms beside them`);
	equal((await ask(proxy, web01, LINK_PATHS.challenge)).status, 200, "and a new one is let in");
	// It says something whole meanwhile, as an honest one does.
	timers.push(setInterval(() => link.send("batch", { bytes: stream.next().bytes }), 2000));
	const count = (kind: keyof typeof kinds) => kinds[kind].filter((isClosed) => isClosed()).length;
	const leftMs = () => Math.max(0, fromMs + HEADERS_MS - performance.now());
	for (const kind of ["headers", "idle"] as const)
		await until(
			`the end of those of kind ${kind}`,
			() => count(kind),
			(closed) => closed === COUNT,
			leftMs(),
		);
	const { agentSilentMsMax, tickMs } = UPLINK_LIMITS;
	equal((await agent.expect("bye", undefined, agentSilentMsMax + 2 * tickMs)).code, "silent");
	ok(!link.isClosed);
	link.close();
});
