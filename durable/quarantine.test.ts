import { deepEqual, equal, ok } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, mock, test } from "node:test";
import { decodeFrame, encodeFrame } from "#core/protocol/index.ts";
import type { QuarantinedItem } from "./drain.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { QUARANTINE_SCHEMA, QuarantineStore, QuarantineTeller } from "./quarantine.ts";

let store: QuarantineStore;
beforeEach(() => {
	const database = new DatabaseSync(":memory:");
	database.exec(QUARANTINE_SCHEMA);
	const exec = (query: string, ...bindings: never[]) => {
		const rows = database.prepare(query).all(...bindings);
		return { toArray: () => rows };
	};
	store = new QuarantineStore({ exec } as never);
});

const STREAM = new Uint8Array(8).fill(7);
const ITEM = { cause: "batch_signature_invalid", detail: "no", atMs: 1000, hop: "", stream: STREAM, seq: 4 } as const;
const told = (item: QuarantinedItem, hop: string, peer: string) => {
	const frame = decodeFrame(encodeFrame("reject", QuarantineStore.frameOf("web-01", item, hop)));
	ok(frame.ok && frame.value.type === "reject");
	return QuarantineStore.itemOfFrame(frame.value.body, peer);
};

test("an item comes through two hops with its place, and with the way to it", () => {
	store.keep({ ...ITEM, lane: "bulk" }, new Uint8Array(20));
	const first = told(store.items()[0] as QuarantinedItem, "px-2", "px-2");
	deepEqual(first, { ...ITEM, lane: "bulk", hop: "px-2", bytesKept: 20 });
	equal(told(first as QuarantinedItem, "px-1", "px-1")?.hop, "px-1/px-2");
	const unread = told({ cause: "cbor_truncated", detail: "", atMs: 1, hop: "", bytesKept: 0 }, "px-1", "px-1");
	deepEqual(unread, { cause: "cbor_truncated", detail: "", atMs: 1, hop: "px-1", bytesKept: 0 });
});

test("a proxy that names another as the one that refused is shown as itself", () => {
	equal(told({ ...ITEM, bytesKept: 1 }, "px-9", "px-1")?.hop, "px-1/?");
	equal(told({ ...ITEM, bytesKept: 1 }, "px-10", "px-1")?.hop, "px-1/?");
});

test("a plain refusal tells of nothing that is kept", () => {
	const frame = decodeFrame(encodeFrame("reject", { agent: "web-01", code: "agent_unknown", detail: "" }));
	ok(frame.ok && frame.value.type === "reject");
	equal(QuarantineStore.itemOfFrame(frame.value.body, "px-1"), null);
});

test("what is told once is not told again; what nobody took is told later, also after a start", async () => {
	mock.timers.enable({ apis: ["Date"], now: 50_000 });
	try {
		let isThere = false;
		const heard: number[] = [];
		const wakes: number[] = [];
		const open = () =>
			new QuarantineTeller({
				quarantine: store,
				tell: async (items) => {
					if (isThere) heard.push(...items.map(({ atMs }) => atMs));
					return isThere;
				},
				wakeAt: (atMs) => wakes.push(atMs),
				onError: (error) => heard.push(error.message as never),
			});
		const settle = () => new Promise((resolve) => setImmediate(resolve));
		let teller = open();
		teller.kick();
		deepEqual(wakes, [], "with nothing to tell nobody is woken");
		const count = CHANNEL_LIMITS.quarantineToldAtOnceMax + 1;
		for (let atMs = 1; atMs <= count; atMs++) store.keep({ ...ITEM, atMs }, new Uint8Array(1));
		store.keep({ ...ITEM, atMs: 999 }, new Uint8Array(1), true);
		teller.kick();
		await settle();
		isThere = true;
		teller.kick();
		await settle();
		deepEqual(heard, [], "an upstream that was away is not asked at every refusal");
		ok(wakes.every((atMs) => atMs >= 50_000 + CHANNEL_LIMITS.quarantineRetryMs) && wakes.length === 2);
		teller = open();
		teller.kick();
		await settle();
		deepEqual(
			heard,
			Array.from({ length: count }, (_, i) => i + 1),
		);
		teller.kick();
		await settle();
		equal(heard.length, count);
		store.note({ ...ITEM, hop: "px-2", bytesKept: 5, atMs: 2000 });
		teller.kick();
		await settle();
		equal(heard.at(-1), 2000);
	} finally {
		mock.timers.reset();
	}
});
