import { deepEqual, equal, ok } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, test } from "node:test";
import { decodeFrame, encodeFrame } from "#core/protocol/index.ts";
import type { QuarantinedItem } from "./drain.ts";
import { CHANNEL_LIMITS } from "./limits.ts";
import { QUARANTINE_SCHEMA, QuarantineStore, TELLERS } from "./quarantine.ts";

let store: QuarantineStore;
let sql: SqlStorage;
beforeEach(() => {
	const database = new DatabaseSync(":memory:");
	database.exec(QUARANTINE_SCHEMA);
	const exec = (query: string, ...bindings: never[]) => {
		const rows = database.prepare(query).all(...bindings);
		return { toArray: () => rows };
	};
	sql = { exec } as never;
	store = new QuarantineStore(sql);
});

const STREAM = new Uint8Array(8).fill(7);
const ITEM = { cause: "batch_signature_invalid", detail: "no", atMs: 1000, hop: "", stream: STREAM, seq: 4 } as const;
const OWN = { teller: TELLERS.agent } as const;
const told = (item: QuarantinedItem, hop: string, peer: string) => {
	const frame = decodeFrame(encodeFrame("reject", QuarantineStore.frameOf("web-01", item, hop)));
	ok(frame.ok && frame.value.type === "reject");
	return QuarantineStore.itemOfFrame(frame.value.body, peer);
};

const MIB = 1024 * 1024;

