import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { batchHash, readBatch, verifyBatch, verifyBatchEvents, ZERO_HASH } from "#core/model/batch.ts";
import { ed25519PublicKey } from "#crypto";
import { NatsMessages, publishOf } from "./nats-client.ts";
import { sealLoad, shareEvents } from "./payload.ts";
import { RedisAnswers, xaddOf } from "./redis-client.ts";

/** Every way to cut a text in two. */
function* cuts(text: string): Generator<[string, string]> {
	for (let at = 0; at <= text.length; at++) yield [text.slice(0, at), text.slice(at)];
}

test("entry ids are counted wherever the stream of answers is cut", () => {
	const text = "$15\r\n1700000000000-0\r\n$15\r\n1700000000000-1\r\n";
	for (const [a, b] of cuts(text)) {
		const answers = new RedisAnswers();
		equal(answers.take(a) + answers.take(b), 2);
	}
});

test("an error in the place of an entry id is no acknowledgement", () => {
	throws(() => new RedisAnswers().take("-OOM command not allowed\r\n"), /OOM/);
});

test("a batch goes into a stream as five arguments", () => {
	const request = Buffer.from(xaddOf("sim-1", Uint8Array.of(1, 13, 10))).toString("latin1");
	equal(request, "*5\r\n$4\r\nXADD\r\n$5\r\nsim-1\r\n$1\r\n*\r\n$1\r\nb\r\n$3\r\n\u0001\r\n\r\n");
});

test("JetStream's answers are found between control lines wherever they are cut", () => {
	const text = 'PING\r\nMSG _INBOX.a.1 1 7\r\n{"seq":\r\n+OK\r\nMSG _INBOX.a.1 1 2\r\n{}\r\n';
	for (const [a, b] of cuts(text)) {
		const reader = new NatsMessages();
		const [first, second] = [reader.take(a), reader.take(b)];
		deepEqual([...first.messages, ...second.messages], ['{"seq":', "{}"]);
		deepEqual([...first.control, ...second.control], ["PING", "+OK"]);
	}
});

test("a message names its subject, its inbox and its length", () => {
	equal(Buffer.from(publishOf("e.a", "_INBOX.a", Uint8Array.of(65))).toString("latin1"), "PUB e.a _INBOX.a 1\r\nA\r\n");
});

test("what a simulated agent sends is what a hop and the store believe", () => {
	const seed = new Uint8Array(32).fill(7);
	const { stream, batches } = sealLoad({ id: "sim-1", seed }, "bulk", shareEvents(3, 125, Date.now()));
	let prevHash: Uint8Array = ZERO_HASH;
	for (const [index, bytes] of batches.entries()) {
		const read = readBatch(bytes);
		ok(read.ok && verifyBatch(read.value, ed25519PublicKey(seed)).ok);
		ok(verifyBatchEvents(read.value, ed25519PublicKey(seed)).ok);
		deepEqual([read.value.header.stream, read.value.header.seq], [stream, index + 1]);
		deepEqual(read.value.header.prevHash, prevHash);
		prevHash = batchHash(read.value.headerBytes);
		ok(bytes.length > 15_000 && bytes.length < 25_000, `${bytes.length} bytes`);
	}
});
