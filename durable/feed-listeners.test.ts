import { deepEqual, equal, rejects } from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "#core/bytes/bytes.ts";
import { FEED_LIMITS, FeedListeners } from "./feed-listeners.ts";

const text = async (stream: ReadableStream<Uint8Array> | null): Promise<string> => new Response(stream).text();

test("a stream whose session is no longer alive is closed, after what it was told before", async () => {
	const listeners = new FeedListeners();
	const [one, two] = [listeners.listen("one", () => undefined), listeners.listen("two", () => undefined)];
	listeners.listen("two", () => undefined);
	deepEqual(listeners.sessions(), ["one", "two"]);
	listeners.send(utf8("a"));
	listeners.keepOnly(new Set(["two"]));
	equal(await text(one), "retry: 2000\n\na");
	listeners.send(utf8("b"));
	listeners.keepOnly(new Set());
	equal(await text(two), "retry: 2000\n\nab");
	equal(listeners.size, 0);
});

test("as many listen as the limit says, and one that leaves makes room", async () => {
	const listeners = new FeedListeners();
	let left = 0;
	const streams = Array.from({ length: FEED_LIMITS.listenersMax }, () => listeners.listen("s", () => left++));
	equal(
		listeners.listen("s", () => undefined),
		null,
	);
	await streams[0]?.cancel();
	deepEqual([left, listeners.size], [1, FEED_LIMITS.listenersMax - 1]);
	equal(listeners.listen("s", () => undefined) === null, false);
});

test("a listener that reads nothing is dropped and not waited for", async () => {
	const listeners = new FeedListeners();
	const slow = listeners.listen("s", () => undefined);
	for (let sent = 0; sent <= FEED_LIMITS.backlogBytesMax; sent += 4096) listeners.send(new Uint8Array(4096));
	equal(listeners.size, 0);
	await rejects(text(slow), /too slow/);
});
