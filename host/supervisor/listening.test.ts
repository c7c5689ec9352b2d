import { equal, match, ok } from "node:assert/strict";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HOST_LIMITS } from "../limits.ts";
import { freeLoopbackPort } from "./free-port.ts";
import { openListening } from "./listening.ts";

/** How a connection that nobody accepts fares: `waits`, or the code of its refusal. */
function knock(port: number): Promise<string> {
	const { promise, resolve } = Promise.withResolvers<string>();
	const socket = connect(port, "127.0.0.1");
	socket.on("data", () => resolve("was answered"));
	socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
	socket.on("connect", () => setTimeout(() => resolve("waits"), 50));
	return promise.finally(() => socket.destroy());
}

test("from the moment it is open a socket lets connections wait, and nobody in this process accepts them", async () => {
	const [one, two] = [await freeLoopbackPort(), await freeLoopbackPort()];
	equal(await knock(one), "ECONNREFUSED");
	const opened = await openListening([
		{ name: "one", address: `127.0.0.1:${one}` },
		{ name: "two", address: `localhost:${two}` },
	]);
	ok(opened.ok);
	equal(opened.value.map(({ name }) => name).join(), "one,two");
	equal([await knock(one), await knock(two)].join(), "waits,waits");
	for (const each of opened.value) each.close();
	await sleep(20);
	equal([await knock(one), await knock(two)].join(), "ECONNREFUSED,ECONNREFUSED");
});

test("the queue holds as many as its limit says: one more than Node's own default waits too", async () => {
	const port = await freeLoopbackPort();
	const opened = await openListening([{ name: "a", address: `127.0.0.1:${port}` }]);
	ok(opened.ok && HOST_LIMITS.listenBacklog > 600);
	const waiting = await Promise.all(Array.from({ length: 600 }, () => knock(port)));
	equal(new Set(waiting).size, 1);
	equal(waiting[0], "waits");
	for (const each of opened.value) each.close();
});

test("an address that is taken, and a name that is none, are refused by name; what was opened before them is closed", async () => {
	const server = createServer();
	const taken = await new Promise<number>((done) => {
		server.listen(0, "127.0.0.1", () => done((server.address() as { port: number }).port));
	});
	const free = await freeLoopbackPort();
	const first = { name: "first", address: `127.0.0.1:${free}` };
	const refused = await openListening([first, { name: "second", address: `127.0.0.1:${taken}` }]);
	ok(!refused.ok && refused.code === "listen_failed");
	match(refused.detail, new RegExp(`127.0.0.1:${taken} cannot be listened at: EADDRINUSE`));
	await sleep(20);
	equal(await knock(free), "ECONNREFUSED");
	const held = await openListening([first]);
	ok(held.ok);
	const twice = await openListening([first]);
	ok(!twice.ok && /EADDRINUSE/.test(twice.detail), "nor may two of us hold one address");
	for (const each of held.value) each.close();
	server.close();
	const nameless = await openListening([{ name: "a", address: `no-such-host.invalid:${free}` }]);
	ok(!nameless.ok);
	match(nameless.detail, /no-such-host\.invalid/);
});