test("an item comes through two hops with its place, and with the way to it", () => {
	store.keep({ ...ITEM, ...OWN, lane: "bulk" }, new Uint8Array(20));
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

test("a relay that has the agent's public proof pushes out nothing but its own items, bytes and words", () => {
	const { quarantineRowsMax, quarantineRelayRowsMax, quarantineRelayBytesMax, quarantineNotesMax } = CHANNEL_LIMITS;
	for (let atMs = 1; atMs <= quarantineRowsMax; atMs++) store.keep({ ...ITEM, ...OWN, atMs }, new Uint8Array(9));
	store.note({ ...ITEM, hop: "px-2/px-3", bytesKept: 7 }, 1000);
	for (let atMs = 1; atMs <= 2 * quarantineRowsMax; atMs++) {
		store.keep({ ...ITEM, teller: "px-9", atMs }, new Uint8Array(1));
		store.note({ ...ITEM, hop: `px-9/x-${atMs}`, bytesKept: 1, atMs }, 1000);
		store.keep({ ...ITEM, teller: TELLERS.upstream, atMs }, new Uint8Array(1), true);
	}
	const items = store.items();
	const count = (is: (item: QuarantinedItem) => boolean) => items.filter(is).length;
	equal(
		count(({ bytesKept }) => bytesKept === 9),
		quarantineRowsMax,
		"of the agent's own link",
	);
	equal(
		count(({ hop }) => hop === "px-2/px-3"),
		1,
	);
	equal(
		count(({ broughtBy }) => broughtBy === "px-9"),
		quarantineRelayRowsMax,
	);
	equal(
		count(({ hop }) => hop.startsWith("px-9/")),
		quarantineNotesMax,
	);
	equal(items.length, 3 * quarantineRowsMax + quarantineRelayRowsMax + quarantineNotesMax + 1);
	const large = new Uint8Array(MIB);
	for (let index = 0; index <= quarantineRelayBytesMax / MIB; index++)
		store.keep({ ...ITEM, teller: "px-9", atMs: 5000 + index }, large);
	const kept = store.items().filter(({ broughtBy }) => broughtBy === "px-9");
	deepEqual([kept.length, kept[0]?.atMs], [quarantineRelayBytesMax / MIB, 5001]);
	equal(store.items().filter(({ bytesKept }) => bytesKept === 9).length, quarantineRowsMax);
});

test("what upstream refused is evidence that was acknowledged here: much more of it is kept, up to a bound of its own", () => {
	const { quarantineUpstreamRowsMax } = CHANNEL_LIMITS;
	for (let atMs = 1; atMs <= quarantineUpstreamRowsMax + 1; atMs++)
		store.keep({ ...ITEM, teller: TELLERS.upstream, atMs }, new Uint8Array(1), true);
	const kept = store.items();
	deepEqual([kept.length, kept[0]?.atMs], [quarantineUpstreamRowsMax, 2]);
});

test("relays beyond the bound share one ring, and those before keep theirs", () => {
	const { quarantineTellersMax, quarantineNotesMax } = CHANNEL_LIMITS;
	for (let index = 0; index < quarantineTellersMax; index++)
		store.note({ ...ITEM, hop: `px-${index}`, bytesKept: 1 }, 1000);
	for (let index = 0; index < 2 * quarantineNotesMax; index++)
		store.note({ ...ITEM, hop: `late-${index}`, bytesKept: 1 }, 1000);
	equal(store.items().length, quarantineTellersMax + quarantineNotesMax);
	store.note({ ...ITEM, hop: "px-0", bytesKept: 1, atMs: 2 }, 1000);
	equal(store.items().length, quarantineTellersMax + quarantineNotesMax + 1);
});

/** What is told at a time, as cause and count. */
function tellAt(nowMs: number): (readonly [string, number])[] {
	const out: (readonly [string, number])[] = [];
	for (;;) {
		const untold = store.untold(nowMs);
		if (untold.items.length === 0) return out;
		out.push(...untold.items.map(({ cause, count = 1 }) => [cause, count] as const));
		store.told(untold);
	}
}

test("of many items of one cause the first few are told one by one, the rest in one count that is exact, also after a start", () => {
	const { quarantineToldEachMax: each, quarantineSumMs } = CHANNEL_LIMITS;
	const keep = (atMs: number, cause = "cbor_truncated") =>
		store.keep({ cause, detail: "", atMs, hop: "", ...OWN }, new Uint8Array(1));
	// More than the ring holds: what gives way is counted all the same.
	const total = 3 * CHANNEL_LIMITS.quarantineRowsMax;
	for (let index = 0; index < total; index++) keep(1000);
	keep(1000, "shape_mismatch");
	const first = tellAt(1000);
	equal(first.filter(([cause]) => cause === "shape_mismatch").length, 1, "another cause is another matter");
	store = new QuarantineStore(sql);
	const dueAtMs = store.dueAtMs(1000);
	equal(dueAtMs, 1000 + quarantineSumMs);
	deepEqual(tellAt((dueAtMs ?? 0) - 1), []);
	const second = tellAt(dueAtMs ?? 0);
	equal(second.length, 1);
	const all = [...first, ...second].filter(([cause]) => cause === "cbor_truncated");
	equal(
		all.reduce((sum, [, count]) => sum + count, 0),
		total,
	);
	ok(all.length <= each + 1, `${all.length} were told`);
	equal(store.dueAtMs(dueAtMs ?? 0), null);
	// It goes on: one count an interval.
	const fromMs = (dueAtMs ?? 0) + 1;
	for (let index = 0; index < 10; index++) keep(fromMs);
	const third = tellAt(fromMs);
	const fourth = tellAt(fromMs + quarantineSumMs);
	equal(
		[...third, ...fourth].reduce((sum, [, count]) => sum + count, 0),
		10,
	);
	// A quiet interval later the first is told at once again.
	const laterMs = fromMs + 3 * quarantineSumMs;
	keep(laterMs);
	deepEqual(tellAt(laterMs), [["cbor_truncated", 1]]);
});

test("a count that nobody took is told again as it was, and what came meanwhile comes after it", () => {
	const keep = (atMs: number) =>
		store.keep({ cause: "cbor_truncated", detail: "", atMs, hop: "", ...OWN }, new Uint8Array(1));
	for (let index = 0; index < 20; index++) keep(1000);
	tellAt(1000);
	const atMs = 1000 + CHANNEL_LIMITS.quarantineSumMs;
	const [before] = store.untold(atMs).items;
	for (let index = 0; index < 5; index++) keep(atMs + 1);
	const [again] = store.untold(atMs + 2).items;
	deepEqual(again, before);
	equal(again?.count, 20 - CHANNEL_LIMITS.quarantineToldEachMax);
	deepEqual(tellAt(atMs + 2).length, 1);
	const rest = tellAt(atMs + 2 + CHANNEL_LIMITS.quarantineSumMs);
	equal(
		rest.reduce((sum, [, count]) => sum + count, 0),
		5,
	);
});

test("a relay that makes up causes and hops is told in bounds, and in all", () => {
	const { quarantineCausesMax, quarantineToldEachMax } = CHANNEL_LIMITS;
	const total = 50 * quarantineCausesMax;
	for (let index = 0; index < total; index++)
		store.note({ ...ITEM, cause: `cause_${index % 100}`, hop: `px-9/x-${index}`, bytesKept: 1, atMs: index }, 1000);
	const told = [...tellAt(1000), ...tellAt(1000 + CHANNEL_LIMITS.quarantineSumMs)];
	equal(
		told.reduce((sum, [, count]) => sum + count, 0),
		total,
	);
	ok(told.length <= (quarantineCausesMax + 1) * (quarantineToldEachMax + 1), `${told.length} were told`);
	store.keep({ ...ITEM, ...OWN }, new Uint8Array(1));
	deepEqual(tellAt(1001), [["batch_signature_invalid", 1]], "the agent's own are told as ever");
});

test("a count passes through hops, and the same word twice is one", () => {
	const counted = { cause: "cbor_truncated", detail: "", atMs: 7, hop: "", bytesKept: 0, count: 41 };
	const heard = told(counted, "px-2", "px-2");
	deepEqual(heard, { ...counted, hop: "px-2" });
	for (let times = 0; times < 2; times++) store.note(heard as QuarantinedItem, 1000);
	deepEqual(store.items(), [heard]);
	deepEqual(tellAt(1000), [["cbor_truncated", 41]]);
});

test("a clock that was set back holds no count back", () => {
	for (let index = 0; index < 9; index++)
		store.keep({ cause: "cbor_truncated", detail: "", atMs: 9_000_000, hop: "", ...OWN }, new Uint8Array(1));
	tellAt(9_000_000);
	equal(store.dueAtMs(1000), 1000);
	equal(tellAt(1000).length, 1);
});
