import assert from "node:assert/strict";
import { test } from "node:test";
import { STORE_LIMITS } from "../limits.ts";
import { AskGate } from "./ask-gate.ts";
import { openStore } from "./client.ts";

test("a thousand objects that ask at once ask no more at a time than sqld takes, and readers do not wait behind writers", async () => {
	let asking = 0;
	let most = 0;
	const order: string[] = [];
	const answer = async (request: Request) => {
		most = Math.max(most, ++asking);
		order.push(await request.text());
		await new Promise((resolve) => setTimeout(resolve, 1));
		asking--;
		return new Response("not an answer", { status: 500 });
	};
	// Each object opens the store for itself.
	const stores = Array.from({ length: 1000 }, () => openStore({ fetch: answer }, { readWrite: "w", readOnly: "r" }));
	const asks = stores.map(({ writer }, n) => writer.execute(`SELECT 'writer ${n} '`));
	asks.push(...stores.slice(0, 100).map(({ reader }, n) => reader.execute(`SELECT 'reader ${n} '`)));
	const answers = await Promise.allSettled(asks);
	assert.ok(answers.every(({ status }) => status === "rejected"));
	assert.equal(most, STORE_LIMITS.writesAtOnce + STORE_LIMITS.readsAtOnce);
	const asked = order.flatMap((text) => /writer (\d+) /.exec(text)?.[1] ?? []).map(Number);
	assert.equal(new Set(asked).size, 1000);
	const overtaking = asked.map((n, at) => Math.abs(n - at));
	assert.ok(Math.max(...overtaking) <= STORE_LIMITS.writesAtOnce, "first come, first served");
	const lastReader = order.findLastIndex((text) => text.includes("reader"));
	assert.ok(lastReader < 500, "a reader does not wait behind a thousand writers");
});

test("an asker that never ends does not keep its place, and a failure leaves it", async () => {
	const gate = new AskGate({ atOnce: 1, holdMsMax: 50, waitingMax: 10 });
	await assert.rejects(
		gate.run(() => Promise.reject(new Error("no"))),
		/no/,
	);
	void gate.run(() => new Promise(() => undefined));
	assert.equal(await gate.run(async () => "asked"), "asked");
});
