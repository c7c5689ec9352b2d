import { equal, ok } from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FaultProxy } from "./fault-proxy.ts";

let server: Server;
let proxy: FaultProxy;
let port: number;

beforeEach(async () => {
	// Echoes.
	server = createServer((socket) =>
		socket.on("data", (chunk) => socket.write(chunk)).on("error", () => socket.destroy()),
	);
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	proxy = new FaultProxy((server.address() as AddressInfo).port);
	port = await proxy.listen();
});
afterEach(async () => {
	await proxy.close();
	server.close();
});

async function open(): Promise<Socket> {
	const socket = connect(port, "127.0.0.1");
	await once(socket, "connect");
	socket.on("error", () => socket.destroy());
	return socket;
}

/** A reset is an error first; only the end counts here. */
const closed = (socket: Socket) => new Promise((resolve) => socket.once("close", resolve));

async function echo(socket: Socket, text: string, withinMs = 500): Promise<string> {
	socket.write(text);
	const answer = once(socket, "data").then(([chunk]) => String(chunk));
	return Promise.race([answer, sleep(withinMs, "nothing")]);
}

test("bytes pass both ways and are counted", async () => {
	equal(await echo(await open(), "hello"), "hello");
	equal(proxy.passed.up, 5);
	equal(proxy.passed.down, 5);
});

test("a stopped direction passes nothing until it is started again", async () => {
	const socket = await open();
	await echo(socket, "a");
	proxy.stop("down");
	equal(await echo(socket, "b", 200), "nothing");
	proxy.start("down");
	equal(String((await once(socket, "data"))[0]), "b");
});

test("a half-open connection stays and passes nothing; a new one works", async () => {
	const socket = await open();
	await echo(socket, "a");
	proxy.halfOpen();
	equal(await echo(socket, "b", 200), "nothing");
	ok(!socket.destroyed);
	equal(await echo(await open(), "c"), "c");
	socket.destroy();
});

test("a cut ends what is there and lets nobody in until it is healed", async () => {
	const socket = await open();
	await echo(socket, "a");
	proxy.cut();
	await closed(socket);
	const refused = connect(port, "127.0.0.1");
	refused.on("error", () => undefined);
	await closed(refused);
	proxy.heal();
	equal(await echo(await open(), "c"), "c");
});

test("a delay keeps the order", async () => {
	proxy.delay(50);
	const socket = await open();
	const startedAtMs = performance.now();
	equal(await echo(socket, "abc"), "abc");
	ok(performance.now() - startedAtMs >= 95);
});
