import { deepEqual, equal, ok } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, mock, test } from "node:test";
import { CHANNEL_LIMITS } from "./limits.ts";
import { QUARANTINE_SCHEMA, QuarantineStore, TELLERS } from "./quarantine.ts";
import { QuarantineTeller } from "./quarantine-teller.ts";

const { quarantineRetryMs, quarantineSumMs, quarantineToldEachMax } = CHANNEL_LIMITS;
let store: QuarantineStore;
let isThere: boolean;
let heard: number[];
let wakes: number[];

beforeEach(() => {
	const database = new DatabaseSync(":memory:");
	database.exec(QUARANTINE_SCHEMA);
	const exec = (query: string, ...bindings: never[]) => {
		const rows = database.prepare(query).all(...bindings);
		return { toArray: () => rows };
	};
	store = new QuarantineStore({ exec } as never);
	isThere = false;
	heard = [];
	wakes = [];
	mock.timers.enable({ apis: ["Date"], now: 50_000 });
});
afterEach(() => mock.timers.reset());

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
/** Each of a cause of its own, so that each is told by itself. */
const keep = (atMs: number, isTold = false, cause = `cause_${atMs}`) =>
	store.keep({ cause, detail: "no", atMs, hop: "", teller: TELLERS.agent }, new Uint8Array(1), isTold);
const range = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

test("what is told once is not told again; what nobody took is told later, also after a start", async () => {
	let teller = open();
	teller.kick();
	deepEqual(wakes, [], "with nothing to tell nobody is woken");
	for (const atMs of range(20)) keep(atMs);
	keep(999, true);
	teller.kick();
	await settle();
	isThere = true;
	teller.kick();
	await settle();
	deepEqual(heard, [], "an upstream that was away is not asked at every refusal");
	ok(wakes.every((atMs) => atMs >= 50_000 + quarantineRetryMs) && wakes.length === 2);
	teller = open();
	teller.kick();
	await settle();
	deepEqual(heard, range(20));
	teller.kick();
	await settle();
	equal(heard.length, 20);
	store.note({ cause: "no", detail: "", hop: "px-2", bytesKept: 5, atMs: 2000 }, 50_000);
	teller.kick();
	await settle();
	equal(heard.at(-1), 2000);
});

test("more than goes at once is told in turns", async () => {
	isThere = true;
	for (let index = 0; index < 2 * CHANNEL_LIMITS.quarantineToldAtOnceMax; index++)
		keep(index % 8, false, `c${index % 30}`);
	open().kick();
	await settle();
	equal(heard.length, 2 * CHANNEL_LIMITS.quarantineToldAtOnceMax);
});

test("what could not be told goes as soon as the way up is back, and only then", async () => {
	const teller = open();
	teller.wayIsBack();
	keep(1);
	teller.kick();
	await settle();
	isThere = true;
	teller.kick();
	await settle();
	deepEqual(heard, []);
	teller.wayIsBack();
	await settle();
	deepEqual(heard, [1]);
});

test("a count is told when its interval is over, without a further item", async () => {
	isThere = true;
	const teller = open();
	for (let index = 0; index < quarantineToldEachMax + 3; index++) keep(50_000, false, "cbor_truncated");
	teller.kick();
	await settle();
	equal(heard.length, quarantineToldEachMax);
	equal(wakes.at(-1), 50_000 + quarantineSumMs);
	mock.timers.setTime(50_000 + quarantineSumMs);
	teller.kick();
	await settle();
	equal(heard.length, quarantineToldEachMax + 1);
});
